#include "rollout/figures.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>

#include "configs/error.h"
#include "rollout/evaluate.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

struct Share {
  std::string name;             // pass@8, maj@8
  std::vector<double> by_task;  // each from 0 to 1
};

std::vector<Share> shares_of(std::span<const Group> groups, std::span<const int64_t> ks) {
  const bool has_answers = std::ranges::all_of(groups, [](const Group& group) { return !group.task.answer.empty(); });
  std::vector<Share> shares;
  for (int64_t k : ks) {
    Share pass{.name = "pass@" + std::to_string(k), .by_task = {}},
        majority{.name = "maj@" + std::to_string(k), .by_task = {}};
    for (const Group& group : groups) {
      const auto correct =
          std::ranges::count_if(group.rollouts, [](const Rollout& r) { return r.score.status == Status::correct; });
      pass.by_task.push_back(pass_at_k(int64_t(group.rollouts.size()), correct, k));
      if (k > 1 && has_answers) majority.by_task.push_back(majority_is_correct(group, k));
    }
    shares.push_back(std::move(pass));
    if (k > 1 && has_answers) shares.push_back(std::move(majority));
  }
  return shares;
}

double mean_of(std::span<const double> values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
}

/// pass@K, maj@K and how long completions are, of the groups at these places.
Json shares_json(std::span<const Group> groups, std::span<const Share> shares, std::span<const size_t> places) {
  std::vector<double> score;
  double rollouts = 0, tokens = 0, truncated = 0;
  for (size_t i : places) {
    double correct = 0;
    for (const Rollout& r : groups[i].rollouts) {
      correct += r.score.status == Status::correct;
      tokens += double(r.completion.tokens.size()), truncated += r.completion.finish == FinishReason::length;
    }
    rollouts += double(groups[i].rollouts.size());
    score.push_back(groups[i].rollouts.empty() ? 0 : correct / double(groups[i].rollouts.size()));
  }
  const auto [low, high] = bootstrap_interval(score);
  Json out = {{"tasks", places.size()},
              {"pass@1", mean_of(score)},
              {"ci95", {low, high}},
              {"mean_length", rollouts > 0 ? tokens / rollouts : 0},
              {"truncated", rollouts > 0 ? truncated / rollouts : 0}};
  for (const Share& share : shares) {
    if (share.name == "pass@1") continue;
    std::vector<double> values;
    for (size_t i : places) values.push_back(share.by_task[i]);
    const auto [from, to] = bootstrap_interval(values);
    out[share.name] = mean_of(values), out[share.name + "_ci95"] = {from, to};
  }
  return out;
}

Json table_of(std::span<const Group> groups, std::span<const Share> shares, const std::string& column) {
  std::map<std::string, std::vector<size_t>, decltype(&comes_before)> places(&comes_before);
  for (size_t i = 0; i < groups.size(); ++i) places[column_text(groups[i].task, column)].push_back(i);
  Json rows = Json::array();
  for (const auto& [value, at] : places) {
    rows.push_back(shares_json(groups, shares, at));
    rows.back()["value"] = value;
  }
  return rows;
}

std::string percent(const Json& share) {
  char text[24];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share.get<double>());
  return text;
}

std::string interval(const Json& ci) {
  char text[48];
  std::snprintf(text, sizeof text, "[%.1f, %.1f]", 100 * ci[0].get<double>(), 100 * ci[1].get<double>());
  return text;
}

std::string padded(std::string text, size_t width) {
  const auto characters = size_t(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
  return text + std::string(characters < width ? width - characters : 1, ' ');
}

/// pass@K and maj@K of a row of figures, K = 1 first.
std::vector<std::string> share_names(const Json& figures) {
  std::vector<std::string> names;
  for (const auto& [key, value] : figures.items())
    if ((key.starts_with("pass@") || key.starts_with("maj@")) && value.is_number()) names.push_back(key);
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return std::pair(a[0] != 'p', std::stol(a.substr(a.find('@') + 1))) <
           std::pair(b[0] != 'p', std::stol(b.substr(b.find('@') + 1)));
  });
  return names;
}

std::string interval_of(const Json& figures, const std::string& name) {
  return interval(figures.at(name == "pass@1" ? "ci95" : name + "_ci95"));
}

