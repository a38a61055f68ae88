#include "tasks/generators.h"

#include <algorithm>
#include <array>

#include "configs/error.h"
#include "tasks/generators/arithmetic.h"
#include "tasks/generators/arithmetic_cold_start.h"
#include "tasks/generators/arithmetic_text.h"
#include "tasks/generators/countdown.h"

namespace cohort {
namespace {

template <class Options>
Options checked_options(const Json& options, std::string_view name) {
  Options checked;
  read_config(options, checked, name);
  check_options(checked);
  return checked;
}

/// The stream of `make`, whose rows get their ids here: "name/split/seed/index".
template <class Row, class Options>
Stream<Row> stream_of(const Options& options, const GeneratorStream& stream, const std::string& name,
                      Row (*make)(const Options&, const GeneratorStream&, int64_t)) {
  const std::string prefix =
      name + "/" + std::string(to_string(stream.split)) + "/" + std::to_string(stream.seed) + "/";
  Stream<Row> rows;
  rows.name = name;
  rows.format = "generator";
  rows.digest = prefix + dump_config(options).dump();
  rows.at = [=](int64_t index) {
    Row row = make(options, stream, index);
    row.id = prefix + std::to_string(index);
    return row;
  };
  return rows;
}

template <class Options>
Json schema() {
  return config_schema(Options{}, "options");
}

Stream<Task> open_arithmetic(const Json& options, const GeneratorStream& stream) {
  return stream_of(checked_options<ChainOptions>(options, "arithmetic"), stream, "arithmetic", arithmetic_task);
}

Stream<Task> open_countdown(const Json& options, const GeneratorStream& stream) {
  return stream_of(checked_options<CountdownOptions>(options, "countdown"), stream, "countdown", countdown_task);
}

/// Text is for training: there is no text about a held-out problem.
GeneratorStream training_only(const GeneratorStream& stream, const std::string& name) {
  if (stream.split == Split::held_out)
    throw UsageError(name + ": split is held_out, and text is made of training problems only; leave split out");
  return {stream.seed, Split::train};
}

Stream<SftRow> open_arithmetic_text(const Json& options, const GeneratorStream& stream) {
  const std::string name = "arithmetic_text";
  return stream_of(checked_options<ArithmeticTextOptions>(options, name), training_only(stream, name), name,
                   arithmetic_text_row);
}

Stream<SftRow> open_arithmetic_cold_start(const Json& options, const GeneratorStream& stream) {
  const std::string name = "arithmetic_cold_start";
  const auto checked = checked_options<ArithmeticColdStartOptions>(options, name);
  Stream<SftRow> rows = stream_of(checked, training_only(stream, name), name, arithmetic_cold_start_row);
  rows.size = checked.rows;
  return rows;
}

constexpr std::array<Generator, 4> kGenerators = {{
    {"arithmetic", "chains of operations worked from left to right modulo 10: \"3+4*2-7=\"", schema<ChainOptions>,
     open_arithmetic, nullptr},
    {"countdown", "reach a target with all of some numbers and + - * /", schema<CountdownOptions>, open_countdown,
     nullptr},
    {"arithmetic_text", "text on arithmetic chains to pretrain on: bare answers, worked steps, steps left half done",
     schema<ArithmeticTextOptions>, nullptr, open_arithmetic_text},
    {"arithmetic_cold_start", "at most 500 chains worked in the form <think>...</think><answer>...</answer>",
     schema<ArithmeticColdStartOptions>, nullptr, open_arithmetic_cold_start},
}};

}  // namespace

std::span<const Generator> generators() {
  return kGenerators;
}

const Generator* find_generator(std::string_view name) {
  const auto found =
      std::find_if(kGenerators.begin(), kGenerators.end(), [&](const Generator& g) { return g.name == name; });
  return found == kGenerators.end() ? nullptr : &*found;
}

}  // namespace cohort
