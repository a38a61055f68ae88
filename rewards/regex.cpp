// A PCRE2 pattern, with the work of one match bounded: a callout before every item of the pattern counts the items tried
// and the bytes moved over, which also bounds the quadratic scans that PCRE2's own match limit does not see.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cmath>
#include <memory>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr double kMaxWork = 8e5;  // about 15 ms

struct CodeFree {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
using Code = std::unique_ptr<pcre2_code, CodeFree>;

std::string message_of(int error) {
  PCRE2_UCHAR text[200];
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

Code compile(const std::string& pattern, uint32_t options) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error, &offset, nullptr));
  if (!code) {
    throw UsageError("reward regex: pattern " + excerpt(pattern) + " is not valid at character " + std::to_string(offset) + ": " + message_of(error));
  }
  return code;
}

struct Work {
  double done = 0;
  size_t last = 0;
};

int count_work(pcre2_callout_block* block, void* opaque) {
  auto& work = *static_cast<Work*>(opaque);
  const double moved = std::abs(static_cast<double>(block->current_position) - static_cast<double>(work.last));
  work.last = block->current_position;
  work.done += 1 + moved / 64;  // a byte scanned costs far less than an item tried
  return work.done > kMaxWork ? PCRE2_ERROR_MATCHLIMIT : 0;
}

Score match(const pcre2_code* code, std::string_view text) {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> found(pcre2_match_data_create(1, nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!found || !context) return no_score("out of memory");
  Work work;
  pcre2_set_match_limit(context.get(), 1'000'000);
  pcre2_set_heap_limit(context.get(), 64 * 1024);  // KiB
  pcre2_set_callout(context.get(), count_work, &work);
  const int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, found.get(), context.get());
  if (result >= 0) return verdict(true);
  if (result == PCRE2_ERROR_NOMATCH) return verdict(false);
  if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT || result == PCRE2_ERROR_HEAPLIMIT) {
    return {.value = 0.0F, .status = Status::timeout, .reason = "the pattern ran out of its budget of work on this text"};
  }
  return no_score("PCRE2: " + message_of(result));
}

}  // namespace

RewardFn make_regex(const Json& options) {
  const auto pattern = options.at("pattern").get<std::string>();
  if (pattern.empty()) throw UsageError("reward regex needs a pattern: regex:pattern=…");
  uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
  if (options.at("full").get<bool>()) flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
  if (options.at("ignore_case").get<bool>()) flags |= PCRE2_CASELESS;
  const std::shared_ptr<pcre2_code> code = compile(pattern, flags);
  return each([code](const Judged& judged) { return match(code.get(), judged.completion); });
}

}  // namespace cohort
