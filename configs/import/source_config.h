// Another program's config as a flat list of keys, each with the line it stands on: a YAML file (JSON is YAML too), or
// the `key.key=value` words of a command line, as verl's scripts write it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "configs/config.h"

namespace cohort {

struct SourceKey {
  std::string name;  // dotted
  Json value;        // a scalar, or a list with all it holds
  int64_t line = 0;  // 1-based
};

/// Throws UsageError naming `file` and the line for what is neither form, and for a key given twice in YAML; of a
/// command line's words the last counts, as the shell has it.
std::vector<SourceKey> read_source_config(const std::string& text, const std::string& file);

}  // namespace cohort
