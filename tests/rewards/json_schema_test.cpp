// The reward json_schema and the validator behind it. Run over the 423 cases of the public JSON-Schema-Test-Suite's
// draft 7 the validator agrees on 401, refuses 21 (other documents, ids within the schema) and differs on one by
// intent: words beside $ref count, as from draft 2019-09 on.
#include <gtest/gtest.h>

#include <unistd.h>
#include <chrono>
#include <filesystem>

#include <fstream>

#include "configs/error.h"
#include "rewards/schema.h"
#include "tests/rewards/judging.h"

namespace cohort {
namespace {

bool is_valid(const char* schema, const char* value) {
  return Schema(Json::parse(schema)).check(Json::parse(value)).holds;
}

struct Case {
  const char *schema, *valid, *invalid;
};

class Words : public testing::TestWithParam<Case> {};

TEST_P(Words, TellValidFromInvalid) {
  const auto& [schema, valid, invalid] = GetParam();
  EXPECT_TRUE(is_valid(schema, valid)) << schema << " " << valid;
  EXPECT_FALSE(is_valid(schema, invalid)) << schema << " " << invalid;
}

INSTANTIATE_TEST_SUITE_P(
    Schema, Words,
    testing::Values(
        Case{R"({"type": "integer"})", "3.0", "3.5"}, Case{R"({"type": ["null", "string"]})", "null", "0"},
        Case{R"({"enum": [1, "a", {"b": [2]}]})", R"({"b": [2.0]})", "true"}, Case{R"({"const": 0})", "0.0", "false"},
        Case{R"({"minimum": 1.5})", "1.5", "1.4"}, Case{R"({"exclusiveMaximum": 3})", "2.9", "3"},
        Case{R"({"multipleOf": 0.01})", "19.99", "19.995"}, Case{R"({"maxLength": 2})", R"("éé")", R"("abc")"},
        Case{R"({"pattern": "^a+$"})", R"("aaa")", R"("ab")"}, Case{R"({"minItems": 2})", "[1, 1]", "[1]"},
        Case{R"({"uniqueItems": true})", "[1, true, [1]]", "[1, 2, 1.0]"},
        Case{R"({"items": {"type": "string"}})", R"(["a"])", "[1]"},
        Case{R"({"prefixItems": [{"type": "string"}], "items": false})", R"(["a"])", R"(["a", "b"])"},
        Case{R"({"contains": {"const": 1}, "maxContains": 2})", "[1, 0, 1]", "[1, 1, 1]"},
        Case{R"({"required": ["a"]})", R"({"a": null})", "{}"},
        Case{R"({"properties": {"a": {"type": "integer"}}, "additionalProperties": false})", R"({"a": 1})",
             R"({"a": 1, "b": 2})"},
        Case{R"({"patternProperties": {"^n_": {"type": "number"}}, "additionalProperties": {"type": "string"}})",
             R"({"n_1": 1, "x": "y"})", R"({"n_1": "1"})"},
        Case{R"({"propertyNames": {"maxLength": 1}})", R"({"a": 1})", R"({"ab": 1})"},
        Case{R"({"dependentRequired": {"card": ["code"]}})", R"({"code": 1})", R"({"card": 1})"},
        Case{R"({"dependentSchemas": {"a": {"required": ["b"]}}})", R"({"a": 1, "b": 2})", R"({"a": 1})"},
        Case{R"({"allOf": [{"minimum": 1}, {"maximum": 2}]})", "2", "3"},
        Case{R"({"anyOf": [{"type": "string"}, {"minimum": 5}]})", "6", "4"},
        Case{R"({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]})", "4", "6"},
        Case{R"({"not": {"type": "null"}})", "0", "null"},
        Case{R"({"if": {"type": "number"}, "then": {"minimum": 0}, "else": {"type": "string"}})", R"("x")", "-1"},
        Case{R"({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}},
                 "required": ["v"]}}, "$ref": "#/$defs/n"})",
             R"({"v": 1, "next": {"v": 2}})", R"({"v": 1, "next": {"w": 2}})"},
        Case{R"({"$defs": {"a/b%": {"$anchor": "here", "type": "null"}}, "anyOf": [{"$ref": "#here"},
                 {"$ref": "#/$defs/a~1b%25", "const": 1}]})",
             "null", "1"},
        Case{R"({"items": [{"type": "null"}], "additionalItems": {"type": "boolean"}})", "[null, true]", "[null, 1]"}));

