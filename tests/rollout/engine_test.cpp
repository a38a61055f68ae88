// What the engine promises of each completion, and that it ends whatever the memory.
#include "rollout/engine.h"

#include <gtest/gtest.h>

#include <set>

#include "configs/error.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

struct EngineTest : testing::Test {
  Compute compute{2};
  CausalLM model = random_model(over_bytes(tiny_deepseek()), compute, 5);
  Tokenizer tokenizer = bytes_tokenizer();

  Finished run(Request request, EngineConfig config = {}) {
    Engine engine(model, compute, &tokenizer, config, 128);
    engine.submit(std::move(request));
    return std::move(engine.next_completed().value());
  }
  Request request(SamplingConfig sampling = {}, int32_t completions = 4) {
    sampling.max_completion_length = std::min(sampling.max_completion_length, 32);
    return {.id = 1, .prompt = byte_ids(19, 3), .num_completions = completions, .seed = 42, .sampling = sampling};
  }
  std::vector<float> logits_after(const std::vector<int32_t>& ids) {
    KvStore kv(model.spec, 16, false);
    std::vector<int32_t> blocks(16);
    for (int32_t b = 0; b < 16; ++b) blocks[size_t(b)] = b;
    RowSpan span{0, int64_t(ids.size()), 0, blocks.data()};
    ForwardState state;
    forward(model, compute, {ids, {&span, 1}, {}}, kv, Activations::none, state);
    std::vector<float> row(258);
    int32_t last = int32_t(ids.size()) - 1;
    logits(model, compute, state.hidden_TD.data(), &last, 1, row.data());
    return row;
  }
  /// The most likely token after `ids`, and its log-probability at temperature 1.
  std::pair<int32_t, float> most_likely_after(const std::vector<int32_t>& ids) {
    const std::vector<float> row = logits_after(ids);
    auto token = int32_t(std::max_element(row.begin(), row.end()) - row.begin());
    return {token, compute.kernels->token_statistics(row.data(), 258, 1.0f, token).logprob};
  }
};

std::vector<std::vector<int32_t>> tokens_of(const Finished& finished) {
  std::vector<std::vector<int32_t>> all;
  for (const Completion& c : finished.completions) all.push_back(c.tokens);
  return all;
}

TEST_F(EngineTest, TokensAreAFunctionOfSeedAndMember) {
  Finished first = run(request()), again = run(request());
  EXPECT_EQ(tokens_of(first), tokens_of(again));
  Request other = request();
  other.seed = 43;
  EXPECT_NE(tokens_of(run(other)), tokens_of(first));
  std::vector<std::vector<int32_t>> members = tokens_of(first);
  EXPECT_EQ(std::set(members.begin(), members.end()).size(), 4u);
  std::vector<std::vector<int32_t>> fewer =
      tokens_of(run(request({}, 2)));  // a member does not depend on how many there are
  EXPECT_EQ(fewer, (std::vector(members.begin(), members.begin() + 2)));
  for (int32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(first.completions[size_t(i)].member, i);
    EXPECT_EQ(first.completions[size_t(i)].seed, 42u);
    EXPECT_EQ(first.completions[size_t(i)].tokens.size(), 32u);
    EXPECT_EQ(first.completions[size_t(i)].finish, FinishReason::length);
    EXPECT_EQ(first.texts[size_t(i)], tokenizer.decode(first.completions[size_t(i)].tokens));
  }
}

TEST_F(EngineTest, TemperatureZeroTakesTheMostLikelyToken) {
  Finished greedy = run(request({.temperature = 0, .max_completion_length = 12}, 2));
  EXPECT_EQ(greedy.completions[0].tokens, greedy.completions[1].tokens);
  std::vector<int32_t> ids = byte_ids(19, 3);
  for (size_t i = 0; i < 12; ++i) {
    auto [token, logprob] = most_likely_after(ids);
    ASSERT_EQ(greedy.completions[0].tokens[i], token) << i;
    EXPECT_EQ(greedy.completions[0].logprobs[i], logprob) << i;
    ids.push_back(token);
  }
}

TEST_F(EngineTest, CuttingToOneTokenIsGreedy) {
  std::vector<std::vector<int32_t>> greedy = tokens_of(run(request({.temperature = 0})));
  EXPECT_EQ(tokens_of(run(request({.temperature = 1, .top_k = 1}))), greedy);
  EXPECT_EQ(tokens_of(run(request({.temperature = 1, .top_p = 1e-6}))), greedy);
  EXPECT_EQ(tokens_of(run(request({.temperature = 1, .min_p = 1}))), greedy);
  EXPECT_NE(tokens_of(run(request({.temperature = 1, .top_k = 2}))), greedy);
}

