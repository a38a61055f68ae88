// The strict reader: what a config may say, what is refused and with which words, and what is printed of it.
#include "configs/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "configs/error.h"

namespace cohort {
namespace {

struct Penalty {
  int64_t length = 100;
  double weight = 0.5;
};
template <class V>
void visit_fields(V& v, Penalty& c) {
  v.field("length", c.length, "tokens before the penalty starts", at_least(1));
  v.field("weight", c.weight, "of the penalty", between(open(0), 1));
}

struct Advantage {
  std::string scale = "group";
  float epsilon = 1e-4f;
};
template <class V>
void visit_fields(V& v, Advantage& c) {
  v.field("scale_rewards", c.scale, "divide by this std", one_of({"group", "batch", "none"}));
  v.field("epsilon_std", c.epsilon, "added to the std", above(0));
}

struct Weighed {
  std::string name;
  double weight = 1;
};
template <class V>
void visit_fields(V& v, Weighed& c) {
  v.field("name", c.name, "of the reward", required(), not_empty());
  v.field("weight", c.weight, "of the reward");
}

struct Job {
  bool shuffle = true;
  int32_t seed = 7;
  uint64_t steps = 10;
  int64_t depth = -1;
  std::optional<double> target;
  std::optional<Penalty> cap;
  std::vector<int64_t> layers = {1, 2};
  std::vector<bool> flags;
  std::vector<Weighed> rewards;
  std::map<std::string, double> mix;
  Json tasks = "gsm8k";
  Advantage advantage;
  Penalty overlong;
};
template <class V>
void visit_fields(V& v, Job& c) {
  v.field("shuffle", c.shuffle, "the tasks");
  v.field("seed", c.seed, "of the run");
  v.field("steps", c.steps, "to take", at_least(1), at_most(1000000));
  v.field("depth", c.depth, "of the search", between(-1, 8));
  v.field("target", c.target, "stop here", below(1));
  v.object("cap", c.cap, "cap");
  v.field("layers", c.layers, "kept", at_least(0), not_empty());
  v.field("flags", c.flags, "each");
  v.field("rewards", c.rewards, "weighed");
  v.field("mix", c.mix, "of sources", above(0));
  v.field("tasks", c.tasks, "reference or list");
  visit_fields(v, c.advantage);
  v.object("overlong", c.overlong, "soft penalty on length");
}

Job read(const std::string& text) {
  Job job;
  read_config(parse_config_text(text, "job.json"), job, "job.json");
  return job;
}

/// The message a config is refused with; "" when it is accepted.
std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ReadConfig, KeepsWhatIsNotNamed) {
  const Job job = read("{}");
  EXPECT_EQ(job.steps, 10u);
  EXPECT_EQ(job.layers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(job.advantage.scale, "group");
}

TEST(ReadConfig, ReadsEveryType) {
  const Job job =
      read(R"({"$schema": "x", "shuffle": false, "seed": -3, "steps": 5, "target": 0.25, "cap": {"length": 3},
      "layers": [4, 0], "flags": [true, false], "rewards": [{"name": "a"}, {"name": "b", "weight": 2}],
      "mix": {"x": 0.5, "y": 2}, "tasks": [{"free": null}], "scale_rewards": "none", "epsilon_std": 0.5,
      "overlong": {"weight": 1}})");
  EXPECT_FALSE(job.shuffle);
  EXPECT_EQ(job.seed, -3);
  EXPECT_EQ(job.steps, 5u);
  EXPECT_EQ(job.target, 0.25);
  EXPECT_EQ(job.cap->length, 3);
  EXPECT_EQ(job.layers, (std::vector<int64_t>{4, 0}));
  EXPECT_EQ(job.flags, (std::vector<bool>{true, false}));
  ASSERT_EQ(job.rewards.size(), 2u);
  EXPECT_EQ(job.rewards[0].weight, 1);
  EXPECT_EQ(job.rewards[1].name, "b");
  EXPECT_EQ(job.mix, (std::map<std::string, double>{{"x", 0.5}, {"y", 2}}));
  EXPECT_EQ(job.tasks[0].size(), 1u);
  EXPECT_EQ(job.advantage.scale, "none");
  EXPECT_EQ(job.advantage.epsilon, 0.5f);
  EXPECT_EQ(job.overlong.weight, 1);
  EXPECT_EQ(job.overlong.length, 100);
}

TEST(ReadConfig, TakesIntegersHoweverTheyAreWritten) {
  EXPECT_EQ(read(R"({"steps": 3.0})").steps, 3u);
  EXPECT_EQ(read(R"({"steps": 1e3})").steps, 1000u);
  EXPECT_EQ(read(R"({"depth": -1.0})").depth, -1);
  EXPECT_EQ(read(R"({"overlong": {"length": 9223372036854775807}})").overlong.length, INT64_MAX);
  EXPECT_NE(refusal(R"({"overlong": {"length": 9223372036854775808}})"), "");
  EXPECT_NE(refusal(R"({"overlong": {"length": 9223372036854775808.0}})"), "");
  EXPECT_EQ(refusal(R"({"steps": 2.5})"), "job.json: steps is 2.5, expected an integer in [1, 1000000]");
  EXPECT_EQ(refusal(R"({"steps": -1})"), "job.json: steps is -1, expected an integer in [1, 1000000]");
  EXPECT_EQ(refusal(R"({"seed": 2147483648})"), "job.json: seed is 2147483648, expected an integer of 32 bits");
  EXPECT_EQ(refusal(R"({"steps": "3"})"), "job.json: steps is \"3\", expected an integer in [1, 1000000]");
  EXPECT_EQ(refusal(R"({"steps": true})"), "job.json: steps is true, expected an integer in [1, 1000000]");
}

TEST(ReadConfig, IsStrictAboutBooleans) {
  for (const char* value : {"1", "0", "\"true\"", "null", "[]"})
    EXPECT_EQ(refusal(std::string(R"({"shuffle": )") + value + "}"),
              std::string("job.json: shuffle is ") + value + ", expected true or false");
}

TEST(ReadConfig, NamesAnUnknownKeyAndItsNearest) {
  EXPECT_EQ(refusal(R"({"step": 3})"), "job.json: unknown key step = 3; the nearest known key is steps");
  EXPECT_EQ(refusal(R"({"scaleRewards": "x"})"),
            "job.json: unknown key scaleRewards = \"x\"; the nearest known key is scale_rewards");
  EXPECT_EQ(refusal(R"({"overlong": {"wieght": 1}})"),
            "job.json: unknown key overlong.wieght = 1; the nearest known key is overlong.weight");
  EXPECT_EQ(refusal(R"({"rewards": [{"name": "a"}, {"name": "b", "wight": 1}]})"),
            "job.json: unknown key rewards.1.wight = 1; the nearest known key is rewards.1.weight");
  EXPECT_EQ(refusal(R"({"overlong": {"$schema": "x"}})"),
            "job.json: unknown key overlong.$schema = \"x\"; the nearest known key is overlong.length");
}

TEST(ReadConfig, NamesAValueOutsideItsRange) {
  EXPECT_EQ(refusal(R"({"overlong": {"weight": 0}})"), "job.json: overlong.weight is 0, expected a number in (0, 1]");
  EXPECT_EQ(refusal(R"({"overlong": {"weight": 1.5}})"),
            "job.json: overlong.weight is 1.5, expected a number in (0, 1]");
  EXPECT_EQ(refusal(R"({"epsilon_std": 0})"), "job.json: epsilon_std is 0, expected a number above 0");
  EXPECT_EQ(refusal(R"({"target": 1})"), "job.json: target is 1, expected a number below 1");
  EXPECT_EQ(refusal(R"({"depth": 9})"), "job.json: depth is 9, expected an integer in [-1, 8]");
  EXPECT_EQ(refusal(R"({"layers": [3, -2]})"), "job.json: layers.1 is -2, expected an integer of at least 0");
  EXPECT_EQ(refusal(R"({"layers": []})"), "job.json: layers is [], expected a list with at least one entry");
  EXPECT_EQ(refusal(R"({"mix": {"a": 1, "b": 0}})"), "job.json: mix.b is 0, expected a number above 0");
  EXPECT_EQ(refusal(R"({"scale_rewards": "grop"})"),
            "job.json: scale_rewards is \"grop\", expected one of \"group\", \"batch\", \"none\"");
  EXPECT_EQ(refusal(R"({"epsilon_std": 1e39})"),
            "job.json: epsilon_std is 1e+39, expected a number that fits in 32 bits");
}

TEST(ReadConfig, NamesAWrongType) {
  EXPECT_EQ(refusal("[]"), "job.json: the config is [], expected an object");
  EXPECT_EQ(refusal(R"({"overlong": 3})"), "job.json: overlong is 3, expected an object");
  EXPECT_EQ(refusal(R"({"layers": 3})"), "job.json: layers is 3, expected a list with at least one entry");
  EXPECT_EQ(refusal(R"({"mix": [1]})"), "job.json: mix is [1], expected an object");
  EXPECT_EQ(refusal(R"({"target": "0.5"})"), "job.json: target is \"0.5\", expected a number below 1");
  EXPECT_EQ(refusal(R"({"rewards": ["a"]})"), "job.json: rewards.0 is \"a\", expected an object");
  EXPECT_EQ(refusal(R"({"rewards": [{}]})"), "job.json: the key rewards.0.name is missing and has no default");
  EXPECT_EQ(refusal(R"({"rewards": [{"name": ""}]})"),
            "job.json: rewards.0.name is \"\", expected a string that is not empty");
}

TEST(ReadConfig, ShortensLongValuesWithoutBreakingCharacters) {
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "é";
  const std::string message = refusal(R"({"steps": ")" + long_text + "\"}");
  EXPECT_LT(message.size(), 140u);
  EXPECT_NO_THROW(Json(message).dump());  // throws on broken UTF-8
}

