// The contract of on-policy training: whatever the schedule of sampling, the learner's forward gives the bits of the
// log-probabilities stored while decoding. COHORT_TEST_ALL=1 in the environment runs ten times the schedules.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "grpo/learner.h"
#include "grpo/train_metrics.h"
#include "rollout/collect.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

constexpr double kTemperature = 0.8;

struct Policy {
  const char* name;
  Json config;
  bool bf16;
};
std::vector<Policy> policies() {
  return {{"llama", over_bytes(tiny_llama()), false},
          {"deepseek", over_bytes(tiny_deepseek()), false},
          {"deepseek q_lora, groups", over_bytes(tiny_deepseek(24, 4)), false},
          {"deepseek bf16", over_bytes(tiny_deepseek()), true}};
}

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> found;
  for (const char* isa : {"scalar", "avx2", "avx512"})
    if (const Kernels* kernels = kernels_for(isa)) found.push_back(kernels);
  return found;
}

/// Half of the requests with top_k and top_p, half of these and one without a cut with kept sets, all at the learner's
/// temperature.
std::vector<Request> requests() {
  std::vector<Request> all = byte_requests(8, {.temperature = kTemperature});
  for (size_t i = 0; i < all.size(); i += 2) all[i].sampling.top_k = 40, all[i].sampling.top_p = 0.9;
  for (size_t i : {0, 4, 5}) all[i].sampling.keep_sampling_mask = true, all[i].sampling.min_tokens = 3;
  all[4].sampling.min_p = 0.05;
  return all;
}

std::vector<Group> as_groups(const std::map<int64_t, Finished>& finished) {
  std::vector<Group> groups;
  for (const auto& [id, f] : finished) {
    Group& group = groups.emplace_back();
    group.prompt = f.request.prompt, group.expert_load = f.expert_load;
    for (const Completion& c : f.completions) group.rollouts.push_back({.completion = c});
  }
  return groups;
}

SamplingCheck check_of(Learner& learner, std::span<const Group> groups, int64_t max_tokens_per_batch) {
  SamplingCheck check;
  for (MicroBatch& batch : pack(groups, {.max_tokens_per_batch = max_tokens_per_batch}, Keep::all)) {
    learner.fill_logprobs(learner.model(), batch, batch.loss.logprobs);
    check.add(batch);
  }
  return check;
}

void expect_exact(const SamplingCheck& check, std::span<const Group> groups) {
  int64_t tokens = 0;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) tokens += int64_t(r.completion.tokens.size());
  EXPECT_EQ(check.tokens, tokens);
  EXPECT_GT(tokens, 0);
  EXPECT_EQ(check.bit_mismatches, 0);
  EXPECT_EQ(check.ratio_min, 1.0);
  EXPECT_EQ(check.ratio_max, 1.0);
}

/// One random way to sample the requests: order, slots, prefill, cache, neighbours that are cancelled.
std::map<int64_t, Finished> sample_at_random(const CausalLM& model, const Compute& compute, std::mt19937& random) {
  auto pick = [&](std::initializer_list<int> values) { return values.begin()[random() % values.size()]; };
  EngineConfig config{.max_slots = pick({1, 2, 3, 5, 64}),
                      .prefill_tokens = pick({1, 7, 16, 33, 512}),
                      .kv_cache_tokens = pick({0, 0, 112, 160, 300})};
  Engine engine(model, compute, nullptr, config, 80);
  std::vector<Request> waiting = requests();
  std::shuffle(waiting.begin(), waiting.end(), random);
  Request disturber{.id = 99,
                    .prompt = byte_ids(30, uint32_t(random())),
                    .num_completions = 3,
                    .seed = random(),
                    .sampling = {.max_completion_length = 20}};
  std::map<int64_t, Finished> done;
  for (size_t i = 0; i < waiting.size(); ++i) {
    if (i == 3) engine.submit(disturber);
    if (i == 5) engine.cancel(disturber.id);
    engine.submit(waiting[i]);
    for (int steps = pick({0, 0, 1, 4, 9}); steps > 0; --steps) engine.step();
  }
  done = run_all(engine);
  done.erase(disturber.id);
  return done;
}

