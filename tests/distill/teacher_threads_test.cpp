// Many requests at once, in this process, so that sanitizers see the threads.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "distill/teachers/openai.h"
#include "distill/teachers/teacher.h"
#include "tests/distill/fake_server.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

class RemoteTeacherThreads : public testing::Test {
 protected:
  void SetUp() override {
    log = fs::temp_directory_path() / ("cohort_teacher_" + std::to_string(getpid()));
    fs::remove(log);
    for (int i = 0; i < 120; ++i)
      tasks.push_back({.id = "t" + std::to_string(i), .prompt = {{"user", "prompt " + std::to_string(i)}}});
    config.num_prompts = 120, config.prompts_per_step = 16, config.num_generations = 4;
    config.remote = {.teacher_model = "fake", .max_concurrent_requests = 24, .max_retries = 20};
    config.sampling.max_completion_length = 8;
  }
  void TearDown() override { fs::remove(log); }

  /// Texts of all completions, by prompt.
  std::vector<std::vector<std::string>> ask(const FakeServer& server) {
    config.teacher = server.url();
    const std::unique_ptr<Teacher> teacher = remote_teacher(config, tasks, tokenizer, log);
    std::vector<std::vector<std::string>> texts;
    int64_t most_told = 0;
    for (int64_t piece = 0; piece * 16 < 120; ++piece)
      for (const Answers& answers : teacher->answer(piece, [&](int64_t prompts, int64_t, const std::string&) {
             EXPECT_GE(prompts, most_told);
             most_told = prompts;
           })) {
        EXPECT_EQ(answers.group.task.id, "t" + std::to_string(texts.size()));
        texts.emplace_back();
        for (const Rollout& rollout : answers.group.rollouts) {
          EXPECT_EQ(rollout.completion.member, int32_t(texts.back().size()));
          texts.back().push_back(rollout.text);
        }
      }
    return texts;
  }

  /// Says the prompt again and the seed; sometimes busy, sometimes fewer completions than asked for.
  static std::string unsteady_reply(const FakeRequest& request) {
    if (request.number % 7 == 3) return http_reply(503, "busy");
    const uint64_t seed = request.body["seed"], n = request.body.value("n", 1U);
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < (seed % 3 ? n : 1); ++i)
      texts.push_back(request.body["messages"][0]["content"].get<std::string>() + " " + std::to_string(seed + i));
    return chat_reply(texts);
  }

  fs::path log;
  std::vector<Task> tasks;
  DistillConfig config;
  Tokenizer tokenizer = byte_tokenizer({"<|eos|>"});
};

TEST_F(RemoteTeacherThreads, EveryPromptHasItsOwnAnswersInTheirOrder) {
  std::vector<std::vector<std::string>> first;
  {
    const FakeServer server(unsteady_reply);
    first = ask(server);
    EXPECT_GT(server.most_at_once(), 1);
  }
  ASSERT_EQ(first.size(), 120U);
  for (size_t i = 0; i < first.size(); ++i) {
    ASSERT_EQ(first[i].size(), 4U);
    const std::string prompt = "prompt " + std::to_string(i) + " ";
    const uint64_t seed = std::stoull(first[i][0].substr(prompt.size()));
    for (size_t member = 0; member < 4; ++member) EXPECT_EQ(first[i][member], prompt + std::to_string(seed + member));
  }
  const FakeServer silent([](const FakeRequest&) { return http_reply(400, "nothing is to be asked"); });
  EXPECT_EQ(ask(silent), first) << "from the log alone";
  EXPECT_TRUE(silent.requests().empty());
}

TEST_F(RemoteTeacherThreads, TheBudgetHoldsWithManyRequestsOnTheirWay) {
  config.max_teacher_tokens = 900;  // an answer is of 7 + 4 · 3 tokens, and may be of some twenty more
  const FakeServer server([](const FakeRequest& request) {
    return chat_reply(std::vector<std::string>(request.body["n"].get<size_t>(), "x"));
  });
  int64_t answered = 0;
  for (const auto& texts : ask(server)) answered += !texts.empty();
  EXPECT_LE(answered * 19, 900);
  EXPECT_GT(answered * 19, 700) << "what requests on their way leave of their room is used";
}

}  // namespace
}  // namespace cohort
