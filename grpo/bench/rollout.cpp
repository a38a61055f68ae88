// Tokens a second of the engine, and what the benches of the learner and of the whole step start from.
#include <algorithm>

#include "configs/error.h"
#include "grpo/advantage.h"
#include "grpo/bench/bench.h"
#include "policy/kernels/philox.h"

namespace cohort {
namespace {

std::vector<int32_t> random_prompt(int32_t vocab, int64_t length, uint64_t seed) {
  std::vector<int32_t> prompt;
  for (int64_t i = 0; i < length; ++i)
    prompt.push_back(
        int32_t(philox({uint32_t(i), 0, 0, 0}, {uint32_t(seed), uint32_t(seed >> 32)})[0] % uint32_t(vocab)));
  return prompt;
}

Request random_request(const ModelSpec& spec, const BenchShape& shape, int32_t generations, int64_t id,
                       uint64_t round) {
  Request request{.id = id, .num_completions = generations, .seed = (round << 20) + uint64_t(id)};
  request.prompt = random_prompt(spec.vocab, shape.prompt_length, request.seed);
  request.sampling.max_completion_length = int32_t(shape.completion_length);
  return request;
}

Group group_of(Finished finished) {
  Group group{.prompt = std::move(finished.request.prompt), .policy_version = finished.policy_version};
  group.expert_load = std::move(finished.expert_load);
  for (Completion& completion : finished.completions) group.rollouts.push_back({.completion = std::move(completion)});
  return group;
}

/// Prompts and completions of each that fill the slots.
struct Filled {
  int32_t prompts, generations;
  double completions() const { return double(prompts) * generations; }
};
Filled fill(const BenchShape& shape, int32_t slots) {
  int32_t generations = std::min(slots, shape.generations);
  while (slots % generations) --generations;
  return {slots / generations, generations};
}

/// The prompts pass alone (each completion ends with its first token), then whole completions: the difference is what
/// decoding took.
void bench_slots(const Compute& compute, const BenchConfig& config, const CausalLM& model, int32_t slots,
                 const BenchReport& report) {
  const BenchShape& shape = config.shape;
  const Filled filled = fill(shape, slots);
  Engine engine(model, compute, nullptr, {.max_slots = slots}, shape.prompt_length + shape.completion_length);
  const Roofs roofs = measure_roofs(
      compute, model, double(slots) * double(shape.prompt_length + shape.completion_length), config.seconds / 10);
  uint64_t round = 0;
  const auto seconds_with = [&](int64_t completion_length) {
    BenchShape of = shape;
    of.completion_length = completion_length;
    return median_seconds(config.seconds, [&] {
      sample_random_prompts(engine, model.spec, of, filled.prompts, filled.generations, ++round);
    });
  };
  const double whole = seconds_with(shape.completion_length), prefill = seconds_with(1);
  const double tokens = filled.completions() * double(shape.completion_length),
               prompt_tokens = double(filled.prompts) * double(shape.prompt_length),
               decoded = tokens - filled.completions();
  const Work step = decode_work(model, filled.completions(),
                                double(shape.prompt_length) + double(shape.completion_length) / 2),
             pass = prefill_work(model, double(shape.prompt_length));
  const std::string of_slots = std::to_string(slots) + " slots, ",
                    lengths = std::to_string(shape.prompt_length) + " + " + std::to_string(shape.completion_length);
  const auto bound = [&](const Work& work) { return roofs.memory_bound(work) ? "memory" : "compute"; };
  report({.bench = "rollout",
          .name = of_slots + lengths + " tokens",
          .value = tokens / whole,
          .unit = "tokens/s",
          .roof = tokens / rollout_roof_seconds(model, roofs, shape, filled.prompts, filled.generations),
          .bound = bound(step)});
  report({.bench = "rollout",
          .name = of_slots + "prompts alone",
          .value = prompt_tokens / prefill,
          .unit = "tokens/s",
          .roof = prompt_tokens / (filled.prompts * roofs.seconds(pass)),
          .bound = bound(pass)});
  if (whole > prefill && decoded > 0)
    report({.bench = "rollout",
            .name = of_slots + "decoding alone",
            .value = decoded / (whole - prefill),
            .unit = "tokens/s",
            .roof = filled.completions() / roofs.seconds(step),
            .bound = bound(step)});
}

}  // namespace

LoadedModel load_bench_model(const BenchConfig& config, const Compute& compute) {
  LoadedModel loaded = load_model(config.model, compute, config.bf16);
  int64_t length = config.shape.prompt_length + config.shape.completion_length;
  if (length > loaded.model.spec.max_position)
    throw UsageError("a prompt of " + std::to_string(config.shape.prompt_length) + " and a completion of " +
                     std::to_string(config.shape.completion_length) + " tokens exceed the context of " + config.model +
                     ", " + std::to_string(loaded.model.spec.max_position) +
                     ": lower --prompt-length or --max-completion-length");
  extend_rope(loaded.model, length);
  return loaded;
}

std::vector<Group> sample_random_prompts(Engine& engine, const ModelSpec& spec, const BenchShape& shape,
                                         int32_t prompts, int32_t generations, uint64_t round) {
  for (int32_t i = 0; i < prompts; ++i) engine.submit(random_request(spec, shape, generations, i, round));
  std::vector<Group> groups(static_cast<size_t>(prompts));
  while (std::optional<Finished> finished = engine.next_completed()) {
    size_t i = size_t(finished->request.id);
    groups[i] = group_of(std::move(*finished));
  }
  return groups;
}

void score_at_random(std::span<Group> groups) {
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t i = 0; i < groups[g].rollouts.size(); ++i)
      groups[g].rollouts[i].score.value = token_uniform(g, uint32_t(i), 0);
  compute_advantages(groups, {});
}

double rollout_roof_seconds(const CausalLM& model, const Roofs& roofs, const BenchShape& shape, int32_t prompts,
                            int32_t generations) {
  double context = double(shape.prompt_length) + double(shape.completion_length) / 2;
  return prompts * roofs.seconds(prefill_work(model, double(shape.prompt_length))) +
         double(shape.completion_length) * roofs.seconds(decode_work(model, double(prompts) * generations, context));
}

void bench_rollout(const Compute& compute, const BenchConfig& config, const BenchReport& report) {
  LoadedModel loaded = load_bench_model(config, compute);
  for (int32_t slots : config.shape.slots) bench_slots(compute, config, loaded.model, slots, report);
}

}  // namespace cohort
