#include "tasks/readers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "configs/error.h"
#include "tasks/random.h"
#include "tasks/task_json.h"
#include "temp_file.h"

namespace cohort {
namespace {

TaskSource source_of(const std::string& reference) {
  TaskSource source;
  source.reference = reference;
  return source;
}

std::string num_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += Json{{"prompt", "question " + std::to_string(i)}, {"answer", i}}.dump() + "\n";
  return lines;
}

TEST(Readers, ReadsAFileInItsOrder) {
  const TempFile file("set.jsonl", "\xEF\xBB\xBF" + num_lines(3));
  std::string format;
  const auto tasks = read_tasks(file.path(), "", &format);
  EXPECT_EQ(format, "task");
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_EQ(tasks[2].id, "set/3");
  EXPECT_EQ(tasks[2].answer, "2");
}

TEST(Readers, ReadsAJsonListAndStandardInput) {
  const TempFile file("set.json", "[\n{\"prompt\":\"a\"},\n{\"prompt\":\"b\"}]");
  EXPECT_EQ(read_tasks(file.path()).at(1).id, "set/3");
  std::istringstream input("{\"prompt\":\"a\"}\n");
  std::streambuf* before = std::cin.rdbuf(input.rdbuf());
  const auto tasks = read_tasks("-");
  std::cin.rdbuf(before);
  EXPECT_EQ(tasks.at(0).id, "stdin/1");
}

TEST(Readers, AForcedFormatIsUsed) {
  const TempFile file("set.jsonl", R"({"prompt":"a","question":"b","answer":"#### 4"})");
  EXPECT_EQ(read_tasks(file.path()).at(0).prompt[0].content, "b");  // gsm8k is told by its columns
  EXPECT_EQ(read_tasks(file.path(), "task").at(0).prompt[0].content, "a");
  EXPECT_EQ(read_tasks(file.path() + ":format=task").at(0).prompt[0].content, "a");
}

TEST(Readers, ErrorsNameFileLineAndId) {
  const std::pair<const char*, const char*> files[] = {
      {"{\"prompt\":\"a\"}\n\nnot json\n", ":3: not valid JSON at column"},
      {"{\"prompt\":\"a\"}\n{\"prompt\":\"\",\"id\":\"x/2\"}\n", ":2 (id x/2): its prompt is empty"},
      {"{\"prompt\":\"a\"}\n[1]\n", ":2: expected a JSON object, found array"},
      {"{\"a\":1,\"b\":2}\n", ":1: no known row format has the columns a, b"},
      {"[{\"prompt\":\"a\"},\n{\"prompt\":\"\"}]", ":2 (id set/2): its prompt is empty"},
      {"", "holds no task"},
      {"\n\n", "holds no task"},
  };
  for (const auto& [bytes, expected] : files) {
    const TempFile file("set.jsonl", bytes);
    const std::string message = MESSAGE_OF(UsageError, read_tasks(file.path()));
    EXPECT_NE(message.find("set.jsonl"), message.npos) << message;
    EXPECT_NE(message.find(expected), message.npos) << message;
  }
}

TEST(Readers, WhatIsNotThereOrNotReadable) {
  EXPECT_THROW(read_tasks("/nowhere/set.jsonl"), UsageError);
  EXPECT_THROW(read_tasks("set.parquet"), UsageError);
  const TempFile file("set.jsonl", num_lines(1));
  EXPECT_THROW(read_tasks(file.path(), "nothing"), UsageError);
  EXPECT_THROW(read_tasks("arithmetic"), UsageError);               // endless
  EXPECT_THROW(read_tasks("arithmetic_text:limit=3"), UsageError);  // no tasks
}

TEST(Readers, SplitDoesNotDependOnOrderOrPlace) {
  std::string lines = num_lines(400);
  const TempFile forward("a.jsonl", lines);
  std::vector<std::string> reversed;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) reversed.insert(reversed.begin(), line);
  std::string backward;
  for (const std::string& line : reversed) backward += line + "\n";
  const TempFile other("b.jsonl", backward);
  const auto prompts = [](const std::string& reference) {
    std::vector<std::string> texts;
    for (const Task& task : read_tasks(reference)) texts.push_back(task.prompt[0].content);
    std::sort(texts.begin(), texts.end());
    return texts;
  };
  EXPECT_EQ(prompts(forward.path() + ":split=held_out"), prompts(other.path() + ":split=held_out"));
  EXPECT_NE(prompts(forward.path() + ":split=held_out").size(), 0U);
}

TEST(Readers, SplitIsTakenBeforeTheTemplate) {
  const TempFile file("a.jsonl", num_lines(100));
  const auto plain = read_tasks(file.path() + ":split=held_out,held_out=0.5");
  const auto chat = read_tasks(file.path() + ":split=held_out,held_out=0.5,chat=true,prompt_template=Solve {prompt}");
  ASSERT_EQ(plain.size(), chat.size());
  for (size_t i = 0; i < plain.size(); ++i)
    EXPECT_EQ(chat[i].prompt.at(0).content, "Solve " + plain[i].prompt[0].content);
}

TEST(Readers, LimitTakesTheFirstOfTheSplit) {
  const TempFile file("a.jsonl", num_lines(200));
  const auto all = read_tasks(file.path() + ":split=train"), few = read_tasks(file.path() + ":split=train,limit=5");
  ASSERT_EQ(few.size(), 5U);
  for (size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].id, all[i].id);
  EXPECT_EQ(read_tasks(file.path() + ":limit=1000").size(), 200U);
}

