// Tokens a second of the engine, and what the benches of the learner and of the whole step start from.
#include <algorithm>

#include "configs/error.h"
#include "grpo/advantage.h"
#include "grpo/bench.h"
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

std::string rollout_name(const BenchShape& shape, int32_t slots) {
  return std::to_string(slots) + " slots, " + std::to_string(shape.prompt_length) + " + " +
         std::to_string(shape.completion_length) + " tokens";
}

void bench_slots(const Compute& compute, const BenchConfig& config, const CausalLM& model, int32_t slots,
                 const BenchReport& report) {
  const BenchShape& shape = config.shape;
  int32_t generations = std::min(slots, shape.generations);
  while (slots % generations) --generations;  // all slots are filled
  int32_t prompts = slots / generations;
  Engine engine(model, compute, nullptr, {.max_slots = slots}, shape.prompt_length + shape.completion_length);
  Roofs roofs = measure_roofs(compute, model, double(slots) * double(shape.prompt_length + shape.completion_length),
                              config.seconds / 10);
  uint64_t round = 0;
  double taken = median_seconds(
      config.seconds, [&] { sample_random_prompts(engine, model.spec, shape, prompts, generations, ++round); });
  double tokens = double(prompts) * generations * double(shape.completion_length);
  Work step = decode_work(model, double(prompts) * generations,
                          double(shape.prompt_length) + double(shape.completion_length) / 2);
  report({.bench = "rollout",
          .name = rollout_name(shape, slots),
          .value = tokens / taken,
          .unit = "tokens/s",
          .roof = tokens / rollout_roof_seconds(model, roofs, shape, prompts, generations),
          .bound = roofs.memory_bound(step) ? "memory" : "compute"});
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
