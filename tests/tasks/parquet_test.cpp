// Parquet files that pyarrow wrote read as the JSON lines of their rows.
#include "tasks/parquet.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "configs/error.h"
#include "tasks/readers.h"
#include "tasks/sft_rows.h"
#include "tests/tasks/temp_file.h"

namespace cohort {
namespace {

#ifndef COHORT_ARROW_DIR
#define COHORT_ARROW_DIR ""
#endif

TEST(Parquet, WithoutArrowThePackageIsNamed) {
  const TempFile file("set.parquet", "PAR1");
  const std::vector<std::filesystem::path> nowhere = {"/nowhere"};
  const Finding finding = examine_parquet(nowhere);
  EXPECT_EQ(finding.status, Finding::Status::degraded);
  const std::string message = MESSAGE_OF(MissingError, read_parquet(file.path(), nowhere));
  EXPECT_NE(message.find("pyarrow"), std::string::npos) << message;
  EXPECT_NE(message.find("set.parquet"), std::string::npos) << message;
  EXPECT_NE(finding.remedy.find("make arrow"), std::string::npos);
}

struct ParquetGolden : testing::Test {
  void SetUp() override {
    if (std::string(COHORT_ARROW_DIR).empty()) GTEST_SKIP() << "Arrow is not here: make arrow";
    if (python("import pyarrow.parquet") != 0) GTEST_SKIP() << "this python3 cannot import " << COHORT_ARROW_DIR;
  }
  /// `table` writes `path`.
  int python(const std::string& code) const {
    const TempFile script("write.py", code);
    const std::string command = "PYTHONPATH='" COHORT_ARROW_DIR "/..' python3 '" + script.path() + "' 2>/dev/null";
    return std::system(command.c_str());
  }
  std::string write(const std::string& table) const {
    const std::string path = folder.folder() + "/rows.parquet";
    EXPECT_EQ(python("import pyarrow as pa, pyarrow.parquet as pq, decimal, datetime\ntable = " + table +
                     "\npq.write_table(table, '" + path + "', row_group_size=2)\n"),
              0)
        << table;
    return path;
  }
  Json rows(const std::string& table) const {
    const std::string text = read_parquet(write(table));
    Json rows = Json::array();
    for (const RawRow& raw : split_rows(text)) rows.push_back(Json::parse(raw.text));
    return rows;
  }
  TempFile folder{"place", ""};
};

TEST_F(ParquetGolden, EveryTypeOfColumnReadsAsJson) {
  const Json found = rows(R"(pa.table({
    'text': pa.array(['a', 'ü\n"', None]), 'large': pa.array(['x', '', 'y'], pa.large_string()),
    'i8': pa.array([-128, 0, 127], pa.int8()), 'u64': pa.array([0, 1, 2**64 - 1], pa.uint64()),
    'i64': pa.array([-2**63, None, 2**63 - 1]), 'half': pa.array([0.5, 1.0, None], pa.float16()),
    'float': pa.array([0.1, float('nan'), -1.5], pa.float32()), 'double': pa.array([0.1, 1e300, float('inf')]),
    'bool': pa.array([True, False, None]), 'null': pa.nulls(3),
    'list': pa.array([[1, 2], [], None]), 'lists': pa.array([[['a'], []], [], [['b', None]]]),
    'large_list': pa.array([[1.5], None, []], pa.large_list(pa.float64())),
    'fixed': pa.array([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2)),
    'struct': pa.array([{'x': 1, 'y': {'z': 'a'}}, None, {'x': None, 'y': None}]),
    'map': pa.array([[('k', 1)], [], None], pa.map_(pa.string(), pa.int64())),
    'category': pa.array(['p', 'q', 'p']).dictionary_encode(), 'bytes': pa.array([b'abc', b'', None]),
    'date': pa.array([datetime.date(2026, 1, 31), None, None]),
    'decimal': pa.array([decimal.Decimal('1.50'), None, None])}))");
  EXPECT_EQ(found, Json::parse(R"([
    {"text": "a", "large": "x", "i8": -128, "u64": 0, "i64": -9223372036854775808, "half": 0.5, "float": 0.1,
     "double": 0.1, "bool": true, "null": null, "list": [1, 2], "lists": [["a"], []], "large_list": [1.5],
     "fixed": [1, 2], "struct": {"x": 1, "y": {"z": "a"}}, "map": {"k": 1}, "category": "p", "bytes": "abc",
     "date": "2026-01-31", "decimal": "1.50"},
    {"text": "ü\n\"", "large": "", "i8": 0, "u64": 1, "i64": null, "half": 1.0, "float": null, "double": 1e300,
     "bool": false, "null": null, "list": [], "lists": [], "large_list": null, "fixed": [3, 4], "struct": null,
     "map": {}, "category": "q", "bytes": "", "date": null, "decimal": null},
    {"text": null, "large": "y", "i8": 127, "u64": 18446744073709551615, "i64": 9223372036854775807, "half": null,
     "float": -1.5, "double": null, "bool": null, "null": null, "list": null, "lists": [["b", null]],
     "large_list": [], "fixed": null, "struct": {"x": null, "y": null}, "map": null, "category": "p", "bytes": null,
     "date": null, "decimal": null}])"));
}

