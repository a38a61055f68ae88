// Fuzzes chat templates. What must hold: no crash, no sanitizer report, bounded work and memory (libFuzzer's -timeout
// and -rss_limit_mb), nothing thrown but UsageError that names a line, valid UTF-8 out of valid UTF-8, and the same
// prompt twice.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "configs/error.h"
#include "policy/text/chat_template.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

const OrderedJson& variables() {
  static const OrderedJson made = OrderedJson::parse(R"({
    "messages": [{"role": "system", "content": "é"},
                 {"role": "user", "content": [{"type": "text", "text": " a\n"}]},
                 {"role": "assistant", "content": "<think>x</think>y", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5, "b": null}}}]}],
    "tools": [{"type": "function", "function": {"name": "f"}}], "add_generation_prompt": true, "bos_token": "<s>", "n": -3, "d": {"k": [1, 2]}})");
  return made;
}

std::optional<std::string> rendered(const std::string& source) try {
  return ChatTemplate(source).render(variables());
} catch (const UsageError& error) {
  if (std::string_view(error.what()).find("line ") == std::string_view::npos) std::abort();
  return std::nullopt;
}

}  // namespace
}  // namespace cohort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string source(reinterpret_cast<const char*>(bytes), size);
  const auto prompt = cohort::rendered(source);
  if (!prompt || source.find("strftime_now") != std::string::npos) return 0;
  if (cohort::rendered(source) != prompt) std::abort();
  if (cohort::unicode::valid_prefix(source) == source.size() &&
      cohort::unicode::valid_prefix(*prompt) != prompt->size())
    std::abort();
  return 0;
}