TEST_F(EngineTest, AStopTokenEndsACompletionAndBelongsToIt) {
  Request r = request({}, 32);
  r.stop_ids = stops();
  Finished finished = run(r);
  std::set<int32_t> stop(r.stop_ids.begin(), r.stop_ids.end());
  int stopped = 0;
  for (const Completion& c : finished.completions) {
    stopped += c.finish == FinishReason::stop;
    EXPECT_EQ(stop.count(c.tokens.back()) > 0, c.finish == FinishReason::stop);
    for (size_t i = 0; i + 1 < c.tokens.size(); ++i) EXPECT_EQ(stop.count(c.tokens[i]), 0u);
    EXPECT_TRUE(c.finish == FinishReason::stop || c.tokens.size() == 32);
    EXPECT_EQ(c.logprobs.size(), c.tokens.size());
  }
  EXPECT_GT(stopped, 20);
}

TEST_F(EngineTest, NoStopTokenBeforeMinTokens) {
  for (double temperature : {0.0, 1.0}) {
    Request r = request({.temperature = temperature, .min_tokens = 9}, 16);
    for (int32_t id = 0; id < 258; id += 2) r.stop_ids.push_back(id);
    size_t shortest = 99;
    for (const Completion& c : run(r).completions) {
      for (size_t i = 0; i < 9; ++i) EXPECT_EQ(c.tokens[i] % 2, 1);
      shortest = std::min(shortest, c.tokens.size());
    }
    EXPECT_GE(shortest, 10u);
    EXPECT_TRUE(temperature == 0 || shortest == 10);
  }
}

TEST_F(EngineTest, AStopStringEndsACompletionAndIsCutFromItsText) {
  Finished finished = run(request({.stop = {"a", "Z", "0"}}, 32));
  int stopped = 0;
  for (size_t i = 0; i < 32; ++i) {
    const Completion& c = finished.completions[i];
    EXPECT_EQ(finished.texts[i].find_first_of("aZ0"), std::string::npos);
    stopped += c.finish == FinishReason::stop;
    bool ends_so = std::string("aZ0").find(char(c.tokens.back())) != std::string::npos;
    EXPECT_TRUE(c.finish == FinishReason::stop ? ends_so : c.tokens.size() == 32);
  }
  EXPECT_GT(stopped, 3);
  EXPECT_LT(stopped, 32);
}

TEST_F(EngineTest, StopStringsOfSeveralTokens) {
  std::string text = run(request({}, 1)).texts[0];
  Finished whole = run(request({}, 1));
  std::vector<int32_t> ids = whole.completions[0].tokens;
  size_t at = 0;  // two bytes in a row that are text
  while (at + 1 < ids.size() && !(ids[at] < 128 && ids[at + 1] < 128)) ++at;
  ASSERT_LT(at + 1, ids.size());
  Finished cut = run(request({.stop = {std::string{char(ids[at]), char(ids[at + 1])}}}, 1));
  EXPECT_EQ(cut.completions[0].finish, FinishReason::stop);
  EXPECT_EQ(cut.completions[0].tokens, std::vector<int32_t>(ids.begin(), ids.begin() + std::ptrdiff_t(at) + 2));
  EXPECT_TRUE(text.starts_with(cut.texts[0]));
}

/// Every setting that looks at what was said before, or stores what could have been.
SamplingConfig elaborate() {
  return {.temperature = 0.9,
          .top_p = 0.95,
          .top_k = 60,
          .min_p = 0.01,
          .min_tokens = 3,
          .repetition_penalty = 1.4,
          .presence_penalty = 0.3,
          .frequency_penalty = 0.6,
          .logit_bias = {{5, 2.0}, {70, -4.0}},
          .keep_sampling_mask = true};
}

TEST_F(EngineTest, PenaltiesAndKeptSetsAreThoseOfTheCompletionAlone) {
  std::vector<Request> requests = byte_requests(8, elaborate());
  std::map<int64_t, Finished> expected;
  Compute one{1};
  for (const Request& r : requests) {
    Engine alone(model, one, nullptr, {.max_slots = 1}, 80);
    alone.submit(r);
    expected[r.id] = std::move(alone.next_completed().value());
  }
  for (int32_t slots : {2, 5, 64}) {
    Engine together(model, compute, nullptr, {.max_slots = slots, .prefill_tokens = 11}, 80);
    for (const Request& r : requests) together.submit(r);
    for (const auto& [id, finished] : run_all(together))
      for (size_t i = 0; i < finished.completions.size(); ++i)
        EXPECT_TRUE(same_bits(finished.completions[i], expected[id].completions[i])) << id;
  }
}

