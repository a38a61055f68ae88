// On-policy distillation by the real program: what its runs leave, that the student moves towards the teacher, what is
// refused.
#include <gtest/gtest.h>

#include "tests/program/serving.h"

namespace cohort {
namespace {

std::vector<Json> rows_of(const Job& job) {
  return json_lines(job.reference() / "metrics.jsonl");
}

double mean_kl(const std::vector<Json>& rows, size_t first, size_t last) {
  double sum = 0;
  for (size_t i = first; i < last; ++i) sum += rows.at(i).at("kl").get<double>();
  return sum / double(last - first);
}

Json longer(Json changes, double learning_rate = 0.01) {
  changes["student"] = tiny_sft("MODEL");
  changes["student"].erase("tasks");
  changes["student"].update({{"max_steps", 40}, {"save_steps", 0}, {"learning_rate", learning_rate}});
  changes["prompts_per_step"] = 16;
  return changes;
}

TEST(OnPolicyIntegration, TheStudentMovesTowardsTheTeacher) {
  for (const Json& changes : {Json{{"beta", 1.0}}, Json{{"beta", 0.0}}, Json{{"beta", 0.5}},
                              Json{{"distillation_mode", "topk_logits"}, {"loss_top_k", 8}, {"beta", 0.0}}}) {
    const Job job("distill", on_policy_config(longer(changes)));
    const std::vector<Json> rows = rows_of(job);
    ASSERT_EQ(rows.size(), 40U);
    EXPECT_LT(mean_kl(rows, 35, 40), 0.6 * mean_kl(rows, 0, 1)) << changes;
    for (const Json& row : rows) {
      EXPECT_NEAR(row.at("loss").get<double>(), row.at("kl").get<double>(), 1e-9);
      EXPECT_EQ(row.at("on_policy"), 1);
      EXPECT_FALSE(row.contains("reward"));  // nothing was scored
      for (const char* key : {"entropy", "completions/mean_length", "step_time", "grad_norm", "num_tokens"})
        EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_NE(read_file(job.reference() / "report.html").find("Divergence from the teacher"), std::string::npos);
    EXPECT_TRUE(fs::exists(job.reference() / "completions/step-000001.jsonl"));
  }
}

/// The estimate by sampled tokens is noisy: what falls is the exact divergence from the teacher, told by a step of
/// full_logits from the first and from the last weights.
TEST(OnPolicyIntegration, SampledTokensAloneMoveTheStudentToo) {
  const Json sampled = longer({{"distillation_mode", "sampled_token"}}, 0.003);
  const Job job("distill", on_policy_config(sampled));
  const auto kl_of = [&](const std::string& name, const Json& model) {
    Json measure = on_policy_config(longer({{"beta", 1.0}}, 0));
    measure["student"]["model"] = model, measure["student"]["max_steps"] = 1;
    job.place_model(measure);
    write_file(job.folder / "measure.json", measure.dump());
    const Outcome outcome =
        run_program({"distill", (job.folder / "measure.json").string(), "--out", (job.folder / name).string()});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return json_lines(job.folder / name / "metrics.jsonl").at(0).at("kl").get<double>();
  };
  const double before = kl_of("before", "MODEL"), after = kl_of("after", (job.reference() / "final").string());
  EXPECT_LT(after, 0.8 * before);
}

TEST(OnPolicyIntegration, StepsAreSharedOutAsLmbdaSays) {
  Json changes = longer({{"lmbda", 0.3}});
  changes["student"]["tasks"] = "arithmetic_text:operations=2";
  for (const Json& given : {changes, longer({{"lmbda", 0.3}, {"seq_kd", true}})}) {
    const Job job("distill", on_policy_config(given));
    int64_t by_student = 0;
    for (const Json& row : rows_of(job)) {
      by_student += row.at("on_policy").get<int64_t>();
      EXPECT_EQ(row.contains("completions/mean_length"), row.at("on_policy") == 1 || given.contains("seq_kd"));
    }
    EXPECT_GE(by_student, 5);
    EXPECT_LE(by_student, 20);
  }
}

TEST(OnPolicyIntegration, RewardsAreScoredWhereTheyCount) {
  const Job job("distill", on_policy_config({{"distillation_weight", 0.5}, {"num_generations", 4}}));
  for (const Json& row : rows_of(job)) {
    EXPECT_GT(row.at("reward").get<double>(), 0);
    EXPECT_NEAR(row.at("loss").get<double>(),
                0.5 * row.at("kl").get<double>() + 0.5 * row.at("policy_loss").get<double>(), 1e-9);
  }
}

TEST(OnPolicyIntegration, WhatDoesNotGoTogetherIsRefusedInOneSentence) {
  const std::vector<std::pair<Json, std::vector<const char*>>> cases = {
      {{{"distillation_mode", "topk_logits"}}, {"loss_top_k", "topk_logits"}},
      {{{"loss_top_k", 4}}, {"loss_top_k", "full_logits"}},
      {{{"distillation_mode", "sampled_token"}, {"beta", 0.5}}, {"beta", "0.5"}},
      {{{"distillation_mode", "sampled_token"}, {"lmbda", 0.5}, {"seq_kd", true}}, {"lmbda"}},
      {{{"lmbda", 0.5}}, {"student.tasks", "seq_kd"}},
      {{{"lmbda", 0.5}, {"seq_kd", true}, {"student", tiny_sft("MODEL")}}, {"student.tasks", "seq_kd"}},
      {{{"seq_kd", true}}, {"seq_kd", "lmbda"}},
      {{{"student", tiny_sft("MODEL")}}, {"student.tasks", "lmbda"}},
      {{{"student", {{"model", "MODEL"}, {"num_train_epochs", 2}}}}, {"student.num_train_epochs", "student.max_steps"}},
      {{{"student", {{"model", "MODEL"}, {"eval_steps", 2}}}}, {"student.eval_tasks", "outside student"}},
      {{{"student", {{"model", "MODEL"}, {"keep_best_checkpoint", true}}}},
       {"keep_best_checkpoint", "outside student"}},
      {{{"temperature", 0}}, {"temperature"}},
      {{{"keep_sampling_mask", true}, {"top_p", 0.9}}, {"keep_sampling_mask"}},
      {{{"distillation_weight", 0.5}, {"repetition_penalty", 1.2}}, {"repetition_penalty"}},
      {{{"distillation_weight", 0.5}, {"num_generations", 1}}, {"num_generations"}},
      {{{"beta", 1.5}}, {"beta", "1.5"}},
      {{{"eval_steps", 3}}, {"eval_tasks"}},
      {{{"rewards", Json::array()}}, {"rewards"}},
      {{{"max_completion_length", 256}}, {"max_completion_length", "256"}},
  };
  for (const auto& [changes, words] : cases) {
    const Job job("distill", on_policy_config(changes));
    for (const Arguments& more : {Arguments{}, Arguments{"--dry-run"}}) {
      const Outcome outcome = job.run(job.out("refused"), more);
      EXPECT_EQ(outcome.exit_code, 2) << changes << outcome.err;
      EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
      for (const char* word : words) EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err << word;
    }
    EXPECT_FALSE(fs::exists(job.out("refused") / "config.json"));
  }
}

TEST(OnPolicyIntegration, ATeacherOfAnotherVocabularyIsRefusedAndTracesWork) {
  Json other = tiny_model();
  other["tokenizer"]["bytes"] = {"<|eos|>", "<think>", "<|pad|>", "</think>"};
  Json config = on_policy_config();
  const Job job("distill", config);
  write_file(job.folder / "other.json", other.dump());
  config["teacher"] = "init:" + (job.folder / "other.json").string();
  job.place_model(config);
  write_file(job.folder / "config.json", config.dump());
  const Outcome refused = job.run(job.out("refused"));
  EXPECT_EQ(refused.exit_code, 2);
  for (const char* word : {"260", "259", "id 257", "<think>", "<|bos|>", "mode traces"})
    EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
  config["mode"] = "traces", config["rewards"] = Json::array({"regex:pattern=."});
  write_file(job.folder / "config.json", config.dump());
  const Outcome outcome = job.run(job.out("traces"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

/// Padding: logits that no token has.
TEST(OnPolicyIntegration, ATeacherMayHaveMoreLogitsThanTheStudentButNotFewer) {
  Json wide = tiny_model();
  wide["vocab_size"] = 320;
  Json config = on_policy_config();
  const Job job("distill", config);
  write_file(job.folder / "wide.json", wide.dump());
  const std::string padded = "init:" + (job.folder / "wide.json").string() + "?seed=2";
  for (bool teacher_is_padded : {true, false}) {
    Json given = config;
    (teacher_is_padded ? given["teacher"] : given["student"]["model"]) = padded;
    job.place_model(given);
    write_file(job.folder / "config.json", given.dump());
    const Outcome outcome = job.run(job.out(teacher_is_padded ? "teacher" : "student"));
    EXPECT_EQ(outcome.exit_code, teacher_is_padded ? 0 : 2) << outcome.err;
    EXPECT_EQ(outcome.err.find("320:") != std::string::npos, !teacher_is_padded) << outcome.err;
  }
}

/// The log-probabilities are the same, so the runs are, to the bit.
TEST(OnPolicyIntegration, ATeacherByUrlTeachesAsOneInTheProcess) {
  const Serving serving;  // of MODEL
  Json config = on_policy_config({{"distillation_mode", "sampled_token"}, {"teacher", "MODEL"}});
  config["student"]["model"] = "TEACHER";
  const Job job("distill", config);
  const auto by_url = [&](const Json& changes) {
    Json given = config;
    given["teacher"] = "http://127.0.0.1:" + std::to_string(serving.port) + "/v1";
    given.update(changes);
    job.place_model(given);
    write_file(job.folder / "by_url.json", given.dump());
    return run_program({"distill", (job.folder / "by_url.json").string(), "--out", job.out("by_url").string()});
  };
  const Outcome outcome = by_url(Json::object());
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(without_times(json_lines(job.out("by_url") / "metrics.jsonl")),
            without_times(json_lines(job.reference() / "metrics.jsonl")));
  EXPECT_TRUE(read_file(job.out("by_url") / "final/model.safetensors") ==
              read_file(job.reference() / "final/model.safetensors"));
  fs::remove_all(job.out("by_url"));
  for (const auto& [changes, word] : std::vector<std::pair<Json, const char*>>{
           {{{"distillation_mode", "full_logits"}}, "sampled_token"},
           {{{"temperature", 0.5}}, "temperature"},
           {{{"teacher", "http://127.0.0.1:" + std::to_string(serving.port)}}, "/v1"},
           {{{"teacher", "https://127.0.0.1/v1"}}, "TLS"}}) {
    const Outcome refused = by_url(changes);
    EXPECT_EQ(refused.exit_code, 2) << changes << refused.err;
    EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
  }
  EXPECT_EQ(by_url({{"teacher", "http://127.0.0.1:9/v1"}}).exit_code, 1);  // nobody there
  Json other = tiny_model();
  other["tokenizer"]["bytes"] = {"<|eos|>", "<|pad|>", "<|bos|>"};
  const Serving stranger({}, other);
  const Outcome refused = by_url({{"teacher", "http://127.0.0.1:" + std::to_string(stranger.port) + "/v1"}});
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
  for (const char* word : {"257", "258", "mode traces"})
    EXPECT_NE(refused.err.find(word), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace cohort
