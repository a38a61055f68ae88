// The verbs sample, eval and serve.
#pragma once
namespace CLI {
class App;
}
namespace cohort {
void add_rollout_commands(CLI::App& app);
}
