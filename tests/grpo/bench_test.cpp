// What bench claims: the work it counts, the median it reports, and that every case comes with a roof it can be held
// to.
#include "grpo/bench/bench.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "configs/error.h"
#include "grpo/advantage.h"
#include "tests/policy/tiny_models.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

const std::string kShippedModel = std::string("init:") + COHORT_SOURCE_DIR + "/configs/models/bench-moe.json";

/// A tiny model and a few tokens; three repetitions of everything.
class BenchIntegration : public testing::Test {
 protected:
  BenchIntegration() {
    std::ofstream(file_) << tiny_deepseek().dump();
    config_.model = "init:" + file_.string();
    config_.seconds = 0;
    config_.shape = {.prompt_length = 5, .completion_length = 4, .prompts = 2, .generations = 3, .slots = {1, 4, 6}};
  }
  ~BenchIntegration() override { fs::remove(file_); }

  std::vector<BenchCase> cases(void (*bench)(const Compute&, const BenchConfig&, const BenchReport&)) {
    std::vector<BenchCase> all;
    bench(compute_, config_, [&](const BenchCase& c) { all.push_back(c); });
    return all;
  }

  Compute compute_{2};
  fs::path file_ = fs::temp_directory_path() / ("cohort-bench-" + std::to_string(::getpid()) + ".json");
  BenchConfig config_;
};

TEST(Bench, MedianOfOddAndEvenCounts) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_THROW(median({}), std::logic_error);
}

TEST(Bench, RunsOnceToWarmUpAndThreeTimesAtLeast) {
  int runs = 0;
  EXPECT_GE(median_seconds(0, [&] { ++runs; }), 0);
  EXPECT_EQ(runs, 4);
}

// Three layers, four heads; latent attention reads 32 + 8 for the scores and 32 for the values.
TEST(Bench, CountsAttentionByHand) {
  EXPECT_EQ(attention_flops(model_spec(tiny_deepseek()), 10), 3 * 2.0 * 10 * 4 * (40 + 32));
  EXPECT_EQ(attention_flops(model_spec(tiny_llama()), 10), 2 * 4.0 * 10 * 6 * 8);
  EXPECT_EQ(kv_elements(model_spec(tiny_deepseek())), 3 * 40);
  EXPECT_EQ(kv_elements(model_spec(tiny_llama())), 2 * 2 * 16);
}

TEST(Bench, OneRowTouchesTheActiveAndManyTouchAll) {
  ModelSpec spec = model_spec(tiny_deepseek());
  const double embedding = 97 * 48, biases = 2 * 8;
  EXPECT_DOUBLE_EQ(touched_parameters(spec, 1), double(spec.active_parameters()));
  EXPECT_NEAR(touched_parameters(spec, 1e6), double(spec.num_parameters) - embedding, biases);
  EXPECT_LT(touched_parameters(spec, 1), touched_parameters(spec, 2));
  ModelSpec dense = model_spec(tiny_llama());
  EXPECT_EQ(touched_parameters(dense, 1), touched_parameters(dense, 64));
}

TEST(Bench, WorkOfAStepAndOfTraining) {
  Compute compute(1);
  CausalLM model = random_model(tiny_llama(), compute);
  const double active = double(model.spec.active_parameters());
  Work step = decode_work(model, 4, 10);
  EXPECT_DOUBLE_EQ(step.flops, 4 * (2 * active + 2 * 4.0 * 10 * 48));
  EXPECT_DOUBLE_EQ(step.bytes, 4 * active + 4.0 * 4 * 10 * 64);
  RowSpan rows[] = {{0, 3, 0, nullptr}, {3, 2, 3, nullptr}};  // keys seen: 1 + 2 + 3, then 4 + 5
  EXPECT_DOUBLE_EQ(training_flops(model.spec, rows), 5 * 6 * active + 3 * 2 * 4.0 * 15 * 48);
  Roofs roofs{.flops = 100, .bandwidth = 10};
  EXPECT_EQ(roofs.seconds({200, 10}), 2);
  EXPECT_EQ(roofs.seconds({200, 50}), 5);
  EXPECT_TRUE(roofs.memory_bound({200, 50}));
}

TEST(Bench, FractionAndPeerTurnRoundForSeconds) {
  BenchCase rate{.value = 50, .unit = "tokens/s", .roof = 200.0};
  EXPECT_EQ(*rate.fraction_of_roof(), 0.25);
  EXPECT_FALSE(rate.times_peer());
  BenchCase time{.value = 4, .unit = "s", .roof = 1.0, .peer = "another", .peer_value = 28.0};
  EXPECT_EQ(*time.fraction_of_roof(), 0.25);
  EXPECT_EQ(*time.times_peer(), 7);
}

