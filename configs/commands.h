// The verbs `doctor` (what this machine offers) and `config` (configs of other programs).
#pragma once
#include <string>
#include <vector>

#include "configs/import/translation.h"

namespace CLI {
class App;
}

namespace cohort {

struct Finding {
  enum class Status { ok, degraded, missing };
  std::string check;
  Status status = Status::ok;
  std::string found;
  std::string lost;    // what works less well, or not at all; empty when ok
  std::string remedy;  // how to get it, where it can be got
};

/// What `doctor` prints first, in its order.
std::vector<Finding> examine_machine();

/// `examine_more` adds what other folders know of; `train_target` is what `config import` translates to.
void add_configs_commands(CLI::App& app, std::vector<Finding> (*examine_more)(), ImportTarget (*train_target)());

}  // namespace cohort
