// Whatever happens around a request in the engine — slots, neighbours, order, memory that runs out, prompts that begin
// alike, requests that are cancelled — it receives the bits that it receives alone. COHORT_TEST_ALL=1 in the
// environment runs ten times the schedules.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <set>

#include "rollout/engine.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

constexpr int64_t kLength = 120;  // longest prompt and completion

/// Prompts that begin with one of two texts, some equal, and completions that stop in every way.
std::vector<Request> related_requests() {
  std::vector<Request> requests = byte_requests(10, {.temperature = 0.9});
  const int64_t shared[] = {0, 40, 40, 33, 16, 40, 64, 64, 64, 5}, tails[] = {12, 1, 30, 0, 17, 1, 9, 0, 20, 2};
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = byte_ids(shared[i], i < 6 ? 90 : 91);
    const std::vector<int32_t> tail = byte_ids(tails[i], i == 5 ? 1 : uint32_t(i));
    requests[i].prompt.insert(requests[i].prompt.end(), tail.begin(), tail.end());
    if (i % 3 == 0) requests[i].sampling.stop = {"a", "e", "\x01\x02"}, requests[i].sampling.min_tokens = int32_t(i);
    if (i % 4 == 1) requests[i].prompt_logprobs = 2;
    if (i % 4 == 2) {  // grows for long, beside others that do
      requests[i].stop_ids.clear(), requests[i].top_logprobs = 3;
      requests[i].sampling.max_completion_length = 46, requests[i].num_completions = 4;
    }
  }
  return requests;
}

struct Policy {
  const char* name;
  Compute compute{1};
  CausalLM model;
  std::map<int64_t, Finished> alone;
  Policy(const char* name, const Json& config, const Tokenizer& tokenizer)
      : name(name), model(random_model(over_bytes(config), compute, 5)) {
    for (const Request& request : related_requests()) {
      Engine engine(model, compute, &tokenizer, {.max_slots = 1, .speculative_tokens = 0}, kLength);
      engine.submit(request);
      alone[request.id] = std::move(engine.next_completed().value());
    }
  }
};

bool same_scores(const std::vector<ComparedToken>& a, const std::vector<ComparedToken>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const ComparedToken& x, const ComparedToken& y) {
    return x.token == y.token && x.logprob == y.logprob && x.rank == y.rank && x.top.size() == y.top.size() &&
           x.top[1].token == y.top[1].token && x.top[1].logprob == y.top[1].logprob;
  });
}

void expect_same(const Finished& found, const Finished& expected, const std::string& where) {
  ASSERT_EQ(found.completions.size(), expected.completions.size()) << where;
  for (size_t i = 0; i < expected.completions.size(); ++i)
    ASSERT_TRUE(same_bits(found.completions[i], expected.completions[i])) << where << " member " << i;
  EXPECT_EQ(found.texts, expected.texts) << where;
  EXPECT_EQ(found.expert_load, expected.expert_load) << where;
  EXPECT_TRUE(same_scores(found.prompt_scores, expected.prompt_scores)) << where;
}

/// One engine through a random life; what it told step by step is what it gave at the end.
struct Schedule {
  Schedule(const Policy& policy, const Tokenizer& tokenizer, Compute& compute, std::mt19937& random)
      : policy(policy), random(random), engine(policy.model, compute, &tokenizer, config(), kLength) {}