TEST(ReadConfig, NullEmptiesAnOptional) {
  Job job;
  job.target = 0.5;
  job.cap = Penalty{};
  read_config(Json::parse(R"({"target": null, "cap": null})"), job, "job.json");
  EXPECT_FALSE(job.target);
  EXPECT_FALSE(job.cap);
}

struct Twice {
  Advantage first, second;
};
template <class V>
void visit_fields(V& v, Twice& c) {
  visit_fields(v, c.first);
  visit_fields(v, c.second);
}

TEST(ReadConfig, FindsAKeyThatTwoStructsDeclare) {
  Twice twice;
  EXPECT_THROW(read_config(Json::object(), twice, "job.json"), std::logic_error);
}

TEST(Constraints, SeveralAllApply) {
  const Constraint both = merged({above(0), between(0, 5), at_most(9)});
  EXPECT_TRUE(both.low->open);
  EXPECT_EQ(both.low->value, 0);
  EXPECT_EQ(both.high->value, 5);
  EXPECT_FALSE(both.high->open);
  EXPECT_EQ(one_of(std::vector<std::string>{"x", "y"}).choices, one_of({"x", "y"}).choices);
}

TEST(DumpConfig, ReadsBackToTheSame) {
  const Job job = read(R"({"target": 0.1, "cap": {}, "rewards": [{"name": "a"}], "mix": {"x": 3}, "epsilon_std": 0.3,
                          "flags": [true]})");
  const Json dumped = dump_config(job);
  Job again;
  read_config(dumped, again, "dump");
  EXPECT_EQ(dump_config(again), dumped);
  EXPECT_EQ(dumped["epsilon_std"].dump(), "0.3");  // a float shows as it was written, not as its double
  EXPECT_EQ(dumped["flags"].dump(), "[true]");
  EXPECT_EQ(dumped["cap"]["length"], 100);
  EXPECT_TRUE(dump_config(Job{})["target"].is_null());
  EXPECT_EQ(dump_config(Job{}).size(), 14u);
}

