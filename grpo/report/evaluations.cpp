#include "grpo/report/evaluations.h"

#include <algorithm>

#include "grpo/report/html.h"
#include "grpo/report/page_parts.h"

namespace cohort {
namespace {

using nlohmann::json;

constexpr size_t num_examples = 3;

std::optional<double> number_at(const json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? std::optional(found->get<double>()) : std::nullopt;
}

std::string text_at(const json& object, const std::string& key) {
  const auto found = object.find(key);
  if (found == object.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump(-1, ' ', false, json::error_handler_t::replace);
}

Interval interval_at(const json& figures, const std::string& name, const std::string& ci) {
  Interval interval{number_at(figures, name), {}, {}};
  const json bounds = figures.value(ci, json());
  if (bounds.is_array() && bounds.size() == 2 && bounds[0].is_number() && bounds[1].is_number())
    interval.low = bounds[0].get<double>(), interval.high = bounds[1].get<double>();
  return interval;
}

std::string share_or_dash(const std::optional<double>& share) {
  return share ? format_percent(*share) : "–";
}

std::string number_or_dash(const std::optional<double>& value) {
  return value ? format_number(*value) : "–";
}

// pass@K and maj@K beyond pass@1, with their intervals.
std::string other_shares(const json& figures) {
  std::string text;
  for (const auto& [key, value] : figures.items()) {
    const bool is_share = (key.starts_with("pass@") || key.starts_with("maj@")) && value.is_number() && key != "pass@1";
    if (!is_share) continue;
    const Interval share = interval_at(figures, key, key + "_ci95");
    text += (text.empty() ? "" : "<br>") + escape_html(key) + " " + format_percent(*share.share);
    if (share.low && share.high)
      text += " <small>" + format_percent(*share.low) + " – " + format_percent(*share.high) + "</small>";
  }
  return text.empty() ? "–" : text;
}

std::string shares_cells(const json& figures) {
  return cell(interval_bar(interval_at(figures, "pass@1", "ci95")), "text") + cell(other_shares(figures), "text") +
         cell(number_or_dash(number_at(figures, "mean_length"))) +
         cell(share_or_dash(number_at(figures, "truncated"))) + cell(number_or_dash(number_at(figures, "tasks")));
}

std::string sampled_table(std::span<const EvaluationFile> evaluations) {
  std::string rows;
  for (const EvaluationFile& e : evaluations)
    if (e.figures.contains("pass@1"))
      rows += element("tr", cell(escape_html(e.name)) +
                                cell(escape_html(shorten(text_at(e.figures, "model"), 120)), "text") +
                                shares_cells(e.figures));
  return rows.empty()
             ? ""
             : table({"Evaluation", "Model", "pass@1", "Others", "Mean length", "Truncated", "Tasks"}, 4, rows);
}

std::string likelihood_table(std::span<const EvaluationFile> evaluations) {
  std::string rows;
  for (const EvaluationFile& e : evaluations) {
    const auto nll = number_at(e.figures, "nll");
    if (!nll) continue;
    const Interval ci = interval_at(e.figures, "nll", "ci95");
    std::string text = format_number(*nll);
    if (ci.low && ci.high) text += " <small>" + format_number(*ci.low) + " – " + format_number(*ci.high) + "</small>";
    rows +=
        element("tr", cell(escape_html(e.name)) + cell(escape_html(shorten(text_at(e.figures, "model"), 120)), "text") +
                          cell(text) + cell(number_or_dash(number_at(e.figures, "perplexity"))) +
                          cell(number_or_dash(number_at(e.figures, "bits_per_byte"))) +
                          cell(number_or_dash(number_at(e.figures, "tokens"))));
  }
  return rows.empty()
             ? ""
             : element("h3", "Reference solutions") +
                   table({"Evaluation", "Model", "Nats a token", "Perplexity", "Bits a byte", "Tokens"}, 2, rows);
}

// One table for each column that the tasks are sorted by.
std::string tables_of(const EvaluationFile& e) {
  std::string html;
  const json by = e.figures.value("by", json::object());
  for (const auto& [column, values] : by.items()) {
    if (!values.is_array()) continue;
    std::string rows;
    for (const json& row : values)
      if (row.is_object())
        rows += element("tr", cell(escape_html(shorten(text_at(row, "value"), 120))) + shares_cells(row));
    if (!rows.empty())
      html += element("h3", escape_html(e.name) + " by " + escape_html(column)) +
              table({escape_html(column), "pass@1", "Others", "Mean length", "Truncated", "Tasks"}, 3, rows);
  }
  return html;
}

std::string examples_of(const EvaluationFile& e) {
  std::string html;
  for (size_t i = 0; i < std::min(num_examples, e.examples.size()); ++i) html += example_html(e.examples[i]);
  return html.empty() ? ""
                      : "<details class=\"more\"><summary>Completions of " + escape_html(e.name) +
                            ", not chosen by score</summary>" + html + "</details>";
}

}  // namespace

std::string evaluations_section(std::span<const EvaluationFile> evaluations) {
  if (evaluations.empty()) return "";
  std::string html = element("h2", "Evaluations") +
                     "<p class=\"lead\">Shares of tasks with their 95 % intervals, the mean length of a completion in "
                     "tokens, and the share of completions that the length limit cut off.</p>";
  html += sampled_table(evaluations) + likelihood_table(evaluations);
  for (const EvaluationFile& e : evaluations) html += tables_of(e) + examples_of(e);
  return html;
}

}  // namespace cohort
