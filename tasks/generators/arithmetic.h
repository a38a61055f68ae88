// Multi-step arithmetic: the prompt is a chain, the answer its last result.
#pragma once
#include "tasks/generators/chain.h"

namespace cohort {

inline Task arithmetic_task(const ChainOptions& options, const GeneratorStream& stream, int64_t index) {
  const Chain chain = chain_at(options, stream, "arithmetic", index);
  Task task;
  task.prompt = {{"", chain_text(chain)}};
  task.answer = std::to_string(chain.results.back());
  task.extra = {{"operations", chain.operators.size()}, {"modulo", options.modulo}};
  return task;
}

}  // namespace cohort