TEST_F(EngineTest, LogprobsOverTheKeptSetFollowFromTheLogits) {
  Request asked = request(elaborate(), 2);
  asked.stop_ids = {9};
  for (const Completion& c : run(asked).completions) {
    ASSERT_EQ(c.kept.begin.size(), c.tokens.size() + 1);
    std::vector<int32_t> ids = asked.prompt;
    std::vector<int32_t> counts;
    for (size_t i = 0; i < c.tokens.size(); ++i) {
      std::vector<float> row = logits_after(ids);
      apply_penalties(row, asked.sampling, {.prompt = asked.prompt, .completion = std::span(c.tokens).first(i)},
                      counts);
      const std::span<const int32_t> kept = c.kept.of(i);
      std::vector<float> among;
      for (int32_t id : kept) among.push_back(row[size_t(id)]);
      const auto at = std::find(kept.begin(), kept.end(), c.tokens[i]) - kept.begin();
      ASSERT_LT(size_t(at), kept.size());
      EXPECT_LE(kept.size(), 60u);
      EXPECT_EQ(i < 3 && std::find(kept.begin(), kept.end(), 9) != kept.end(), false)
          << "a stop token before min_tokens";
      EXPECT_EQ(c.logprobs[i],
                compute.kernels->token_statistics(among.data(), int64_t(among.size()), 0.9f, int32_t(at)).logprob);
      ids.push_back(c.tokens[i]);
    }
    const Group back = group_from_json(Json::parse(to_json(Group{.rollouts = {{.completion = c}}}).dump()));
    EXPECT_EQ(back.rollouts[0].completion.kept, c.kept);
  }
}

TEST_F(EngineTest, RefusesTokensThatTheModelDoesNotHave) {
  Engine engine(model, compute, nullptr, {}, 128);
  EXPECT_THROW(engine.submit(request({.logit_bias = {{258, 1.0}}})), UsageError);
  EXPECT_EQ(engine.num_waiting(), 0);
}

TEST_F(EngineTest, RefusesWhatCannotFit) {
  EXPECT_THROW(Engine(model, compute, nullptr, {.kv_cache_tokens = 100}, 128), UsageError);
  Engine engine(model, compute, nullptr, {}, 40);
  Request fits = request({.max_completion_length = 21});
  engine.submit(fits);
  Request longer = request({.max_completion_length = 22}), empty = fits, outside = fits, negative = fits;
  empty.prompt.clear(), outside.prompt[3] = 258, negative.prompt[0] = -1;
  for (const Request& r : {longer, empty, outside, negative}) EXPECT_THROW(engine.submit(r), UsageError);
  EXPECT_EQ(engine.num_waiting(), 1);
  EXPECT_EQ(engine.next_completed()->completions[0].tokens.size(), 21u);
  EXPECT_FALSE(engine.next_completed().has_value());
}

TEST_F(EngineTest, CompletesEverythingInLittleMemory) {
  std::vector<Request> requests = byte_requests(12);
  Engine roomy(model, compute, nullptr, {.max_slots = 64}, 80);
  for (const Request& r : requests) roomy.submit(r);
  std::map<int64_t, Finished> expected = run_all(roomy);
  ASSERT_EQ(expected.size(), 12u);
  for (int64_t tokens : {112, 128, 200, 500}) {
    Engine tight(model, compute, nullptr, {.max_slots = 64, .prefill_tokens = 30, .kv_cache_tokens = tokens}, 80);
    EXPECT_LT(tight.kv_bytes(), roomy.kv_bytes() / 8);
    for (const Request& r : requests) tight.submit(r);
    std::map<int64_t, Finished> found = run_all(tight);
    ASSERT_EQ(found.size(), 12u) << tokens;
    for (const auto& [id, finished] : found)
      EXPECT_EQ(tokens_of(finished), tokens_of(expected[id])) << tokens << " " << id;
    EXPECT_EQ(tight.num_running(), 0);
    EXPECT_EQ(tight.generated_tokens(), roomy.generated_tokens());
    EXPECT_EQ(tight.prompt_tokens(), roomy.prompt_tokens());
  }
}

