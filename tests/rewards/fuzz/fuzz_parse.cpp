// Fuzzes the reading of mathematical text. The first byte chooses the options. What must hold: no crash, no sanitizer
// report, bounded work (libFuzzer's -timeout), the same tree twice, a tree within the parser's bounds that equals
// itself, and for a spelling with more white space or in a group the same verdict.
#include <cstdlib>
#include <string>
#include <string_view>

#include "rewards/math/equal.h"
#include "rewards/math/normalize.h"
#include "rewards/math/parser.h"

namespace cohort::math {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool same_tree(const Expr& a, const Expr& b) {
  if (a.kind != b.kind || a.name != b.name || a.value != b.value || a.unit != b.unit || a.operators != b.operators ||
      a.args.size() != b.args.size())
    return false;
  for (size_t i = 0; i < a.args.size(); ++i) {
    if (!same_tree(a.args[i], b.args[i])) return false;
  }
  return true;
}

void read(std::string_view text, const ParseOptions& options) {
  const auto once = parse(text, options), twice = parse(text, options);
  require(once.has_value() == twice.has_value());
  if (!once) return;
  require(same_tree(*once, *twice));
  require(num_nodes(*once) <= 40 * kMaxNodes);
  if (text.size() > 300) return;  // a long text may run out of the budget of one comparison
  require(equal(*once, *once, {}));
}

}  // namespace
}  // namespace cohort::math

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace cohort::math;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  read(text, {.decimal_comma = (bytes[0] & 1) != 0, .mixed_fractions = (bytes[0] & 2) != 0});
  folded_words(text.substr(0, kMaxLength));
  return 0;
}
