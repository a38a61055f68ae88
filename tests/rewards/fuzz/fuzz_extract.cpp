// Fuzzes the search for the answer in a completion and in a reference solution. The first byte chooses the options.
// What must hold: no crash, no sanitizer report, work linear in the text (libFuzzer's -timeout), few readings, none
// much longer than the text, and nothing read from a thought that was never closed.
#include <cstdlib>
#include <string_view>

#include "rewards/math/extract.h"
#include "rewards/text.h"

namespace cohort::math {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const std::vector<std::string>& readings, std::string_view text) {
  require(readings.size() <= 40);
  for (const std::string& reading : readings) require(reading.size() <= 2 * text.size() + 10);
}

}  // namespace
}  // namespace cohort::math

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace cohort;
  using namespace cohort::math;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const ExtractOptions options{
      .after_think = (bytes[0] & 1) != 0, .last_number = (bytes[0] & 2) != 0, .join_boxes = (bytes[0] & 4) != 0};
  const auto readings = extract_answer(text, options);
  check(readings, text);
  check(extract_reference(text), text);
  const bool thinking =
      text.find("<think>") != std::string_view::npos && text.find("</think>") == std::string_view::npos;
  require(!(options.after_think && thinking) || readings.empty());
  for (const char* how : {"none", "answer_tag", "boxed", "last_line", "last_number"}) {
    const auto found = extract_by(how, text);
    require(!found || found->size() <= text.size());
  }
  return 0;
}