TEST_F(EngineTest, CountsTokens) {
  Engine engine(model, compute, nullptr, {.max_slots = 3}, 80);
  int64_t prompts = 0, sampled = 0;
  for (const Request& r : byte_requests(6)) engine.submit(r), prompts += int64_t(r.prompt.size());
  for (const auto& [id, finished] : run_all(engine)) {
    int64_t rows = int64_t(finished.request.prompt.size());
    double load = 0;
    for (const Completion& c : finished.completions)
      sampled += int64_t(c.tokens.size()), rows += int64_t(c.tokens.size()) - 1;
    for (double l : finished.expert_load) load += l;
    EXPECT_EQ(load, double(rows * 2 * 3));  // two mixture layers, three experts a token; a last token is not passed
    EXPECT_EQ(finished.expert_load.size(), 16u);
  }
  EXPECT_EQ(engine.prompt_tokens(), prompts);  // each prompt once for all of its completions
  EXPECT_EQ(engine.generated_tokens(), sampled);
}

TEST_F(EngineTest, WhatPromptsHaveInCommonIsPassedOnceAndChangesNoBit) {
  std::vector<Request> requests = byte_requests(7);
  const std::vector<int32_t> beginning = byte_ids(41, 90);
  const int64_t tails[] = {9, 1, 30, 0, 17, 9, 2};  // request 3 is a prefix of the others, 5 repeats 0
  for (size_t i = 0; i < 7; ++i) {
    std::vector<int32_t> tail = byte_ids(tails[i], i == 5 ? 0 : uint32_t(i));
    requests[i].prompt = beginning;
    requests[i].prompt.insert(requests[i].prompt.end(), tail.begin(), tail.end());
  }
  for (int32_t prefill : {7, 64, 512}) {
    Engine together(model, compute, nullptr, {.max_slots = 64, .prefill_tokens = prefill}, 100);
    int64_t prompts = 0;
    for (const Request& r : requests) together.submit(r), prompts += int64_t(r.prompt.size());
    std::map<int64_t, Finished> found = run_all(together);
    EXPECT_LE(together.prompt_tokens(), prompts - 6 * 32) << prefill;
    EXPECT_TRUE(prefill < 512 ||
                together.prompt_tokens() == prompts - 5 * 32 - 48);  // of request 5, which repeats 0, three blocks
    for (const Request& r : requests) {
      Engine alone(model, compute, nullptr, {}, 100);
      alone.submit(r);
      Finished expected = std::move(alone.next_completed().value());
      EXPECT_EQ(found[r.id].expert_load, expected.expert_load) << prefill << " " << r.id;
      for (size_t i = 0; i < expected.completions.size(); ++i)
        EXPECT_TRUE(same_bits(found[r.id].completions[i], expected.completions[i])) << prefill << " " << r.id;
    }
  }
}

TEST_F(EngineTest, CancelledRequestsAreGoneAndDisturbNobody) {
  std::vector<Request> requests = byte_requests(6);
  Engine alone(model, compute, nullptr, {}, 80);
  for (const Request& r : requests) alone.submit(r);
  std::map<int64_t, Finished> expected = run_all(alone);
  for (int steps : {0, 1, 2, 5, 9}) {
    Engine engine(model, compute, nullptr, {.max_slots = 4, .prefill_tokens = 20, .kv_cache_tokens = 256}, 80);
    for (const Request& r : requests) engine.submit(r);
    for (int i = 0; i < steps; ++i) engine.step();
    std::set<int64_t> done;
    while (std::optional<Finished> f = engine.take_completed()) done.insert(f->request.id);
    engine.cancel(1), engine.cancel(4), engine.cancel(77);
    std::map<int64_t, Finished> found = run_all(engine);
    for (int64_t id : {0, 2, 3, 5}) {
      if (done.count(id)) continue;
      ASSERT_TRUE(found.count(id)) << id << " after " << steps;
      EXPECT_EQ(tokens_of(found[id]), tokens_of(expected[id])) << id << " after " << steps;
    }
    for (int64_t id : {1, 4}) EXPECT_FALSE(found.count(id)) << id << " after " << steps;
    EXPECT_EQ(engine.num_running() + engine.num_waiting(), 0);
    // All memory is back: the whole cache serves again.
    for (const Request& r : requests) engine.submit(r);
    EXPECT_EQ(run_all(engine).size(), 6u);
  }
}

TEST_F(EngineTest, StampsThePolicyVersion) {
  model.version = 7;
  EXPECT_EQ(run(request()).policy_version, 7);
}

TEST_F(EngineTest, CompletionsOfOneToken) {
  Finished finished = run(request({.max_completion_length = 1}, 9), {.max_slots = 2});
  for (const Completion& c : finished.completions) EXPECT_EQ(c.tokens.size(), 1u);
}

}  // namespace
}  // namespace cohort
