// The learner alone, and a whole GRPO step: sampling, advantages, one optimizer step.
#include <chrono>

#include "grpo/bench/bench.h"
#include "grpo/learner.h"

namespace cohort {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string step_name(const BenchShape& shape) {
  return std::to_string(shape.prompts) + " x " + std::to_string(shape.generations) + ", " +
         std::to_string(shape.prompt_length) + " + " + std::to_string(shape.completion_length) + " tokens";
}

/// Model, engine and learner of a step; every completion has a slot.
struct StepJob {
  StepJob(const Compute& compute, const BenchConfig& config)
      : shape(config.shape),
        loaded(load_bench_model(config, compute)),
        engine(loaded.model, compute, nullptr, {.max_slots = shape.prompts * shape.generations},
               shape.prompt_length + shape.completion_length),
        learner(loaded.model, compute, {}, 1.0) {}

  std::vector<Group> sample(uint64_t round) {
    std::vector<Group> groups =
        sample_random_prompts(engine, loaded.model.spec, shape, shape.prompts, shape.generations, round);
    score_at_random(groups);
    return groups;
  }
  /// One optimizer step on all groups, nothing dropped.
  StepStats learn(std::span<const Group> groups) {
    std::vector<MicroBatch> batches = pack(groups, {}, Keep::all);
    LossScale scale = loss_scale(groups, {}, shape.completion_length);
    return learner.step(
        batches, [&](const TokenBatch& batch, const TokenGradient& d) { return grpo_loss({}, batch, scale, d); },
        kManySteps);
  }
  double learning_flops(std::span<const Group> groups) const {
    double flops = 0;
    for (const MicroBatch& batch : pack(groups, {}, Keep::all)) flops += training_flops(loaded.model.spec, batch.spans);
    return flops;
  }
  double kv_tokens() const {
    return double(shape.prompts) * shape.generations * double(shape.prompt_length + shape.completion_length);
  }

  static constexpr int64_t kManySteps = 1 << 20;  // of the run: the learning rate hardly falls
  BenchShape shape;
  LoadedModel loaded;
  Engine engine;
  Learner learner;
};

/// Seconds of TRL 1.16's step on the same work (engine.md §4: 16.5 s of sampling, 12 s of learning).
constexpr double kTrlStepSeconds = 28;
constexpr const char* kTrlSource = "TRL 1.16 on two cores (stored figure: engine.md, section 4)";

bool is_trl_case(const BenchConfig& config) {
  const BenchShape& s = config.shape;
  return config.model == kBenchModel && s.prompt_length == 128 && s.completion_length == 200 && s.prompts == 8 &&
         s.generations == 8;
}

}  // namespace

void bench_learner(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  StepJob job(compute, config);
  double peak = measure_peak_flops(compute, config.seconds / 10);
  std::vector<Group> groups = job.sample(0);
  int64_t rows = 0;
  double taken = median_seconds(config.seconds, [&] { rows = job.learn(groups).learner_tokens; });
  report({.bench = "learner",
          .name = step_name(job.shape),
          .value = double(rows) / taken,
          .unit = "tokens/s",
          .roof = double(rows) * peak / job.learning_flops(groups),
          .bound = "compute"});
}

void bench_step(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  StepJob job(compute, config);
  Roofs roofs = measure_roofs(compute, job.loaded.model, job.kv_tokens(), config.seconds / 10);
  uint64_t round = 0;
  std::vector<Group> groups;
  std::vector<double> sampling, learning;
  double whole = median_seconds(config.seconds, [&] {
    Clock::time_point begin = Clock::now();
    groups = job.sample(++round);
    sampling.push_back(seconds_since(begin));
    begin = Clock::now();
    job.learn(groups);
    learning.push_back(seconds_since(begin));
  });
  double sampling_roof =
      rollout_roof_seconds(job.loaded.model, roofs, job.shape, job.shape.prompts, job.shape.generations);
  double learning_roof = job.learning_flops(groups) / roofs.flops;
  BenchCase step{.bench = "step",
                 .name = step_name(job.shape),
                 .value = whole,
                 .unit = "s",
                 .roof = sampling_roof + learning_roof,
                 .bound = "compute"};
  if (is_trl_case(config)) step.peer = kTrlSource, step.peer_value = kTrlStepSeconds;
  report(step);
  report({.bench = "step",
          .name = "sampling of it",
          .value = median(sampling),
          .unit = "s",
          .roof = sampling_roof,
          .bound = "compute"});
  report({.bench = "step",
          .name = "learning of it",
          .value = median(learning),
          .unit = "s",
          .roof = learning_roof,
          .bound = "compute"});
}

}  // namespace cohort
