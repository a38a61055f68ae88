// Fuzzes what code and JSON are judged by: rows of tests in every form, programs in completions, signatures, schemas.
// The first line is the row (or the schema), the rest the completion. What must hold: no crash, no sanitizer report,
// nothing thrown but a UsageError, a program no longer than completion and prompt, and a schema that accepts the value
// "const" names.
#include <cstdlib>
#include <optional>
#include <string_view>

#include "configs/error.h"
#include "rewards/code/signature.h"
#include "rewards/code/suite.h"
#include "rewards/schema.h"
#include "tasks/rows.h"

namespace cohort {
namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class F>
void refused_or_done(F act) {
  try {
    act();
  } catch (const UsageError&) {
  }
}

void read_tests(const Json& row, const std::string& completion) {
  refused_or_done([&] {
    const code::Suite suite = code::suite_of({.extra = row});
    require(suite.inputs.size() == suite.outputs.size());
    require(program_of(completion, suite).size() <= completion.size() + suite.prompt.size());
  });
  for (int depth : {0, 1}) refused_or_done([&] { code::signature_of(completion, depth); });
}

void read_schema(const Json& row, const std::string& completion) {
  refused_or_done([&] {
    const Schema schema(row);
    schema.check(row);
    schema.check(completion);
    schema.check(Json::parse(completion, nullptr, false));
  });
  require(Schema({{"const", row}}).check(row).holds);
}

}  // namespace
}  // namespace cohort

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace cohort;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string completion(text.substr(std::min(line + 1, text.size())));
  Json row;
  if (parse_row(text.substr(0, line), row)) return 0;
  read_tests(row, completion);
  read_schema(row, completion);
  return 0;
}