  int pick(std::initializer_list<int> values) { return values.begin()[random() % values.size()]; }
  EngineConfig config() {
    return {.max_slots = pick({1, 2, 3, 5, 9, 64}),
            .prefill_tokens = pick({1, 7, 16, 33, 512}),
            .kv_cache_tokens = pick({0, 160, 160, 176, 224, 320}),
            .speculative_tokens = pick({0, 1, 3, 6})};
  }
  void step() {
    is_busy = engine.step();
    for (const SampledToken& token : engine.sampled()) told[{token.id, token.member}].push_back(token);
    while (std::optional<Finished> finished = engine.take_completed()) {
      const int64_t id = finished->request.id;
      found.emplace(id, std::move(*finished));
    }
  }
  /// Half of those that are cancelled come again.
  void cancel(const Request& request) {
    if (found.contains(request.id)) return;
    engine.cancel(request.id);
    told.erase(told.lower_bound({request.id, 0}), told.lower_bound({request.id + 1, 0}));
    cancelled.erase(request.id);
    if (random() % 2) return engine.submit(request);
    cancelled.insert(request.id);
  }
  void live() {
    std::vector<Request> requests = related_requests();
    for (Request again : related_requests()) again.id += 100, requests.push_back(again);  // kept prompts serve these
    std::shuffle(requests.begin(), requests.end(), random);
    for (size_t i = 0; i < requests.size(); ++i) {
      if (random() % 2)  // to guess from: what will be sampled, right and wrong
        for (const Completion& c : policy.alone.at(requests[i].id % 100).completions) {
          requests[i].drafts.push_back(c.tokens);
          for (int32_t& token : requests[i].drafts.back())
            if (random() % 8 == 0) token = int32_t(random() % 97);
        }
      engine.submit(requests[i]);
      for (int steps = pick({0, 0, 0, 1, 4, 30}); steps > 0; --steps) step();
      if (random() % 6 == 0) cancel(requests[random() % (i + 1)]);
    }
    do step();  // it may have been idle when the last came
    while (is_busy);
  }

  const Policy& policy;
  std::mt19937& random;
  Engine engine;
  bool is_busy = true;
  std::map<int64_t, Finished> found;
  std::map<std::pair<int64_t, int32_t>, std::vector<SampledToken>> told;
  std::set<int64_t> cancelled;
};

TEST(EngineSchedule, NothingAroundARequestChangesABit) {
  const int schedules = std::getenv("COHORT_TEST_ALL") ? 1000 : 100;
  const Tokenizer tokenizer = bytes_tokenizer();
  std::vector<std::unique_ptr<Policy>> policies;
  policies.push_back(std::make_unique<Policy>("llama", tiny_llama(), tokenizer));
  policies.push_back(std::make_unique<Policy>("deepseek", tiny_deepseek(24, 4), tokenizer));
  std::vector<std::unique_ptr<Compute>> computes;
  for (int threads : {1, 2, 3}) computes.push_back(std::make_unique<Compute>(threads));
  std::mt19937 random(20260401);
  int64_t preemptions = 0, shared = 0, repeated = 0, guessed = 0, right = 0;
  for (int i = 0; i < schedules && !testing::Test::HasFailure(); ++i) {
    Policy& policy = *policies[size_t(i) % policies.size()];
    Schedule schedule(policy, tokenizer, *computes[random() % computes.size()], random);
    schedule.live();
    for (int64_t id = 0; id < 10; ++id)
      for (int64_t copy : {id, id + 100}) {
        const std::string where =
            std::string(policy.name) + " schedule " + std::to_string(i) + " request " + std::to_string(copy);
        if (schedule.cancelled.contains(copy)) continue;
        ASSERT_TRUE(schedule.found.contains(copy)) << where;
        expect_same(schedule.found[copy], policy.alone[id], where);
        for (const Completion& c : schedule.found[copy].completions) {
          const std::vector<SampledToken>& told = schedule.told[{copy, c.member}];
          ASSERT_EQ(told.size(), c.tokens.size()) << where;
          for (size_t t = 0; t < told.size(); ++t) {
            EXPECT_EQ(told[t].token, c.tokens[t]) << where;
            EXPECT_EQ(told[t].logprob, c.logprobs[t]) << where;
            EXPECT_EQ(told[t].finish.has_value(), t + 1 == told.size()) << where;
          }
          EXPECT_EQ(told.back().finish, c.finish) << where;
        }
      }
    EXPECT_EQ(schedule.engine.num_running() + schedule.engine.num_waiting(), 0);
    EXPECT_EQ(schedule.engine.kv_tokens_used(), 0);  // nothing is lost
    preemptions += schedule.engine.preemptions(), shared += schedule.engine.shared_tokens();
    repeated += schedule.engine.repeated_tokens();
    guessed += schedule.engine.guessed_tokens(), right += schedule.engine.right_guesses();
  }
  EXPECT_GT(preemptions, schedules);
  EXPECT_GT(shared, 100 * schedules);
  EXPECT_GT(repeated, 100 * schedules);
  EXPECT_GT(right, 10 * schedules);
  EXPECT_GT(guessed, right + 10 * schedules);
}

