// Programs that speak JSON lines.
#include "tests/rewards/plugins/batches.h"

namespace cohort {
namespace {

const std::string kProgram = "exec:/usr/bin/python3 " + kCheckers + "broken_program.py";

TEST(Exec, AnswersInAnyOrder) {
  const auto scores = judged_by(kProgram, {"hold", "a", "hold", "b"});
  for (const Score& score : scores) expect_value(score, 1);
  EXPECT_EQ(scores[0].components.at("pid"), scores[3].components.at("pid"));  // one resident process
}

TEST(Exec, StatusReasonAndLogsArePassedOn) {
  const Score score = judged_by(kProgram, {"hack"})[0];
  expect_value(score, 0);
  EXPECT_EQ(score.status, Status::hack);
  EXPECT_EQ(score.reason.find('\n'), std::string::npos);
  EXPECT_EQ(score.extra_logs, (Json{{"a", {1}}}));
}

TEST(Exec, ArgumentsAreWordsAsAShellReadsThem) {
  const auto echo = [](const std::string& words) {
    return plugin(
        "exec:/bin/sh -c 'while read -r line; do echo \"{\\\"id\\\": \\\"t0\\\", \\\"score\\\": $0}\"; done' " + words);
  };
  expect_value(judged_by(echo("'0.5'"), Rows::of({"x"}))[0], 0.5F);
  expect_value(judged_by(echo("\\0.25 more"), Rows::of({"x"}))[0], 0.25F);
  expect_value(judged_by(echo("\"0\".75"), Rows::of({"x"}))[0], 0.75F);
}

TEST(Exec, RefusedAtStart) {
  EXPECT_NE(refusal("exec:").find("names no program"), std::string::npos);
  EXPECT_NE(refusal("exec:no_such_program_here --x").find("\"no_such_program_here\" cannot be started"),
            std::string::npos);
  EXPECT_NE(refusal("exec:cat 'a").find("not closed"), std::string::npos);
}

TEST(ExecFault, EachFaultCostsItsBatchAndIsNamed) {
  const Reward reward = plugin(kProgram, {{"workers", 1}});
  const std::vector<std::pair<std::string, std::string>> whole = {
      {"noise", "noise on stdout: \"loading the model ...\""},
      {"wrong id", "\"nobody\", which was not asked for"},
      {"deep", "noise on stdout: \"{"},
      {"twice", "was answered twice"}};
  for (const auto& [fault, reason] : whole) {
    for (const Score& score : judged_by(reward, Rows::of({"ok", fault, "ok"}))) expect_failed(score, reason);
    expect_value(judged_by(reward, Rows::of({"ok"}))[0], 1);
  }
  const std::vector<std::pair<std::string, std::string>> rest = {
      {"crash", "was killed by signal 6 (Aborted)"},
      {"hang", "the batch of 3 took longer than 0.2 s an item; its worker was killed"},
      {"flood", "64 MiB without a line's end"}};
  for (const auto& [fault, reason] : rest) {
    const auto scores = judged_by(reward, Rows::of({"ok", fault, "ok"}), fault == "hang" ? 0.2 : 20);
    expect_failed(scores[1], reason);
    expect_failed(scores[2], reason);
    expect_value(judged_by(reward, Rows::of({"ok"}))[0], 1);
  }
}

TEST(ExecFault, AnAnswerThatIsNoneCostsItsItem) {
  const auto scores = judged_by(kProgram, {"nan", "ok", "no score", "status", "error", "ok"});
  expect_failed(scores[0], "NaN");
  expect_failed(scores[2], "no \"score\"");
  expect_failed(scores[3], "unknown status \"fine\"");
  expect_failed(scores[4], "");
  expect_value(scores[1], 1);
  expect_value(scores[5], 1);
}

TEST(ExecFault, AMissingAnswerIsWaitedForAndNamed) {
  const Reward reward = plugin(kProgram, {{"workers", 1}});
  judged_by(reward, Rows::of({"ok"}));  // so that the start of an interpreter does not count
  const auto scores = judged_by(reward, Rows::of({"ok", "silent"}), 0.3);
  expect_value(scores[0], 1);
  expect_failed(scores[1], "took longer than 0.3 s an item");
}

TEST(ExecFault, AProgramMayTakeLongerToStartThanToJudge) {
  expect_value(judged_by(kProgram + " --slow-start", {"ok"}, 0.3)[0], 1);
  expect_failed(judged_by(plugin(kProgram + " --slow-start", {{"start_timeout", 0.1}}), Rows::of({"ok"}), 0.1)[0],
                "took longer than the deadline of 0.1 s");
}

TEST(ExecFault, AProgramThatLeavesAtOnce) {
  expect_failed(judged_by("exec:/bin/sh -c 'echo no such model >&2; exit 9'", {"a"})[0],
                "exited with code 9, its last words: \"no such model\"");
  expect_failed(judged_by("exec:/bin/cat", {"a"})[0], "has no \"score\"");
}

TEST(ExecFault, ABatchLargerThanAnyBufferGoesThrough) {
  Rows rows = Rows::of(std::vector<std::string>(64, std::string(100'000, 'x')));
  for (const Score& score : judged_by(plugin(kProgram), rows)) expect_value(score, 1);
}

}  // namespace
}  // namespace cohort