std::string table_text(const std::string& column, const Json& rows) {
  const std::vector<std::string> names = share_names(rows.at(0));
  std::string text = "\n" + padded(column, 28) + padded("tasks", 8);
  for (const std::string& name : names) text += padded(name, 10) + padded("95 %", 16);
  text += padded("length", 10) + "truncated\n";
  for (const Json& row : rows) {
    text += padded(row.at("value"), 28) + padded(row.at("tasks").dump(), 8);
    for (const std::string& name : names)
      text += padded(percent(row.at(name)), 10) + padded(interval_of(row, name), 16);
    char length[24];
    std::snprintf(length, sizeof length, "%.1f", row.at("mean_length").get<double>());
    text += padded(length, 10) + percent(row.at("truncated")) + "\n";
  }
  return text;
}

double quantile(std::span<const double> sorted, double at) {
  return sorted.empty() ? 0 : sorted[size_t(at * double(sorted.size() - 1) + 0.5)];
}

}  // namespace

std::string column_text(const Task& task, const std::string& column) {
  const auto found = task.extra.find(column);
  return found == task.extra.end() ? "" : scalar_text(*found).value_or("");
}

bool comes_before(const std::string& a, const std::string& b) {
  const auto digits = [](const std::string& text, size_t at) {
    size_t end = at;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    return end - at;
  };
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const size_t m = digits(a, i), n = digits(b, j);
    if (m && n) {
      const std::string x = a.substr(i, m), y = b.substr(j, n);
      if (m != n || x != y) return std::pair(m, x) < std::pair(n, y);
      i += m, j += n;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() < b.size();
}

std::vector<std::string> table_columns(std::span<const Group> groups) {
  std::vector<std::string> columns;
  for (const char* column : {"level", "type", "subject", "Type", "solution_type", "grade", "reasoning_step"}) {
    std::vector<std::string> values;
    for (const Group& group : groups) values.push_back(column_text(group.task, column));
    std::ranges::sort(values);
    if (!values.empty() && !values.front().empty() && values.front() != values.back()) columns.push_back(column);
  }
  return columns;
}

void expect_column(std::span<const Task> tasks, const std::string& column) {
  for (const Task& task : tasks)
    if (column_text(task, column).empty())
      throw UsageError("--by " + column + ": the task " + task.id +
                       " has no such column, expected text or a number in every row");
}

Json figures_of(std::span<const Group> groups, std::span<const int64_t> ks, std::span<const std::string> columns) {
  const std::vector<Share> shares = shares_of(groups, ks);
  std::vector<size_t> all(groups.size());
  std::iota(all.begin(), all.end(), 0);
  Json out = shares_json(groups, shares, all);
  std::vector<double> lengths;
  int64_t errors = 0;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts)
      lengths.push_back(double(r.completion.tokens.size())), errors += has_error(r.score);
  std::ranges::sort(lengths);
  out.update({{"rollouts", lengths.size()},
              {"errors", errors},
              {"median_length", quantile(lengths, 0.5)},
              {"p95_length", quantile(lengths, 0.95)},
              {"max_length", quantile(lengths, 1)}});
  for (const std::string& column : columns) out["by"][column] = table_of(groups, shares, column);
  return out;
}

std::string figures_text(const Json& figures) {
  std::string text;
  const auto line = [&](const std::string& name, const std::string& value) { text += padded(name, 16) + value + "\n"; };
  for (const std::string& name : share_names(figures))
    line(name, percent(figures.at(name)) + "  " + interval_of(figures, name));
  char length[96];
  std::snprintf(length, sizeof length, "mean %.1f, median %.0f, 95 %% below %.0f, at most %.0f tokens",
                figures.at("mean_length").get<double>(), figures.at("median_length").get<double>(),
                figures.at("p95_length").get<double>(), figures.at("max_length").get<double>());
  line("length", length);
  line("truncated", percent(figures.at("truncated")));
  line("tasks", figures.at("tasks").dump() + ", " + figures.at("rollouts").dump() + " completions");
  if (figures.at("errors") != 0) line("errors", figures.at("errors").dump() + " verdicts failed (status error)");
  if (figures.contains("gain"))
    line("gain", percent(figures["gain"]) + "  " + interval(figures["gain_ci95"]) + "  over --against, task by task");
  const Json by = figures.value("by", Json::object());
  for (const auto& [column, rows] : by.items())
    if (!rows.empty()) text += table_text(column, rows);
  return text;
}

}  // namespace cohort
