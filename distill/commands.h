// The verbs sft, distill and run.
#pragma once
namespace CLI {
class App;
}
namespace cohort {
void add_distill_commands(CLI::App& app);
}
