// Prompts are those Jinja2 renders with transformers' settings; written by generate_chat_goldens.py.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>

#include "configs/error.h"
#include "policy/text/chat_template.h"
#include "policy/text/tokenizer.h"
#include "tests/text/golden_files.h"

namespace cohort {
namespace {

std::string template_file(const std::string& name) {
  std::ifstream in(golden_path("templates/" + name));
  return {std::istreambuf_iterator<char>(in), {}};
}

void expect_rendered(const std::string& source, const OrderedJson& variables, const OrderedJson& expected) {
  if (expected.contains("error")) {
    EXPECT_THROW(ChatTemplate(source).render(variables), UsageError)
        << source.substr(0, 200) << "\nJinja2: " << expected["error"];
    return;
  }
  try {
    EXPECT_EQ(ChatTemplate(source).render(variables), expected["text"].get<std::string>()) << source.substr(0, 200);
  } catch (const UsageError& error) {
    ADD_FAILURE() << error.what() << "\n" << source.substr(0, 200);
  }
}

TEST(ChatTemplateGolden, RendersTheLanguage) {
  const OrderedJson golden = read_golden("chat.json");
  ASSERT_GT(golden["one_line"].size(), 70u);
  for (const OrderedJson& each : golden["one_line"]) expect_rendered(each["template"], golden["variables"], each);
}

TEST(ChatTemplateGolden, RendersTheFamilies) {
  const OrderedJson golden = read_golden("chat.json");
  ASSERT_GT(golden["chats"].size(), 200u);
  for (const OrderedJson& each : golden["chats"]) {
    SCOPED_TRACE(each["template"].get<std::string>() + " " + each["variables"].dump());
    expect_rendered(template_file(each["template"]), each["variables"], each);
  }
}

/// The file that generate_chat_goldens.py FILE FOLDER… wrote for templates that are not in this repository.
TEST(ChatTemplateGolden, RendersTheTemplatesOfOthers) {
  if (!std::getenv("COHORT_CHAT_CASES"))
    GTEST_SKIP() << "no COHORT_CHAT_CASES: the file that generate_chat_goldens.py FILE FOLDER… writes";
  std::ifstream in(std::getenv("COHORT_CHAT_CASES"));
  const OrderedJson golden = OrderedJson::parse(in);
  const Json bytes = Json::parse(byte_tokenizer({"<s>", "</s>"}).files().at("tokenizer.json"));
  std::map<std::string, std::array<int, 3>> counts;  // of a template: rendered, refused by both, different
  std::map<std::string, Tokenizer> tokenizers;
  for (const auto& [name, source] : golden["templates"].items())
    tokenizers.emplace(
        name, tokenizer_from_json(
                  bytes, {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"chat_template", source.get<std::string>()}}));
  for (const OrderedJson& each : golden["cases"]) {
    const auto name = each["template"].get<std::string>();
    OrderedJson extra = each["extra"];
    const bool prompt = extra.value("add_generation_prompt", false);
    std::string text, error;
    try {
      text = render_chat(tokenizers.at(name), each["messages"], prompt, extra);
    } catch (const UsageError& refused) {
      error = refused.what();
    }
    const bool same =
        each.contains("error") ? !error.empty() : error.empty() && text == each["text"].get<std::string>();
    const int kind = same ? each.contains("error") : 2;
    if (++counts[name][kind] < 3 && kind == 2)
      ADD_FAILURE() << name << "\n" << each.dump().substr(0, 3000) << "\nours: " << text << error;
  }
  for (const auto& [name, count] : counts)
    std::cout << name << ": " << count[0] << " prompts the same, " << count[1] << " refused by both, " << count[2]
              << " differ\n";
}

}  // namespace
}  // namespace cohort
