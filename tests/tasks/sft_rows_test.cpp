#include "tasks/sft_rows.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tasks/task_json.h"
#include "temp_file.h"

namespace cohort {
namespace {

std::vector<SftRow> read_text(const std::string& bytes, const std::string& options = "") {
  const TempFile file("rows.jsonl", bytes);
  return read_sft_rows(file.path() + options);
}

TEST(SftRows, ReadsEveryForm) {
  const auto rows = read_text(
      "{\"prompt\":\"a\",\"completion\":\"b\",\"source\":\"web\"}\n"
      "{\"id\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"r\"}]}\n"
      "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"r\"},{\"role\":"
      "\"user\",\"content\":\"s\"}],"
      "\"completion\":[{\"role\":\"assistant\",\"content\":\"t\"}]}\n"
      "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":\"t\"}\n");
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].id, "rows/1");
  EXPECT_EQ(rows[0].prompt + "|" + rows[0].completion, "a|b");
  EXPECT_TRUE(rows[0].messages.empty());
  EXPECT_EQ(rows[0].extra, Json::parse(R"({"source":"web"})"));
  EXPECT_EQ(rows[1].id, "m");
  EXPECT_EQ(rows[1].messages.size(), 2U);
  EXPECT_EQ(rows[1].first_loss_message, 0U);
  EXPECT_EQ(rows[2].messages.size(), 4U);
  EXPECT_EQ(rows[2].first_loss_message, 3U);  // the assistant's turn in the prompt is not learned
  EXPECT_EQ(rows[3].messages.at(1).role, "assistant");
  EXPECT_EQ(rows[3].first_loss_message, 1U);
}

TEST(SftRows, ARecordOfARowIsTheSameRow) {
  const std::string lines =
      "{\"completion\":\"b\",\"id\":\"1\",\"n\":[1],\"prompt\":\"a\"}\n"
      "{\"id\":\"2\",\"messages\":[{\"content\":\"q\",\"role\":\"user\"},{\"content\":\"r\",\"role\":\"assistant\"}]}\n"
      "{\"completion\":[{\"content\":\"t\",\"role\":\"assistant\"}],\"id\":\"3\",\"prompt\":[{\"content\":\"q\","
      "\"role\":\"user\"}]}\n";
  std::string again;
  for (const SftRow& row : read_text(lines)) again += to_json(row).dump() + "\n";
  EXPECT_EQ(again, lines);
}

TEST(SftRows, AFileOfTasksGivesTheirSolutions) {
  const std::string tasks =
      "{\"question\":\"1+1?\",\"answer\":\"1+1=2\\n#### 2\"}\n"
      "{\"question\":\"2+2?\",\"answer\":\"2+2=4\\n#### 4\"}\n";
  std::vector<SftRow> rows = read_text(tasks);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].prompt, "2+2?");
  EXPECT_EQ(rows[1].completion, "\n2+2=4\n#### 4");  // on a line of its own, as eval --nll has it
  rows = read_text(tasks, ":chat=true,system_prompt=Be brief.,limit=1");
  ASSERT_EQ(rows.size(), 1U);
  ASSERT_EQ(rows[0].messages.size(), 3U);
  EXPECT_EQ(rows[0].messages[2].content, "1+1=2\n#### 2");
  EXPECT_EQ(rows[0].first_loss_message, 2U);
  const std::string message = MESSAGE_OF(UsageError, read_text("{\"id\":\"x\",\"prompt\":\"1+1?\"}\n"));
  EXPECT_NE(message.find("the task x has no reference solution"), message.npos) << message;
}

TEST(SftRows, ErrorsNameFileLineAndReason) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"prompt":"a"})", "neither messages nor prompt and completion"},
      {R"({"prompt":"a","completion":""})", "completion is empty"},
      {R"({"prompt":"a","completion":[{"role":"assistant","content":"x"}]})", "expected the same of both"},
      {R"({"prompt":5,"completion":"x"})", "neither a text nor a list"},
      {R"({"messages":"x"})", "no list"},
      {R"({"messages":[]})", "no assistant turn"},
      {R"({"messages":[{"role":"user","content":"x"}]})", "no assistant turn"},
      {R"({"prompt":[{"role":"assistant","content":"x"}],"completion":[{"role":"user","content":"x"}]})",
       "no assistant turn"},
      {R"({"messages":[{"role":"user"}]})", "message 1 has no content"},
      {R"({"id":[],"prompt":"a","completion":"b"})", "id is neither"},
      {"nonsense", "not valid JSON"},
  };
  for (const auto& [row, reason] : rows) {
    const std::string bytes = std::string("{\"prompt\":\"a\",\"completion\":\"b\"}\n") + row + "\n";
    const std::string message = MESSAGE_OF(UsageError, read_text(bytes));
    EXPECT_NE(message.find("rows.jsonl:2"), message.npos) << message;
    EXPECT_NE(message.find(reason), message.npos) << row << ": " << message;
  }
  EXPECT_THROW(read_text(""), UsageError);
  EXPECT_THROW(read_sft_rows("arithmetic:limit=2"), UsageError);  // tasks without completions
  EXPECT_THROW(read_sft_rows("arithmetic_text"), UsageError);     // endless
  EXPECT_THROW(read_sft_rows("a.jsonl:format=gsm8k"), UsageError);
}

TEST(SftRows, SplitIsThatOfTheSamePromptAsATask) {
  std::string lines, chats;
  for (int i = 0; i < 200; ++i) {
    const std::string prompt = "question " + std::to_string(i);
    lines += Json{{"prompt", prompt}, {"completion", "x"}}.dump() + "\n";
    chats += Json{{"messages", {{{"role", "user"}, {"content", prompt}}, {{"role", "assistant"}, {"content", "x"}}}}}
                 .dump() +
             "\n";
  }
  const auto plain = read_text(lines, ":split=held_out"), chat = read_text(chats, ":split=held_out");
  ASSERT_EQ(plain.size(), chat.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(plain[i].prompt, chat[i].messages[0].content);
    EXPECT_TRUE(in_split(prompt_hash({{"", plain[i].prompt}}), Split::held_out, kHeldOut));
  }
  EXPECT_EQ(plain.size() + read_text(lines, ":split=train").size(), 200U);
}

TEST(SftRows, TemplateIsThatOfTasks) {
  const std::string plain = "{\"prompt\":\"a\",\"completion\":\"b\"}\n";
  EXPECT_EQ(read_text(plain, ":prompt_template=Q {prompt}")[0].prompt, "Q a");
  const SftRow chat = read_text(plain, ":chat=true,system_prompt=S,prompt_template=Q {prompt}")[0];
  EXPECT_EQ(
      to_json(chat)["messages"],
      Json::parse(
          R"([{"role":"system","content":"S"},{"role":"user","content":"Q a"},{"role":"assistant","content":"b"}])"));
  const SftRow pair =
      read_text(R"({"prompt":[{"role":"user","content":"a"}],"completion":"b"})", ":system_prompt=S")[0];
  EXPECT_EQ(pair.first_loss_message, 2U);
  EXPECT_EQ(pair.messages.at(2).content, "b");
  EXPECT_EQ(read_sft_rows("arithmetic_cold_start:rows=1,chat=true")[0].messages.size(), 2U);
}

}  // namespace
}  // namespace cohort
