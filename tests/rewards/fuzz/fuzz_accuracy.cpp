// Fuzzes the reward `accuracy`: extraction, the parser and the comparison, on any bytes as completion and as reference.
// The first line is the reference, the rest the completion; both also take the other's place. What must hold: no crash,
// no sanitizer report, the same verdict twice, a finite amount of work (libFuzzer's -timeout), and a reference that
// parses equals itself.
#include <cstdlib>
#include <string_view>

#include "rewards/math/equal.h"
#include "rewards/math/extract.h"
#include "rewards/math/parser.h"

namespace cohort::math {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void judge(std::string_view reference, std::string_view completion, const ExtractOptions& extract,
           const EqualOptions& options) {
  std::optional<Expr> gold, answer;
  for (const std::string& reading : extract_reference(reference)) {
    if ((gold = parse(reading))) break;
  }
  for (const std::string& reading : extract_answer(completion, extract)) {
    if ((answer = parse(reading))) break;
  }
  if (!gold || !answer) return;
  require(equal(*gold, *answer, options) == equal(*gold, *answer, options));
}

}  // namespace
}  // namespace cohort::math

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace cohort::math;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const size_t line = text.find('\n');
  const std::string_view first = text.substr(0, line);
  const std::string_view rest = line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  judge(first, rest, {}, {});
  judge(rest, first, {.after_think = false, .last_number = true, .join_boxes = false},
        {.percent = Mark::scales,
         .ordered_lists = true,
         .any_brackets = true,
         .match_units = true,
         .strict_names = false,
         .domain = SymbolDomain::real,
         .log_base = LogBase::ten});
  if (const auto whole = parse(text, {.decimal_comma = true, .mixed_fractions = false}))
    require(equal(*whole, *whole, {}) || size > 2000);  // a long text may run out of its budget
  return 0;
}
