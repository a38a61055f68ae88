// Supervised tuning against TRL's own SFTTrainer, from the rows to the loss (generate_sft_goldens.py): tokens, which of
// them are learned, the loss and its gradient.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "distill/sft.h"
#include "tasks/sft_rows.h"
#include "tests/policy/weights_by_name.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

Json read_json(const std::string& path) {
  std::ifstream in(fs::path(COHORT_SOURCE_DIR) / path);
  return Json::parse(in);
}

Json golden() {
  return read_json("tests/distill/golden/trl_sft.json");
}

Tokenizer tokenizer_of(const Json& golden, const Json& c) {
  const std::string name = c.at("tokenizer");
  Json config = golden.at("tokenizers").at(name);
  if (!c.at("template").is_null()) config["chat_template"] = golden.at("templates").at(c.at("template"));
  return tokenizer_from_json(read_json("tests/text/golden/" + name + ".json"), config);
}

std::vector<SftRow> rows_of(const Json& c) {
  const fs::path file = fs::path(testing::TempDir()) / ("sft_rows_" + std::to_string(::getpid()) + ".jsonl");
  std::ofstream out(file);
  for (const Json& row : c.at("rows")) out << row.dump() << "\n";
  out.close();
  const std::vector<SftRow> rows = read_sft_rows(file.string());
  fs::remove(file);
  return rows;
}

std::vector<SftSequence> encoded(const Tokenizer& tokenizer, const Json& c) {
  std::vector<SftSequence> sequences;
  for (const SftRow& row : rows_of(c))
    sequences.push_back(
        encode_row(tokenizer, row, c.at("max_length").is_null() ? 1 << 20 : c.at("max_length").get<int32_t>()));
  return sequences;
}

/// As TRL writes it, -100 where nothing is learned. The first token has nothing that predicts it.
Json labels_of(const SftSequence& s) {
  Json labels = Json::array();
  for (size_t i = 0; i < s.tokens.size(); ++i) labels.push_back(s.mask[i] && i ? s.tokens[i] : -100);
  return labels;
}

/// Rows that learn something in the order of their tokens: TRL's packing reorders rows, and keeps those that do not.
std::vector<Json> in_order(const Json& sequences) {
  std::vector<Json> rows;
  for (const Json& s : sequences)
    if (std::ranges::any_of(s.at("labels"), [](int32_t label) { return label != -100; })) rows.push_back(s);
  std::ranges::sort(rows);
  return rows;
}
std::vector<Json> in_order(const std::vector<SftSequence>& sequences) {
  Json rows = Json::array();
  for (const SftSequence& s : sequences) rows.push_back({{"tokens", s.tokens}, {"labels", labels_of(s)}});
  return in_order(rows);
}

struct Outcome {
  StepStats stats;
  size_t micro_batches;
};

Outcome step(const Json& model_config, const std::vector<SftSequence>& sequences, int64_t max_tokens_per_batch) {
  Compute compute(2);
  CausalLM model = make_model(model_spec(model_config));
  fill_by_name(model);
  repack(model, compute);
  extend_rope(model, 256);
  Learner learner(model, compute, {.learning_rate = 0}, 1.0);
  LossScale scale;
  for (const SftSequence& s : sequences) scale.num_tokens += double(std::count(s.mask.begin() + 1, s.mask.end(), 1));
  std::vector<MicroBatch> batches = pack_sequences(sequences, {.max_tokens_per_batch = max_tokens_per_batch});
  const StepStats stats = learner.step(
      batches, [&](const TokenBatch& b, const TokenGradient& d) { return cross_entropy_loss(b, scale, d.logprobs); },
      1);
  return {stats, batches.size()};
}

TEST(SftGolden, TokensLabelsLossAndGradientAreThoseOfTrl) {
  const Json all = golden();
  int compared = 0;
  for (const Json& c : all.at("cases")) {
    if (c.at("differs")) continue;
    SCOPED_TRACE(c.at("name").get<std::string>());
    const std::vector<SftSequence> sequences = encoded(tokenizer_of(all, c), c);
    const std::vector<Json> expected = in_order(c.at("sequences"));
    EXPECT_EQ(in_order(sequences), expected);
    for (int64_t max_tokens : {1 << 20, 100, 1}) {
      const auto [stats, micro_batches] = step(c.at("model"), sequences, max_tokens);
      EXPECT_NEAR(stats.sums.loss, c.at("loss").get<double>(), 1e-5) << max_tokens;
      EXPECT_NEAR(stats.grad_norm, c.at("grad_norm").get<double>(), 1e-4) << max_tokens;
      EXPECT_NEAR(stats.sums.entropy / stats.sums.tokens, c.at("entropy").get<double>(), 1e-5) << max_tokens;
      EXPECT_NEAR(stats.sums.top1 / stats.sums.tokens, c.at("mean_token_accuracy").get<double>(), 1e-6) << max_tokens;
      EXPECT_EQ(stats.sums.tokens, c.at("num_tokens").get<double>());
      if (max_tokens != 100) {
        EXPECT_EQ(micro_batches, max_tokens == 1 ? expected.size() : 1u);
      }
    }
    ++compared;
  }
  EXPECT_EQ(compared, 12);
}

const Json& named(const Json& all, const std::string& name) {
  return *std::ranges::find(all.at("cases"), name, [](const Json& c) { return c.at("name").get<std::string>(); });
}

