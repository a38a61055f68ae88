// Where tasks come from: a reference (a file, "-", a generator "name:key=value,…" or a benchmark by name) and what is
// taken of it.
//   gsm8k/train.jsonl:split=train,held_out=0.2        arithmetic:operations=4,split=held_out,limit=500
// Options after the colon are the fields below (all but the reference itself) and, for a generator, its own; a comma in
// a value is written "\,". In a config a source is a string, or an object with these fields; a list of them is mixed by
// weight.
#pragma once
#include <string>
#include <vector>

#include "configs/config.h"
#include "tasks/split.h"

namespace cohort {

inline constexpr double kHeldOut = 0.1;  // share kept from training where nothing else is said

struct Benchmark;

struct TaskSource {
  std::string reference;
  double weight = 1;
  std::string format;
  std::string split = "auto";
  double held_out = kHeldOut;
  int64_t limit = 0;
  uint64_t seed = 0;
  bool chat = false;
  std::string system_prompt;
  std::string prompt_template = "{prompt}";
  std::vector<Json> examples;
};

template <class V>
void visit_fields(V& v, TaskSource& c) {
  v.field("reference", c.reference,
          "a .jsonl, .json or .parquet file, - for standard input, a generator name[:key=value,...] or a benchmark "
          "(cohort tasks "
          "list)",
          not_empty(), required());
  v.field("weight", c.weight, "share of the prompts drawn from this source, relative to the other sources", above(0));
  v.field("format", c.format, "name of the row format; empty: recognised from the columns of the first row");
  v.field("split", c.split,
          "side of the split by hash of the prompt's text; auto: all of a file, the training side of a generator",
          one_of({"auto", "all", "train", "held_out"}));
  v.field("held_out", c.held_out, "share of a file's prompts kept from training (a generator always keeps a tenth)",
          between(0, 1));
  v.field("limit", c.limit, "take the first so many tasks of the split; 0: all", at_least(0));
  v.field("seed", c.seed, "which stream of a generator");
  v.field("chat", c.chat, "make a plain prompt the message of a user");
  v.field("system_prompt", c.system_prompt, "system message put before a chat that has none");
  v.field("prompt_template", c.prompt_template,
          "text around the prompt (of a chat: its last user message), with {prompt} in it");
  v.field("examples", c.examples, "solved examples as earlier turns of the chat: a list of {prompt, completion}");
}

/// A reference taken apart. `source.reference` is the bare file or generator name, its options stand in the other
/// fields.
struct ParsedSource {
  TaskSource source;
  Json generator_options = Json::object();  // as text, by name
  bool is_generator = false;
  const Benchmark* benchmark = nullptr;  // source then has its file and its prompt
  Split split = Split::all;
};

/// Throws UsageError for an unknown generator or option, naming the nearest, and for a value outside its range.
/// Options in the reference win over the fields.
ParsedSource parse_source(const TaskSource& source);

/// The same for a reference with default fields.
ParsedSource parse_source(const std::string& reference);

/// Applies chat, system_prompt and prompt_template; what the row's prompt was stays in extra["raw_prompt"] when it
/// changed.
void apply_prompt_template(const TaskSource& source, Task& task);

/// Changes when what apply_prompt_template does changes.
std::string template_digest(const TaskSource& source);

// A source in a config: a string is a reference. A list of sources: also one source by itself.
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, TaskSource& source);
void read_value(const Json& value, const KeyPath& at, const Constraint& allowed, std::vector<TaskSource>& sources);
Json schema_of(const TaskSource& defaults, const Constraint& allowed);
Json schema_of(const std::vector<TaskSource>& defaults, const Constraint& allowed);

}  // namespace cohort
