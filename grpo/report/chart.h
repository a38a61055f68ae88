// A line chart as inline SVG. Colours come from the page's style: class r0 … r5 by run, d0 … d2 the dash of a series.
#pragma once
#include <string>
#include <vector>

#include "grpo/report/series.h"

namespace cohort {

struct Line {
  std::string label;  // what the readout calls it
  size_t run = 0;     // picks the colour
  size_t dash = 0;    // picks the dash
  Series series;
};

struct Chart {
  std::string title;
  bool percent = false;  // values are shares of 1
  std::vector<Line> lines;
};

struct Axis {
  double low, high, tick;
};

/// A range that holds [low, high] and ends on round ticks, about `num_ticks` of them. Starts at 0 where that costs
/// little.
Axis nice_axis(double low, double high, int num_ticks);

/// True when some line has a finite value; a chart without one has nothing to draw.
bool has_values(const Chart& chart);

/// Long noisy series are drawn twice: every step faint, and the mean over a window of 1/20 of the steps in full
/// strength.
std::string chart_svg(const Chart& chart);

/// Steps of the window of chart_svg; 1 when the series is drawn as it is.
size_t smoothing_window(const Series& series);

}  // namespace cohort
