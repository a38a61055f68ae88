// Text to pretrain on, as the web has it: after a chain mostly the bare answer, sometimes the steps, some of them left
// half done. The steps end with the answer; `restate` says it once more.
#pragma once
#include "tasks/generators/chain.h"

namespace cohort {

struct ArithmeticTextOptions {
  ChainOptions chain;
  WorkOptions work{0.7, 0.2, 0.1, "compact"};
  bool restate = false;
};

template <class V>
void visit_fields(V& v, ArithmeticTextOptions& c) {
  visit_fields(v, c.chain);
  visit_fields(v, c.work);
  v.field("restate", c.restate, "after all steps the answer is said once more by itself: 3+4=7;7*2=4 4");
}

inline void check_options(const ArithmeticTextOptions& options) {
  check_options(options.chain);
  check_options(options.work);
}

inline SftRow arithmetic_text_row(const ArithmeticTextOptions& options, const GeneratorStream& stream, int64_t index) {
  const Chain chain = chain_at(options.chain, stream, "arithmetic_text", index);
  RandomStream random(stream.seed ^ stable_hash("arithmetic_text work"), static_cast<uint64_t>(index));
  const Work work = draw_work(options.work, chain, random);
  SftRow row;
  row.prompt = chain_text(chain);
  row.completion = work.is_bare ? std::to_string(chain.results.back()) : work.steps;
  if (options.restate && work.is_finished && !work.is_bare)
    row.completion += " " + std::to_string(chain.results.back());
  if (row.completion.empty()) row.completion = row.prompt;  // a single step breaks off before its result
  return row;
}

}  // namespace cohort
