// The split patterns of the model families, matched by hand: the same matches as the regular expressions in
// split_patterns.cpp at several times the speed of a regular-expression engine.
#pragma once
#include <functional>
#include <string_view>

namespace cohort {

struct Span {
  size_t begin, end;  // bytes
};

/// Finds the leftmost match that begins at or after byte `from` of valid UTF-8; false when there is none. Thread-safe.
using FindMatch = std::function<bool(std::string_view text, size_t from, Span& match)>;

/// GPT-2's pattern, which ByteLevel applies.
bool find_gpt2(std::string_view text, size_t from, Span& match);
/// One numeric character, or a run of them.
bool find_numeric(std::string_view text, size_t from, Span& match);
bool find_numerics(std::string_view text, size_t from, Span& match);

/// The hand-written form of a regular expression that is known; empty otherwise.
FindMatch known_pattern(std::string_view regex);

}  // namespace cohort
