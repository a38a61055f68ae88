// Answers are found again by what was asked, whatever ended the process that wrote them.
#include "distill/teachers/response_log.h"

#include <gtest/gtest.h>

#include <thread>

#include "configs/error.h"
#include "tests/program/program.h"

namespace cohort {
namespace {

TEST(ResponseLog, AnAnswerIsFoundByItsRequestAlsoByTheNextProcess) {
  const TestFolder folder;
  const Json request = {{"prompt", "3 + 4"}, {"temperature", 0.7}, {"seed", 5}}, response = {{"text", "7 因为\n"}};
  {
    ResponseLog log(folder / "log");
    EXPECT_FALSE(log.find(request));
    EXPECT_EQ(log.response(log.add(request, response)), response);
    log.add({{"seed", 6}}, {{"text", "8"}});
  }
  const ResponseLog log(folder / "log");
  ASSERT_TRUE(log.find(request));
  EXPECT_EQ(log.response(*log.find(request)), response);
  EXPECT_EQ(log.response(*log.find({{"seed", 6}})), Json({{"text", "8"}}));
  EXPECT_FALSE(log.find({{"seed", 7}}));
}

TEST(ResponseLog, HalfALastLineIsCutOffAndABrokenOneIsNamed) {
  const TestFolder folder;
  { ResponseLog(folder / "log").add({{"seed", 1}}, {{"text", "a"}}); }
  const std::string whole = read_file(folder / "log");
  write_file(folder / "log", whole + whole.substr(0, 20));
  {
    ResponseLog log(folder / "log");
    log.add({{"seed", 2}}, {{"text", "b"}});
    EXPECT_EQ(log.response(*log.find({{"seed", 2}})), Json({{"text", "b"}}));
  }
  EXPECT_EQ(num_lines(folder / "log"), 2);
  write_file(folder / "log", whole + "{\"request\": 1}\n");
  try {
    ResponseLog log(folder / "log");
    ADD_FAILURE() << "taken";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("log:2"), std::string::npos) << error.what();
  }
}

TEST(ResponseLog, ThreadsWriteWholeLines) {
  const TestFolder folder;
  ResponseLog log(folder / "log");
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) log.add({{"seed", 100 * t + i}}, {{"text", std::string(size_t(i), 'x')}});
    });
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 8; ++t)
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(log.response(log.find({{"seed", 100 * t + i}}).value())["text"], std::string(size_t(i), 'x'));
}

}  // namespace
}  // namespace cohort
