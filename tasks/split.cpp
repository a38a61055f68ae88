#include "tasks/split.h"

#include <cmath>

#include "configs/error.h"
#include "tasks/random.h"

namespace cohort {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Appends `text` in lower case, each run of white space as one space, none at the ends.
void append_normal(std::string_view text, std::string& normal) {
  bool gap = false;
  for (char c : text) {
    if (is_space(c)) {
      gap = true;
      continue;
    }
    if (gap && !normal.empty() && normal.back() != '\n') normal += ' ';
    gap = false;
    normal += lower(c);
  }
}

}  // namespace

Split split_from(std::string_view name) {
  for (Split split : {Split::all, Split::train, Split::held_out})
    if (name == to_string(split)) return split;
  throw UsageError("split is \"" + std::string(name) + "\", expected one of all, train, held_out");
}

std::string_view to_string(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::held_out:
      return "held_out";
    case Split::all:
      break;
  }
  return "all";
}

uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;  // FNV-1a, 64 bits
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return mix_bits(hash);
}

uint64_t prompt_hash(const Messages& prompt) {
  std::string normal;
  for (const Message& message : prompt) {
    if (message.role == "system") continue;
    if (!normal.empty()) normal += '\n';
    append_normal(message.content, normal);
  }
  return stable_hash(normal);
}

bool in_split(uint64_t prompt_hash, Split split, double held_out) {
  if (split == Split::all) return true;
  const bool is_held_out = std::ldexp(static_cast<double>(prompt_hash >> 11), -53) < held_out;
  return is_held_out == (split == Split::held_out);
}

}  // namespace cohort
