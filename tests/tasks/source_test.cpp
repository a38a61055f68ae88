#include "tasks/source.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tasks/task_json.h"
#include "temp_file.h"

namespace cohort {
namespace {

TEST(Source, AFileWithOptions) {
  const ParsedSource parsed =
      parse_source("a/b.jsonl:split=held_out,held_out=0.25,limit=7,chat=true,prompt_template=Q: {prompt}\\, think");
  EXPECT_EQ(parsed.source.reference, "a/b.jsonl");
  EXPECT_EQ(parsed.split, Split::held_out);
  EXPECT_EQ(parsed.source.held_out, 0.25);
  EXPECT_EQ(parsed.source.limit, 7);
  EXPECT_TRUE(parsed.source.chat);
  EXPECT_EQ(parsed.source.prompt_template, "Q: {prompt}, think");
  EXPECT_FALSE(parsed.is_generator);
}

TEST(Source, AGeneratorWithItsOwnOptions) {
  const ParsedSource parsed = parse_source("arithmetic:operations=4,operators=+,seed=3");
  EXPECT_TRUE(parsed.is_generator);
  EXPECT_EQ(parsed.source.reference, "arithmetic");
  EXPECT_EQ(parsed.generator_options, Json::parse(R"({"operations": 4, "operators": "+"})"));
  EXPECT_EQ(parsed.source.seed, 3U);
  EXPECT_EQ(parsed.split, Split::train);  // what is held out has to be asked for
  EXPECT_EQ(parse_source("a.jsonl").split, Split::all);
  EXPECT_EQ(parse_source("arithmetic:split=all").split, Split::all);
}

TEST(Source, OptionsOfTheReferenceWinOverFields) {
  TaskSource source;
  source.reference = "x.jsonl:limit=3";
  source.limit = 10;
  source.weight = 2;
  const TaskSource parsed = parse_source(source).source;
  EXPECT_EQ(parsed.limit, 3);
  EXPECT_EQ(parsed.weight, 2);
}

TEST(Source, APathThatExistsIsTakenWhole) {
  const TempFile file("odd:limit=2", "{\"prompt\":\"x\"}");
  EXPECT_EQ(parse_source(file.path()).source.reference, file.path());
  EXPECT_EQ(parse_source(file.path()).source.limit, 0);
  EXPECT_EQ(parse_source(file.path() + ":limit=4").source.limit, 4);
}

TEST(Source, MessagesNameTheNearest) {
  const std::pair<const char*, const char*> references[] = {
      {"arithmetik", "arithmetic"},
      {"arithmetic:opertions=3", "operations"},
      {"arithmetic:splt=train", "split"},
      {"a.jsonl:held-uot=0.5", "held_out"},
      {"arithmetic:", "key=value"},
      {"arithmetic:operations", "key=value"},
      {"arithmetic:operations=3,", "key=value"},
      {"a.jsonl:split=test", "held_out"},
      {"a.jsonl:limit=-1", "limit"},
      {"a.jsonl:limit=many", "limit"},
      {"a.jsonl:held_out=1.5", "held_out"},
      {"a.jsonl:weight=0", "weight"},
      {"a.jsonl:seed=1", "seed is for generators"},
      {"a.jsonl:prompt_template=x", "{prompt}"},
      {"arithmetic:held_out=0.2", "always held out"},
      {"arithmetic:format=gsm8k", "format is for files"},
      {"a.jsonl:held_out=0.2", "choose split=train or split=held_out"},
      {"a.jsonl:operations=3", "unknown option operations"},
  };
  for (const auto& [reference, expected] : references) {
    const std::string message = MESSAGE_OF(UsageError, parse_source(reference));
    EXPECT_NE(message.find(expected), message.npos) << reference << ": " << message;
  }
}

Task plain_task() {
  Task task;
  task.id = "t/1";
  task.prompt = {{"", "1+1?"}};
  return task;
}

TEST(Template, PlainPromptBecomesAChat) {
  TaskSource source;
  source.chat = true;
  source.system_prompt = "Think.";
  source.prompt_template = "{prompt} Answer in \\boxed{}.";
  Task task = plain_task();
  apply_prompt_template(source, task);
  EXPECT_EQ(
      prompt_to_json(task.prompt),
      Json::parse(R"([{"role":"system","content":"Think."},{"role":"user","content":"1+1? Answer in \\boxed{}."}])"));
  EXPECT_EQ(task.extra["raw_prompt"], "1+1?");
}

TEST(Template, ChatKeepsItsSystemMessage) {
  TaskSource source;
  source.system_prompt = "Other.";
  source.prompt_template = "<{prompt}>";
  Task task = plain_task();
  task.prompt = {{"system", "Own."}, {"user", "a"}, {"assistant", "b"}, {"user", "c{prompt}"}};
  apply_prompt_template(source, task);
  EXPECT_EQ(task.prompt.size(), 4U);
  EXPECT_EQ(task.prompt[0].content, "Own.");
  EXPECT_EQ(task.prompt[1].content, "a");
  EXPECT_EQ(task.prompt[3].content, "<c{prompt}>");
}

TEST(Template, NothingAskedChangesNothing) {
  Task task = plain_task();
  apply_prompt_template({}, task);
  EXPECT_EQ(to_json(task), to_json(plain_task()));
}

TEST(Template, ASystemPromptNeedsAChat) {
  TaskSource source;
  source.system_prompt = "Think.";
  Task task = plain_task();
  EXPECT_NE(MESSAGE_OF(UsageError, apply_prompt_template(source, task)).find("t/1"), std::string::npos);
}

struct Job {
  std::vector<TaskSource> tasks;
  TaskSource one;
};
template <class V>
void visit_fields(V& v, Job& c) {
  v.field("tasks", c.tasks, "what to solve", not_empty());
  v.field("one", c.one, "a source");
}

Job read_job(const char* text) {
  Job job;
  read_config(Json::parse(text), job, "job.json");
  return job;
}

TEST(SourceConfig, AStringAnObjectOrAListOfThem) {
  EXPECT_EQ(read_job(R"({"tasks": "arithmetic"})").tasks.at(0).reference, "arithmetic");
  EXPECT_EQ(read_job(R"({"tasks": {"reference": "a.jsonl", "limit": 3}})").tasks.at(0).limit, 3);
  const Job job =
      read_job(R"({"tasks": ["a.jsonl", {"reference": "b.jsonl", "weight": 2, "split": "train"}], "one": "c.jsonl"})");
  ASSERT_EQ(job.tasks.size(), 2U);
  EXPECT_EQ(job.tasks[0].weight, 1);
  EXPECT_EQ(job.tasks[1].weight, 2);
  EXPECT_EQ(job.tasks[1].split, "train");
  EXPECT_EQ(job.one.reference, "c.jsonl");
}

TEST(SourceConfig, IsStrict) {
  const std::pair<const char*, const char*> configs[] = {
      {R"({"tasks": ["a.jsonl", {"reference": "b.jsonl", "wieght": 2}]})", "tasks.1.weight"},
      {R"({"tasks": [{"weight": 2}]})", "tasks.0.reference"},
      {R"({"tasks": []})", "tasks"},
      {R"({"tasks": 5})", "tasks"},
      {R"({"tasks": ""})", "tasks"},
      {R"({"tasks": {"reference": "a.jsonl", "split": "test"}})", "tasks.split"},
      {R"({"one": {"reference": "a.jsonl", "weight": 0}})", "one.weight"},
  };
  for (const auto& [config, expected] : configs) {
    const std::string message = MESSAGE_OF(UsageError, read_job(config));
    EXPECT_NE(message.find(expected), message.npos) << config << ": " << message;
  }
}

TEST(SourceConfig, EffectiveConfigReadsBackTheSame) {
  const Job job = read_job(
      R"({"tasks": ["a.jsonl:limit=3", {"reference": "b.jsonl", "weight": 0.5, "chat": true}], "one": "arithmetic"})");
  const Json effective = dump_config(job);
  EXPECT_EQ(dump_config(read_job(effective.dump().c_str())), effective);
}

TEST(SourceConfig, SchemaTellsTheForms) {
  const Json schema = config_schema(Job{}, "job");
  const Json& one = schema["properties"]["one"]["anyOf"];
  ASSERT_EQ(one.size(), 2U);
  EXPECT_EQ(one[0]["type"], "string");
  EXPECT_EQ(one[1]["required"], Json::array({"reference"}));
  EXPECT_FALSE(one[1]["additionalProperties"].get<bool>());
  const Json& tasks = schema["properties"]["tasks"]["anyOf"];
  ASSERT_EQ(tasks.size(), 3U);
  EXPECT_EQ(tasks[2]["type"], "array");
  EXPECT_EQ(tasks[2]["items"]["anyOf"].size(), 2U);
}

}  // namespace
}  // namespace cohort
