// What is asked of a server, what its answers say, and how long it is waited for.
#include "distill/teachers/openai.h"

#include <gtest/gtest.h>

#include "configs/error.h"

namespace cohort {
namespace {

const Messages kChat = {{"user", "3 + 4?"}};
const Messages kPlain = {{"", "3 + 4 ="}};

TEST(OpenAiRequest, HoldsWhatEveryServerKnowsAndNoDefaults) {
  const RemoteConfig remote{.teacher_model = "m"};
  EXPECT_EQ(openai::request_body(remote, {}, kChat, 4, 9),
            Json::parse(R"({"model": "m", "messages": [{"role": "user", "content": "3 + 4?"}], "max_tokens": 512,
                            "temperature": 1.0, "top_p": 1.0, "n": 4, "seed": 9})"));
  const Json plain = openai::request_body(remote, {.top_k = 5, .stop = {"\n"}}, kPlain, 1, 9);
  EXPECT_EQ(plain["prompt"], "3 + 4 =");
  EXPECT_EQ(plain["top_k"], 5);
  EXPECT_EQ(plain["stop"], Json({"\n"}));
  EXPECT_FALSE(plain.contains("n"));
  EXPECT_FALSE(plain.contains("messages"));
}

TEST(OpenAiRequest, FieldsOfTheConfigAreAddedAndNullTakesOneOut) {
  const RemoteConfig remote{
      .teacher_model = "m",
      .teacher_request = {{"max_tokens", nullptr}, {"max_completion_tokens", 64}, {"top_p", 0.5}}};
  const Json body = openai::request_body(remote, {}, kChat, 1, 9);
  EXPECT_FALSE(body.contains("max_tokens"));
  EXPECT_EQ(body["max_completion_tokens"], 64);
  EXPECT_EQ(body["top_p"], 0.5);
}

std::string text_of(const std::string& message, bool keep_reasoning = true) {
  const auto answer = openai::read_answer(
      Json::parse(R"({"choices": [{"finish_reason": "stop", "message": )" + message + "}]}"), keep_reasoning);
  return answer ? answer->choices.at(0).text : "none";
}

TEST(OpenAiAnswer, ReasoningToldApartGoesBeforeTheAnswer) {
  EXPECT_EQ(text_of(R"({"content": "7"})"), "7");
  EXPECT_EQ(text_of(R"({"reasoning_content": "\n3+4\n", "content": "\n\n7"})"), "<think>\n3+4\n</think>\n\n7");
  EXPECT_EQ(text_of(R"({"reasoning": "3+4", "content": "7"})"), "<think>\n3+4\n</think>\n\n7");
  EXPECT_EQ(text_of(R"({"reasoning_content": "3+4", "content": "7"})", false), "7");
  EXPECT_EQ(text_of(R"({"reasoning_content": null, "content": " 7"})"), " 7");
  EXPECT_EQ(text_of(R"({"reasoning_content": "3+4", "content": null})"), "<think>\n3+4\n</think>\n\n");
}

TEST(OpenAiAnswer, ChoicesStandByTheirIndexAndSayHowTheyEnded) {
  const auto answer = openai::read_answer(Json::parse(R"({"choices": [
      {"index": 2, "text": "c", "finish_reason": "content_filter"}, {"index": 0, "text": "a", "finish_reason": "stop"},
      {"index": 1, "text": "b", "finish_reason": "length"}], "usage": {"prompt_tokens": 5, "completion_tokens": 6}})"),
                                          true);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->choices.size(), 3U);
  EXPECT_EQ(answer->choices[0].text + answer->choices[1].text + answer->choices[2].text, "abc");
  EXPECT_EQ(answer->choices[0].finish, FinishReason::stop);
  EXPECT_EQ(answer->choices[1].finish, FinishReason::length);
  EXPECT_EQ(answer->choices[2].finish, FinishReason::abort);
  EXPECT_EQ(answer->prompt_tokens, 5);
  EXPECT_EQ(answer->completion_tokens, 6);
}

TEST(OpenAiAnswer, WhatIsNoneIsNotTaken) {
  for (const char* wrong : {"null", "[]", "{}", R"({"choices": []})", R"({"choices": {}})", R"({"choices": [1]})",
                            R"({"choices": [{}]})", R"({"choices": [{"text": 3}]})",
                            R"({"choices": [{"text": "a"}, {"message": "b"}]})", R"({"error": {"message": "busy"}})"})
    EXPECT_FALSE(openai::read_answer(Json::parse(wrong), true)) << wrong;
  const auto without_usage = openai::read_answer(Json::parse(R"({"choices": [{"text": "a"}], "usage": null})"), true);
  ASSERT_TRUE(without_usage);
  EXPECT_FALSE(without_usage->completion_tokens);
  EXPECT_EQ(without_usage->choices[0].finish, FinishReason::abort) << "a server that does not say so has not ended";
}

TEST(OpenAiRetry, PausesDoubleUpToAMinuteAndAreTheSameEveryTime) {
  double whole = 0.5;
  for (int tries = 1; tries < 20; ++tries, whole = std::min(60.0, 2 * whole)) {
    const double pause = openai::retry_pause(tries, 7);
    EXPECT_GE(pause, whole / 2);
    EXPECT_LE(pause, whole);
    EXPECT_EQ(pause, openai::retry_pause(tries, 7));
  }
  EXPECT_NE(openai::retry_pause(5, 7), openai::retry_pause(5, 8));
}

TEST(OpenAiRetry, RetryAfterIsANumberOrADate) {
  EXPECT_EQ(openai::retry_after("", 0), 0);
  EXPECT_EQ(openai::retry_after("20", 0), 20);
  EXPECT_EQ(openai::retry_after("0.5", 0), 0.5);
  EXPECT_EQ(openai::retry_after("soon", 0), 0);
  EXPECT_EQ(openai::retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480 - 90), 90);
  EXPECT_EQ(openai::retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480 + 90), 0);
}

TEST(OpenAiServer, WhatIsWrongWithAnAddressIsSaid) {
  const RemoteConfig remote{.teacher_model = "m"};
  EXPECT_EQ(openai::expect_server("http://h:81/v1/", remote).chats.target, "/v1/chat/completions");
  EXPECT_EQ(openai::expect_server("http://h:81/v1", remote).completions.target, "/v1/completions");
  for (const auto& [url, config, word] : std::vector<std::tuple<std::string, RemoteConfig, std::string>>{
           {"https://api.example.com/v1", remote, "proxy"},
           {"http://h/v1", {}, "teacher_model"},
           {"http://h:x/v1", remote, "port"},
           {"http://h/v1", {.teacher_model = "m", .api_key_file = "/no"}, "/no"},
           {"http://h/v1", {.teacher_model = "m", .teacher_request = 3}, "teacher_request"}}) {
    try {
      openai::expect_server(url, config);
      ADD_FAILURE() << url;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace cohort
