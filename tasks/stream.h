// One source of tasks or rows, opened: a row for each index, the same whenever it is asked for.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace cohort {

template <class Row>
struct Stream {
  std::string name;             // the reference
  std::string format;           // the reader that was used, "generator" for a generator
  std::optional<int64_t> size;  // rows; none: endless
  std::string digest;           // changes when any row of it does
  double weight = 1;            // share of the rows drawn from it, relative to other sources
  std::function<Row(int64_t index)> at;
};

/// "gsm8k/train.jsonl: 7473 rows, read as gsm8k" or "arithmetic: a generator without end".
template <class Row>
std::string stream_text(const Stream<Row>& stream) {
  const std::string count = stream.size ? std::to_string(*stream.size) + " rows" : "";
  if (stream.format != "generator") return stream.name + ": " + count + ", read as " + stream.format;
  return stream.name + ": a generator " + (stream.size ? "of " + count : "without end");
}

}  // namespace cohort
