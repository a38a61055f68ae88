// Exit codes and sentences, on an application with verbs of the shapes that the real ones have.
#include "configs/command_line.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <new>

#include "configs/error.h"

namespace cohort {
namespace {

struct Outcome {
  int exit_code;
  std::string out, err;
};

/// Runs `cohort WORDS…`; the verb `sample` calls `work`.
Outcome run(
    std::vector<const char*> words, const std::function<void()>& work = [] {}) {
  CLI::App app("reinforcement learning", "cohort");
  app.require_subcommand(1);
  app.set_version_flag("--version", [] { return std::string("cohort 1.2"); });
  std::string model, file;
  int count = 1;
  CLI::App* sample = app.add_subcommand("sample", "completions");
  sample->add_option("-m,--model", model, "a model reference")->required();
  sample->add_option("-n,--num-generations", count, "completions a prompt");
  sample->callback(work);
  app.add_subcommand("train", "a run")->add_option("config", file, "a file")->required();
  CLI::App* tasks = app.add_subcommand("tasks", "tasks");
  tasks->require_subcommand(1);
  tasks->add_subcommand("show", "shows")->add_option("task", file);
  tasks->add_subcommand("list", "lists");

  words.insert(words.begin(), "cohort");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int exit_code = run_command_line(app, static_cast<int>(words.size()), words.data());
  return {exit_code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

void expect_end(const Outcome& outcome, int exit_code, const std::string& err) {
  EXPECT_EQ(outcome.exit_code, exit_code);
  EXPECT_EQ(outcome.err, err);
  EXPECT_EQ(outcome.out, "");
}

TEST(CommandLine, GivesEachKindOfEndItsCode) {
  const std::vector<const char*> sample = {"sample", "-m", "x"};
  expect_end(run(sample), 0, "");
  expect_end(run(sample, [] { throw UsageError("no such key"); }), 2, "cohort: no such key\n");
  expect_end(run(sample, [] { throw MissingError("no g++"); }), 3, "cohort: no g++\n");
  expect_end(run(sample, [] { throw Interrupted("resume with --resume"); }), 130, "cohort: resume with --resume\n");
  expect_end(run(sample, [] { throw std::bad_alloc(); }), 1, "cohort: out of memory\n");
  expect_end(run(sample, [] { throw std::runtime_error("torch says\nframe #0"); }), 1, "cohort: torch says\n");
  expect_end(run(sample, [] { throw std::runtime_error(""); }), 1, "cohort: an error without a message\n");
  expect_end(run(sample, [] { static_cast<void>(std::filesystem::file_size("/nowhere")); }), 1,
             "cohort: filesystem error: cannot get file size: No such file or directory [/nowhere]\n");
}

TEST(CommandLine, NamesTheNearestFlag) {
  expect_end(run({"sample", "--modle", "x"}), 2,
             "cohort: unknown flag --modle; the nearest is --model (cohort sample --help lists all)\n");
  expect_end(
      run({"sample", "-m", "x", "--num_generation=3"}), 2,
      "cohort: unknown flag --num_generation; the nearest is --num-generations (cohort sample --help lists all)\n");
  expect_end(run({"tasks", "show", "x", "--hlep"}), 2,
             "cohort: unknown flag --hlep; the nearest is --help (cohort tasks show --help lists all)\n");
  expect_end(run({"--verion"}), 2,
             "cohort: unknown flag --verion; the nearest is --version (cohort --help lists all)\n");
}

TEST(CommandLine, NamesTheNearestVerb) {
  expect_end(run({"trian", "c.json"}), 2,
             "cohort: unknown verb trian; the nearest is train (cohort --help lists all)\n");
  expect_end(run({"tasks", "lsit"}), 2,
             "cohort: unknown verb lsit; the nearest is list (cohort tasks --help lists all)\n");
  expect_end(run({"tasks", "list", "x"}), 2, "cohort: unknown argument x (cohort tasks list --help lists all)\n");
  expect_end(run({}), 2, "cohort: a verb is missing (cohort --help lists them)\n");
  expect_end(run({"tasks"}), 2, "cohort: a verb is missing (cohort tasks --help lists them)\n");
}

TEST(CommandLine, NamesABadOrMissingValue) {
  const Outcome bad = run({"sample", "-m", "x", "-n", "many"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_NE(bad.err.find("--num-generations"), std::string::npos);
  EXPECT_NE(bad.err.find("many"), std::string::npos);
  expect_end(run({"sample"}), 2, "cohort: --model is required (cohort sample --help)\n");
  expect_end(run({"train"}), 2, "cohort: config is required (cohort train --help)\n");
}

TEST(CommandLine, PrintsHelpAndVersionOnStdout) {
  EXPECT_EQ(run({"--version"}).out, "cohort 1.2\n");
  const Outcome help = run({"sample", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.err, "");
  EXPECT_NE(help.out.find("--num-generations"), std::string::npos);
  EXPECT_EQ(run({"train", "--help"}).exit_code, 0);
  EXPECT_EQ(run({"sample", "--modle", "--help"}).exit_code, 0);
  expect_end(run({"trian", "--help"}), 2,
             "cohort: unknown verb trian; the nearest is train (cohort --help lists all)\n");
}

TEST(CommandLine, FailsWhenStdoutCannotBeWritten) {
  const Outcome outcome = run({"sample", "-m", "x"}, [] { std::cout.setstate(std::ios::badbit); });
  std::cout.clear();
  expect_end(outcome, 1, "cohort: stdout could not be written to\n");
}

}  // namespace
}  // namespace cohort
