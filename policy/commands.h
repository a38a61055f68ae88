// The verbs inspect and export.
#pragma once
namespace CLI {
class App;
}
namespace cohort {
void add_policy_commands(CLI::App& app);
}
