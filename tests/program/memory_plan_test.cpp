// What the plan says of memory, against what a run then takes.
#include <gtest/gtest.h>

#include <string>

#include "tests/program/job.h"

namespace cohort {
namespace {

/// GiB that stand before `words` in a text.
double gib_before(const std::string& text, const std::string& words) {
  const size_t end = text.find(" GiB" + words);
  if (end == std::string::npos) return 0;
  return std::stod(text.substr(text.rfind(' ', end - 1) + 1, end));
}

TEST(MemoryPlanIntegration, IsRightWithinATenth) {
  const Json config = {{"model", "init:" COHORT_SOURCE_DIR "/configs/models/bench-moe.json"},
                       {"tasks", "arithmetic"},
                       {"rewards", {"exact"}},
                       {"prompts_per_step", 4},
                       {"num_generations", 8},
                       {"max_completion_length", 160},
                       {"min_tokens", 160},  // every completion has full length
                       {"max_steps", 2},
                       {"dry_step", "always"}};
  const Json ahead = {{"max_staleness", 2},        {"max_steps", 4},
                      {"eval_steps", 4},           {"eval_tasks", "arithmetic:split=held_out,limit=4"},
                      {"eval_num_generations", 8}, {"eval_temperature", 1.0}};
  const Json variants[] = {{{"gradient_checkpointing", false}},
                           {{"gradient_checkpointing", true}},
                           {{"use_peft", true}, {"bf16", true}, {"beta", 0.01}},
                           ahead};
  for (const Json& variant : variants) {
    Json changed = config;
    changed.update(variant);
    const TinyJob job;
    const Outcome outcome = run_program({"train", job.write(changed.dump()), "--out", job.out()});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const double planned = gib_before(outcome.err, " at most"), after_dry_step = gib_before(outcome.err, " of memory");
    const Json last = json_lines(fs::path(job.out()) / "metrics.jsonl").back();
    const double taken = last.at("perf/max_memory_allocated_gb").get<double>() * 1e9 / double(1 << 30);
    EXPECT_NEAR(taken, planned, 0.1 * planned) << outcome.err;
    EXPECT_GT(after_dry_step, 0.8 * planned);  // what is left belongs to the rollout
    EXPECT_LE(after_dry_step, taken);
    EXPECT_GT(planned, variant == variants[0] ? 0.5 : 0.15) << variant;
  }
}

TEST(MemoryPlanIntegration, ADryStepChangesNoBit) {
  std::string weights[2];
  for (bool dry : {false, true}) {
    const TinyJob job;
    const Json config = job.config({{"max_steps", 4}, {"dry_step", dry ? "always" : "never"}});
    const Outcome outcome = run_program({"train", job.write(config.dump()), "--out", job.out()});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.err.find("dry step") != std::string::npos, dry);
    weights[dry] = read_file(fs::path(job.out()) / "final/model.safetensors");
  }
  EXPECT_EQ(weights[0], weights[1]);
}

}  // namespace
}  // namespace cohort
