#include "tasks/formats.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tasks/random.h"
#include "tasks/task_json.h"
#include "temp_file.h"

namespace cohort {
namespace {

struct Case {
  std::string row;
  std::string format, id, answer;
  Json prompt;
  Json extra;
};

Task read_as(std::string_view format, const std::string& row) {
  const Json json = Json::parse(row);
  const TaskFormat* found = recognise_format(json);
  EXPECT_TRUE(found) << row;
  EXPECT_EQ(found->name, format) << row;
  Task task;
  const auto problem = read_task(*found, json, "file", 3, task);
  EXPECT_FALSE(problem) << row << ": " << *problem;
  return task;
}

class Formats : public testing::TestWithParam<Case> {};

TEST_P(Formats, RowBecomesTask) {
  const Case& c = GetParam();
  const Task task = read_as(c.format, c.row);
  EXPECT_EQ(task.id, c.id);
  EXPECT_EQ(task.answer, c.answer);
  EXPECT_EQ(prompt_to_json(task.prompt), c.prompt);
  EXPECT_EQ(task.extra, c.extra);
}

TEST_P(Formats, ARecordOfTheTaskIsTheSameTask) {
  const Task task = read_as(GetParam().format, GetParam().row);
  const Json record = to_json(task);
  Task again;
  ASSERT_FALSE(read_task(*recognise_format(record), record, "other", 9, again));
  EXPECT_EQ(to_json(again), record);
  EXPECT_EQ(to_json(task_from_json(record)), record);
}

const Case kCases[] = {
    {R"({"id":"a","prompt":"1+1=","answer":2,"level":3})", "task", "a", "2", "1+1=", {{"level", 3}}},
    {R"({"id":7,"prompt":[{"role":"user","content":"hi"}],"answer":"x"})", "task", "7", "x",
     Json::parse(R"([{"role":"user","content":"hi"}])"), Json::object()},
    {R"({"prompt":"hi","reward":{"name":"length"}})", "task", "file/3", "", "hi", Json::object()},
    {R"({"prompt":"hi"})", "prompt_only", "file/3", "", "hi", Json::object()},
    {R"({"prompt":"hi","solution":"so \\boxed{4}"})",
     "prompt_only",
     "file/3",
     "so \\boxed{4}",
     "hi",
     {{"solution", "so \\boxed{4}"}}},
    {R"({"prompt":"The sky is","completion":" blue."})",
     "prompt_completion",
     "file/3",
     " blue.",
     "The sky is",
     {{"completion", " blue."}}},
    {R"({"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]})",
     "prompt_completion", "file/3", "a", Json::parse(R"([{"role":"user","content":"q"}])"),
     Json::parse(R"({"completion":[{"role":"assistant","content":"a"}]})")},
    {R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})", "messages", "file/3", "a",
     Json::parse(R"([{"role":"user","content":"q"}])"), Json::object()},
    {R"({"question":"q","answer":"<<1+1=2>>\n#### 1,234,567","final":"1,234,567"})",
     "gsm8k",
     "file/3",
     "1234567",
     "q",
     {{"solution", "<<1+1=2>>\n#### 1,234,567"}, {"final", "1,234,567"}}},
    {R"({"problem":"p","solution":"\\boxed{1} then $\\boxed{\\frac{1}{2}}$","level":"Level 1","type":"Algebra"})",
     "math",
     "file/3",
     "\\frac{1}{2}",
     "p",
     {{"solution", "\\boxed{1} then $\\boxed{\\frac{1}{2}}$"}, {"level", "Level 1"}, {"type", "Algebra"}}},
    {R"({"problem":"p","answer":"5","solution":"\\boxed{4}","unique_id":"test/x.json"})",
     "math",
     "test/x.json",
     "5",
     "p",
     {{"solution", "\\boxed{4}"}, {"unique_id", "test/x.json"}}},
    {R"({"problem":"p","answer":""})", "math", "file/3", "", "p", Json::object()},
    {R"({"task_id":"HumanEval/0","prompt":"def f():\n","entry_point":"f","canonical_solution":" pass","test":"def check(f):"})",
     "humaneval",
     "HumanEval/0",
     "",
     "def f():\n",
     {{"task_id", "HumanEval/0"}, {"entry_point", "f"}, {"canonical_solution", " pass"}, {"test", "def check(f):"}}},
    {R"({"task_id":"CPP/5","prompt":"int f(){","declaration":"int f(){","example_test":"","test":"int main(){}"})",
     "humaneval_x",
     "CPP/5",
     "",
     "int f(){",
     {{"task_id", "CPP/5"},
      {"declaration", "int f(){"},
      {"example_test", ""},
      {"test", "int main(){}"},
      {"language", "cpp"}}},
    {R"({"text":"Write f.","code":"f=1","task_id":11,"test_setup_code":"","test_list":["assert f","assert f == 1"]})",
     "mbpp",
     "file/11",
     "",
     "Write f.\nYour code should pass these tests:\n\nassert f\nassert f == 1\n",
     {{"text", "Write f."},
      {"code", "f=1"},
      {"task_id", 11},
      {"test_setup_code", ""},
      {"test_list", {"assert f", "assert f == 1"}}}},
    {R"({"prompt":"Write f.","task_id":2,"test_list":["assert f"]})",
     "mbpp",
     "file/2",
     "",
     "Write f.\nYour code should pass these tests:\n\nassert f\n",
     {{"text", "Write f."}, {"task_id", 2}, {"test_list", {"assert f"}}}},
    {R"({"Body":"He has 3 hats ","Question":"How many?","Answer":3.0,"ID":"chal-1","Type":"x"})",
     "svamp",
     "chal-1",
     "3",
     "He has 3 hats. How many?",
     {{"ID", "chal-1"}, {"Type", "x"}}},
    {R"({"Body":"He has 3.","Question":"How many?","Answer":2.5})", "svamp", "file/3", "2.5", "He has 3. How many?",
     Json::object()},
    {R"({"prompt":[{"role":"user","content":"q"}],"data_source":"gsm8k","ability":"math","reward_model":{"style":"rule","ground_truth":"72"},"extra_info":{"index":0}})",
     "verl", "file/3", "72", Json::parse(R"([{"role":"user","content":"q"}])"),
     Json::parse(
         R"({"data_source":"gsm8k","ability":"math","reward_model":{"style":"rule","ground_truth":"72"},"extra_info":{"index":0}})")},
    {R"({"prompt":"q","reward_model":{"ground_truth":{"inputs":[]}}})", "verl", "file/3", "", "q",
     Json::parse(R"({"reward_model":{"ground_truth":{"inputs":[]}}})")},
};
INSTANTIATE_TEST_SUITE_P(All, Formats, testing::ValuesIn(kCases));

TEST(FormatsTable, EveryFormatHasACase) {
  for (const TaskFormat& format : task_formats()) {
    const bool found =
        std::any_of(std::begin(kCases), std::end(kCases), [&](const Case& c) { return c.format == format.name; });
    EXPECT_TRUE(found) << format.name;
  }
}

TEST(FormatsTable, RowsThatAreWrongSayWhy) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"prompt":"","answer":"1"})", "prompt is empty"},
      {R"({"prompt":" \n","answer":"1"})", "prompt is empty"},
      {R"({"prompt":[],"answer":"1"})", "prompt is empty"},
      {R"({"prompt":[{"role":"system","content":"x"}],"answer":"1"})", "prompt is empty"},
      {R"({"prompt":7,"answer":"1"})", "neither a text nor a list"},
      {R"({"prompt":"x","answer":["1"]})", "answer is array"},
      {R"({"prompt":"x","answer":"1","reward":3})", "reward is number"},
      {R"({"prompt":"x","answer":"1","id":[]})", "id is neither"},
      {R"({"question":"x","answer":"four"})", "no number after ####"},
      {R"({"question":"x","answer":"#### "})", "no number after ####"},
      {R"({"question":"x","answer":"#### none"})", "no number after ####"},
      {R"({"problem":"x","solution":"\\boxed{1"})", "no \\boxed"},
      {R"({"problem":"x","solution":"4"})", "no \\boxed"},
      {R"({"prompt":"x","test":3,"entry_point":"f"})", "no text in test"},
      {R"({"text":"x","test_list":[]})", "no test_list"},
      {R"({"text":"x","test_list":[1]})", "something else than text"},
      {R"({"Body":"x","Question":"y"})", "no Answer"},
      {R"({"prompt":"x","reward_model":{}})", "no ground_truth"},
      {R"({"prompt":"x","reward_model":"y"})", "no reward_model object"},
      {R"({"messages":[{"role":"assistant","content":"y"}]})", "prompt is empty"},
  };
  for (const auto& [row, reason] : rows) {
    const Json json = Json::parse(row);
    const TaskFormat* format = recognise_format(json);
    ASSERT_TRUE(format) << row;
    Task task;
    const auto problem = read_task(*format, json, "file", 1, task);
    ASSERT_TRUE(problem) << row;
    EXPECT_NE(problem->find(reason), std::string::npos) << row << ": " << *problem;
  }
}

TEST(FormatsTable, TheIdIsKnownOfARowThatIsWrong) {
  Task task;
  EXPECT_TRUE(read_task(task_format("task"), Json::parse(R"({"id":"x/9","prompt":""})"), "file", 1, task));
  EXPECT_EQ(task.id, "x/9");
}

TEST(FormatsTable, UnknownNamesAndColumns) {
  EXPECT_NE(MESSAGE_OF(UsageError, task_format("gsmk8")).find("gsm8k"), std::string::npos);
  EXPECT_EQ(recognise_format(Json::parse(R"({"a":1,"prompt":null})")), nullptr);
}

TEST(Gold, Gsm8k) {
  EXPECT_EQ(gsm8k_gold("a #### 1 b\n#### 2,000.50"), "2000.50");
  EXPECT_EQ(gsm8k_gold("####-5"), "-5");
  EXPECT_EQ(gsm8k_gold("#### 1,2"), "1,2");  // no thousands comma
  EXPECT_EQ(gsm8k_gold("#### 12,3456"), "12,3456");
  EXPECT_EQ(gsm8k_gold("18"), std::nullopt);
}

TEST(Gold, LastBoxed) {
  EXPECT_EQ(last_boxed(R"(\boxed{1}, \boxed{2})"), "2");
  EXPECT_EQ(last_boxed(R"(\boxed{\text{a {b} c}}.)"), R"(\text{a {b} c})");
  EXPECT_EQ(last_boxed(R"(\boxed{\left\{1,2\right\}})"), R"(\left\{1,2\right\})");
  EXPECT_EQ(last_boxed(R"(\boxed{[0,1\}})"), R"([0,1\})");
  EXPECT_EQ(last_boxed(R"(\boxed{1} and \boxed{2)"), "1");
  EXPECT_EQ(last_boxed(R"($\boxed 7$ done)"), "7");
  EXPECT_EQ(last_boxed(R"(\fbox{x})"), "x");
  EXPECT_EQ(last_boxed(R"(\boxed{ x })"), "x");
  EXPECT_EQ(last_boxed(R"(\boxed{5}\boxed{})"), "5");
  EXPECT_EQ(last_boxed(R"(\boxedx{5})"), std::nullopt);
  EXPECT_EQ(last_boxed(R"(\boxed)"), std::nullopt);
  EXPECT_EQ(last_boxed(R"(\boxed{5\)"), std::nullopt);
  EXPECT_EQ(last_boxed(""), std::nullopt);
}

TEST(GoldAttack, LongRunsOfOpenBoxesEndSoon) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "\\boxed{";
  EXPECT_EQ(last_boxed(text), std::nullopt);
}

