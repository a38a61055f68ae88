// The flags of sampling, for every verb that samples.
#pragma once
#include <memory>

#include "rollout/sampler.h"

namespace CLI {
class App;
}

namespace cohort {

/// The settings are set once the command line is read; they outlive the parsing.
void add_sampling_options(CLI::App& verb, SamplingConfig& settings);

}  // namespace cohort
