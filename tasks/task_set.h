// What to solve next, and what to learn from next: rows of one or more sources in the order of a Cursor.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tasks/cursor.h"
#include "tasks/readers.h"
#include "tasks/sft_rows.h"
#include "tasks/source.h"

namespace cohort {

template <class Row>
class ShuffledRows {
 public:
  ShuffledRows(std::vector<Stream<Row>> streams, uint64_t seed)
      : streams_(std::move(streams)), cursor_(cursor_sources(streams_), seed) {}

  /// The next `count` rows; a finite source starts its next epoch where one ends.
  std::vector<Row> next(int64_t count) {
    std::vector<Row> rows;
    rows.reserve(count);
    for (int64_t i = 0; i < count; ++i) {
      const Draw draw = cursor_.next();
      rows.push_back(streams_[draw.source].at(draw.index));
    }
    return rows;
  }

  /// After restore(state()), on the same sources and seed, next gives the rows it would have given.
  Json state() const { return cursor_.state(); }
  void restore(const Json& state) { cursor_.restore(state); }

  const Cursor& cursor() const { return cursor_; }
  const std::vector<Stream<Row>>& streams() const { return streams_; }

 private:
  static std::vector<CursorSource> cursor_sources(const std::vector<Stream<Row>>& streams) {
    std::vector<CursorSource> sources;
    for (const Stream<Row>& stream : streams)
      sources.push_back({stream.name, stream.digest, stream.size, stream.weight});
    return sources;
  }

  std::vector<Stream<Row>> streams_;
  Cursor cursor_;
};

using TaskSet = ShuffledRows<Task>;
using SftSet = ShuffledRows<SftRow>;

/// Throw as open_tasks and open_sft_rows do.
TaskSet open_task_set(const std::vector<TaskSource>& sources, uint64_t seed);
SftSet open_sft_set(const std::vector<TaskSource>& sources, uint64_t seed);

}  // namespace cohort