Json any_value(RandomStream& random, int depth) {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return "x";
    case 1:
      return random.between(-5, 5);
    case 2:
      return "#### 5 \\boxed{5}";
    case 3:
      return nullptr;
    case 4:
      return 0.5;
    case 5:
      return "";
    case 6:
      return Json::array({any_value(random, depth - 1), any_value(random, depth - 1)});
    default:
      return {{"role", any_value(random, 0)},
              {"content", any_value(random, depth - 1)},
              {"ground_truth", any_value(random, 0)}};
  }
}

TEST(FormatsAttack, AnyColumnsOfAnyTypeAreReadOrRefused) {
  const char* columns[] = {"id",     "task_id",     "prompt",      "answer",       "question",  "problem", "solution",
                           "test",   "entry_point", "declaration", "text",         "test_list", "Body",    "Question",
                           "Answer", "completion",  "messages",    "reward_model", "reward"};
  RandomStream random(5, 1);
  int read = 0;
  for (int i = 0; i < 20000; ++i) {
    Json row = Json::object();
    for (uint64_t n = random.below(6); n > 0; --n)
      row[columns[random.below(std::size(columns))]] = any_value(random, 2);
    for (const TaskFormat& format : task_formats()) {
      Task task;
      if (read_task(format, row, "file", 1, task)) continue;
      ++read;
      EXPECT_FALSE(task.id.empty());
      EXPECT_EQ(to_json(task_from_json(to_json(task))), to_json(task));
    }
  }
  EXPECT_GT(read, 500);
}

}  // namespace
}  // namespace cohort
