// The think/answer form, shown on at most 500 problems: "<think>3+4=7;7*2=4</think><answer>4</answer>". The answer is
// always given; bare rows think nothing and unfinished ones break off before they answer.
#pragma once
#include "tasks/generators/chain.h"

namespace cohort {

struct ArithmeticColdStartOptions {
  ChainOptions chain;
  WorkOptions work;
  int64_t rows = 500;
};

template <class V>
void visit_fields(V& v, ArithmeticColdStartOptions& c) {
  visit_fields(v, c.chain);
  visit_fields(v, c.work);
  v.field("rows", c.rows, "rows there are", between(1, 500));
}

inline void check_options(const ArithmeticColdStartOptions& options) {
  check_options(options.chain);
  check_options(options.work);
}

inline SftRow arithmetic_cold_start_row(const ArithmeticColdStartOptions& options, const GeneratorStream& stream,
                                        int64_t index) {
  const Chain chain = chain_at(options.chain, stream, "arithmetic_cold_start", index);
  RandomStream random(stream.seed ^ stable_hash("arithmetic_cold_start work"), static_cast<uint64_t>(index));
  SftRow row;
  row.prompt = chain_text(chain);
  row.completion = "<think>" + draw_work(options.work, chain, random).steps + "</think><answer>" +
                   std::to_string(chain.results.back()) + "</answer>";
  return row;
}

}  // namespace cohort
