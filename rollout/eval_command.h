// The verb `eval`: what a model solves of some tasks.
#pragma once

namespace CLI {
class App;
}

namespace cohort {

void add_eval(CLI::App& app);

}  // namespace cohort