TEST_F(ParquetGolden, TasksOfVerlAreThoseOfTheirJsonLines) {
  const std::string rows = R"([
    {"data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "1+1?"}], "ability": "math",
     "reward_model": {"style": "rule", "ground_truth": "2"}, "extra_info": {"index": 0, "split": "train"}},
    {"data_source": "openai/gsm8k", "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "2+2?"}],
     "ability": "math", "reward_model": {"style": "rule", "ground_truth": "4"},
     "extra_info": {"index": 1, "split": "train"}}])";
  std::string lines;
  for (const Json& row : Json::parse(rows)) lines += row.dump() + "\n";
  const TempFile jsonl("rows.jsonl", lines);
  const std::string parquet = write("pa.Table.from_pylist(" + rows + ")");
  std::string format;
  TaskSource source;
  source.reference = parquet;
  const std::vector<Task> expected = read_tasks(jsonl.path()), found = read_tasks(source, &format);
  EXPECT_EQ(format, "verl");
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(found[i].id, expected[i].id);
    EXPECT_EQ(found[i].answer, expected[i].answer);
    EXPECT_EQ(found[i].extra, expected[i].extra);
    ASSERT_EQ(found[i].prompt.size(), expected[i].prompt.size());
    EXPECT_EQ(found[i].prompt.back().content, expected[i].prompt.back().content);
  }
  EXPECT_EQ(found[1].prompt[0].role, "system");
}

TEST_F(ParquetGolden, RowsOfSupervisedTuning) {
  const std::string path = write("pa.table({'prompt': ['a', 'b', 'c'], 'completion': ['1', '2', '3']})");
  const std::vector<SftRow> rows = read_sft_rows(path);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2].prompt + rows[2].completion, "c3");
}

TEST_F(ParquetGolden, WhatCannotBeReadIsNamed) {
  const TempFile broken("broken.parquet", "PAR1 and nothing else PAR1"), empty("empty.parquet", "");
  for (const TempFile* file : {&broken, &empty}) {
    const std::string message = MESSAGE_OF(UsageError, read_parquet(file->path()));
    EXPECT_NE(message.find(file->path() + ": not readable as parquet"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  const std::string bytes =
      MESSAGE_OF(UsageError, read_parquet(write("pa.table({'a': [1, 2], 'image': [b'ok', bytes([255, 216])]})")));
  EXPECT_NE(bytes.find("row 2, column image: its bytes are no UTF-8 text"), std::string::npos) << bytes;
  const std::string type = MESSAGE_OF(
      UsageError, read_parquet(write("pa.table({'t': pa.array([[(1, 'a')]], pa.map_(pa.int64(), pa.string()))})")));
  EXPECT_NE(type.find("row 1, column t: a map has keys of type int64"), std::string::npos) << type;
}

}  // namespace
}  // namespace cohort