TEST(Bench, JsonHasTheFieldsOfTheContract) {
  Json json = to_json(
      {.bench = "rollout", .name = "64 slots", .value = 5, .unit = "tokens/s", .roof = 10.0, .bound = "compute"},
      {2, "CPU", "abc"});
  EXPECT_EQ(json, (Json{{"bench", "rollout"},
                        {"case", "64 slots"},
                        {"value", 5.0},
                        {"unit", "tokens/s"},
                        {"roof", 10.0},
                        {"fraction_of_roof", 0.5},
                        {"bound", "compute"},
                        {"threads", 2},
                        {"device", "CPU"},
                        {"commit", "abc"}}));
  EXPECT_TRUE(to_json({.bench = "roofs", .unit = "GB/s"}, {})["fraction_of_roof"].is_null());
}

TEST(Bench, ShippedModelIsTheOneOfTheStatedSize) {
  ModelSpec spec = load_spec(kShippedModel);
  EXPECT_NEAR(double(spec.num_parameters), 8.8e6, 0.05e6);
  EXPECT_NEAR(double(spec.active_parameters()), 4.2e6, 0.05e6);
}

TEST(Bench, AnswersAreRightButForEveryFifth) {
  std::vector<AnsweredTask> rows = answered_tasks(60);
  RewardFn accuracy = make_reward(parse_reward("accuracy"));
  for (size_t i = 0; i < rows.size(); ++i) {
    Judged judged{.task = &rows[i].task, .completion = rows[i].completion};
    Score score = accuracy({&judged, 1}, {})[0];
    EXPECT_EQ(score.status, i % 5 == 4 ? Status::wrong : Status::correct)
        << rows[i].task.answer << "   " << rows[i].completion;
  }
}

TEST_F(BenchIntegration, SamplesFullLengthsAndVariedAdvantages) {
  LoadedModel loaded = load_bench_model(config_, compute_);
  Engine engine(loaded.model, compute_, nullptr, {.max_slots = 4}, 9);
  std::vector<Group> first = sample_random_prompts(engine, loaded.model.spec, config_.shape, 2, 3, 1);
  std::vector<Group> second = sample_random_prompts(engine, loaded.model.spec, config_.shape, 2, 3, 2);
  score_at_random(first);
  ASSERT_EQ(first.size(), 2u);
  for (const Group& group : first) {
    ASSERT_EQ(group.rollouts.size(), 3u);
    EXPECT_EQ(group.prompt.size(), 5u);
    EXPECT_FALSE(has_zero_std(group));
    for (const Rollout& r : group.rollouts) {
      EXPECT_EQ(r.completion.tokens.size(), 4u);
      EXPECT_NE(r.advantage, 0);
    }
  }
  EXPECT_NE(first[0].prompt, first[1].prompt);
  EXPECT_NE(first[0].prompt, second[0].prompt);
}

TEST_F(BenchIntegration, EveryBenchReportsItsCases) {
  const std::set<std::string> units = {"tokens/s", "s", "rows/s", "programs/s", "processes/s"};
  std::vector<BenchCase> all = cases(bench_rollout);
  EXPECT_GE(all.size(), 3u * 2);  // decoding alone is left out where a difference of two timings came out negative
  EXPECT_LE(all.size(), 3u * 3);
  const size_t of_rollout = all.size();
  for (auto bench : {bench_learner, bench_step, bench_rewards})
    for (const BenchCase& c : cases(bench)) all.push_back(c);
  EXPECT_EQ(all.size(), of_rollout + 1 + 3 + 6);
  for (const BenchCase& c : all) {
    EXPECT_GT(c.value, 0) << c.bench << " " << c.name;
    EXPECT_TRUE(units.contains(c.unit)) << c.unit;
    EXPECT_EQ(c.roof.has_value(), c.bench != "rewards") << c.bench;
    EXPECT_FALSE(c.peer_value) << c.name;  // the stored figure holds for the shipped model and shape alone
  }
}

TEST_F(BenchIntegration, DecodingOverSlotsAndContextsIsDrawn) {
  const fs::path plot = file_.string() + ".html";
  config_.plot = plot;
  config_.shape.slots = {1, 5}, config_.shape.contexts = {3, 40};
  const std::vector<BenchCase> all = cases(bench_decode);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[3].name, "5 slots, 40 keys each");
  for (const BenchCase& c : all) EXPECT_TRUE(c.value > 0 && c.roof > 0) << c.name;
  std::stringstream page;
  page << std::ifstream(plot).rdbuf();
  for (const char* label : {"data-label=\"3 keys\"", "data-label=\"40 keys, roof\"", "data-label=\"5 completions\""})
    EXPECT_NE(page.str().find(label), std::string::npos) << label;
  fs::remove(plot);
  config_.shape.contexts = {513};
  EXPECT_THROW(cases(bench_decode), UsageError);
}

TEST_F(BenchIntegration, RefusesWhatExceedsTheContext) {
  config_.shape.completion_length = 508;
  EXPECT_THROW(load_bench_model(config_, compute_), UsageError);
}

}  // namespace
}  // namespace cohort
