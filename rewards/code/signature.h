// The function that a C++ or Java task asks for, read from its declaration.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace cohort::code {

struct Parameter {
  std::string type, name;
};

struct Signature {
  std::string head;  // all of the declaration up to the brace that opens the function
  std::string result;
  std::string name;
  std::vector<Parameter> parameters;
};

/// Of the last function that opens `depth` braces deep (C++: 0; Java, inside its class: 1), whatever follows. Throws
/// UsageError where there is none.
Signature signature_of(const std::string& declaration, int depth);

}  // namespace cohort::code
