// Which row comes next: a shuffled, resumable walk over one or more sources. Draw k depends on the seed, the sizes and
// the weights alone; a state is a few counters.
//   Within a source, each epoch is a permutation by (seed, source, epoch); an endless source is walked in order.
//   Between sources, the one that is furthest behind its weight is next, so shares hold at every moment, not only on
//   average.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace cohort {

struct CursorSource {
  std::string name;             // for messages
  std::string digest;           // a state is only taken up on the same rows
  std::optional<int64_t> size;  // rows, more than none; none: endless
  double weight = 1;
};

struct Draw {
  size_t source = 0;
  int64_t index = 0;
};

class Cursor {
 public:
  Cursor(std::vector<CursorSource> sources, uint64_t seed);

  Draw next();

  int64_t drawn() const;  // rows so far, over all sources
  double epochs() const;  // passes over the finite source that was read most often

  /// {"seed", "sources": [{"name", "digest", "drawn"}]}
  Json state() const;

  /// Continues where `state` stood. Throws UsageError when the seed or a source is another, naming it.
  void restore(const Json& state);

 private:
  struct Walk {
    CursorSource source;
    int64_t drawn = 0;
    int64_t shuffled_epoch = -1;
    std::vector<int64_t> order;  // [size] of that epoch
  };
  size_t furthest_behind() const;

  std::vector<Walk> walks_;
  uint64_t seed_;
};

/// 0 … size-1 in an order that (seed, stream) fixes on every machine (Fisher-Yates).
std::vector<int64_t> permutation(int64_t size, uint64_t seed, uint64_t stream);

}  // namespace cohort
