// Configs of other programs as flat keys: YAML as PyYAML and OmegaConf read it, and words as a shell splits them.
#include "configs/import/source_config.h"

#include <gtest/gtest.h>

#include "configs/error.h"

namespace cohort {
namespace {

std::map<std::string, Json> values(const std::string& text) {
  std::map<std::string, Json> values;
  for (const SourceKey& key : read_source_config(text, "c.yaml")) values[key.name] = key.value;
  return values;
}

std::string refusal(const std::string& text) {
  try {
    read_source_config(text, "c.yaml");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(SourceConfig, ScalarsHaveTheirTypes) {
  const std::map<std::string, Json> expected = {
      {"a", 1},      {"b", 1e-6}, {"c", true},    {"d", false},       {"e", nullptr}, {"f", nullptr}, {"g", "1e-6"},
      {"h", "word"}, {"i", -2.5}, {"j", "1.2.3"}, {"k", "inf-ormal"}, {"l", 7},       {"m", "e"}};
  EXPECT_EQ(values("a: 1\nb: 1e-6\nc: yes\nd: Off\ne: null\nf:\ng: '1e-6'\nh: word\ni: -2.5\nj: 1.2.3\nk: inf-ormal\n"
                   "l: +7\nm: e\n"),
            expected);
}

TEST(SourceConfig, MapsAreDottedAndKeysKnowTheirLines) {
  const std::vector<SourceKey> keys =
      read_source_config("# c\na:\n  b: {c: 1, d: [x, {e: 2}]}\n  f: {}\n\ng: 3\n", "c.yaml");
  ASSERT_EQ(keys.size(), 4u);
  EXPECT_EQ(keys[0].name, "a.b.c");
  EXPECT_EQ(keys[0].line, 3);
  EXPECT_EQ(keys[1].value, Json::parse(R"(["x", {"e": 2}])"));
  EXPECT_EQ(keys[2].value, Json::object());
  EXPECT_EQ(keys[3].name, "g");
  EXPECT_EQ(keys[3].line, 6);
}

TEST(SourceConfig, AnchorsAreFollowedAndJsonIsYaml) {
  EXPECT_EQ(values("a: &x {b: 1}\nc: *x\n"), (std::map<std::string, Json>{{"a.b", 1}, {"c.b", 1}}));
  EXPECT_EQ(values(R"({"a": {"b": [true, null, "no"]}})").at("a.b"), Json::parse(R"([true, null, "no"])"));
}

TEST(SourceConfig, WordsOfACommandLine) {
  const std::vector<SourceKey> keys = read_source_config(
      "set -x\nlow=0.2; high='0.28'\nexport files=/data\n# x.y=1\npython3 -m main \\\n  x.low=$low \\\n  "
      "+x.high=\"${high}\" "
      "++x.files=${files}/train.parquet \\\n  x.list=[1,'b'] x.none=null x.home=$HOME/d \\\n  x.low=0.3 \"$@\"\n",
      "c.sh");
  std::map<std::string, Json> values;
  for (const SourceKey& key : keys) values[key.name] = key.value;
  EXPECT_EQ(values, (std::map<std::string, Json>{{"x.low", 0.3},
                                                 {"x.high", 0.28},
                                                 {"x.files", "/data/train.parquet"},
                                                 {"x.list", {1, "b"}},
                                                 {"x.none", nullptr},
                                                 {"x.home", "$HOME/d"}}));
  EXPECT_EQ(keys.back().name, "x.low");
  EXPECT_EQ(keys.back().line, 9);
}

TEST(SourceConfig, WhatIsRefusedNamesItsLine) {
  EXPECT_EQ(refusal("a: 1\nb: 2\na: 3\n"), "c.yaml:3: a is given twice, first on line 1");
  EXPECT_EQ(refusal("x:\n  a: 1\n  a: 3\n"), "c.yaml:3: x.a is given twice, first on line 2");
  EXPECT_EQ(refusal("a: 1\nb: [1, 2\n").substr(0, 9), "c.yaml:3:");
  EXPECT_NE(refusal("a: 1\nb: {x: ]\n").find("not valid YAML"), std::string::npos);
  EXPECT_EQ(refusal("a: \xFF\n"), "c.yaml: is no UTF-8 text");
  EXPECT_NE(refusal("").find("no config"), std::string::npos);
  EXPECT_NE(refusal("just words\n").find("no config"), std::string::npos);
  EXPECT_NE(refusal("? [a]\n: 1\n").find("a key that is no word"), std::string::npos);
  EXPECT_NE(refusal("a: " + std::string(100, '[') + std::string(100, ']')).find("nested deeper"), std::string::npos);
}

TEST(SourceConfigAttack, AliasesOfAliasesEnd) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    text += name + ": &" + name + " [" + last;
    for (int j = 1; j < 10; ++j) text += ", " + last;
    text += "]\n";
  }
  EXPECT_NE(refusal(text).find("more than"), std::string::npos);
}

}  // namespace
}  // namespace cohort
