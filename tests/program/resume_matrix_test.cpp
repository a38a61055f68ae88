// Every option of the learner in one table: a run killed in the middle and resumed with another number of threads ends
// at the bytes of a run that nobody disturbed. By default every option is killed once, in the middle of a rollout;
// COHORT_TEST_ALL=1 kills at each step of the run.
#include <gtest/gtest.h>

#include "tests/program/job.h"

namespace cohort {
namespace {

struct Option {
  std::string name;
  Json changes;
};

std::vector<Option> options() {
  const Json held_out = "arithmetic:operations=2,split=held_out,limit=4";
  std::vector<Option> all;
  for (const char* type : {"grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"})
    all.push_back({type, {{"loss_type", type}, {"epsilon_high", 1.5}}});
  for (const char* correction : {"token_truncate", "token_mask", "sequence_truncate", "sequence_mask"})
    all.push_back({correction, {{"importance_sampling_correction", correction}}});
  for (const char* router : {"train", "bias_only", "freeze"})
    all.push_back({std::string("router_") + router, {{"router_policy", router}}});
  for (const int ahead : {1, 2})
    for (const bool has_inner_steps : {false, true}) {
      const int inner = has_inner_steps ? 2 : 1;
      all.push_back({"max_staleness_" + std::to_string(ahead) + (has_inner_steps ? "_of_four_steps" : ""),
                     {{"max_staleness", ahead},
                      {"steps_per_generation", inner},
                      {"num_iterations", inner},
                      {"importance_sampling_correction", has_inner_steps ? "none" : "token_truncate"}}});
    }
  const std::vector<Option> others = {
      {"sequence_level", {{"importance_sampling_level", "sequence"}}},
      {"adaptive_entropy", {{"use_adaptive_entropy", true}, {"entropy_coef", 0.01}, {"entropy_target", 50}}},
      {"top_entropies", {{"top_entropy_quantile", 0.5}}},
      {"off_policy_mask", {{"off_policy_mask_threshold", 0.01}}},
      {"moving_reference",
       {{"beta", 0.05}, {"sync_ref_model", true}, {"ref_model_sync_steps", 2}, {"ref_model_mixup_alpha", 0.5}}},
      {"kl_in_reward", {{"beta", 0.05}, {"kl_in_reward", true}}},
      {"scaled_by_batch", {{"scale_rewards", "batch"}}},
      {"refills",
       {{"dynamic_sampling", {{"max_refill_batches", 3}}},
        {"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-3]"}}}}})}}},
      {"refills_ahead",
       {{"dynamic_sampling", {{"max_refill_batches", 3}}},
        {"max_staleness", 1},
        {"rewards", Json::array({{{"name", "regex"}, {"options", {{"pattern", "[0-3]"}}}}})}}},
      {"complete_groups", {{"learn_while_sampling", true}, {"loss_type", "dapo"}, {"max_tokens_per_batch", 40}}},
      {"complete_groups_of_mini_batches",
       {{"learn_while_sampling", true}, {"steps_per_generation", 3}, {"num_iterations", 2}, {"beta", 0.05}}},
      {"kept_sets", {{"keep_sampling_mask", true}, {"top_p", 0.7}}},
      {"kept_sets_ahead", {{"keep_sampling_mask", true}, {"top_p", 0.7}, {"max_staleness", 1}}},
      {"gradient_checkpointing", {{"gradient_checkpointing", true}}},
      {"bf16", {{"bf16", true}}},
      {"bf16_ahead", {{"bf16", true}, {"max_staleness", 2}}},
      {"adapters", {{"use_peft", true}, {"router_bias_update_rate", 0}, {"beta", 0.05}}},
      {"adapters_ahead",
       {{"use_peft", true}, {"router_bias_update_rate", 0}, {"beta", 0.05}, {"max_staleness", 2}, {"bf16", true}}},
      {"adapters_with_moving_reference",
       {{"use_peft", true},
        {"router_bias_update_rate", 0},
        {"beta", 0.05},
        {"sync_ref_model", true},
        {"ref_model_mixup_alpha", 1.0},
        {"ref_model_sync_steps", 2}}},
      {"one_step", {{"steps_per_generation", 1}, {"num_iterations", 1}}},
      {"three_mini_batches", {{"steps_per_generation", 3}, {"num_iterations", 1}}},
      {"three_iterations", {{"steps_per_generation", 1}, {"num_iterations", 3}}},
      {"cosine", {{"lr_scheduler_type", "cosine"}, {"warmup_steps", 2}, {"weight_decay", 0.1}, {"max_grad_norm", 0.1}}},
      {"masked_truncated", {{"mask_truncated_completions", true}, {"max_completion_length", 24}}},
      {"soft_overlong", {{"overlong", {{"soft_cache", 4}, {"penalty", 0.5}}}}},
      {"micro_batches", {{"max_tokens_per_batch", 40}}},
      {"best_checkpoint",
       {{"eval_steps", 1},
        {"eval_tasks", held_out},
        {"eval_temperature", 1.0},
        {"keep_best_checkpoint", true},
        {"load_best_model_at_end", true}}},
      {"evaluated_ahead", {{"eval_steps", 2}, {"eval_tasks", held_out}, {"beta", 0.05}, {"max_staleness", 1}}},
      {"tight_engine", {{"max_slots", 3}, {"prefill_tokens", 7}, {"kv_cache_tokens", 128}, {"speculative_tokens", 2}}}};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

