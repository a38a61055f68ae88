// Tasks and texts made by rule, a stream by index: row i of (options, split, seed) is the same on every machine and
// whatever was asked before. A tenth of every generator's problems, told by a hash of the problem itself, is held out
// from training, for every seed and option: text and tasks of split train and tasks of split held_out share no problem.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tasks/sft_row.h"
#include "tasks/source.h"
#include "tasks/stream.h"

namespace cohort {

struct GeneratorStream {
  uint64_t seed = 0;
  Split split = Split::all;
};

/// One line of the table: exactly one of open_tasks and open_rows is set.
struct Generator {
  std::string_view name;
  std::string_view summary;
  Json (*schema)();  // JSON Schema of its options, defaults included
  Stream<Task> (*open_tasks)(const Json& options, const GeneratorStream& stream);
  Stream<SftRow> (*open_rows)(const Json& options, const GeneratorStream& stream);
};

std::span<const Generator> generators();

/// Null when no generator has this name.
const Generator* find_generator(std::string_view name);

}  // namespace cohort
