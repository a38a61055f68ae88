#include "grpo/report/page_parts.h"

#include <algorithm>

#include "grpo/report/html.h"
#include "grpo/report/page_style.h"

namespace cohort {

std::string page_html(const std::string& title, const std::string& body) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width, initial-scale=1\">"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
         "script-src 'unsafe-inline'\">"
         "<title>" +
         title + " · Cohort</title><style>" + std::string(page_style) + "</style></head>\n<body><main>" + body +
         "</main><script>" + std::string(page_script) + "</script></body></html>\n";
}

std::string element(const std::string& tag, const std::string& content) {
  return "<" + tag + ">" + content + "</" + tag + ">";
}

std::string cell(const std::string& content, const std::string& classes) {
  return (classes.empty() ? "<td>" : "<td class=\"" + classes + "\">") + content + "</td>";
}

std::string table(const std::vector<std::string>& headings, size_t num_text_columns, const std::string& rows) {
  std::string head;
  for (size_t i = 0; i < headings.size(); ++i)
    head += (i < num_text_columns ? "<th class=\"text\">" : "<th>") + headings[i] + "</th>";
  return "<div class=\"scroll\"><table><thead><tr>" + head + "</tr></thead><tbody>" + rows + "</tbody></table></div>";
}

std::string interval_bar(const Interval& interval) {
  if (!interval.share) return "–";
  const auto at = [](double share) { return format_number(std::clamp(share, 0.0, 1.0) * 150); };
  std::string svg =
      "<svg class=\"interval\" viewBox=\"0 0 150 16\" aria-hidden=\"true\"><rect class=\"track\" y=\"3\" width=\"150\" "
      "height=\"10\" rx=\"3\"/>"
      "<rect class=\"bar\" y=\"3\" width=\"" +
      at(*interval.share) + "\" height=\"10\" rx=\"3\"/>";
  std::string text = format_percent(*interval.share);
  if (interval.low && interval.high) {
    const std::string low = at(*interval.low), high = at(*interval.high);
    svg += "<path class=\"ci\" d=\"M" + low + " 5V11M" + high + " 5V11M" + low + " 8H" + high + "\"/>";
    text += " <small>" + format_percent(*interval.low) + " – " + format_percent(*interval.high) + "</small>";
  }
  return svg + "</svg>" + text;
}

static constexpr size_t longest_prompt = 2000, longest_completion = 6000;

std::string example_html(const Example& example) {
  std::string verdict = example.status.empty() ? "no verdict" : example.status;
  if (example.value) verdict += " · " + format_number(*example.value);
  std::string facts =
      example.answer.empty() ? "" : "<span>answer " + escape_html(shorten(example.answer, 200)) + "</span>";
  facts += "<span>" + std::to_string(example.num_correct) + " of " + std::to_string(example.group_size) +
           " in the group correct</span>";
  if (example.truncated) facts += "<span>cut off by the length limit</span>";
  if (!example.reason.empty()) facts += "<span>" + escape_html(shorten(example.reason, 300)) + "</span>";
  return "<article class=\"example\"><header><span>" + escape_html(shorten(example.task_id, 100)) +
         "</span><span class=\"verdict " + escape_html(example.status) + "\">" + escape_html(verdict) +
         "</span></header><div class=\"prompt\" dir=\"auto\">" + escape_html(shorten(example.prompt, longest_prompt)) +
         "</div><pre dir=\"auto\">" + escape_html(shorten(example.completion, longest_completion)) + "</pre><footer>" +
         facts + "</footer></article>";
}

}  // namespace cohort
