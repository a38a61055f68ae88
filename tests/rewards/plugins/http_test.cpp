// Checkers behind HTTP, in our form and OpenRLHF's.
#include <algorithm>

#include "tests/rewards/plugins/batches.h"
#include "tests/rewards/plugins/http_server.h"

namespace cohort {
namespace {

std::string answers_backwards(const std::string& body) {
  Json answers = Json::array();
  const Json items = Json::parse(body);
  for (auto item = items.rbegin(); item != items.rend(); ++item)
    answers.push_back({{"id", (*item)["id"]}, {"score", (*item)["completion"] == "ok" ? 1.0 : 0.25}});
  return HttpServer::response(answers.dump());
}

TEST(Http, ItemsGoOutAndAnswersComeInAnyOrder) {
  Json seen;
  HttpServer server([&](const std::string& body) {
    seen = Json::parse(body);
    return answers_backwards(body);
  });
  Rows rows = Rows::of({"ok", "no"});
  rows.tasks[0].prompt = {{"user", "u"}};
  rows.tasks[0].extra = {{"data_source", "d"}};
  const auto scores = judged_by(plugin(server.url()), rows);
  expect_value(scores[0], 1);
  expect_value(scores[1], 0.25F);
  EXPECT_EQ(seen[0], (Json{{"id", "t0"},
                           {"prompt", {{{"role", "user"}, {"content", "u"}}}},
                           {"completion", "ok"},
                           {"completion_ids", {7, 8, 9}},
                           {"ground_truth", "g"},
                           {"data_source", "d"},
                           {"extra", {{"data_source", "d"}}},
                           {"step", 3},
                           {"max_steps", 0}}));
  EXPECT_EQ(seen[1]["prompt"], "p");
}

TEST(Http, OpenRlhfForm) {
  HttpServer server([&](const std::string& body) {
    EXPECT_EQ(Json::parse(body), (Json{{"query", {"pa", "pb"}}, {"prompts", {"p", "p"}}, {"labels", {"g", "g"}}}));
    return HttpServer::response(
        R"({"rewards": [0.5, 1], "scores": [0, 1], "extra_logs": {"n": [3, 4], "mean": 0.75}})");
  });
  const auto scores = judged_by("openrlhf:" + server.url("/get_reward"), {"a", "b"});
  expect_value(scores[0], 0.5F);
  expect_value(scores[1], 1);
  EXPECT_EQ(scores[1].extra_logs, (Json{{"n", 4}, {"mean", 0.75}}));
}

TEST(Http, AddressesAreCheckedAtStart) {
  for (const char* url : {"http://", "http://:80/", "http://host:port/", "http://host:0/", "http://host:99999/",
                          "http://user@host/", "http://a b/", "https://host/", "openrlhf:host", "openrlhf:"})
    EXPECT_NE(refusal(url).find("expected http://HOST[:PORT][/PATH]"), std::string::npos) << url;
  for (const char* url : {"http://host", "http://[::1]:8000/x?y=1", "http://host?x"})
    EXPECT_NO_THROW(plugin(url)) << url;
}

TEST(HttpFault, NoServer) {
  expect_failed(judged_by("http://127.0.0.1:1/", {"a"})[0], "the service failed: 127.0.0.1:1: Connection refused");
}

TEST(HttpFault, AServerThatHangsIsLeftAtTheDeadline) {
  HttpServer server([](const std::string&) {
    usleep(800'000);
    return std::string();
  });
  expect_failed(judged_by(server.url(), {"a"}, 0.2)[0], "did not answer in time");
}

TEST(HttpFault, ABusyServerIsAskedAgain) {
  HttpServer server([&](const std::string& body) {
    return server.num_requests == 0 ? HttpServer::response("later", "503 Busy") : answers_backwards(body);
  });
  expect_value(judged_by(server.url(), {"ok"})[0], 1);
  EXPECT_EQ(server.num_requests, 2);
}

TEST(HttpFault, BrokenAnswersAreNamed) {
  const std::vector<std::pair<std::string, std::string>> faults = {
      {HttpServer::response("no", "500 Oops"), "it answered with status 500: \"no\""},
      {HttpServer::response("<html>"), "no JSON"},
      {HttpServer::response(std::string(300'000, '[') + std::string(300'000, ']')), "nested too deep"},
      {HttpServer::response("{}"), "expected a list of answers"},
      {HttpServer::response("[]"), "0 answers for 2 items"},
      {HttpServer::response(R"([{"id": "t0", "score": 1}, {"id": "t7", "score": 1}])"),
       "\"t7\", which was not asked for"},
      {HttpServer::response(R"([{"id": "t0", "score": 1}, {"id": "t0", "score": 1}])"), "answered twice"},
      {HttpServer::response("[1, 2]"), "expected an object with \"id\""},
      {"garbage\r\n\r\n", "the service failed"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "the service failed"}};
  std::string response;
  HttpServer server([&](const std::string&) { return response; });
  const Reward reward = plugin(server.url());
  for (const auto& fault : faults) {
    response = fault.first;
    expect_failed(judged_by(reward, Rows::of({"a", "b"}))[1], fault.second);
  }
  response = HttpServer::response(R"({"answers": [{"id": "t0", "score": NaN}, {"id": "t1", "score": 1}]})");
  const auto scores = judged_by(reward, Rows::of({"a", "b"}));
  expect_failed(scores[0], "NaN");
  expect_value(scores[1], 1);
}

TEST(HttpFault, BrokenOpenRlhfAnswersAreNamed) {
  std::string body;
  HttpServer server([&](const std::string&) { return HttpServer::response(body); });
  const Reward reward = plugin("openrlhf:" + server.url());
  for (const auto& [text, reason] :
       std::vector<std::pair<std::string, std::string>>{{R"({"rewards": [1]})", "1 rewards for 2 completions"},
                                                        {R"({"reward": 1})", "expected {\"rewards\""},
                                                        {R"({"rewards": [NaN, 1]})", "NaN"},
                                                        {"[]", "expected {\"rewards\""}}) {
    body = text;
    expect_failed(judged_by(reward, Rows::of({"a", "b"}))[0], reason);
  }
}

TEST(HttpFault, EightScorersAtOnce) {
  HttpServer server(answers_backwards);
  const Scorer scorer({{.name = server.url(), .options = {{"batch_size", 2}}}}, 2);
  const Rows rows = Rows::of({"ok", "ok", "no", "ok"});
  std::atomic<int> correct{0};
  std::vector<std::jthread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (const Score& score : scorer.judge(rows.batch())) correct += score.status == Status::correct;
    });
  }
  callers.clear();
  EXPECT_EQ(correct, 24);
  EXPECT_EQ(server.num_requests, 16);
}

}  // namespace
}  // namespace cohort