TEST(Schema, WhatIsBrokenOrNotSupportedIsNamed) {
  const auto message = [](const char* schema) -> std::string {
    try {
      Schema(Json::parse(schema));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message(R"({"properties": {"a": {"unevaluatedProperties": false}}})").find("/properties/a has uneval"),
            std::string::npos);
  EXPECT_NE(message(R"({"$ref": "https://example.org/x.json"})").find("within the schema"), std::string::npos);
  EXPECT_NE(message(R"({"$ref": "#/$defs/x"})").find("nowhere"), std::string::npos);
  EXPECT_NE(message(R"({"items": {"pattern": "("}})").find("at /items: pattern"), std::string::npos);
  EXPECT_NE(message(R"({"items": 3})").find("at /items is 3"), std::string::npos);
  EXPECT_NE(message(R"({"minimum": "1"})").find("minimum that is no number"), std::string::npos);
  EXPECT_NE(message(R"({"required": "a"})").find("required"), std::string::npos);
}

TEST(Schema, AFaultNamesPlaceAndWhatWasExpected) {
  const Schema schema(Json::parse(R"({"properties": {"a": {"items": {"type": "integer"}}}})"));
  EXPECT_EQ(schema.check(Json::parse(R"({"a": [1, "x"]})")).fault,
            R"(at /a/1: found "x", expected the type "integer")");
}

TEST(SchemaAttack, TheWorkIsBounded) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Schema(Json::parse(R"({"$ref": "#"})")).check(1).out_of_budget);
  EXPECT_TRUE(Schema(Json::parse(R"({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, false]})")).check(1).out_of_budget);
  const Schema bait(Json::parse(R"({"pattern": "(a+)+$"})"));
  EXPECT_TRUE(bait.check(std::string(1'000'000, 'a') + "!").out_of_budget);
  Json many = Json::array();
  for (int i = 0; i < 300'000; ++i) many.push_back(i);
  EXPECT_FALSE(Schema(Json::parse(R"({"uniqueItems": true})")).check(many).out_of_budget);
  EXPECT_TRUE(Schema(Json::parse(R"({"items": {"type": "integer"}})")).check(many).out_of_budget);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

const std::string kReward =
    R"({"name": "json_schema", "options": {"schema": {"type": "object", "required": ["answer"],
        "properties": {"answer": {"type": "integer"}}}}})";

Status status_of(std::string_view completion) {
  return score_of(kReward, "", completion).status;
}

TEST(JsonSchema, JudgesTheLastBlockOrAll) {
  EXPECT_EQ(score_of(kReward, "", R"({"answer": 4})").value, 1);
  EXPECT_EQ(status_of("<think>{\"answer\": 1}</think>So:\n```json\n{\"answer\": 4}\n```\nDone."), Status::correct);
  EXPECT_EQ(status_of("```json\n{\"answer\": 4}\n```\nno:\n```json\n{\"answer\": \"4\"}\n```"), Status::wrong);
  EXPECT_EQ(status_of("<think>{\"answer\": 4}</think>"), Status::unparsable);
  EXPECT_EQ(status_of(""), Status::unparsable);
}

TEST(JsonSchemaAttack, OnlyStrictJsonCounts) {
  for (const char* text :
       {R"({"answer": NaN})", R"({"answer": 1, "answer": 2})", R"({"answer": 1} {})", R"({"answer": 1,})",
        R"({'answer': 1})", R"({"answer": 01})", "{\"answer\": 1, \"b\": \"\xFF\"}", R"({"answer": 1e999})"})
    EXPECT_EQ(status_of(text), Status::unparsable) << text;
  EXPECT_EQ(status_of(std::string(100'000, '[')), Status::unparsable);
  EXPECT_EQ(status_of("{\"answer\": 1, \"b\": " + std::string(70, '[') + std::string(70, ']') + "}"),
            Status::unparsable);
}

TEST(JsonSchema, TheSchemaComesFromAFileOrFromTheRow) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("schema" + std::to_string(getpid()));
  std::ofstream(file) << R"({"type": "array"})";
  EXPECT_EQ(score_of("json_schema:schema=" + file.string(), "", "[]").status, Status::correct);
  EXPECT_EQ(score_of("json_schema:schema=" + file.string(), "", "{}").status, Status::wrong);
  std::filesystem::remove(file);
  EXPECT_THROW(make_reward(parse_reward("json_schema:schema=" + file.string())), UsageError);
  const Reward reward = make_reward(parse_reward("json_schema"));
  Task task{.extra = {{"json_schema", {{"type", "null"}}}}};
  EXPECT_EQ(score_with(reward.judge, task, "null").status, Status::correct);
  task.extra["json_schema"] = R"({"type": "string"})";
  EXPECT_EQ(score_with(reward.judge, task, "null").status, Status::wrong);
  task.extra["json_schema"] = R"({"type": 3})";
  EXPECT_EQ(score_with(reward.judge, task, "null").status, Status::error);
  EXPECT_EQ(score_with(reward.judge, Task{}, "null").status, Status::error);
}

}  // namespace
}  // namespace cohort
