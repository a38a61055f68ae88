// Packed rows: the tokens of several sequences behind one another, and work that is done row by row.
#pragma once
#include <algorithm>
#include <span>

#include "policy/model.h"

namespace cohort {

/// Consecutive rows of one sequence.
struct RowSpan {
  int64_t first_row = 0, num_rows = 0;
  int32_t first_position = 0;       // of its first row
  const int32_t* blocks = nullptr;  // block table from position 0 on
};

/// The first `lanes` positions of block `from` also belong to block `to` (the end of a prompt that does not fill its
/// last block, at the head of each completion).
struct TailCopy {
  int32_t from = 0, to = 0, lanes = 0;
};

struct Rows {
  std::span<const int32_t> tokens;     // [T]
  std::span<const RowSpan> sequences;  // cover the rows in order
  std::span<const TailCopy> copies;    // made after this forward's keys are written, before attention
};

/// The key/value block of the position of row t.
inline int32_t block_of(const Rows& rows, const int32_t* sequence_T, const int32_t* position_T, int64_t t) {
  return rows.sequences[size_t(sequence_T[t])].blocks[position_T[t] / kKeyBlock];
}

/// f(t) for every row, a few neighbouring rows in one task.
template <class F>
void for_rows(const Compute& compute, int64_t rows, F f) {
  constexpr int64_t task_rows = 8;
  compute.pool.parallel_for(ceil_div(rows, task_rows), [&](int64_t task) {
    for (int64_t t = task * task_rows; t < std::min(rows, (task + 1) * task_rows); ++t) f(t);
  });
}

}  // namespace cohort
