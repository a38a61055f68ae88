#include "grpo/report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "grpo/report/html.h"

namespace cohort {
namespace {

// Of the drawing, in its own units; the page scales it to the width of its card.
constexpr double width = 360, height = 180, left = 42, right = 10, top = 8, bottom = 22;
constexpr size_t most_columns = 320, longest_plain = 24;
constexpr double smooth_enough = 0.005;  // roughness below which a mean would only blur

std::string tenths(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// Mean distance of a value from the middle of its neighbours, as a share of the range.
double roughness(const Series& series) {
  Range range;
  double sum = 0;
  for (const Point& point : series) range.add(point.value);
  for (size_t i = 1; i + 1 < series.size(); ++i) {
    const double bend = series[i].value - (series[i - 1].value + series[i + 1].value) / 2;
    if (std::isfinite(bend)) sum += std::abs(bend);
  }
  return range.high > range.low ? sum / static_cast<double>(series.size()) / (range.high - range.low) : 0;
}

struct Frame {
  Axis x, y;
  double at_x(double step) const { return left + (step - x.low) / (x.high - x.low) * (width - left - right); }
  double at_y(double value) const {
    return height - bottom - (value - y.low) / (y.high - y.low) * (height - top - bottom);
  }
};

Frame frame_of(const Chart& chart) {
  Range steps, values;
  for (const Line& line : chart.lines)
    for (const Point& point : line.series) {
      steps.add(point.step);
      values.add(point.value);
    }
  Axis x = nice_axis(steps.low, steps.high, 6);
  x.low = steps.low;  // the curves use the whole width
  x.high = steps.high > steps.low ? steps.high : steps.low + 1;
  Axis y = nice_axis(values.low, values.high, 4);
  if (chart.percent && values.high <= 1) y.high = std::min(y.high, 1.0);
  return {x, y};
}

// Digits after the point that tell neighbouring ticks apart.
std::string tick_label(double value, double tick, bool percent) {
  if (percent) value *= 100, tick *= 100;
  if (std::abs(value) < tick * 1e-6) value = 0;
  if (std::abs(value) >= 9999.5) return format_number(value);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(tick) + 1e-9)));
  char text[64];
  if (decimals > 5) {
    std::snprintf(text, sizeof text, "%.1e", value);
  } else {
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
  }
  return std::string(text) + (percent ? "%" : "");
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + tenths(x) + "\" y=\"" + tenths(y) + "\" text-anchor=\"" + anchor + "\">" + text + "</text>";
}

std::string axes(const Frame& frame, bool percent) {
  std::string lines, labels;
  for (double value = frame.y.low; value <= frame.y.high + frame.y.tick * 1e-6; value += frame.y.tick) {
    lines += "M" + tenths(left) + " " + tenths(frame.at_y(value)) + "H" + tenths(width - right);
    labels += text_at(left - 6, frame.at_y(value) + 3.2, "end", tick_label(value, frame.y.tick, percent));
  }
  const double first = std::ceil(frame.x.low / frame.x.tick) * frame.x.tick;
  for (double step = first; step <= frame.x.high + frame.x.tick * 1e-6; step += frame.x.tick)
    labels += text_at(frame.at_x(step), height - 6, "middle", tick_label(step, frame.x.tick, false));
  return "<path class=\"gridlines\" d=\"" + lines + "\"/>" + labels;
}

// SVG path commands; a gap starts a new piece, a piece of one point becomes a short dash so that it is seen.
std::string path_of(const Frame& frame, const Series& series) {
  std::string path;
  bool pen_down = false;
  for (size_t i = 0; i < series.size(); ++i) {
    if (!std::isfinite(series[i].value)) {
      pen_down = false;
      continue;
    }
    const std::string x = tenths(frame.at_x(series[i].step)), y = tenths(frame.at_y(series[i].value));
    const bool alone = !pen_down && (i + 1 == series.size() || !std::isfinite(series[i + 1].value));
    path += (pen_down ? "L" : "M") + x + " " + y + (alone ? "h0.1" : "");
    pen_down = true;
  }
  return path;
}

std::string markers(const Frame& frame, const Line& line) {
  std::string circles;
  for (const Point& point : line.series)
    if (std::isfinite(point.value))
      circles += "<circle class=\"r" + std::to_string(line.run % 6) + "\" cx=\"" + tenths(frame.at_x(point.step)) +
                 "\" cy=\"" + tenths(frame.at_y(point.value)) + "\" r=\"2.4\"/>";
  return circles;
}

std::string line_svg(const Frame& frame, const Line& line, bool alone) {
  const std::string run = "r" + std::to_string(line.run % 6), dash = " d" + std::to_string(line.dash % 3);
  const size_t window = smoothing_window(line.series);
  std::string svg;
  if (window > 1 && alone)
    svg += "<path class=\"every " + run + "\" d=\"" + path_of(frame, thin(line.series, most_columns)) + "\"/>";
  const Series shown = thin(window > 1 ? smooth(line.series, window) : line.series, most_columns);
  svg += "<path class=\"line " + run + dash + "\" data-label=\"" + escape_html(line.label) + "\" d=\"" +
         path_of(frame, shown) + "\"/>";
  return svg + (line.series.size() <= longest_plain ? markers(frame, line) : "");
}

}  // namespace

Axis nice_axis(double low, double high, int num_ticks) {
  if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high))) {  // constant
    const double room = low == 0 ? 1 : std::abs(low) * 0.1;
    low = low == 0 ? 0 : low - room;
    high += room;
  }
  if (low > 0 && low < 0.4 * high) low = 0;
  const double rough = (high - low) / num_ticks, power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power - 1e-9;
  const double tick = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  return {std::floor(low / tick + 1e-9) * tick, std::ceil(high / tick - 1e-9) * tick, tick};
}

bool has_values(const Chart& chart) {
  return std::ranges::any_of(chart.lines, [](const Line& line) {
    return std::ranges::any_of(line.series, [](const Point& point) { return std::isfinite(point.value); });
  });
}

size_t smoothing_window(const Series& series) {
  if (series.size() <= longest_plain || roughness(series) < smooth_enough) return 1;
  return std::max<size_t>(3, series.size() / 20 | 1);
}

std::string chart_svg(const Chart& chart) {
  const Frame frame = frame_of(chart);
  std::string svg = "<svg class=\"chart\" viewBox=\"0 0 " + std::to_string(static_cast<int>(width)) + " " +
                    std::to_string(static_cast<int>(height)) + "\" role=\"img\" aria-label=\"" +
                    escape_html(chart.title) + "\" data-frame=\"";
  for (const double number : {left, width - right, top, height - bottom}) svg += tenths(number) + " ";
  char range[160];
  std::snprintf(range, sizeof range, "%.9g %.9g %.9g %.9g", frame.x.low, frame.x.high, frame.y.low, frame.y.high);
  svg += std::string(range) + "\"" + (chart.percent ? " data-percent" : "") + ">" + axes(frame, chart.percent);
  for (const Line& line : chart.lines) svg += line_svg(frame, line, chart.lines.size() <= 3);
  return svg + "</svg>";
}

}  // namespace cohort
