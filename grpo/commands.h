// The verbs train, report and bench.
#pragma once
namespace CLI {
class App;
}
namespace cohort {
void add_grpo_commands(CLI::App& app);
}
