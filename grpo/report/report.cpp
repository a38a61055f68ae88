#include "grpo/report/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "configs/durable_file.h"
#include "grpo/report/curves.h"
#include "grpo/report/evaluations.h"
#include "grpo/report/html.h"
#include "grpo/report/page_parts.h"
#include "grpo/report/run_folder.h"

namespace cohort {
namespace {

using nlohmann::json;

constexpr size_t num_examples = 3, most_differences = 60;

std::string dot(size_t run) {
  return "<span class=\"dot r" + std::to_string(run % 6) + "\"></span>";
}

std::string kind_title(const std::string& kind) {
  if (kind == "train") return "Reinforcement learning";
  if (kind == "sft") return "Supervised tuning";
  if (kind == "distill") return "Distillation";
  if (kind == "eval") return "Evaluation";
  return kind;
}

// --- stages
// -----------------------------------------------------------------------------------------------------------

std::string optional_number(const std::optional<double>& value) {
  return value ? format_number(*value) : "–";
}

std::string stage_section(const Chain& chain, bool named) {
  std::string rows;
  for (const Stage& stage : chain.stages)
    rows += element("tr", cell(escape_html(stage.name)) + cell(escape_html(kind_title(stage.kind)), "text") +
                              cell(interval_bar({stage.pass_at_1, stage.ci_low, stage.ci_high}), "text") +
                              cell(optional_number(stage.mean_length)) + cell(optional_number(stage.tokens)) +
                              cell(stage.seconds ? format_seconds(*stage.seconds) : "–"));
  return element("h2", named ? "Stages of " + escape_html(chain.name) : "Stages") +
         "<p class=\"lead\">Held-out pass@1 after each stage with its 95 % interval, the mean length of a completion "
         "in tokens, and what the stage cost.</p>" +
         table({"Stage", "", "pass@1", "Mean length", "Tokens", "Time"}, 3, rows);
}

// --- runs
// -------------------------------------------------------------------------------------------------------------

double sum_of(const Series& series) {
  double sum = 0;
  for (const Point& point : series) sum += std::isfinite(point.value) ? point.value : 0;
  return sum;
}

/// As shown; empty where the metric is absent.
struct RunFacts {
  std::string steps, pass_at_1, gain, held_out_loss, reward, mean_length, tokens, seconds;
};

// Points of pass@1 gained since the start, with their interval.
std::string gain_of(const RunFolder& run) {
  const auto last = [&](const char* key) {
    const Series series = series_of(run.metrics, key);
    return series.empty() ? std::nullopt : std::optional(100 * series.back().value);
  };
  const auto gain = last("eval/gain"), low = last("eval/gain_low"), high = last("eval/gain_high");
  if (!gain || !low || !high) return "";
  char text[80];
  std::snprintf(text, sizeof text, "%+.1f points [%.1f, %.1f]", *gain, *low, *high);
  return text;
}

RunFacts facts_of(const RunFolder& run) {
  const auto series = [&](const char* key) { return series_of(run.metrics, key); };
  const Series accuracy = series("eval/pass@1"), held_out = series("eval/loss"), tokens = series("num_tokens"),
               seconds = series("step_time");
  RunFacts facts;
  facts.steps = run.metrics.empty() ? "" : run.metrics.back().at("step").dump();
  if (!accuracy.empty()) facts.pass_at_1 = first_to_last({accuracy.front(), accuracy.back()}, true);
  if (!held_out.empty()) facts.held_out_loss = first_to_last({held_out.front(), held_out.back()}, false);
  facts.gain = gain_of(run);
  facts.reward = first_to_last(series("reward"), false);
  facts.mean_length = first_to_last(series("completions/mean_length"), false);
  if (!tokens.empty()) facts.tokens = format_number(tokens.back().value);
  if (!seconds.empty()) facts.seconds = format_seconds(sum_of(seconds));
  return facts;
}

std::string tiles(const RunFolder& run) {
  const RunFacts facts = facts_of(run);
  std::string html;
  for (const auto& [value, label] :
       std::vector<std::pair<std::string, std::string>>{{facts.pass_at_1, "held-out pass@1"},
                                                        {facts.gain, "gained, 95 % interval over pairs"},
                                                        {facts.held_out_loss, "held-out loss"},
                                                        {facts.reward, "reward"},
                                                        {facts.mean_length, "tokens in a completion"},
                                                        {facts.steps, "steps"},
                                                        {facts.tokens, "tokens"},
                                                        {facts.seconds, "wall time"}})
    if (!value.empty()) html += "<div class=\"tile\"><b>" + value + "</b><span>" + label + "</span></div>";
  return html.empty() ? "<p class=\"lead\">No metrics.jsonl was found, so there are no curves.</p>"
                      : "<div class=\"tiles\">" + html + "</div>";
}

std::string run_table(const std::vector<RunFolder>& runs) {
  std::string rows;
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunFacts facts = facts_of(runs[i]);
    rows += "<tr>" + cell(dot(i) + escape_html(runs[i].name));
    for (const std::string& fact :
         {facts.pass_at_1, facts.reward, facts.mean_length, facts.steps, facts.tokens, facts.seconds})
      rows += cell(fact.empty() ? "–" : fact);
    rows += "</tr>";
  }
  return table({"Run", "pass@1", "Reward", "Mean length", "Steps", "Tokens", "Time"}, 1, rows);
}

std::string legend(const std::vector<RunFolder>& runs) {
  std::string html;
  for (size_t i = 0; i < runs.size(); ++i) html += "<span>" + dot(i) + escape_html(runs[i].name) + "</span>";
  return "<div class=\"legend\">" + html + "</div>";
}

// --- curves
// -----------------------------------------------------------------------------------------------------------

// Which dash is which, where one chart draws several metrics.
std::string dash_legend(const CurveCard& card) {
  std::string html;
  size_t num_dashes = 0;
  for (size_t dash = 0; dash < card.dash_labels.size(); ++dash) {
    if (card.dash_labels[dash].empty()) continue;
    ++num_dashes;
    html += "<span><svg viewBox=\"0 0 26 8\"><path class=\"line r5 d" + std::to_string(dash % 3) +
            "\" d=\"M1 4H25\"/></svg>" + escape_html(card.dash_labels[dash]) + "</span>";
  }
  return num_dashes < 2 ? "" : "<div class=\"dashes\">" + html + "</div>";
}

std::string card_html(const CurveCard& card) {
  const bool title_is_key = card.chart.title == card.keys;
  return "<section class=\"card\"><header><h4>" + escape_html(card.chart.title) + "</h4><output>" +
         escape_html(card.summary) + "</output></header>" +
         (title_is_key ? "" : element("code", escape_html(card.keys))) + chart_svg(card.chart) + dash_legend(card) +
         (card.note.empty() ? "" : element("p", escape_html(card.note))) + "</section>";
}

std::string curves_of_kind(const std::vector<RunFolder>& runs, const std::string& kind) {
  std::string html;
  for (const CurveGroup& group : curve_groups(runs, kind)) {
    std::string cards;
    for (const CurveCard& card : group.cards) cards += card_html(card);
    cards = "<div class=\"grid\">" + cards + "</div>";
    html += group.known ? element("h3", group.title) + cards
                        : "<details class=\"more\"><summary>" + group.title + " (" +
                              std::to_string(group.cards.size()) + ")</summary>" + cards + "</details>";
  }
  return html;
}

std::string curves_section(const std::vector<RunFolder>& runs) {
  std::string html;
  std::vector<std::string> kinds;
  for (const RunFolder& run : runs)
    if (std::ranges::find(kinds, run.kind) == kinds.end()) kinds.push_back(run.kind);
  for (const std::string& kind : kinds) {
    const std::string curves = curves_of_kind(runs, kind);
    if (!curves.empty()) html += element("h2", escape_html(kind_title(kind))) + curves;
  }
  if (html.empty()) return "";
  return html +
         "<p class=\"note\">Noisy curves are drawn twice: every step faint, and a mean over a twentieth of the steps. "
         "Figures with an arrow are means over the first and the last tenth.</p>";
}

// --- alarms
// -----------------------------------------------------------------------------------------------------------

// The step after row `begin` at which the alarm ended; "–" while it is on.
std::string end_of(const std::string& alarm, std::span<const json> metrics, size_t begin) {
  for (const json& row : metrics.subspan(begin))
    if (row.contains("alarms_ended") && row["alarms_ended"].contains(alarm)) return row.at("step").dump();
  return "–";
}

std::string alarms_section(const std::vector<RunFolder>& runs) {
  std::string rows;
  for (const RunFolder& run : runs)
    for (size_t i = 0; i < run.metrics.size(); ++i) {
      const json begun = run.metrics[i].value("alarms_begun", json::object());
      for (const auto& [alarm, sentence] : begun.items())
        rows +=
            element("tr", cell(escape_html(run.name)) + cell(escape_html(alarm), "text") +
                              cell(escape_html(sentence.is_string() ? sentence.get<std::string>() : ""), "text wrap") +
                              cell(run.metrics[i].at("step").dump()) + cell(end_of(alarm, run.metrics, i + 1)));
    }
  return rows.empty() ? "" : "<h2>Alarms</h2>" + table({"Run", "Alarm", "", "Began", "Ended"}, 3, rows);
}

// --- completions
// ------------------------------------------------------------------------------------------------------

// Three groups of each step: those of tasks that both steps have first, so that they stand side by side.
void bring_shared_tasks_forward(LoggedStep& before, LoggedStep& after) {
  size_t num_shared = 0;
  for (size_t i = 0; i < before.examples.size(); ++i) {
    const auto same = std::find_if(after.examples.begin() + static_cast<long>(num_shared), after.examples.end(),
                                   [&](const Example& example) {
                                     return !example.task_id.empty() && example.task_id == before.examples[i].task_id;
                                   });
    if (same == after.examples.end()) continue;
    std::swap(before.examples[i], before.examples[num_shared]);
    std::iter_swap(same, after.examples.begin() + static_cast<long>(num_shared++));
    if (num_shared == after.examples.size()) return;
  }
}

std::string completions_of(const RunFolder& run, bool named) {
  if (!run.first) return "";
  LoggedStep before = *run.first, after = run.last.value_or(LoggedStep{});
  bring_shared_tasks_forward(before, after);
  std::string html = named ? element("h3", escape_html(run.name)) : "";
  html += "<div class=\"pairs\"><h3>Step " + std::to_string(before.step) + "</h3>";
  html += run.last ? "<h3>Step " + std::to_string(after.step) + "</h3>" : "<span></span>";
  for (size_t i = 0; i < num_examples; ++i)
    for (const LoggedStep* logged : {&before, &after})
      html += i < logged->examples.size() ? example_html(logged->examples[i]) : "<span></span>";
  return html + "</div>";
}

std::string completions_section(const std::vector<RunFolder>& runs) {
  std::string html;
  for (const RunFolder& run : runs) html += completions_of(run, runs.size() > 1);
  if (html.empty()) return "";
  return "<h2>Completions, first and last</h2><p class=\"lead\">The first completion of a group at the first and the "
         "last logged step, not chosen by score.</p>" +
         html;
}

// --- configs
// ----------------------------------------------------------------------------------------------------------

// Keys whose values are not the same in all runs that have a config.
std::string config_differences(const std::vector<RunFolder>& runs) {
  std::vector<json> flat;
  std::set<std::string> keys;
  for (const RunFolder& run : runs) {
    flat.push_back(run.config.is_object() && !run.config.empty() ? run.config.flatten() : json::object());
    for (const auto& [key, value] : flat.back().items()) keys.insert(key);
  }
  std::string rows;
  size_t num_rows = 0;
  for (const std::string& key : keys) {
    const bool same = std::ranges::all_of(
        flat, [&](const json& config) { return config.value(key, json()) == flat[0].value(key, json()); });
    if (same || num_rows++ >= most_differences) continue;
    std::string row = cell(escape_html(key.substr(1)));
    for (const json& config : flat)
      row += cell(config.contains(key) ? escape_html(shorten(config[key].dump(), 120)) : "–", "text wrap");
    rows += element("tr", row);
  }
  std::vector<std::string> headings{"Key"};
  for (size_t i = 0; i < runs.size(); ++i) headings.push_back(dot(i) + escape_html(runs[i].name));
  return rows.empty() ? "" : "<h3>Where the configs differ</h3>" + table(headings, headings.size(), rows);
}

std::string config_section(const std::vector<RunFolder>& runs) {
  std::string html;
  for (const RunFolder& run : runs)
    if (!run.config.is_null())
      html += "<details class=\"more\"><summary>config.json of " + escape_html(run.name) + "</summary><pre>" +
              escape_html(run.config.dump(2, ' ', false, json::error_handler_t::replace)) + "</pre></details>";
  return html.empty() ? "" : "<h2>Configs</h2>" + (runs.size() > 1 ? config_differences(runs) : "") + html;
}

std::string title_of(const ReportInput& input) {
  if (input.chains.size() == 1) return input.chains[0].name;
  if (input.chains.empty() && input.runs.empty() && input.evaluations.size() == 1) return input.evaluations[0].name;
  if (input.chains.empty() && input.runs.size() == 1) return input.runs[0].name;
  if (input.runs.empty()) return std::to_string(input.evaluations.size()) + " evaluations";
  return std::to_string(input.runs.size()) + " runs";
}

}  // namespace

std::string report_page(std::span<const std::filesystem::path> run_dirs) {
  const ReportInput input = read_run_dirs(run_dirs);
  const std::string title = escape_html(title_of(input));
  std::string body = element("h1", title);
  for (const Chain& chain : input.chains) body += stage_section(chain, input.chains.size() > 1);
  body += evaluations_section(input.evaluations);
  if (input.runs.size() == 1) body += tiles(input.runs[0]);
  if (input.runs.size() > 1) body += element("h2", "Runs") + run_table(input.runs) + legend(input.runs);
  body += alarms_section(input.runs) + curves_section(input.runs) + completions_section(input.runs) +
          config_section(input.runs);
  return page_html(title, body);
}

void write_report(std::span<const std::filesystem::path> run_dirs, const std::filesystem::path& out) {
  const std::string page = report_page(run_dirs);
  expect_writable_file(out);
  write_durably(out, page);
}

}  // namespace cohort
