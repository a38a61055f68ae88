// A teacher behind a server that misbehaves in every way, run for run with the real program.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/distill/fake_server.h"
#include "tests/program/job.h"

namespace cohort {
namespace {

/// A job of six chats, four completions each, whose teacher is at `url`; "good" is right.
Json remote_config(const std::string& url, const Json& changes = Json::object()) {
  Json config = distill_config();
  config.update({{"teacher", url},
                 {"teacher_model", "fake"},
                 {"tasks", {{"reference", "arithmetic:operations=2"}, {"chat", true}}},
                 {"rewards", {"regex:pattern=good"}},
                 {"num_prompts", 6},
                 {"prompts_per_step", 2},
                 {"max_retries", 2},
                 {"max_concurrent_requests", 3}});
  config["student"]["max_steps"] = 2;
  config.update(changes);
  return config;
}

/// Texts that differ by request and by member; every third is wrong.
std::vector<std::string> texts_for(const Json& body) {
  std::vector<std::string> texts;
  const uint64_t seed = body.at("seed");
  for (uint64_t i = 0; i < body.value("n", 1U); ++i)
    texts.push_back(((seed + i) % 3 ? "good " : "bad ") + std::to_string(seed + i));
  return texts;
}
std::string good_reply(const FakeRequest& request) {
  return chat_reply(texts_for(request.body));
}

std::vector<std::string> completions_of(const fs::path& traces) {
  std::vector<std::string> texts;
  for (const Json& row : json_lines(traces)) texts.push_back(row.at("messages").back().at("content"));
  return texts;
}

TEST(RemoteTeacherIntegration, ItsRightAnswersBecomeTracesWithWhereTheyComeFrom) {
  const FakeServer server(good_reply);
  TestFolder keys;
  write_file(keys / "key", "sk-secret\nother\n");
  const Job job("distill", remote_config(server.url(), {{"api_key_file", (keys / "key").string()}}));
  const Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<FakeRequest> requests = server.requests();
  ASSERT_EQ(requests.size(), 6U);
  EXPECT_LE(server.most_at_once(), 3);
  std::set<std::string> expected;
  for (const FakeRequest& request : requests) {
    EXPECT_EQ(request.path, "/v1/chat/completions");
    EXPECT_NE(request.head.find("Authorization: Bearer sk-secret\r\n"), std::string::npos) << request.head;
    EXPECT_EQ(request.body["n"], 4);
    for (const std::string& text : texts_for(request.body))
      if (text.starts_with("good")) expected.insert(text);
  }
  const std::vector<std::string> texts = completions_of(job.out("run") / "traces.jsonl");
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()), expected);
  for (const Json& row : json_lines(job.out("run") / "traces.jsonl")) {
    const Json& from = row["provenance"];
    EXPECT_EQ(from["teacher"], server.url());
    EXPECT_EQ(from["teacher_model"], "fake");
    EXPECT_EQ(row["id"], from["task"].get<std::string>() + "#" + from["member"].dump());
    EXPECT_EQ(from["finish_reason"], "stop");
    EXPECT_EQ(from["prompt_tokens"], 7);
    EXPECT_TRUE(from["completion_tokens"].is_null()) << "the sum of four is all that was told";
    EXPECT_EQ(from["sampling"]["max_completion_length"], 32);
    EXPECT_EQ(from["score"], 1.0);
    EXPECT_GT(from["student_tokens"], 0);
    EXPECT_TRUE(from["difficulty"] == 0.25 || from["difficulty"] == 0.5) << from["difficulty"];
  }
  EXPECT_EQ(files_of(job.out("run")).at("responses.jsonl").find("sk-secret"), std::string::npos);
}

TEST(RemoteTeacherIntegration, PlainPromptsGoToCompletions) {
  const FakeServer server([](const FakeRequest& request) {
    Json choices = Json::array();
    for (const std::string& text : texts_for(request.body))
      choices.push_back({{"text", text}, {"finish_reason", "stop"}, {"index", choices.size()}});
    return http_reply(200, Json{{"choices", choices}}.dump());
  });
  const Job job("distill", remote_config(server.url(), {{"tasks", "arithmetic:operations=2"}}));
  const Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server.requests().at(0).path, "/v1/completions");
  EXPECT_TRUE(server.requests()[0].body["prompt"].is_string());
  EXPECT_TRUE(json_lines(job.out("run") / "traces.jsonl").at(0).contains("completion"));
}