TEST(ConfigSchema, DescribesEveryKey) {
  const Json schema = config_schema(Job{}, "Job");
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["title"], "Job");
  EXPECT_EQ(schema["additionalProperties"], false);
  const Json& properties = schema["properties"];
  EXPECT_EQ(properties["steps"], Json::parse(R"({"type": "integer", "minimum": 1, "maximum": 1000000, "default": 10,
                                                 "description": "to take"})"));
  EXPECT_EQ(properties["target"], Json::parse(R"({"type": ["number", "null"], "exclusiveMaximum": 1, "default": null,
                                                  "description": "stop here"})"));
  EXPECT_EQ(properties["scale_rewards"]["enum"], Json::parse(R"(["group", "batch", "none"])"));
  EXPECT_EQ(properties["overlong"]["properties"]["weight"],
            Json::parse(R"({"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.5,
                            "description": "of the penalty"})"));
  EXPECT_EQ(properties["overlong"]["additionalProperties"], false);
  EXPECT_EQ(properties["rewards"]["items"]["required"], Json::parse(R"(["name"])"));
  EXPECT_EQ(properties["layers"]["minItems"], 1);
  EXPECT_EQ(properties["layers"]["items"], Json::parse(R"({"type": "integer", "minimum": 0})"));
  EXPECT_EQ(properties["mix"]["additionalProperties"], Json::parse(R"({"type": "number", "exclusiveMinimum": 0})"));
  EXPECT_FALSE(properties["tasks"].contains("type"));
  EXPECT_EQ(properties["$schema"]["type"], "string");
  EXPECT_EQ(properties.size(), dump_config(Job{}).size() + 2);  // $schema, $comment
}