TEST(EngineSchedule, AStreamOfLongPromptsDoesNotStarveAShortOne) {
  Compute compute(1);
  const CausalLM model = random_model(over_bytes(tiny_llama()), compute, 5);
  Engine engine(model, compute, nullptr, {.max_slots = 2}, kLength);
  int64_t id = 0;
  const auto submit_long = [&] {
    engine.submit({.id = ++id, .prompt = byte_ids(90, uint32_t(id)), .sampling = {.max_completion_length = 4}});
  };
  for (int i = 0; i < 6; ++i) submit_long();
  engine.submit({.id = 0, .prompt = byte_ids(1, 1), .sampling = {.max_completion_length = 1}});
  std::vector<int64_t> order;
  while (order.empty() || order.back() != 0) {
    order.push_back(engine.next_completed().value().request.id);
    submit_long();
    ASSERT_LT(order.size(), 20u);
  }
  engine.submit({.id = 1000, .prompt = byte_ids(91, 7), .sampling = {.max_completion_length = 1}});
  for (int i = 0; i < 3; ++i)
    engine.submit({.id = 2000, .prompt = byte_ids(1, 7), .sampling = {.max_completion_length = 1}});
  order.clear();
  while (order.empty() || order.back() != 1000) order.push_back(engine.next_completed().value().request.id);
  EXPECT_LE(order.size(), 6u);  // the longest is not left for last
}

TEST(EngineSchedule, PromptsOfFinishedRequestsServeUntilTheWeightsChange) {
  Compute compute(1);
  CausalLM model = random_model(over_bytes(tiny_deepseek()), compute, 5);
  Engine engine(model, compute, nullptr, {.max_slots = 2}, kLength);
  Request request{.prompt = byte_ids(50, 3), .seed = 4, .sampling = {.max_completion_length = 8}};
  const auto passed_for = [&] {
    const int64_t before = engine.prompt_tokens();
    engine.submit(request);
    engine.next_completed().value();
    return engine.prompt_tokens() - before;
  };
  EXPECT_EQ(passed_for(), 50);
  EXPECT_EQ(passed_for(), 2);
  ++model.version;
  EXPECT_EQ(passed_for(), 50);
  engine.forget_prompts();
  EXPECT_EQ(passed_for(), 50);
  request.prompt.resize(48);  // the last row is passed for its hidden state
  EXPECT_EQ(passed_for(), 16);
}

TEST(EngineSchedule, ABudgetOfNothingPassesThePromptAlone) {
  Compute compute(1);
  const CausalLM model = random_model(over_bytes(tiny_llama()), compute, 5);
  Engine engine(model, compute, nullptr, {.max_slots = 2, .prefill_tokens = 7}, kLength);
  engine.submit({.id = 3,
                 .prompt = byte_ids(20, 3),
                 .num_completions = 3,
                 .sampling = {.max_completion_length = 0},
                 .prompt_logprobs = 1});
  const Finished finished = engine.next_completed().value();
  EXPECT_EQ(finished.completions.size(), 3u);
  EXPECT_TRUE(finished.completions[2].tokens.empty());
  EXPECT_EQ(finished.completions[2].finish, FinishReason::length);
  ASSERT_EQ(finished.prompt_scores.size(), 19u);
  for (size_t i = 0; i < 19; ++i) {
    const ComparedToken& score = finished.prompt_scores[i];
    EXPECT_EQ(score.token, finished.request.prompt[i + 1]);
    EXPECT_EQ(score.rank == 1, score.top[0].token == score.token);
    EXPECT_GE(score.top[0].logprob, score.logprob);
  }
  EXPECT_FALSE(engine.step());
}

}  // namespace
}  // namespace cohort
