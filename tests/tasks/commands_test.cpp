#include "tasks/commands.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <sstream>

#include "configs/error.h"
#include "tasks/readers.h"
#include "temp_file.h"

namespace cohort {
namespace {

struct Ran {
  int exit_code = 0;  // as main gives it
  std::string out, err;
};

/// Runs `cohort tasks ARGUMENTS` with exit codes as the contract has them.
Ran run(std::vector<std::string> arguments, const std::string& input = "") {
  CLI::App app{"cohort"};
  add_tasks_commands(app);
  std::istringstream in(input);
  std::ostringstream out, err;
  std::streambuf *cin = std::cin.rdbuf(in.rdbuf()), *cout = std::cout.rdbuf(out.rdbuf()),
                 *cerr = std::cerr.rdbuf(err.rdbuf());
  Ran ran;
  arguments.insert(arguments.begin(), "tasks");
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    ran.exit_code = app.exit(error, out, err) == 0 ? 0 : 2;
  } catch (const UsageError& error) {
    err << error.what();
    ran.exit_code = 2;
  } catch (const MissingError& error) {
    err << error.what();
    ran.exit_code = 3;
  } catch (const std::exception& error) {
    err << error.what();
    ran.exit_code = 1;
  }
  std::cin.rdbuf(cin);
  std::cout.rdbuf(cout);
  std::cerr.rdbuf(cerr);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

TEST(TasksCommand, ListNamesGeneratorsOptionsAndFormats) {
  const Ran text = run({"list"});
  for (const char* part :
       {"arithmetic", "countdown", "arithmetic_text", "arithmetic_cold_start", "operations=6", "gsm8k", "verl"})
    EXPECT_TRUE(contains(text.out, part)) << part;
  const Json json = Json::parse(run({"list", "--json"}).out);
  EXPECT_EQ(json["generators"].size(), 4U);
  EXPECT_EQ(json["generators"][0]["options"][0]["name"], "max_number");
  EXPECT_GE(json["formats"].size(), 10U);
}

TEST(TasksCommand, ShowPrintsTheFirstTasks) {
  const TempFile file(
      "set.jsonl",
      "{\"question\":\"q1\",\"answer\":\"#### 1\"}\n{\"question\":\"q2\",\"answer\":\"#### 2\"}\nbroken\n");
  const Ran ran = run({"show", file.path(), "--limit", "2", "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  std::istringstream lines(ran.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(Json::parse(line)["answer"], "1");
  std::getline(lines, line);
  EXPECT_EQ(Json::parse(line)["id"], "set/2");
  EXPECT_FALSE(std::getline(lines, line));
  EXPECT_TRUE(contains(ran.err, "read as gsm8k"));
  EXPECT_TRUE(contains(run({"show", file.path(), "--limit", "1"}).out, "answer: 1"));
}

TEST(TasksCommand, ShowTakesGeneratorsOfTasksAndOfText) {
  EXPECT_TRUE(contains(run({"show", "arithmetic:operations=2", "--limit", "3"}).out, "arithmetic/train/0/2"));
  EXPECT_TRUE(contains(run({"show", "arithmetic_cold_start", "--limit", "1"}).out, "<think>"));
  EXPECT_TRUE(contains(run({"show", "-"}, "{\"prompt\":[{\"role\":\"user\",\"content\":\"hi\"}]}").out, "user: hi"));
}

TEST(TasksCommand, ValidatePassesAGoodFile) {
  const Ran ran = run({"validate", "-"}, "{\"prompt\":\"1+1=\",\"answer\":\"2\"}\n");
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_TRUE(contains(ran.out, "1 rows read as task"));
  EXPECT_EQ(run({"validate", "countdown:limit=5"}).exit_code, 0);
}

TEST(TasksCommand, ValidateNamesLineAndIdOfEveryProblem) {
  const TempFile file(
      "set.jsonl",
      "{\"id\":\"a\",\"prompt\":\"x\",\"answer\":\"1\"}\n{\"id\":\"a\",\"prompt\":\"y\",\"answer\":\"1\"}\n"
      "{\"id\":\"c\",\"prompt\":\"\",\"answer\":\"1\"}\n{oops\n{\"id\":\"d\",\"prompt\":\"z\",\"answer\":{}}\n");
  const Ran text = run({"validate", file.path()});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_EQ(text.out, "");
  for (const char* part :
       {"set.jsonl:2 (id a)", "set.jsonl:3 (id c)", "set.jsonl:4:", "set.jsonl:5 (id d)", "4 problems in 5 rows"})
    EXPECT_TRUE(contains(text.err, part)) << part << " not in " << text.err;
  const Ran json = run({"validate", file.path(), "--json"});
  EXPECT_EQ(json.exit_code, 1);
  const Json result = Json::parse(json.out);
  EXPECT_EQ(result["ok"], false);
  EXPECT_EQ(result["rows"], 5);
  EXPECT_EQ(result["problems"].size(), 4U);
  EXPECT_EQ(result["problems"][0]["id"], "a");
  EXPECT_EQ(result["problems"][2]["line"], 4);
}

TEST(TasksCommand, ValidateSeesAnIdTwiceThoughTheFirstRowIsBroken) {
  const Ran ran = run({"validate", "-"},
                      "{\"id\":\"a\",\"prompt\":\"\",\"answer\":\"1\"}\n"
                      "{\"id\":\"a\",\"prompt\":\"y\",\"answer\":\"1\"}\n");
  EXPECT_TRUE(contains(ran.err, "2 problems in 2 rows")) << ran.err;
}

TEST(TasksCommand, ExitCodesOfWhatCannotBeRead) {
  EXPECT_EQ(run({"validate", "/nowhere.jsonl"}).exit_code, 2);
  EXPECT_EQ(run({"validate", "set.parquet"}).exit_code, 2);
  EXPECT_EQ(run({"show", "arithmetik"}).exit_code, 2);
  EXPECT_EQ(run({"validate", "-", "--format", "gsm"}, "{\"prompt\":\"x\"}").exit_code, 2);
  EXPECT_EQ(run({"show"}).exit_code, 2);
  EXPECT_EQ(run({}).exit_code, 2);
  EXPECT_EQ(run({"generate", "arithmetic"}).exit_code, 2);
}

TEST(TasksCommand, GenerateWritesWhatTheReaderReads) {
  const TempFile place("place", "");
  const std::string out = place.folder() + "/made.jsonl";
  const Ran ran = run(
      {"generate", "arithmetic:operations=3,split=held_out", "--count", "20", "--seed", "5", "--out", out, "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(Json::parse(ran.out)["rows"], 20);
  const auto made = read_tasks(out), direct = read_tasks("arithmetic:operations=3,split=held_out,seed=5,limit=20");
  ASSERT_EQ(made.size(), 20U);
  for (size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(made[i].id, direct[i].id);
    EXPECT_EQ(made[i].answer, direct[i].answer);
    EXPECT_EQ(made[i].extra, direct[i].extra);
  }
}

TEST(TasksCommand, GenerateWritesRowsOfTextToStandardOutput) {
  const Ran ran = run({"generate", "arithmetic_text", "--count", "4"});
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 4);
  EXPECT_TRUE(Json::parse(ran.out.substr(0, ran.out.find('\n'))).contains("completion"));
}

TEST(TasksCommand, GenerateRefusesBeforeItWrites) {
  const TempFile place("place", "kept");
  EXPECT_EQ(run({"generate", "arithmetic_cold_start", "--count", "501", "--out", place.path()}).exit_code, 2);
  EXPECT_EQ(run({"generate", "arithmetic:operatons=3", "--count", "1", "--out", place.path()}).exit_code, 2);
  EXPECT_EQ(run({"generate", place.path(), "--count", "1"}).exit_code, 2);
  EXPECT_EQ(run({"generate", "countdown", "--count", "1", "--out", place.folder()}).exit_code, 2);
  EXPECT_EQ(run({"generate", "countdown", "--count", "0"}).exit_code, 2);
  std::ifstream file(place.path());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "kept");
}

}  // namespace
}  // namespace cohort