TEST(SamplingExactness, NoScheduleChangesABit) {
  const int schedules = std::getenv("COHORT_TEST_ALL") ? 1000 : 100;
  std::vector<const Kernels*> kernels = all_kernels();
  std::vector<std::unique_ptr<Compute>> computes;
  for (int threads : {1, 2, 3}) computes.push_back(std::make_unique<Compute>(threads));
  std::vector<Policy> all = policies();
  std::mt19937 random(20250101);
  std::vector<CausalLM> models;
  std::vector<std::map<int64_t, Finished>> expected;
  for (const Policy& policy : all) {
    models.push_back(random_model(policy.config, *computes[0], 5, policy.bf16));
    Engine engine(models.back(), *computes[0], nullptr, {.max_slots = 1, .prefill_tokens = 512}, 80);
    for (const Request& request : requests()) engine.submit(request);
    expected.push_back(run_all(engine));
  }
  for (int i = 0; i < schedules; ++i) {
    size_t p = size_t(i) % all.size();
    Compute& sampling = *computes[random() % 3];
    Compute& learning = *computes[random() % 3];
    sampling.kernels = kernels[random() % kernels.size()];
    std::map<int64_t, Finished> found = sample_at_random(models[p], sampling, random);
    ASSERT_EQ(found.size(), expected[p].size());
    for (const auto& [id, finished] : found)
      for (size_t member = 0; member < finished.completions.size(); ++member)
        ASSERT_TRUE(same_bits(finished.completions[member], expected[p][id].completions[member]))
            << all[p].name << " schedule " << i << " request " << id << " member " << member;
    std::vector<Group> groups = as_groups(found);
    std::shuffle(groups.begin(), groups.end(), random);
    learning.kernels = kernels[random() % kernels.size()];
    Learner learner(models[p], learning, {}, kTemperature);
    expect_exact(check_of(learner, groups, int64_t(1 + random() % 400)), groups);
    ASSERT_FALSE(HasFailure()) << all[p].name << " schedule " << i;
  }
}

/// Groups as training collects them: chat-free text prompts, scored by a pattern.
struct Collected {
  explicit Collected(const Policy& policy, int threads = 2)
      : compute(threads),
        model(random_model(policy.config, compute, 6, policy.bf16)),
        tokenizer(bytes_tokenizer()),
        learner(model, compute, {.learning_rate = 0.02}, 1.0) {
    for (int i = 0; i < 5; ++i)
      tasks.push_back({.id = std::to_string(i),
                       .prompt = {{"", "What is " + std::to_string(i * 37) + " + " + std::to_string(i) + "?"}}});
  }
  std::vector<Group> collect(EngineConfig config, int64_t step = 0,
                             const SamplingConfig& sampling = {.max_completion_length = 20}) {
    Scorer scorer({{.name = "regex", .options = {{"pattern", "[a-z]"}}}}, 1);
    Engine engine(model, compute, &tokenizer, config, 64);
    return cohort::collect(engine, model, tokenizer, &scorer,
                           {.tasks = tasks, .num_generations = 4, .sampling = sampling, .seed = 3, .step = step});
  }
  Compute compute;
  CausalLM model;
  Tokenizer tokenizer;
  Learner learner;
  std::vector<Task> tasks;
};

TEST(SamplingExactness, CollectedGroupsAreTheSameWhateverTheSlots) {
  for (const Policy& policy : policies()) {
    Collected run(policy);
    std::vector<Group> expected;
    for (int32_t slots : {1, 3, 64})
      for (int32_t prefill : {1, 7, 512}) {
        std::vector<Group> groups = run.collect({.max_slots = slots, .prefill_tokens = prefill});
        expect_exact(check_of(run.learner, groups, 200), groups);
        if (expected.empty()) expected = groups;
        for (size_t g = 0; g < groups.size(); ++g) {
          EXPECT_EQ(groups[g].expert_load, expected[g].expert_load) << policy.name;
          for (size_t i = 0; i < 4; ++i) {
            EXPECT_TRUE(same_bits(groups[g].rollouts[i].completion, expected[g].rollouts[i].completion))
                << policy.name << " " << slots << " " << prefill;
            EXPECT_EQ(groups[g].rollouts[i].text, expected[g].rollouts[i].text);
            EXPECT_EQ(groups[g].rollouts[i].score.value, expected[g].rollouts[i].score.value);
          }
        }
      }
  }
}

SamplingConfig with_kept_sets() {
  return {.top_p = 0.8, .top_k = 30, .max_completion_length = 20, .keep_sampling_mask = true};
}

