// The problem space of the arithmetic generators: a chain such as "3+4*2-7=", worked strictly from left to right, each
// result taken modulo M into [0, M). The generators of this folder (tasks, text, cold start) are views of this one
// space and of its one split, by the hash of the chain as it is written.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "configs/error.h"
#include "tasks/generators.h"
#include "tasks/random.h"

namespace cohort {

struct ChainOptions {
  int64_t operations = 6;
  int64_t min_operations = 0;
  int64_t modulo = 10;
  int64_t max_number = 9;
  std::string operators = "+-*";
};

template <class V>
void visit_fields(V& v, ChainOptions& c) {
  v.field("operations", c.operations, "operations in the longest chain", between(1, 64));
  v.field("min_operations", c.min_operations, "operations in the shortest; 0: all chains are of the longest length",
          between(0, 64));
  v.field("modulo", c.modulo, "every result is taken modulo this number", between(2, 1000000));
  v.field("max_number", c.max_number, "numbers are drawn from 1 to this one", between(1, 1000000));
  v.field("operators", c.operators, "operators drawn from, one or more of + - *", not_empty());
}

inline void check_options(const ChainOptions& options) {
  if (options.min_operations > options.operations)
    throw UsageError("min_operations is " + std::to_string(options.min_operations) + ", expected at most operations, " +
                     std::to_string(options.operations));
  if (options.operators.find_first_not_of("+-*") != std::string::npos)
    throw UsageError("operators is \"" + options.operators + "\", expected some of + - *");
}

struct Chain {
  std::vector<int64_t> numbers;  // [operations + 1]
  std::string operators;         // [operations]
  std::vector<int64_t> results;  // [operations] after each operation, in [0, modulo)
};

inline int64_t apply_modulo(int64_t left, char op, int64_t right, int64_t modulo) {
  const int64_t value = op == '+' ? left + right : op == '-' ? left - right : left * right;
  return (value % modulo + modulo) % modulo;
}

inline Chain draw_chain(const ChainOptions& options, RandomStream& random) {
  const int64_t shortest = options.min_operations == 0 ? options.operations : options.min_operations;
  const int64_t operations = random.between(shortest, options.operations);
  Chain chain;
  chain.numbers.push_back(random.between(1, options.max_number));
  for (int64_t i = 0; i < operations; ++i) {
    chain.operators += options.operators[random.below(options.operators.size())];
    chain.numbers.push_back(random.between(1, options.max_number));
    const int64_t left = i == 0 ? chain.numbers[0] : chain.results.back();
    chain.results.push_back(apply_modulo(left, chain.operators.back(), chain.numbers.back(), options.modulo));
  }
  return chain;
}

/// "3+4*2-7=": the prompt, and what the split is made of.
inline std::string chain_text(const Chain& chain) {
  std::string text = std::to_string(chain.numbers[0]);
  for (size_t i = 0; i < chain.operators.size(); ++i) text += chain.operators[i] + std::to_string(chain.numbers[i + 1]);
  return text + "=";
}

/// Chain `index` of the stream: the first drawn that lies on the stream's side of the split. `generator` keeps the
/// streams of different generators apart. Throws UsageError when the side seems to be empty (a very small problem
/// space).
inline Chain chain_at(const ChainOptions& options, const GeneratorStream& stream, std::string_view generator,
                      int64_t index) {
  constexpr int64_t kMaxDraws = 10000;
  RandomStream random(stream.seed ^ stable_hash(generator), static_cast<uint64_t>(index));
  for (int64_t draw = 0; draw < kMaxDraws; ++draw) {
    Chain chain = draw_chain(options, random);
    if (in_split(prompt_hash({{"", chain_text(chain)}}), stream.split, kHeldOut)) return chain;
  }
  throw UsageError(std::string(generator) + ": no chain of these options lies in split " +
                   std::string(to_string(stream.split)) + "; allow more operations or larger numbers");
}

/// The first `count` steps, each with its result. compact "3+4=7;7*2=4", lines "3 + 4 = 7\n7 * 2 = 4", running
/// "3+4=7*2=4".
inline std::string steps_text(const Chain& chain, size_t count, std::string_view style) {
  const std::string gap = style == "lines" ? " " : "";
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const int64_t left = i == 0 ? chain.numbers[0] : chain.results[i - 1];
    if (i > 0 && style != "running") text += style == "lines" ? "\n" : ";";
    if (i == 0 || style != "running") text += std::to_string(left);
    text.append(gap).append(1, chain.operators[i]).append(gap);
    text.append(std::to_string(chain.numbers[i + 1])).append(gap).append("=").append(gap);
    text += std::to_string(chain.results[i]);
  }
  return text;
}

/// How the thoughts of generated text are worked: a share of the rows for each way.
struct WorkOptions {
  double bare = 0, worked = 1, unfinished = 0;
  std::string style = "compact";
};

template <class V>
void visit_fields(V& v, WorkOptions& c) {
  v.field("bare", c.bare, "share of rows with the bare answer", between(0, 1));
  v.field("worked", c.worked, "share of rows with all steps worked", between(0, 1));
  v.field("unfinished", c.unfinished, "share of rows whose steps break off", between(0, 1));
  v.field("style", c.style, "how steps are written: 3+4=7;7*2=4, on spaced lines, as 3+4=7*2=4, or any of these",
          one_of({"compact", "lines", "running", "mixed"}));
}

inline void check_options(const WorkOptions& options) {
  const double sum = options.bare + options.worked + options.unfinished;
  if (sum < 1 - 1e-6 || sum > 1 + 1e-6)
    throw UsageError("bare, worked and unfinished add up to " + Json(sum).dump() + ", expected 1");
}

/// The steps of one row, drawn by the shares; empty for a bare answer. `is_finished` tells whether the last step is
/// among them.
struct Work {
  std::string steps;
  bool is_bare = false;
  bool is_finished = false;
};

inline Work draw_work(const WorkOptions& options, const Chain& chain, RandomStream& random) {
  const double share = random.uniform();
  const uint64_t any_style = random.below(3);
  const size_t operations = chain.operators.size();
  const size_t broken_off = operations == 1 ? 0 : 1 + random.below(operations - 1);  // steps before the end
  constexpr std::string_view styles[] = {"compact", "lines", "running"};
  const std::string_view style = options.style == "mixed" ? styles[any_style] : std::string_view(options.style);
  if (share < options.bare) return {"", true, false};
  if (share < options.bare + options.worked) return {steps_text(chain, operations, style), false, true};
  return {steps_text(chain, broken_off, style), false, false};
}

}  // namespace cohort