/// The line break behind "assistant" stands in the prompt that asks for the turn, so the model never says it: TRL
/// learns it where a template's marks begin before it (Qwen2.5's for training).
TEST(SftGolden, WhatThePromptEndsWithIsNotLearned) {
  const Json all = golden(), c = named(all, "early marks");
  const Tokenizer tokenizer = tokenizer_of(all, c);
  const std::vector<int32_t> line_break = tokenizer.encode("\n");
  ASSERT_EQ(line_break.size(), 1u);
  const std::vector<SftSequence> sequences = encoded(tokenizer, c);
  int fewer = 0;
  for (size_t n = 0; n < sequences.size(); ++n) {
    Json expected = c.at("sequences")[n];
    EXPECT_EQ(Json(sequences[n].tokens), expected.at("tokens"));
    Json& labels = expected.at("labels");
    for (size_t i = 1; i < labels.size(); ++i)
      if (labels[i - 1] == -100 && labels[i] == line_break[0]) labels[i] = -100, ++i, ++fewer;
    EXPECT_EQ(labels_of(sequences[n]), labels);
  }
  EXPECT_EQ(fewer, 6) << "one a turn";
}

/// What is learned, by us and by TRL, of a single row whose tokens are the same.
std::pair<std::string, std::string> learned(const Json& all, const std::string& name) {
  const Json c = named(all, name), theirs = c.at("sequences").at(0);
  const Tokenizer tokenizer = tokenizer_of(all, c);
  const SftSequence s = encoded(tokenizer, c).at(0);
  EXPECT_EQ(Json(s.tokens), theirs.at("tokens"));
  std::vector<int32_t> by_us, by_trl;
  for (size_t i = 0; i < s.tokens.size(); ++i) {
    if (s.mask[i]) by_us.push_back(s.tokens[i]);
    if (theirs.at("labels")[i] != -100) by_trl.push_back(s.tokens[i]);
  }
  return {tokenizer.decode(by_us, false), tokenizer.decode(by_trl, false)};
}

/// A template that drops the reasoning of earlier turns leaves there what the model never says by itself: TRL learns
/// it, here the turns are learned that stand as they were said.
TEST(SftGolden, TurnsThatTheTemplateChangesAfterwardsAreNotLearned) {
  const auto [ours, theirs] = learned(golden(), "forgotten reasoning");
  EXPECT_EQ(ours, "<think>twice that</think>12<|im_end|>\n");
  EXPECT_EQ(theirs, "6<|im_end|>\n" + ours);
}

/// Nor is a turn whose prompt has another turn before it than the chat: where it begins cannot be told.
TEST(SftGolden, TurnsBehindAnotherContextAreNotLearned) {
  const Json all = golden();
  const Tokenizer tokenizer = tokenizer_of(all, named(all, "forgotten reasoning"));
  const SftRow row{.messages = {{"user", "2*3?"}, {"assistant", "<think>twice three</think>6"}, {"assistant", "Yes."}}};
  const SftSequence s = encode_row(tokenizer, row, 1 << 20);
  EXPECT_EQ(
      tokenizer.decode(s.tokens, false),
      "<|im_start|>user\n2*3?<|im_end|>\n<|im_start|>assistant\n6<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"
      "\n");
  EXPECT_EQ(std::ranges::count(s.mask, 1), 0);
}

/// TRL learns all turns of a completion, the user's and the templates' headers too.
TEST(SftGolden, OnlyTheAssistantIsLearnedOfACompletionOfSeveralTurns) {
  const auto [ours, theirs] = learned(golden(), "a dialogue as the completion");
  EXPECT_EQ(ours, "y<|im_end|>\nw<|im_end|>\n");
  EXPECT_EQ(theirs, "y<|im_end|>\n<|im_start|>user\nz<|im_end|>\n<|im_start|>assistant\nw<|im_end|>\n");
}

/// Where tokens would reach across the end of a prompt TRL learns them, in a context that no one asks with; here the
/// prompt has the ids that it is asked with.
TEST(SftGolden, APromptKeepsItsOwnTokens) {
  const Json all = golden();
  int apart = 0;
  for (const char* name : {"tokens across the end of a prompt", "tokens across, with spaces in front"}) {
    const Json c = named(all, name);
    const Tokenizer tokenizer = tokenizer_of(all, c);
    const std::vector<SftSequence> sequences = encoded(tokenizer, c);
    const std::vector<SftRow> rows = rows_of(c);
    for (size_t n = 0; n < sequences.size(); ++n) {
      const SftSequence& s = sequences[n];
      const auto end = std::ranges::find(s.mask, 1) - s.mask.begin();
      EXPECT_EQ(std::vector(s.tokens.begin(), s.tokens.begin() + end), tokenizer.encode(rows[n].prompt, true));
      EXPECT_EQ(tokenizer.decode(s.tokens), rows[n].prompt + rows[n].completion) << "no space more, none less";
      EXPECT_EQ(s.tokens.back(), tokenizer.special_tokens().eos);
      EXPECT_EQ(std::ranges::count(s.mask, 0), end);
      apart += Json(s.tokens) != c.at("sequences")[n].at("tokens");
    }
  }
  EXPECT_EQ(apart, 3);
}

}  // namespace
}  // namespace cohort
