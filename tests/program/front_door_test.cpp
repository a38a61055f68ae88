// The program as a shell sees it: every verb of the contract is there, what is unknown is refused, completion works.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace cohort {
namespace {

struct Outcome {
  int exit_code;
  std::string out;
};

/// Runs a command of the shell, where `cohort` is the program just built.
Outcome shell(const std::string& command) {
  const std::string line = "PATH='" COHORT_BINARY_DIR "':\"$PATH\"; " + command;
  Outcome outcome{-1, ""};
  FILE* pipe = popen(line.c_str(), "r");
  char chunk[4096];
  while (const size_t got = fread(chunk, 1, sizeof chunk, pipe)) outcome.out.append(chunk, got);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  return outcome;
}

const std::vector<std::string> kVerbs = {
    "train",          "run",     "sft",           "distill",    "sample",     "score",
    "eval",           "serve",   "config import", "tasks list", "tasks show", "tasks validate",
    "tasks generate", "inspect", "export",        "report",     "bench",      "doctor"};

TEST(FrontDoorIntegration, EveryVerbHasHelpWithAnExample) {
  for (const std::string& verb : kVerbs) {
    const Outcome help = shell("cohort " + verb + " --help 2>&1");
    EXPECT_EQ(help.exit_code, 0) << verb << ": " << help.out;
    EXPECT_NE(help.out.find("Usage: cohort " + verb + " "), std::string::npos) << verb;
    const size_t example = help.out.find("Example");
    EXPECT_NE(help.out.find("cohort " + verb, std::min(example, help.out.size())), std::string::npos) << verb;
  }
}

TEST(FrontDoorIntegration, VersionNamesWhatItWasBuiltWith) {
  const Outcome version = shell("cohort --version");
  EXPECT_EQ(version.exit_code, 0);
  for (const char* part : {"cohort ", "LibTorch ", "CPU features:", "GPU back end: "})
    EXPECT_NE(version.out.find(part), std::string::npos) << part;
}

TEST(FrontDoorIntegration, WrongUsageExitsWithTwo) {
  const Outcome verb = shell("cohort trian c.json 2>&1");
  EXPECT_EQ(verb.exit_code, 2);
  EXPECT_NE(verb.out.find("the nearest is train"), std::string::npos) << verb.out;
  EXPECT_EQ(shell("cohort 2>&1").exit_code, 2);
  EXPECT_EQ(shell("cohort trian --help 2>&1").exit_code, 2);
  EXPECT_EQ(shell("cohort doctor --jsn 2>&1").out,
            "cohort: unknown flag --jsn; the nearest is --json (cohort doctor --help lists all)\n");
  EXPECT_EQ(shell("cohort train /nowhere/config.json 2>/dev/null").exit_code, 2);
}

/// What bash offers after the line, one word each, in a space-separated list.
std::string completions(const std::string& line) {
  return shell("bash -c 'source " COHORT_SOURCE_DIR "/configs/completion.bash; COMP_WORDS=(" + line +
               "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cohort; echo \"${COMPREPLY[*]}\"'")
      .out;
}

TEST(FrontDoorIntegration, BashCompletesVerbsAndFlags) {
  EXPECT_EQ(completions("cohort tr"), "train\n");
  EXPECT_EQ(completions("cohort tasks sh"), "show\n");
  EXPECT_EQ(completions("cohort doctor --js"), "--json\n");
  EXPECT_EQ(completions("cohort train conf"), "\n");  // then bash offers files
}

}  // namespace
}  // namespace cohort
