// A prompt and its completions as packed rows, for tests.
#pragma once
#include <vector>

#include "policy/kernels/philox.h"
#include "policy/rows.h"

namespace cohort {

inline std::vector<int32_t> random_tokens(int64_t count, uint32_t stream) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(philox({uint32_t(i), stream, 0, 0}, {1, 2})[0] % 97));
  return ids;
}

/// One prompt and its completions, packed: the prompt once, its last partial block copied to each completion.
struct PackedGroup {
  std::vector<int32_t> tokens;
  std::vector<RowSpan> spans;
  std::vector<TailCopy> copies;
  std::vector<std::vector<int32_t>> tables;
  std::vector<std::vector<int32_t>> sequences;  // prompt + completion
  int64_t num_blocks = 0;

  PackedGroup(int64_t prompt, std::vector<int64_t> lengths) {
    std::vector<int32_t> ids = random_tokens(prompt, 0);
    tables.reserve(lengths.size() + 1);
    tables.emplace_back();
    for (int64_t b = 0; b < ceil_div(prompt, kKeyBlock); ++b) tables[0].push_back(int32_t(num_blocks++));
    tokens = ids;
    spans.push_back({0, prompt, 0, tables[0].data()});
    for (size_t i = 0; i < lengths.size(); ++i) {
      std::vector<int32_t> completion = random_tokens(lengths[i], uint32_t(i + 1));
      auto& table = tables.emplace_back(tables[0].begin(), tables[0].begin() + prompt / kKeyBlock);
      if (prompt % kKeyBlock) copies.push_back({tables[0].back(), int32_t(num_blocks), int32_t(prompt % kKeyBlock)});
      while (int64_t(table.size()) < ceil_div(prompt + lengths[i], kKeyBlock)) table.push_back(int32_t(num_blocks++));
      spans.push_back({int64_t(tokens.size()), lengths[i], int32_t(prompt), table.data()});
      tokens.insert(tokens.end(), completion.begin(), completion.end());
      sequences.push_back(ids);
      sequences.back().insert(sequences.back().end(), completion.begin(), completion.end());
    }
  }
  Rows rows() const { return {tokens, spans, copies}; }
};

}  // namespace cohort
