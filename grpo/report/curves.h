// Which metrics become charts, in which order, and what each means.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "grpo/report/chart.h"
#include "grpo/report/run_folder.h"

namespace cohort {

struct CurveCard {
  Chart chart;
  std::string keys;                      // of metrics.jsonl, as shown: a/{b, c} for a/b and a/c
  std::vector<std::string> dash_labels;  // of Line::dash; empty where a metric is absent
  std::string note;                      // what the metric means; empty for metrics that the table does not know
  std::string summary;  // "0.21 → 0.85" where one line is drawn, "0 throughout" where all are one constant
};

struct CurveGroup {
  std::string title;
  std::vector<CurveCard> cards;
  bool known = true;  // false for the group of metrics that the table does not know
};

/// Charts over runs of one kind, each run in the colour of its place in `all`; groups and cards without values are left
/// out.
std::vector<CurveGroup> curve_groups(std::span<const RunFolder> all, std::string_view kind);

/// "0.21 → 0.85", or "21 → 85.3 %": means over the first and the last tenth of the steps; "0 throughout" for a
/// constant; empty without values.
std::string first_to_last(const Series& series, bool percent);

}  // namespace cohort
