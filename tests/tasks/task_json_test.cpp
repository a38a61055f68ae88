#include "tasks/task_json.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tasks/random.h"
#include "temp_file.h"

namespace cohort {
namespace {

void expect_equal(const Task& a, const Task& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(prompt_to_json(a.prompt), prompt_to_json(b.prompt));
  EXPECT_EQ(a.answer, b.answer);
  EXPECT_EQ(a.reward, b.reward);
  EXPECT_EQ(a.extra, b.extra);
}

std::string random_text(RandomStream& random) {
  const char* pieces[] = {"a", " ", "\n", "\"", "\\", "é", "数", "😀", "\t", "0", "{"};
  std::string text;
  for (uint64_t i = random.below(12); i > 0; --i) text += pieces[random.below(11)];
  return text;
}

Json random_json(RandomStream& random, int depth) {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return random_text(random);
    case 1:
      return random.between(-1000, 1000);
    case 2:
      return random.next();
    case 3:
      return random.uniform() * 1e-3;
    case 4:
      return random.below(2) == 0;
    case 5:
      return nullptr;
    case 6:
      return Json::array({random_json(random, depth - 1), random_json(random, depth - 1)});
    default:
      return {{random_text(random), random_json(random, depth - 1)}};
  }
}

Task random_task(RandomStream& random) {
  Task task;
  task.id = random_text(random);
  if (random.below(2) == 0)
    task.prompt = {{"", random_text(random)}};
  else
    for (uint64_t i = random.below(4); i > 0; --i) task.prompt.push_back({"user", random_text(random)});
  task.answer = random_text(random);
  if (random.below(2) == 0) task.reward = {{"name", random_text(random)}};
  for (uint64_t i = random.below(4); i > 0; --i) task.extra["x" + random_text(random)] = random_json(random, 3);
  return task;
}

TEST(TaskJson, RoundTripIsExact) {
  RandomStream random(1, 1);
  for (int i = 0; i < 2000; ++i) {
    const Task task = random_task(random);
    expect_equal(task_from_json(Json::parse(to_json(task).dump())), task);
  }
}

TEST(TaskJson, EmptyPartsAreLeftOut) {
  Task task;
  task.prompt = {{"", "1+1="}};
  EXPECT_EQ(to_json(task).dump(), R"({"prompt":"1+1="})");
  task.answer = "2";
  task.prompt = {{"user", "1+1="}};
  task.extra["level"] = 1;
  EXPECT_EQ(to_json(task), Json::parse(R"({"prompt":[{"role":"user","content":"1+1="}],"answer":"2","level":1})"));
}

TEST(TaskJson, ColumnsThatWouldHideAFieldAreOurFault) {
  for (const char* column : {"id", "prompt", "answer", "reward"}) {
    Task task;
    task.prompt = {{"", "x"}};
    task.extra[column] = 1;
    EXPECT_THROW(to_json(task), std::logic_error) << column;
  }
}

TEST(TaskJson, RefusesWhatIsNoTask) {
  for (const char* record : {"[]", "1", "{}", R"({"prompt":5})", R"({"prompt":[1]})", R"({"prompt":[{"content":"x"}]})",
                             R"({"prompt":"x","answer":[]})", R"({"prompt":"x","id":{}})"})
    EXPECT_THROW(task_from_json(Json::parse(record)), UsageError) << record;
  const std::string message = MESSAGE_OF(UsageError, task_from_json({{"id", "a/7"}, {"prompt", 1}}));
  EXPECT_NE(message.find("a/7"), message.npos) << message;
}

TEST(TaskJson, MessagesAreReadInTheirForms) {
  Messages messages;
  EXPECT_FALSE(read_prompt(
      Json::parse(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])"), messages));
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].content, "ab");
  for (const char* broken :
       {R"([{"role":"","content":"x"}])", R"([{"role":"user"}])", R"([{"role":"user","content":null}])", R"(null)",
        R"({})", R"([{"role":"user","content":[{"type":"image_url"}]}])",
        R"([{"role":"a","content":"x","tool_calls":[{}]}])"})
    EXPECT_TRUE(read_prompt(Json::parse(broken), messages)) << broken;
}

TEST(TaskJson, ScalarsAsText) {
  EXPECT_EQ(scalar_text(Json(145.0)), "145");
  EXPECT_EQ(scalar_text(Json(-3)), "-3");
  EXPECT_EQ(scalar_text(Json(0.5)), "0.5");
  EXPECT_EQ(scalar_text(Json(1e300)), "1e+300");
  EXPECT_EQ(scalar_text(Json(true)), "true");
  EXPECT_EQ(scalar_text(Json(" x ")), " x ");
  EXPECT_EQ(scalar_text(Json()), std::nullopt);
  EXPECT_EQ(scalar_text(Json::array()), std::nullopt);
}

}  // namespace
}  // namespace cohort
