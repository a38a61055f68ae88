#include "tasks/rows.h"

#include <gtest/gtest.h>

#include "configs/error.h"
#include "tasks/random.h"
#include "temp_file.h"

namespace cohort {
namespace {

struct Expected {
  int64_t line;
  std::string text;  // "!" where a problem is expected
};

void expect_rows(std::string_view text, const std::vector<Expected>& expected) {
  const std::vector<RawRow> rows = split_rows(text);
  ASSERT_EQ(rows.size(), expected.size()) << text;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].line, expected[i].line) << text;
    EXPECT_EQ(rows[i].problem ? "!" : std::string(rows[i].text), expected[i].text) << text;
  }
}

TEST(Rows, LinesAreNumberedFromOneAndBlankOnesSkipped) {
  expect_rows("", {});
  expect_rows("\n \n\t\r\n", {});
  expect_rows("{}\n{\"a\":1}", {{1, "{}"}, {2, "{\"a\":1}"}});
  expect_rows("\xEF\xBB\xBF{}\r\n\r\n  {} \r\n", {{1, "{}"}, {3, "{}"}});
  expect_rows("{\n[]\n", {{1, "{"}, {2, "[]"}});
}

TEST(Rows, AListIsTakenApartWithTheLineOfEachRow) {
  expect_rows("[]", {});
  expect_rows(" \n[ ]\n", {});
  expect_rows("[{}]", {{1, "{}"}});
  expect_rows("[\n {\"a\": [1,2]},\n\n {\"b\": \"],[\\\"\"}\n]\n",
              {{2, "{\"a\": [1,2]}"}, {4, "{\"b\": \"],[\\\"\"}"}});
  expect_rows("\xEF\xBB\xBF[{},\n{\n\"x\":1\n},{}]", {{1, "{}"}, {2, "{\n\"x\":1\n}"}, {4, "{}"}});
}

TEST(Rows, BrokenListsAreNamedByLine) {
  expect_rows("[{},\n]", {{1, "{}"}, {2, "!"}});
  expect_rows("[,{}]", {{1, "!"}, {1, "{}"}});
  expect_rows("[{}\n", {{1, "!"}});
  expect_rows("[{},", {{1, "{}"}, {1, "!"}});
  expect_rows("[{}]\n\nx", {{1, "{}"}, {3, "!"}});
  expect_rows("[", {{1, "!"}});
}

TEST(Rows, ParsesOneObject) {
  Json row;
  EXPECT_FALSE(parse_row(R"({"a": "é\n"})", row));
  EXPECT_EQ(row["a"], "é\n");
  for (const char* broken : {"", "{", "[]", "1", "\"x\"", "null", "{} {}", "{'a':1}", "{\"a\":NaN}", "{\"a\":\"\xFF\"}",
                             "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"})
    EXPECT_TRUE(parse_row(broken, row)) << broken;
  EXPECT_NE(parse_row("{\"a\": x}", row)->find("column 7"), std::string::npos);
}

TEST(Rows, ReasonsAreShortPlainText) {
  Json row;
  const std::string reason = *parse_row("{\"" + std::string(5000, '\x01') + "\xFF", row);
  EXPECT_LT(reason.size(), 250U);
  for (char c : reason) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(Rows, FilesThatCannotBeRead) {
  EXPECT_THROW(read_bytes("/nowhere/at/all.jsonl"), UsageError);
  EXPECT_NE(MESSAGE_OF(UsageError, read_bytes("/nowhere/at/all.jsonl")).find("/nowhere/at/all.jsonl"),
            std::string::npos);
  EXPECT_THROW(read_bytes(std::filesystem::temp_directory_path().string()), UsageError);
  EXPECT_THROW(read_bytes("some.parquet"), UsageError);
}

TEST(RowsAttack, DeepNestingIsRefusedBeforeItIsParsed) {
  Json row;
  const std::string deep = "{\"a\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}";
  EXPECT_NE(parse_row(deep, row)->find("nested deeper than 64"), std::string::npos);
  EXPECT_FALSE(parse_row("{\"a\":" + std::string(63, '[') + std::string(63, ']') + "}", row));
  EXPECT_TRUE(parse_row("{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}", row));
  EXPECT_FALSE(parse_row("{\"a\":\"" + std::string(1000, '[') + "\"}", row));
  EXPECT_EQ(split_rows(std::string(1000000, '[')).size(), 1U);
}

TEST(RowsAttack, RandomBytesNeverCrash) {
  RandomStream random(3, 1);
  const std::string_view alphabet = "[]{}\",:\\\n 1ae\xEF\xBB\xBF\xFF";
  for (int i = 0; i < 20000; ++i) {
    std::string text = random.below(2) == 0 ? "[" : "";
    for (uint64_t length = random.below(40); length > 0; --length)
      text += random.below(4) == 0 ? static_cast<char>(random.below(256)) : alphabet[random.below(alphabet.size())];
    Json row;
    for (const RawRow& raw : split_rows(text)) {
      EXPECT_GE(raw.line, 1);
      if (!raw.problem && !parse_row(raw.text, row)) {
        EXPECT_TRUE(row.is_object());
      }
    }
  }
}

}  // namespace
}  // namespace cohort