/// The learner's step right after sampling: ratio exactly 1; after it, the same groups are off-policy.
TEST(SamplingExactness, RatioIsOneAtTheFirstInnerStepAndNotAtTheSecond) {
  for (const Policy& policy : policies()) {
    Collected run(policy);
    for (int64_t step = 0; step < 4; ++step) {
      std::vector<Group> groups =
          run.collect({.max_slots = 7, .prefill_tokens = 20}, step,
                      step % 2 ? with_kept_sets() : SamplingConfig{.max_completion_length = 20});
      for (size_t g = 0; g < groups.size(); ++g)
        for (size_t i = 0; i < 4; ++i) groups[g].rollouts[i].advantage = i % 2 ? 1.0f : -1.0f;
      LossScale scale = loss_scale(groups, {}, 20);
      auto inner = [&] {
        std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 150}, Keep::with_signal);
        return run.learner
            .step(
                batches, [&](const TokenBatch& b, const TokenGradient& d) { return grpo_loss({}, b, scale, d); }, 10)
            .sums;
      };
      LossSums first = inner(), second = inner();
      EXPECT_EQ(first.ratio_min, 1.0) << policy.name;
      EXPECT_EQ(first.ratio_max, 1.0) << policy.name;
      EXPECT_LT(second.ratio_min, 1.0) << policy.name;
      EXPECT_GT(second.ratio_max, 1.0) << policy.name;
    }
  }
}

/// Over kept sets as over the whole vocabulary, and their entropies are those of the sampling too.
TEST(SamplingExactness, KeptSetsGiveTheLearnerTheBitsOfTheSampling) {
  for (const Policy& policy : policies()) {
    Collected run(policy);
    const std::vector<Group> groups = run.collect({.max_slots = 7, .prefill_tokens = 20}, 0, with_kept_sets());
    for (int64_t max_tokens : {1, 150, 1 << 20}) expect_exact(check_of(run.learner, groups, max_tokens), groups);
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all);
    std::vector<float> entropies;
    run.learner.fill_logprobs(run.model, batches.at(0), batches[0].loss.logprobs, &entropies);
    size_t n = 0, kept = 0;
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        double sum = 0;
        for (size_t t = 0; t < r.completion.tokens.size(); ++t) sum += entropies[n++];
        EXPECT_EQ(sum, r.completion.entropy_sum) << policy.name;
        kept += r.completion.kept.ids.size();
      }
    EXPECT_GT(kept, n);
    EXPECT_LT(kept, 31 * n);
    std::vector<Group> forgetful = groups;
    for (Group& group : forgetful)
      for (Rollout& r : group.rollouts) r.completion.kept = {};
    EXPECT_GT(check_of(run.learner, forgetful, 150).bit_mismatches, int64_t(n / 2)) << policy.name;
  }
}

TEST(SamplingExactness, ExpertLoadIsThatOfTheLearnersForward) {
  Collected run(policies()[1]);
  std::vector<Group> groups = run.collect({.max_slots = 5, .prefill_tokens = 9});
  std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 1 << 20}, Keep::all);
  run.learner.step(
      batches,
      [](const TokenBatch&, const TokenGradient& d) {
        std::ranges::fill(d.logprobs, 0.0f);
        return LossSums();
      },
      10);
  EXPECT_EQ(expert_load(groups), run.learner.expert_load());
}

TEST(SamplingExactness, OneFlippedWeightBitIsSeen) {
  for (const Policy& policy : policies()) {
    Collected run(policy);
    std::vector<Group> groups = run.collect({.max_slots = 16});
    EXPECT_EQ(check_of(run.learner, groups, 200).bit_mismatches, 0);
    const ModelSpec& spec = run.model.spec;
    for (int64_t offset :
         {spec.layers[0].offsets.in, spec.layers[1].offsets.o, spec.layers[1].offsets.ffn_norm, spec.head})
      for (int bit : {16, 20, 31}) {
        auto flip = [&] {
          float& weight = *run.model.at(offset + 1);
          weight = std::bit_cast<float>(std::bit_cast<uint32_t>(weight) ^ (1u << bit));
          repack(run.model, run.compute);
        };
        flip();
        EXPECT_GT(check_of(run.learner, groups, 200).bit_mismatches, 0)
            << policy.name << " offset " << offset << " bit " << bit;
        flip();
      }
    EXPECT_EQ(check_of(run.learner, groups, 200).bit_mismatches, 0);
  }
}

}  // namespace
}  // namespace cohort
