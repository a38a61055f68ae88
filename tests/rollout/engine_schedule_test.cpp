// Whatever happens around a request in the engine — slots, neighbours, order, memory that runs out, prompts that begin
// alike, guesses, requests that are cancelled, threads, the instruction set — it receives the bits that it receives
// alone, and these are what the training forward gives over prompt and completion in one pass. Models are dense and
// MoE, attention grouped-query and latent, weights stored in fp32 and bf16, sampling settings drawn at random.
// COHORT_TEST_ALL=1 in the environment runs ten times the schedules.
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>
#include <random>
#include <set>

#include "rollout/engine.h"
#include "rollout/sampler_reference.h"
#include "tests/rollout/byte_models.h"

namespace cohort {
namespace {

constexpr int64_t kLength = 120;   // longest prompt and completion
constexpr int kSchedulesEach = 4;  // of the same requests

template <class T>
T pick(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

SamplingConfig draw_settings(std::mt19937& random) {
  SamplingConfig s{.temperature = pick(random, {0.0, 0.3, 0.7, 0.9, 0.9, 1.6}),
                   .top_p = pick(random, {1.0, 1.0, 0.5, 0.9, 0.999}),
                   .top_k = pick(random, {0, 0, 1, 5, 40, 300}),
                   .min_p = pick(random, {0.0, 0.0, 0.02, 0.3}),
                   .max_completion_length = pick(random, {1, 7, 16, 24}),
                   .min_tokens = pick(random, {0, 0, 1, 5}),
                   .keep_sampling_mask = random() % 2 == 0};
  const auto id = [&] { return int32_t(random() % 258); };
  if (random() % 3 == 0) s.repetition_penalty = pick(random, {0.8, 1.3});
  if (random() % 3 == 0) s.presence_penalty = 0.4, s.frequency_penalty = pick(random, {-0.2, 0.7});
  if (random() % 3 == 0) s.logit_bias = {{id(), 3.0}, {id(), -100.0}};
  if (random() % 3 == 0) s.stop = {"a", "e", "\x01\x02"};
  return s;
}

/// Prompts that begin with one of two texts, some equal, and completions that stop in every way.
std::vector<Request> draw_requests(std::mt19937& random) {
  std::vector<Request> requests = byte_requests(10);
  const int64_t shared[] = {0, 40, 40, 33, 16, 40, 64, 64, 64, 5}, tails[] = {12, 1, 30, 0, 17, 1, 9, 0, 20, 2};
  for (size_t i = 0; i < requests.size(); ++i) {
    Request& r = requests[i];
    r.prompt = byte_ids(shared[i], i < 6 ? 90 : 91);
    const std::vector<int32_t> tail = byte_ids(tails[i], i == 5 ? 1 : uint32_t(i));
    r.prompt.insert(r.prompt.end(), tail.begin(), tail.end());
    r.seed = random();
    r.sampling = draw_settings(random);
    if (random() % 4 == 0) r.stop_ids.clear();
    if (i % 4 == 1) r.prompt_logprobs = 2;
    if (i % 4 == 2) {  // grows for long, beside others that do
      r.stop_ids.clear(), r.sampling.stop.clear(), r.top_logprobs = 3;
      r.sampling.max_completion_length = 46, r.num_completions = 4;
    }
  }
  return requests;
}

struct Policy {
  std::string name;
  CausalLM model;
};
std::vector<Policy> policies(const Compute& compute) {
  const std::pair<const char*, Json> kinds[] = {{"dense, grouped-query", tiny_llama()},
                                                {"MoE, latent", tiny_deepseek(24, 4)},
                                                {"MoE, grouped-query", tiny_family("qwen3_moe", tiny_mixture())},
                                                {"dense, latent", [] {
                                                   Json config = tiny_deepseek();
                                                   config["first_k_dense_replace"] = config["num_hidden_layers"];
                                                   return config;
                                                 }()}};
  std::vector<Policy> all;
  for (const bool bf16 : {false, true})
    for (const auto& [name, config] : kinds)
      all.push_back(
          {std::string(name) + (bf16 ? ", bf16" : ", fp32"), random_model(over_bytes(config), compute, 5, bf16)});
  return all;
}

/// The instruction sets of this machine; tells which it lacks.
struct InstructionSets {
  std::vector<const Kernels*> all, fast;
  /// By turns. Scalar code takes some forty times as long: it has short requests alone.
  const Kernels* of(int turn, bool is_short) const {
    return is_short ? all[size_t(turn) % all.size()] : fast[size_t(turn) % fast.size()];
  }
  bool is_fast(const Kernels* kernels) const { return std::ranges::count(fast, kernels) > 0; }
};
InstructionSets instruction_sets() {
  InstructionSets sets;
  for (const char* isa : {"scalar", "avx2", "avx512"})
    if (const Kernels* kernels = kernels_for(isa))
      sets.all.push_back(kernels);
    else
      std::printf("[  SKIPPED ] %s: this machine lacks it\n", isa);
  sets.fast.assign(sets.all.begin() + (sets.all.size() > 1), sets.all.end());
  return sets;
}

bool is_short(const Request& r) {
  return int64_t(r.prompt.size()) + r.num_completions * r.sampling.max_completion_length <= 64;
}

/// Requests, and what each of them receives alone.
struct Drawn {
  const Policy& policy;
  std::vector<Request> requests;
  std::map<int64_t, Finished> alone = {};
};

Drawn draw(const Policy& policy, const Tokenizer& tokenizer, Compute& compute, const InstructionSets& sets, int turn,
           std::mt19937& random) {
  Drawn drawn{policy, draw_requests(random)};
  for (const Request& request : drawn.requests) {
    compute.kernels = sets.of(turn, is_short(request));
    Engine engine(policy.model, compute, &tokenizer, {.max_slots = 1, .speculative_tokens = 0}, kLength);
    engine.submit(request);
    drawn.alone[request.id] = std::move(engine.next_completed().value());
  }
  return drawn;
}

/// Logits of the rows that predict the completion's tokens, by the training forward in one pass.
Buffer trained_logits(const CausalLM& model, const Compute& compute, std::span<const int32_t> prompt,
                      std::span<const int32_t> completion) {
  std::vector<int32_t> ids(prompt.begin(), prompt.end());
  ids.insert(ids.end(), completion.begin(), completion.end() - 1);
  std::vector<int32_t> blocks(size_t(ceil_div(int64_t(ids.size()), kKeyBlock))), rows(completion.size());
  std::iota(blocks.begin(), blocks.end(), 0), std::iota(rows.begin(), rows.end(), int32_t(prompt.size()) - 1);
  const std::vector<RowSpan> spans = {{0, int64_t(ids.size()), 0, blocks.data()}};
  KvStore kv(model.spec, int64_t(blocks.size()), true);
  ForwardState state;
  forward(model, compute, {ids, spans, {}}, kv, Activations::all, state);
  Buffer out(int64_t(rows.size()) * model.spec.vocab);
  logits(model, compute, state.hidden_TD.data(), rows.data(), int64_t(rows.size()), out.data());
  return out;
}

/// The completion again from the training forward's logits, by the sampler that sorts; returns how many of its tokens
/// came from kept sets.
int64_t expect_as_trained(const CausalLM& model, const Compute& compute, const Request& request, const Completion& c,
                          const std::string& where) {
  const size_t V = size_t(model.spec.vocab);
  const Buffer rows = trained_logits(model, compute, request.prompt, c.tokens);
  double entropy = 0;
  int64_t kept = 0;
  for (size_t t = 0; t < c.tokens.size(); ++t) {
    std::vector<float> row(rows.data() + t * V, rows.data() + (t + 1) * V);
    SamplingContext context{.prompt = request.prompt, .completion = std::span(c.tokens).first(t)};
    if (int32_t(t) < request.sampling.min_tokens) context.banned = request.stop_ids;
    const float uniform = token_uniform(request.seed, uint32_t(c.member), uint32_t(t));
    const auto [choice, set] = choose_token_reference(*compute.kernels, row, request.sampling, context, uniform);
    EXPECT_EQ(choice.token, c.tokens[t]) << where << " token " << t;
    EXPECT_EQ(std::bit_cast<uint32_t>(choice.logprob), std::bit_cast<uint32_t>(c.logprobs[t])) << where << " " << t;
    entropy += choice.entropy;
    if (c.kept.of(t).empty()) continue;
    EXPECT_TRUE(std::ranges::equal(set, c.kept.of(t))) << where << " token " << t;
    ++kept;
  }
  EXPECT_EQ(entropy, c.entropy_sum) << where;
  return kept;
}

int64_t expect_as_trained(const Drawn& drawn, Compute& compute, const InstructionSets& sets, int turn,
                          const std::string& where) {
  int64_t kept = 0;
  for (const auto& [id, finished] : drawn.alone) {
    compute.kernels = sets.of(turn, is_short(finished.request));
    for (const Completion& c : finished.completions)
      kept += expect_as_trained(drawn.policy.model, compute, finished.request, c,
                                where + " request " + std::to_string(id) + " member " + std::to_string(c.member) +
                                    " in training on " + compute.kernels->isa);
  }
  return kept;
}

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
  Schedule(const Drawn& drawn, const Tokenizer& tokenizer, Compute& compute, std::mt19937& random)
      : drawn(drawn),
        compute(compute),
        random(random),
        engine(drawn.policy.model, compute, &tokenizer, config(), kLength) {}

  int pick(std::initializer_list<int> values) { return cohort::pick(random, values); }
  EngineConfig config() {
    return {.max_slots = pick({1, 2, 3, 5, 9, 64}),
            .prefill_tokens = pick({1, 7, 16, 33, 512}),
            .kv_cache_tokens = pick({0, 160, 160, 176, 224, 320}),
            .speculative_tokens = pick({0, 1, 3, 6})};
  }
  void step() {
    if (sets) compute.kernels = random() % 40 ? sets->fast[random() % sets->fast.size()] : sets->all[0];
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
  void live(std::span<const Request> of) {
    requests.assign(of.begin(), of.end());
    for (Request again : of) again.id += 100, requests.push_back(again);  // kept prompts serve these
    std::shuffle(requests.begin(), requests.end(), random);
    for (size_t i = 0; i < requests.size(); ++i) {
      if (random() % 2)  // to guess from: what will be sampled, right and wrong
        for (const Completion& c : drawn.alone.at(requests[i].id % 100).completions) {
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

  const Drawn& drawn;
  Compute& compute;
  std::mt19937& random;
  Engine engine;
  const InstructionSets* sets = nullptr;  // from one of which to another it goes, step by step
  std::vector<Request> requests;          // in the order in which they came
  bool is_busy = true;
  std::map<int64_t, Finished> found;
  std::map<std::pair<int64_t, int32_t>, std::vector<SampledToken>> told;
  std::set<int64_t> cancelled;
};

void expect_as_alone(const Schedule& schedule, const std::string& name) {
  for (const Request& request : schedule.requests) {
    if (schedule.cancelled.contains(request.id)) continue;
    const std::string where = name + " request " + std::to_string(request.id);
    ASSERT_TRUE(schedule.found.contains(request.id)) << where;
    const Finished& found = schedule.found.at(request.id);
    expect_same(found, schedule.drawn.alone.at(request.id % 100), where);
    for (const Completion& c : found.completions) {
      const std::vector<SampledToken>& told = schedule.told.at({request.id, c.member});
      ASSERT_EQ(told.size(), c.tokens.size()) << where;
      for (size_t t = 0; t < told.size(); ++t) {
        EXPECT_EQ(told[t].token, c.tokens[t]) << where;
        EXPECT_EQ(told[t].logprob, c.logprobs[t]) << where;
        EXPECT_EQ(told[t].finish.has_value(), t + 1 == told.size()) << where;
      }
      EXPECT_EQ(told.back().finish, c.finish) << where;
    }
  }
}

TEST(EngineSchedule, NothingAroundARequestChangesABit) {
  const int schedules = std::getenv("COHORT_TEST_ALL") ? 1000 : 100;
  const Tokenizer tokenizer = bytes_tokenizer();
  const InstructionSets sets = instruction_sets();
  std::vector<std::unique_ptr<Compute>> computes;
  for (int threads : {1, 2, 3}) computes.push_back(std::make_unique<Compute>(threads));
  const std::vector<Policy> all = policies(*computes[0]);
  std::mt19937 random(20260401);
  std::optional<Drawn> drawn;
  int64_t preemptions = 0, shared = 0, repeated = 0, guessed = 0, right = 0, kept = 0;
  for (int i = 0; i < schedules && !testing::Test::HasFailure(); ++i) {
    const int turn = i / kSchedulesEach;
    const Policy& policy = all[size_t(turn) % all.size()];
    const std::string name = policy.name + " schedule " + std::to_string(i);
    Compute& compute = *computes[random() % computes.size()];
    const bool is_first = i % kSchedulesEach == 0;
    if (is_first) {
      drawn.emplace(draw(policy, tokenizer, compute, sets, turn, random));
      kept += expect_as_trained(*drawn, compute, sets, turn + 1, name);
    }
    std::vector<Request> requests = drawn->requests;
    Schedule schedule(*drawn, tokenizer, compute, random);
    if (is_first)  // all on one instruction set
      compute.kernels = sets.of(turn + 2, true);
    else
      schedule.sets = &sets;
    if (is_first && !sets.is_fast(compute.kernels)) std::erase_if(requests, std::not_fn(is_short));
    schedule.live(requests);
    expect_as_alone(schedule, name);
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
  EXPECT_GT(kept, 10 * schedules);
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
