// `cohort serve -m` as a process: started, asked by the official openai client, told to stop.
#include <sys/socket.h>

#include "tests/program/serving.h"

namespace cohort {
namespace {

int exit_of(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ServeIntegration, TheOfficialClientIsServed) {
  const Serving serving;
  const char* python = std::getenv("COHORT_OPENAI_PYTHON");  // one that has the package; default: python3
  const int code = exit_of(std::string(python ? python : "python3") + " " + COHORT_SOURCE_DIR +
                           "/tests/peers/openai_client.py http://127.0.0.1:" + std::to_string(serving.port) + "/v1 > " +
                           serving.log.string() + " 2>&1");
  if (code == 77) GTEST_SKIP() << "the Python package openai is not installed";
  EXPECT_EQ(code, 0) << read_file(serving.log);
  EXPECT_NE(read_file(serving.log).find("ok"), std::string::npos);
}

TEST(ServeIntegration, EndsInOrderWhenAskedTo) {
  Serving serving;
  serving.process->signal(SIGTERM);
  const Outcome outcome = serving.process->wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST(ServeIntegration, APortInUseIsFoundBeforeTheModelIsLoaded) {
  const Serving serving;
  const fs::path model = serving.job.folder / "model.json";
  const Outcome outcome =
      run_program({"serve", "-m", "init:" + model.string(), "--port", std::to_string(serving.port)});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("cannot be taken"), std::string::npos) << outcome.err;
}

TEST(ServeIntegration, WhatIsWrongIsExitTwo) {
  const Job job("train", train_config());
  const std::string model = "init:" + (job.folder / "model.json").string();
  for (const Arguments& arguments : std::vector<Arguments>{{"serve"},
                                                           {"serve", "-m", "/nowhere/at/all"},
                                                           {"serve", "-m", model, "--max-model-len", "100000000"},
                                                           {"serve", "-m", model, "--kv-cache-tokens", "16"},
                                                           {"serve", "-m", model, "--host", "0.0.0.0"}}) {
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  }
}

}  // namespace
}  // namespace cohort
