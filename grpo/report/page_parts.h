// Pieces of the page that several sections share.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "grpo/report/run_folder.h"

namespace cohort {

/// A whole page that fetches nothing; both are HTML.
std::string page_html(const std::string& title, const std::string& body);
std::string element(const std::string& tag, const std::string& content);
std::string cell(const std::string& content, const std::string& classes = "");
/// The first columns are text, the others numbers.
std::string table(const std::vector<std::string>& headings, size_t num_text_columns, const std::string& rows);

struct Interval {
  std::optional<double> share, low, high;  // shares of 1, a 95 % interval
};
/// A share as a bar of the whole from 0 to 1, its interval as a whisker; "–" where there is none.
std::string interval_bar(const Interval& interval);

/// A completion with its prompt and verdict.
std::string example_html(const Example& example);

}  // namespace cohort
