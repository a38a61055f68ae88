// A callout before every item of the pattern counts the items tried and the bytes moved over, which also bounds the
// quadratic scans that PCRE2's own match limit does not see.
#include "rewards/pattern.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cmath>
#include <cstdint>
#include <new>
#include <stdexcept>

#include "configs/error.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr double kMaxWork = 8e5;  // about 15 ms

std::string message_of(int error) {
  PCRE2_UCHAR text[200];
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
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

}  // namespace

Pattern::Pattern(const std::string& pattern, Options options, std::string_view where) {
  uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
  if (options.full) flags |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
  if (options.ignore_case) flags |= PCRE2_CASELESS;
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), flags, &error, &offset, nullptr),
      pcre2_code_free);
  if (!code_) {
    throw UsageError(std::string(where) + ": pattern " + excerpt(pattern) + " is not valid at character " +
                     std::to_string(offset) + ": " + message_of(error));
  }
}

Matched Pattern::match(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> found(pcre2_match_data_create(1, nullptr),
                                                                                  pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!found || !context) throw std::bad_alloc();
  Work work;
  pcre2_set_match_limit(context.get(), 1'000'000);
  pcre2_set_heap_limit(context.get(), 64 * 1024);  // KiB
  pcre2_set_callout(context.get(), count_work, &work);
  const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, found.get(),
                                 context.get());
  if (result >= 0) return Matched::yes;
  if (result == PCRE2_ERROR_NOMATCH) return Matched::no;
  if (result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT || result == PCRE2_ERROR_HEAPLIMIT)
    return Matched::out_of_budget;
  throw std::runtime_error("PCRE2: " + message_of(result));
}

}  // namespace cohort
