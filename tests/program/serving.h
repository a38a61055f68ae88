// `cohort serve` as a child process.
#pragma once
#include "tests/program/job.h"

namespace cohort {

/// The service on a free port, once it says that it listens.
struct Serving {
  explicit Serving(Arguments more = {}, const Json& model = tiny_model())
      : job("train", train_config(), model), log(job.folder / "log") {
    Arguments arguments = {"serve", "-m", "init:" + (job.folder / "model.json").string() + "?seed=1", "--port", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    process = std::make_unique<Process>(arguments);
    const bool listens =
        process->wait_until([&] { return process->error_text().find(" at http://") != std::string::npos; });
    EXPECT_TRUE(listens) << process->error_text();
    const std::string text = process->error_text();
    const size_t at = text.find(":", text.find("http://") + 7);
    if (listens) port = std::stoi(text.substr(at + 1));
  }
  Job job;
  fs::path log;
  std::unique_ptr<Process> process;
  int port = 0;
};

}  // namespace cohort
