// The verbs train, report and bench.
#pragma once
#include "configs/import/translation.h"

namespace CLI {
class App;
}
namespace cohort {
void add_grpo_commands(CLI::App& app);
/// The keys of a GRPO run, for `config import`.
ImportTarget train_import_target();
}  // namespace cohort