/// What the run leaves of a server that answers well.
std::vector<std::string> undisturbed_texts(const Json& changes = Json::object()) {
  const FakeServer server(good_reply);
  const Job job("distill", remote_config(server.url(), changes));
  const Outcome outcome = job.run(job.out("run"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return completions_of(job.out("run") / "traces.jsonl");
}

TEST(RemoteTeacherIntegration, WhatMayPassIsAskedAgain) {
  const std::vector<std::string> expected = undisturbed_texts();
  ASSERT_FALSE(expected.empty());
  const std::string whole = "{\"choices\": [{\"message\": {\"content\": \"good\"}}]}";
  const std::map<std::string, std::string> first_replies = {
      {"busy", http_reply(429, R"({"error": {"message": "slow down"}})", "Retry-After: 1\r\n")},
      {"down", http_reply(503, "")},
      {"cut off", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + whole},
      {"closed", ""},
      {"garbage", http_reply(200, "<html>good</html>")},
      {"no choices", http_reply(200, R"({"choices": []})")},
      {"no HTTP", "hello\r\n\r\n"}};
  for (const auto& [name, first] : first_replies) {
    std::mutex mutex;
    std::map<std::string, int> times;
    const FakeServer server([&](const FakeRequest& request) {
      const std::lock_guard lock(mutex);
      return ++times[request.body.dump()] == 1 ? first : good_reply(request);
    });
    const Job job("distill", remote_config(server.url()));
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = job.run(job.out("run"));
    EXPECT_EQ(outcome.exit_code, 0) << name << ": " << outcome.err;
    EXPECT_EQ(completions_of(job.out("run") / "traces.jsonl"), expected) << name;
    EXPECT_EQ(server.requests().size(), 12U) << name;
    if (name != "busy") continue;
    EXPECT_GE(Seconds(std::chrono::steady_clock::now() - begin).count(), 2.0) << "two rounds of 1 s";
  }
}

TEST(RemoteTeacherIntegration, ARequestWithoutAnswerInTimeIsAskedAgain) {
  const std::vector<std::string> expected = undisturbed_texts();
  const FakeServer* self = nullptr;
  const FakeServer server([&](const FakeRequest& request) {
    if (request.number > 0) return good_reply(request);
    while (!self || !self->is_ending()) std::this_thread::sleep_for(Seconds(0.01));
    return std::string();
  });
  self = &server;
  const Job job("distill", remote_config(server.url(), {{"request_timeout", 0.5}}));
  const Outcome outcome = job.run(job.out("run"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(completions_of(job.out("run") / "traces.jsonl"), expected);
  EXPECT_GE(server.requests().size(), 7U);
}

TEST(RemoteTeacherIntegration, AServerThatIgnoresNIsAskedForTheMissingOnes) {
  const FakeServer server([](const FakeRequest& request) { return chat_reply({texts_for(request.body)[0]}, 5); });
  const Job job("distill", remote_config(server.url()));
  const Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server.requests().size(), 24U);
  std::set<int64_t> members;
  for (const Json& row : json_lines(job.out("run") / "traces.jsonl")) {
    members.insert(row["provenance"]["member"].get<int64_t>());
    EXPECT_EQ(row["provenance"]["completion_tokens"], 5) << "one completion a request: its tokens are known";
  }
  EXPECT_EQ(members.size(), 4U);
  std::set<std::string> bodies;
  for (const FakeRequest& request : server.requests()) bodies.insert(request.body.dump());
  EXPECT_EQ(bodies.size(), 24U) << "each with a seed of its own";
  EXPECT_EQ(undisturbed_texts({{"completions_per_request", 1}}), completions_of(job.out("run") / "traces.jsonl"));
}

TEST(RemoteTeacherIntegration, WhatNoRepetitionChangesEndsTheRunInOneSentence) {
  for (int status : {400, 401, 403, 404, 422}) {
    const FakeServer server([&](const FakeRequest&) {
      return http_reply(status, R"({"error": {"message": "the model fake is not here"}})");
    });
    const Job job("distill", remote_config(server.url(), {{"max_concurrent_requests", 1}}));
    const Outcome outcome = job.run(job.out("run"));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find("the model fake is not here"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(std::to_string(status)), std::string::npos) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_EQ(server.requests().size(), 1U);
  }
}

TEST(RemoteTeacherIntegration, AServerThatNeverAnswersEndsTheRunWhichGoesOnWhereItWas) {
  std::atomic<bool> is_down = true;
  const FakeServer server([&](const FakeRequest& request) {
    return is_down && request.number >= 2 ? http_reply(500, "out of order") : good_reply(request);
  });
  const Job job("distill", remote_config(server.url(), {{"max_concurrent_requests", 1}, {"max_retries", 1}}));
  Outcome outcome = job.run(job.out("run"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  for (const char* word : {"2 tries", "out of order", "--resume"})
    EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
  is_down = false;
  outcome = job.run(job.out("run"), {"--resume", "--set", "max_concurrent_requests=4"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server.requests().size(), 2U + 2U + 4U) << "the two answers that came are not paid again";
  EXPECT_EQ(completions_of(job.out("run") / "traces.jsonl"), undisturbed_texts());
}

TEST(RemoteTeacherIntegration, TheBudgetIsNeverExceededAndTheStudentLearnsFromWhatThereIs) {
  const FakeServer server(good_reply);  // 7 + 4 · 3 tokens an answer; at most 4 · 32 and the prompt are reserved
  const Job job("distill", remote_config(server.url(), {{"max_teacher_tokens", 200}}));
  const Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const int64_t answered = num_lines(job.out("run") / "responses.jsonl");
  EXPECT_GE(answered, 1);
  EXPECT_LT(answered, 6);
  EXPECT_LE(answered * (7 + 12), 200);
  EXPECT_NE(outcome.err.find("max_teacher_tokens ended the sampling"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(job.out("run") / "final" / "config.json"));
  const Outcome more = job.run(job.out("run"), {"--overwrite", "--set", "max_teacher_tokens=0"});
  EXPECT_EQ(more.exit_code, 0) << more.err;
  EXPECT_EQ(server.requests().size(), 6U) << "a run anew in the same folder pays for nothing twice";
  EXPECT_EQ(completions_of(job.out("run") / "traces.jsonl"), undisturbed_texts());
}

TEST(RemoteTeacherIntegration, FiltersAndBalanceAreCounted) {
  std::mutex mutex;
  const FakeServer server([&](const FakeRequest& request) {
    const std::string id = std::to_string(request.body["seed"].get<uint64_t>());
    return chat_reply({"good 因为 因为 因为 因为 " + id, "good so it is and it ends in " + id,
                       "good so it is and it ends in " + id, "bad"});
  });
  const Json filters = {{"language", "en"}, {"max_similarity", 0.5}, {"similarity_ngram", 2}};
  const Job job("distill", remote_config(server.url(), {{"filters", filters}}));
  Outcome outcome = job.run(job.out("run"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(num_lines(job.out("run") / "candidates.jsonl"), 12);
  EXPECT_EQ(num_lines(job.out("run") / "traces.jsonl"), 1);
  const Json counts = Json::parse(read_file(job.out("run") / "sampling.json"));
  EXPECT_EQ(counts["dropped"],
            Json({{"not_correct", 6}, {"same_text", 6}, {"mixed_language", 6}, {"near_duplicate", 5}}));
  EXPECT_EQ(counts["traces"], 1);
  EXPECT_NE(outcome.err.find("near_duplicate                  5"), std::string::npos) << outcome.err;
  outcome = job.run(job.out("run"), {"--overwrite", "--set", "filters={}", "--set", "max_traces=3"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::set<int64_t> prompts;
  for (const Json& row : json_lines(job.out("run") / "traces.jsonl"))
    prompts.insert(row["provenance"]["index"].get<int64_t>());
  EXPECT_EQ(prompts, (std::set<int64_t>{0, 1, 2})) << "one of each prompt before a second of any";
  outcome = job.run(job.out("run"), {"--overwrite", "--set", "filters.language=zh", "--set", "filters.max_tokens=1"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_NE(outcome.err.find("filters leave none of 12"), std::string::npos) << outcome.err;
}

TEST(RemoteTeacherIntegration, TasksOfAnEvaluationSetAreNotLearned) {
  const FakeServer server(good_reply);
  const Json config = remote_config(server.url());
  const Job first("distill", config);
  ASSERT_EQ(first.run(first.out("run")).exit_code, 0);
  const std::vector<Json> rows = json_lines(first.out("run") / "traces.jsonl");
  const std::string asked = rows.at(0)["messages"][0]["content"];
  write_file(first.folder / "eval.jsonl", Json{{"prompt", asked}, {"answer", "1"}}.dump() + "\n");
  const Outcome outcome = first.run(
      first.out("run"), {"--overwrite", "--set", "filters.decontaminate=" + (first.folder / "eval.jsonl").string()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<Json> left = json_lines(first.out("run") / "traces.jsonl");
  EXPECT_LT(left.size(), rows.size());
  EXPECT_FALSE(left.empty());
  for (const Json& row : left) EXPECT_NE(row["messages"][0]["content"], asked);
}

TEST(RemoteTeacherFault, AKilledRunPaysForNoAnswerTwice) {
  const std::vector<std::string> expected = undisturbed_texts({{"num_prompts", 40}});
  std::mt19937 random(11);
  for (int round = 0; round < (test_all() ? 20 : 3); ++round) {
    const FakeServer server([&](const FakeRequest& request) {
      std::this_thread::sleep_for(Seconds(0.005));
      return good_reply(request);
    });
    const Job job("distill", remote_config(server.url(), {{"num_prompts", 40}}));
    const fs::path out = job.out("run"), log = out / "responses.jsonl";
    std::map<std::string, int> on_their_way;  // at the kills: asked, and not in the log
    int kills = 0;
    while (true) {
      const int64_t more = num_lines(log) + std::uniform_int_distribution<int64_t>(1, 12)(random);
      Process process(job.arguments(out, {"--resume"}));
      if (process.wait_until([&] { return num_lines(log) >= more; })) process.signal(SIGKILL);
      const Outcome outcome = process.wait();
      if (outcome.exit_code != -SIGKILL) {
        ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
        break;
      }
      ++kills;
      std::this_thread::sleep_for(Seconds(0.05));  // those on their way have arrived
      std::set<std::string> logged;
      std::ifstream in(log);
      for (std::string line; std::getline(in, line) && !in.eof();)  // half a last line was never whole
        logged.insert(Json::parse(line)["request"].dump());
      for (const auto& [body, times] : server.times_asked())
        if (!logged.contains(body)) on_their_way[body] = times;
    }
    EXPECT_GE(kills, 2);
    EXPECT_EQ(completions_of(out / "traces.jsonl"), expected);
    for (const auto& [body, times] : server.times_asked()) {
      const auto lost = on_their_way.find(body);
      EXPECT_EQ(times, lost == on_their_way.end() ? 1 : lost->second + 1) << body;
    }
    EXPECT_LE(on_their_way.size(), size_t(3 * kills)) << "max_concurrent_requests of each kill";
  }
}

TEST(RemoteTeacherFault, AnInterruptWaitsForWhatIsOnItsWay) {
  std::atomic<int> num_answered = 0;
  const FakeServer server([&](const FakeRequest& request) {
    std::this_thread::sleep_for(Seconds(0.3));
    ++num_answered;
    return good_reply(request);
  });
  const Job job("distill", remote_config(server.url(), {{"num_prompts", 40}}));
  Process process(job.arguments(job.out("run")));
  ASSERT_TRUE(process.wait_until([&] { return num_answered >= 3; }));
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("--resume"), std::string::npos) << outcome.err;
  EXPECT_EQ(num_lines(job.out("run") / "responses.jsonl"), int64_t(server.requests().size()));
}

/// `cohort serve` at temperature 0 says what the same model says as a local teacher.
TEST(RemoteTeacherIntegration, OurOwnServerTeachesWhatTheModelTeachesLocally) {
  Json config =
      remote_config("MODEL", {{"rewards", {"regex:pattern=."}}, {"temperature", 0.0}, {"num_generations", 1}});
  config.erase("teacher_model");
  config["max_completion_length"] = 64;
  for (char c = 'A'; c <= 'z'; ++c) config["stop"].push_back(std::string(1, c));
  const Job local("distill", config);
  const std::string model = "init:" + (local.folder / "model.json").string() + "?seed=1";
  Process service({"serve", "-m", model, "--port", "0"});
  ASSERT_TRUE(service.wait_until([&] { return service.error_text().find(" at http://") != std::string::npos; }));
  const std::string said = service.error_text();
  const size_t at = said.find("http://");
  config.update({{"teacher", said.substr(at, said.find(' ', at) - at) + "/v1"}, {"teacher_model", model}});
  const Job remote("distill", config);
  for (const Job* job : {&local, &remote}) {
    const Outcome outcome = job->run(job->out("run"));
    const std::string text = read_file(job->out("run") / "sampling.json");
    ASSERT_FALSE(text.empty()) << outcome.err;
  }
  const Json expected = Json::parse(read_file(local.out("run") / "sampling.json")),
             found = Json::parse(read_file(remote.out("run") / "sampling.json"));
  for (const char* count : {"prompts", "completions", "tokens", "prompt_tokens", "candidates", "dropped"})
    EXPECT_EQ(found[count], expected[count]) << count;
  const auto rows = json_lines(remote.out("run") / "candidates.jsonl"),
             local_rows = json_lines(local.out("run") / "candidates.jsonl");
  ASSERT_EQ(rows.size(), local_rows.size());
  EXPECT_FALSE(rows.empty());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i]["messages"], local_rows[i]["messages"]);
}

}  // namespace
}  // namespace cohort
