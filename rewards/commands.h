// The verb `score`.
#pragma once

namespace CLI {
class App;
}

namespace cohort {

void add_rewards_commands(CLI::App& app);

}  // namespace cohort
