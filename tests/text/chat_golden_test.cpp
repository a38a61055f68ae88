// Prompts are those Jinja2 renders with transformers' settings; written by generate_chat_goldens.py.
#include <gtest/gtest.h>

#include <iterator>

#include "configs/error.h"
#include "policy/text/chat_template.h"
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

}  // namespace
}  // namespace cohort
