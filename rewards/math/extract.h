// Where the answer stands in a completion or in a reference solution. Linear in the text.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace cohort::math {

struct ExtractOptions {
  bool after_think = true;   // read only what follows the last </think>; nothing when a thought is never closed
  bool last_number = false;  // fall back to the last number
  bool join_boxes = true;    // \boxed{2} and \boxed{3} side by side are 2, 3; else the last alone counts
};

/// Readings of the one span that holds the answer, widest first: the first that parses is the answer, the others are
/// not tried. Empty when no answer is marked. In order: <answer>, \boxed (several that stand side by side joined by
/// commas), "####", "answer is" and its like, "A:" on the last line, bold, a completion that is nothing but one short
/// expression, the last formula between dollar signs, the last number where the option says so.
std::vector<std::string> extract_answer(std::string_view completion, const ExtractOptions& options);

/// The reference: bare, between dollar signs, behind "####", or boxed in a whole solution.
std::vector<std::string> extract_reference(std::string_view answer);

}  // namespace cohort::math
