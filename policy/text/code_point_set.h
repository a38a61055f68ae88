// Sets of code points as sorted, disjoint, closed ranges.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/text/unicode.h"

namespace cohort {

using CodePointSet = std::vector<std::pair<char32_t, char32_t>>;  // [first, last]

CodePointSet set_of(unicode::Categories categories);
/// L, Lu, N, Nd, P, S, M, Z, C, Han, …; throws UsageError on a property that is not known.
CodePointSet set_of_property(std::string_view name);
CodePointSet space_set();
CodePointSet word_set();
CodePointSet complement(const CodePointSet& set);
CodePointSet merged(CodePointSet a, const CodePointSet& b);
CodePointSet intersection(const CodePointSet& a, const CodePointSet& b);

}  // namespace cohort
