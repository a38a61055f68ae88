// POST /run_code as verl's client sends it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "rewards/code/service.h"
#include "tasks/task.h"
#include "tests/rewards/judging.h"

namespace cohort::code {
namespace {

/// Keeps what a route answers.
struct Kept : http::Answer {
  int status = 0;
  std::string body;
  void send(int s, std::string_view, std::string_view b) override { status = s, body = b; }
  void start(int, std::string_view) override { ADD_FAILURE() << "/run_code does not stream"; }
  void write(std::string_view) override {}
  std::chrono::steady_clock::time_point leaves = std::chrono::steady_clock::time_point::max();
  bool offer(std::string_view) override { return true; }
  int open_socket() override { return -1; }
  bool abandoned() override { return std::chrono::steady_clock::now() > leaves; }
};

Json ask(const std::vector<http::Route>& routes, const Json& request) {
  Kept answer;
  try {
    routes.at(0).handle({"POST", "/run_code", {}, request.dump()}, answer);
  } catch (const http::Error& error) {
    return {{"refused", error.status}, {"param", error.param}, {"message", error.what()}};
  }
  EXPECT_EQ(answer.status, 200);
  return Json::parse(answer.body);
}

const std::vector<http::Route>& service() {
  static const std::vector<http::Route> routes = run_code_routes({.max_running = 2, .max_waiting = 64});
  return routes;
}

TEST(RunCodeIntegration, Python) {
  const Json answer = ask(service(), {{"code", "print(input()[::-1])"}, {"language", "python"}, {"stdin", "abc"}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_TRUE(answer["compile_result"].is_null());
  EXPECT_EQ(answer["run_result"]["status"], "Finished");
  EXPECT_EQ(answer["run_result"]["return_code"], 0);
  EXPECT_EQ(answer["run_result"]["stdout"], "cba\n");
  EXPECT_GT(answer["run_result"]["execution_time"].get<double>(), 0);
}

TEST(RunCodeIntegration, WhatAProgramDoesWrongIsItsOwn) {
  const Json failed = ask(service(), {{"code", "import sys; print('x'); sys.exit(3)"}, {"language", "python"}});
  EXPECT_EQ(failed["status"], "Failed");
  EXPECT_EQ(failed["run_result"]["return_code"], 3);
  EXPECT_EQ(failed["run_result"]["stdout"], "x\n");
  const Json raised = ask(service(), {{"code", "1/0"}, {"language", "python"}});
  EXPECT_NE(raised["run_result"]["stderr"].get<std::string>().find("ZeroDivisionError"), std::string::npos);
  const Json late =
      ask(service(),
          {{"code", "print('begun', flush=True)\nwhile True: pass"}, {"language", "python"}, {"run_timeout", 0.5}});
  EXPECT_EQ(late["status"], "Failed");
  EXPECT_EQ(late["run_result"]["status"], "TimeLimitExceeded");
  EXPECT_TRUE(late["run_result"]["return_code"].is_null());
  EXPECT_EQ(late["run_result"]["stdout"], "begun\n");
}

TEST(RunCodeIntegration, Cpp) {
  const Json answer =
      ask(service(), {{"code", "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }"},
                      {"language", "cpp"},
                      {"stdin", "20 22"}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["compile_result"]["status"], "Finished");
  EXPECT_EQ(answer["run_result"]["stdout"], "42");
  const Json broken = ask(service(), {{"code", "int main() { return x; }"}, {"language", "cpp"}});
  EXPECT_EQ(broken["status"], "Failed");
  EXPECT_NE(broken["compile_result"]["return_code"], 0);
  EXPECT_NE(broken["compile_result"]["stderr"].get<std::string>().find("was not declared in this scope"),
            std::string::npos)
      << broken;
  EXPECT_TRUE(broken["run_result"].is_null());
}

TEST(RunCodeIntegration, Java) {
  SKIP_WITHOUT_JDK();
  const Json answer = ask(service(), {{"code",
                                       "import java.util.*;\npublic class Main { public static void main(String[] a) { "
                                       "System.out.println(new Scanner(System.in).nextInt() * 2); } }"},
                                      {"language", "java"},
                                      {"stdin", "21"}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["run_result"]["stdout"], "42\n");
}

TEST(RunCodeIntegration, FilesGoInAndComeBack) {
  const Json answer = ask(service(), {{"code", "open('out.txt','w').write(open('dir/it\\'s.txt').read().upper())"},
                                      {"language", "python"},
                                      {"files", {{"dir/it's.txt", "aGVsbG8="}}},
                                      {"fetch_files", {"out.txt", "nowhere.txt"}}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["files"], Json({{"out.txt", "SEVMTE8="}}));
}

TEST(RunCodeAttack, ABodyOfBracketsIsRefused) {
  Kept answer;
  for (const std::string& body : {"{\"code\":" + std::string(300'000, '[') + std::string(300'000, ']') + "}",
                                  std::string("{"), std::string("[]")}) {
    try {
      service().at(0).handle({"POST", "/run_code", {}, body}, answer);
      ADD_FAILURE() << "was taken";
    } catch (const http::Error& error) {
      EXPECT_EQ(error.status, 400);
    }
  }
}

TEST(RunCodeAttack, FilesThatAreNoneAreRefused) {
  const auto refused = [](const Json& files, const Json& wanted) {
    const Json request = {{"code", "print(1)"}, {"language", "python"}, {"files", files}, {"fetch_files", wanted}};
    return ask(service(), request).value("refused", 0);
  };
  for (const char* content : {"a", "aGVs=", "a=b=", "aGVs\nCOHORT\n"})
    EXPECT_EQ(refused({{"x", content}}, Json::array()), 422) << content;
  for (const char* path : {"../x", "d/../../x", "", "d/", "."}) {
    EXPECT_EQ(refused({{path, "aGVs"}}, Json::array()), 422) << path;
    EXPECT_EQ(refused(Json::object(), {path}), 422) << path;
  }
  EXPECT_EQ(refused({{"x", nullptr}, {"/d/y", "aGVs"}}, {"/d/y"}), 0);
}

TEST(RunCodeAttack, TheProgramCannotWriteWhatGoesBack) {
  const Json answer = ask(service(), {{"code",
                                       "import os\nfor f in range(3, 64):\n  try: os.write(f, b'eA==\\n')\n"
                                       "  except OSError: pass\nprint(os.listdir('/proc/self/fd'))"},
                                      {"language", "python"},
                                      {"fetch_files", {"none"}}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["files"], Json::object());
}

TEST(RunCodeIntegration, ManyFiles) {
  Json files = Json::object(), wanted = Json::array();
  for (int i = 0; i < 300; ++i) files["d/f" + std::to_string(i)] = "aGVs";
  for (int i = 0; i < 20'000; ++i) wanted.push_back("d/f" + std::to_string(i));
  const Json answer = ask(service(), {{"code", "import os; print(len(os.listdir('d')))"},
                                      {"language", "python"},
                                      {"files", files},
                                      {"fetch_files", wanted},
                                      {"run_timeout", 60}});
  EXPECT_EQ(answer["run_result"]["stdout"], "300\n") << answer.dump().substr(0, 500);
  EXPECT_EQ(answer["files"], files);
}

TEST(RunCodeAttack, RequestsThatAreRefused) {
  const auto refused = [&](const Json& request) { return ask(service(), request); };
  EXPECT_EQ(refused(Json::array())["refused"], 400);
  EXPECT_EQ(refused({{"language", "python"}})["param"], "code");
  EXPECT_EQ(refused({{"code", "1"}, {"language", "cobol"}})["param"], "language");
  EXPECT_EQ(refused({{"code", 1}, {"language", "python"}})["param"], "code");
  EXPECT_EQ(refused({{"code", "1"}, {"language", "python"}, {"run_timeout", -1}})["param"], "run_timeout");
  EXPECT_EQ(refused({{"code", "1"}, {"language", "python"}, {"files", {{"a", "no base64!"}}}})["param"], "files");
  EXPECT_EQ(refused({{"code", "1"}, {"language", "python"}, {"fetch_files", {1}}})["param"], "fetch_files");
}

TEST(RunCodeAttack, PathsAreNoCommands) {
  const Json answer = ask(service(), {{"code", "import os; print(sorted(os.listdir('.')))"},
                                      {"language", "python"},
                                      {"files", {{"$(touch a);`touch b`", "eA=="}}},
                                      {"fetch_files", {"'; touch c; '"}}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["run_result"]["stdout"], "['$(touch a);`touch b`', 'main.py']\n");
  EXPECT_EQ(answer["files"], Json::object());
}

/// Only files that a program wrote go back, and no more of them than a box may write.
TEST(RunCodeAttack, NoLinksPipesOrDevicesAsFiles) {
  const Json answer =
      ask(service(),
          {{"code",
            "import os\nos.symlink('/etc/passwd', 'link')\nos.symlink('/dev/zero', 'device')\n\ntry: "
            "os.mkfifo('pipe')\nexcept OSError: pass\n"
            "os.symlink('/proc/1/environ', 'environment')\nos.mkdir('folder')\nopen('file', 'w').write('abc')\n"
            "os.link('file', 'hard')\ntry: os.link('/usr/bin/env', 'env')\nexcept OSError: pass"},
           {"language", "python"},
           {"run_timeout", 60},
           {"fetch_files", {"link", "device", "pipe", "folder", "file", "hard", "env", "/dev/zero", "/etc/shadow"}}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["files"], (Json{{"file", "YWJj"}, {"hard", "YWJj"}}));
}

/// Files beside the program are no options, programs or libraries of its compiler.
TEST(RunCodeAttack, FilesAreNoPartsOfTheCompiler) {
  const std::string leave = "IyEvYmluL3NoCmV4aXQgMAo=";  // #!/bin/sh exit 0
  const Json answer = ask(service(), {{"code", "#include <cstdio>\nint main() { puts(\"made\"); }"},
                                      {"language", "cpp"},
                                      {"compile_timeout", 60},
                                      {"files",
                                       {{"-wrapper", leave},
                                        {"@main.cpp", leave},
                                        {"cc1plus", leave},
                                        {"as", leave},
                                        {"specs", leave},
                                        {"cstdio", leave},
                                        {"libc.so.6", leave}}}});
  EXPECT_EQ(answer["status"], "Success") << answer;
  EXPECT_EQ(answer["run_result"]["stdout"], "made\n");
}

/// Nor does the end of the service wait for it.
TEST(RunCodeFault, AProgramEndsWithTheClientThatWaitsForIt) {
  const auto start = std::chrono::steady_clock::now();
  Kept answer;
  answer.leaves = start + std::chrono::seconds(1);
  const Json request = {{"code", "import time; time.sleep(1000)"}, {"language", "python"}, {"run_timeout", 1000}};
  try {
    service().at(0).handle({"POST", "/run_code", {}, request.dump()}, answer);
    ADD_FAILURE() << answer.body;
  } catch (const http::Error& error) {
    EXPECT_EQ(error.status, 503);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(120));
}

TEST(RunCodeFault, SixtyFourAtOnceAndAFullLine) {
  std::atomic<int> right = 0, busy = 0;
  const auto routes = run_code_routes({.max_running = 2, .max_waiting = 64});
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i)
    clients.emplace_back([&, i] {
      const Json answer =
          ask(routes, {{"code", "print(" + std::to_string(i) + ")"}, {"language", "python"}, {"run_timeout", 30}});
      right += answer["run_result"]["stdout"] == std::to_string(i) + "\n";
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 64);
  const auto narrow = run_code_routes({.max_running = 1, .max_waiting = 1});
  clients.clear();
  for (int i = 0; i < 6; ++i)
    clients.emplace_back([&] {
      const Json answer = ask(narrow, {{"code", "import time; time.sleep(1)"}, {"language", "python"}});
      busy += answer.value("refused", 0) == 429;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(busy, 4);
}

}  // namespace
}  // namespace cohort::code