TEST(Readers, AGeneratorWithALimitIsRead) {
  std::string format;
  EXPECT_EQ(read_tasks("countdown:limit=7", "", &format).size(), 7U);
  EXPECT_EQ(format, "generator");
}

TEST(Validate, ListsEveryProblemByLineAndId) {
  const TempFile file("set.jsonl",
                      "{\"id\":\"a\",\"question\":\"q\",\"answer\":\"#### 1\"}\n"
                      "{\"id\":\"b\",\"question\":\"q\",\"answer\":\"one\"}\n"
                      "{\"id\":\"c\",\"question\":\"q\", \n"
                      "\n"
                      "{\"id\":\"d\",\"question\":\"\",\"answer\":\"#### 1\"}\n"
                      "{\"id\":\"a\",\"question\":\"q\",\"answer\":\"#### 1\"}\n");
  const Validation validation = validate_tasks(source_of(file.path()));
  EXPECT_EQ(validation.format, "gsm8k");
  EXPECT_EQ(validation.rows, 5);
  ASSERT_EQ(validation.problems.size(), 4U);
  EXPECT_EQ(problem_text("f", validation.problems[0]), "f:2 (id b): its answer has no number after ####");
  EXPECT_EQ(validation.problems[1].line, 3);
  EXPECT_EQ(problem_text("f", validation.problems[2]), "f:5 (id d): its prompt is empty");
  EXPECT_EQ(problem_text("f", validation.problems[3]), "f:6 (id a): its id was already given on line 1");
}

TEST(Validate, EmptyAnswersAreFoundWhereAnAnswerIsGiven) {
  const TempFile file(
      "set.jsonl",
      "{\"prompt\":\"a\",\"answer\":\"1\"}\n{\"prompt\":\"b\",\"answer\":\" \"}\n{\"prompt\":\"c\",\"answer\":null}\n"
      "{\"prompt\":\"d\"}\n{\"prompt\":\"e\",\"answer\":\"\",\"reward\":{\"name\":\"length\"}}\n");
  const Validation validation = validate_tasks(source_of(file.path()));
  ASSERT_EQ(validation.problems.size(), 2U);
  EXPECT_EQ(validation.problems[0].line, 2);
  EXPECT_EQ(validation.problems[1].line, 3);
}

TEST(Validate, GeneratorsAndEmptyFiles) {
  EXPECT_EQ(validate_tasks(source_of("arithmetic:limit=20")).rows, 20);
  EXPECT_TRUE(validate_tasks(source_of("countdown")).problems.empty());
  const TempFile file("set.jsonl", "\n");
  EXPECT_THROW(validate_tasks(source_of(file.path())), UsageError);
}

TEST(ReadersAttack, BrokenBytesAreRefusedOrRead) {
  RandomStream random(9, 1);
  const std::string good = num_lines(3) + R"({"question":"x","answer":"#### 4"})"
                                          "\n"
                                          R"([{"messages":[]}])"
                                          "\n";
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = random.below(2) == 0 ? good : "[" + good;
    for (uint64_t changes = 1 + random.below(6); changes > 0; --changes) {
      const size_t at = random.below(bytes.size());
      switch (random.below(3)) {
        case 0:
          bytes[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          bytes.erase(at, random.below(20));
          break;
        default:
          bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(20)));
      }
      if (bytes.empty()) bytes = " ";
    }
    std::istringstream input(bytes);
    std::streambuf* before = std::cin.rdbuf(input.rdbuf());
    try {
      for (const Task& task : read_tasks("-")) EXPECT_FALSE(task.prompt.empty());
    } catch (const UsageError&) {
      ++refused;
    }
    std::cin.rdbuf(before);
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace cohort