std::string parse_refusal(const std::string& text) {
  try {
    parse_config_text(text, "c.json");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ParseConfig, SkipsAByteOrderMark) {
  EXPECT_EQ(parse_config_text("\xEF\xBB\xBF{\"a\": 1}", "c.json")["a"], 1);
}

TEST(ParseConfig, RefusesAKeyGivenTwice) {
  EXPECT_EQ(parse_refusal("{\n \"a\": 1,\n \"b\": {\"a\": 2},\n\n \"a\": 3}"),
            "c.json: the key \"a\" is given twice, on lines 2 and 5");
  EXPECT_EQ(parse_refusal("[{\"a\": 1}, {\"a\": 1}]"), "");
  EXPECT_EQ(parse_refusal("{\"a\": 1, \"\\u0061\": 1}"), "c.json: the key \"a\" is given twice, on lines 1 and 1");
}

TEST(ParseConfig, RefusesDeepNestingAndNamesTheLine) {
  std::string deep;
  for (int i = 0; i < 65; ++i) deep += "[\n";
  EXPECT_EQ(parse_refusal(deep), "c.json: line 65: nested deeper than 64 levels");
  EXPECT_EQ(parse_refusal(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_EQ(parse_refusal(std::string(1000000, '[')), "c.json: line 1: nested deeper than 64 levels");
}

TEST(ParseConfig, NamesLineAndColumnOfASyntaxError) {
  EXPECT_TRUE(parse_refusal("{\n  \"a\": 1,\n  oops\n}").starts_with("c.json: line 3, column 3: not valid JSON, "));
  EXPECT_TRUE(parse_refusal("{\"a\": tru}").starts_with("c.json: line 1, column 10: not valid JSON, "));
  EXPECT_TRUE(parse_refusal("").starts_with("c.json: line 1, column 1: not valid JSON, "));
  EXPECT_TRUE(parse_refusal("{\"a\": 1e999}").starts_with("c.json: line 1, column "));
  EXPECT_TRUE(parse_refusal("{\"a\": 1} x").starts_with("c.json: line 1, column 10: "));
  EXPECT_TRUE(parse_refusal("\"\xFF\"").starts_with("c.json: line 1, column 2: "));
  EXPECT_TRUE(parse_refusal("{\"a\": NaN}").starts_with("c.json: line 1, column 7: "));
}

TEST(ParseConfig, NamesAFileThatCannotBeRead) {
  EXPECT_THROW(parse_config_file("/nowhere/c.json"), UsageError);
  EXPECT_THROW(parse_config_file("/"), UsageError);
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "config_test.json";
  std::ofstream(path) << "{\"a\": [1, 2]}";
  EXPECT_EQ(parse_config_file(path)["a"][1], 2);
  std::filesystem::remove(path);
}

TEST(ParseConfigAttack, TakesOrRefusesAnyBytes) {
  const std::string valid = R"({"steps": 1e3, "tasks": [{"a": "\u00e9"}, null, -0.5], "overlong": {"length": 3}})";
  std::mt19937 random(1);
  int num_taken = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = valid;
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes)
      text[random() % text.size()] = static_cast<char>(random() % 256);
    Job job;
    try {
      read_config(parse_config_text(text, "c.json"), job, "c.json");
      ++num_taken;
    } catch (const UsageError&) {
    }
  }
  EXPECT_GT(num_taken, 0);
  EXPECT_LT(num_taken, 20000);
}

TEST(Overrides, SetNestedKeys) {
  Json config = Json::parse(R"({"a": {"b": 1}, "list": [{"w": 1}, {"w": 2}], "none": null})");
  apply_overrides(config,
                  {"a.b=2", "a.c.d=[1,2]", "list.1.w=0.5", "name=gsm8k:limit=3", "none.x=true", "empty=", "q=\"7\""});
  EXPECT_EQ(config, Json::parse(R"({"a": {"b": 2, "c": {"d": [1, 2]}}, "list": [{"w": 1}, {"w": 0.5}],
      "name": "gsm8k:limit=3", "none": {"x": true}, "empty": "", "q": "7"})"));
}

TEST(Overrides, RefuseABadForm) {
  for (const char* set : {"", "a", "=1", ".a=1", "a.=1", "a..b=1"}) {
    Json config = Json::object();
    EXPECT_THROW(apply_overrides(config, {set}), UsageError) << set;
  }
  Json config = Json::parse(R"({"n": 3, "list": [1]})");
  EXPECT_THROW(apply_overrides(config, {"n.x=1"}), UsageError);
  EXPECT_THROW(apply_overrides(config, {"list.1=1"}), UsageError);
  EXPECT_THROW(apply_overrides(config, {"list.x=1"}), UsageError);
  EXPECT_THROW(apply_overrides(config, {R"(o={"a":1,"a":2})"}), UsageError);
}

TEST(Nearest, CountsEdits) {
  const std::vector<std::string> known = {"epsilon", "epsilon_high", "num_iterations", "beta"};
  EXPECT_EQ(nearest("epsilom", known), "epsilon");
  EXPECT_EQ(nearest("epsilon-high", known), "epsilon_high");
  EXPECT_EQ(nearest("NumIterations", known), "num_iterations");
  EXPECT_EQ(nearest("btea", known), "beta");
  EXPECT_EQ(nearest("x", {}), "");
  EXPECT_EQ(nearest(std::string(1 << 20, 'x'), known).empty(), false);
}

}  // namespace
}  // namespace cohort