/// Killed once, or with COHORT_TEST_ALL at each step, and resumed with another number of threads.
void kill_and_resume(const Job& job) {
  const fs::path reference = job.reference(), out = job.out("killed");
  for (int64_t rows = test_all() ? 1 : 5; rows <= (test_all() ? 8 : 5); ++rows) {
    fs::remove_all(out);
    Process process(job.arguments(out, {"--set", "threads=" + std::to_string(1 + rows % 2)}));
    ASSERT_TRUE(process.wait_until([&] { return num_lines(out / "metrics.jsonl") >= rows; })) << process.error_text();
    process.signal(SIGKILL);
    ASSERT_EQ(process.wait().exit_code, -SIGKILL) << "it was through before";
    const Outcome outcome = job.run(out, {"--resume", "--set", "threads=3"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    expect_same_run(reference, out);
  }
}

class ResumeMatrixIntegration : public testing::TestWithParam<Option> {};

TEST_P(ResumeMatrixIntegration, EndsAtTheSameBytes) {
  kill_and_resume(Job("train", train_config_with(GetParam().changes)));
}

INSTANTIATE_TEST_SUITE_P(Learner, ResumeMatrixIntegration, testing::ValuesIn(options()),
                         [](const auto& option) { return option.param.name; });

/// Of supervised tuning; nine steps each.
std::vector<Option> sft_options() {
  const Json rows = "arithmetic_text:operations=2,limit=35", held_out = "arithmetic_text:operations=2,seed=5,limit=12";
  const Json epochs = {{"tasks", rows}, {"max_steps", nullptr}, {"num_train_epochs", 2}},
             evaluated = {{"eval_tasks", held_out}, {"eval_steps", 2}},
             best = {{"save_total_limit", 1}, {"keep_best_checkpoint", true}, {"load_best_model_at_end", true}};
  std::vector<Option> all = {{"epochs", epochs}, {"evaluated", evaluated}};
  Json changes = epochs;
  changes.update(evaluated), changes.update(best);
  all.push_back({"best_of_epochs", changes});
  changes.update({{"use_peft", true}, {"eval_steps", 1}});
  all.push_back({"best_adapters", changes});
  changes = evaluated;
  changes.update(best);
  changes.update({{"lr_scheduler_type", "cosine"}, {"warmup_steps", 2}, {"bf16", true}, {"max_tokens_per_batch", 90}});
  all.push_back({"best_by_cosine", changes});
  return all;
}

class SftResumeMatrixIntegration : public testing::TestWithParam<Option> {};

TEST_P(SftResumeMatrixIntegration, EndsAtTheSameBytes) {
  Json config = tiny_sft("MODEL");
  config.update(GetParam().changes);
  kill_and_resume(Job("sft", config));
}

TEST_P(SftResumeMatrixIntegration, AStudentOfTracesToo) {
  Json config = distill_config(), student = config["student"];
  student.update(GetParam().changes), student.erase("tasks");
  if (student.contains("num_train_epochs")) student["num_train_epochs"] = 5.5;  // of 13 traces
  config["student"] = student;
  kill_and_resume(Job("distill", config));
}

INSTANTIATE_TEST_SUITE_P(Options, SftResumeMatrixIntegration, testing::ValuesIn(sft_options()),
                         [](const auto& option) { return option.param.name; });

}  // namespace
}  // namespace cohort
