#include "grpo/report/series.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "grpo/report/chart.h"
#include "grpo/report/html.h"

namespace cohort {
namespace {

using nlohmann::json;

TEST(Html, EveryCharacterThatMatters) {
  EXPECT_EQ(escape_html("<b a=\"1\" b='2'>&amp;</b>"), "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt;");
  EXPECT_EQ(escape_html(std::string("a\0b\x1b\x7f\n\té", 9)), "a\uFFFDb\uFFFD\uFFFD\n\té");
  EXPECT_EQ(escape_html("x\u202Ey\u2066z\u2069…“"), "x\uFFFDy\uFFFDz\uFFFD…“");
  EXPECT_EQ(escape_html("\xE2"), "\xE2");
}

TEST(Html, CutsBetweenCharacters) {
  EXPECT_EQ(shorten("short", 5), "short");
  EXPECT_EQ(shorten("aé", 2), "a … (2 more bytes)");
  EXPECT_EQ(shorten("", 0), "");
}

TEST(Html, NumbersAsPeopleReadThem) {
  const std::vector<std::pair<double, std::string>> numbers{{0, "0"},
                                                            {0.5, "0.5"},
                                                            {1, "1"},
                                                            {0.12345, "0.123"},
                                                            {41.66, "41.7"},
                                                            {100, "100"},
                                                            {1234, "1234"},
                                                            {12345, "12.3k"},
                                                            {999600, "1M"},
                                                            {4.5e6, "4.5M"},
                                                            {6.71e11, "671B"},
                                                            {-0.25, "-0.25"},
                                                            {0.00031, "0.00031"},
                                                            {1e-7, "1e-07"},
                                                            {9.996, "10"},
                                                            {NAN, "–"},
                                                            {INFINITY, "–"}};
  for (const auto& [number, text] : numbers) EXPECT_EQ(format_number(number), text);
  EXPECT_EQ(format_percent(0.4166), "41.7 %");
  EXPECT_EQ(format_percent(NAN), "–");
  EXPECT_EQ(format_seconds(42.2), "42.2 s");
  EXPECT_EQ(format_seconds(371), "6 min");
  EXPECT_EQ(format_seconds(7200), "2 h");
}

TEST(SeriesOfMetrics, GapsAndAbsentKeys) {
  const std::vector<json> rows{{{"step", 1}, {"kl", 0.5}},
                               {{"step", 2}},
                               {{"step", 3}, {"kl", nullptr}},
                               {{"step", 4}, {"kl", "x"}},
                               {{"step", 5}, {"kl", 2}}};
  const Series kl = series_of(rows, "kl");
  ASSERT_EQ(kl.size(), 4u);
  EXPECT_EQ(kl[0], (Point{1, 0.5}));
  EXPECT_TRUE(std::isnan(kl[1].value));
  EXPECT_TRUE(std::isnan(kl[2].value));
  EXPECT_EQ(kl[3], (Point{5, 2}));
  EXPECT_TRUE(series_of(rows, "reward").empty());
  EXPECT_EQ(mean_of_first(kl, 2), 0.5);
  EXPECT_EQ(mean_of_last(kl, 10), 1.25);
  EXPECT_EQ(mean_of_last(Series{{1, NAN}}, 1), std::nullopt);
  EXPECT_EQ(mean_of_first({}, 3), std::nullopt);
}

TEST(SeriesOfMetrics, SmoothingIsAMeanOverTheWindow) {
  const Series smoothed = smooth({{1, 0}, {2, 3}, {3, NAN}, {4, 9}, {5, 3}}, 3);
  ASSERT_EQ(smoothed.size(), 5u);
  EXPECT_EQ(smoothed[0], (Point{1, 1.5}));
  EXPECT_EQ(smoothed[1], (Point{2, 1.5}));
  EXPECT_TRUE(std::isnan(smoothed[2].value));
  EXPECT_EQ(smoothed[3], (Point{4, 6}));
  EXPECT_EQ(smoothed[4], (Point{5, 6}));
}

TEST(SeriesOfMetrics, ThinningKeepsSpikes) {
  Series series;
  for (int i = 0; i < 10000; ++i)
    series.push_back({static_cast<double>(i), i == 1234 ? 50.0 : i == 7777 ? -50.0 : i == 5 ? NAN : 0.0});
  const Series thinned = thin(series, 100);
  EXPECT_LE(thinned.size(), 200u);
  EXPECT_NE(std::ranges::find(thinned, Point{1234, 50}), thinned.end());
  EXPECT_NE(std::ranges::find(thinned, Point{7777, -50}), thinned.end());
  EXPECT_TRUE(std::ranges::is_sorted(thinned, {}, &Point::step));
  EXPECT_EQ(thin({{1, 2}}, 100).size(), 1u);
}

TEST(Charts, AxesEndOnRoundTicks) {
  const auto expect_axis = [](double low, double high, double from, double to, double tick) {
    const Axis axis = nice_axis(low, high, 4);
    EXPECT_NEAR(axis.low, from, 1e-12) << low << " " << high;
    EXPECT_NEAR(axis.high, to, 1e-12) << low << " " << high;
    EXPECT_NEAR(axis.tick, tick, 1e-12) << low << " " << high;
  };
  expect_axis(0.13, 0.87, 0, 1, 0.5);
  expect_axis(-0.004, 0.009, -0.005, 0.01, 0.005);
  expect_axis(52, 94, 40, 100, 20);
  expect_axis(0, 0, 0, 1, 0.5);
  expect_axis(1, 1, 0.9, 1.1, 0.05);
  expect_axis(1e9, 1e9, 9e8, 1.1e9, 5e7);
}

// Drawn in 360 x 180 with the frame from (42, 158) to (350, 8).
TEST(Charts, PointsLandWhereTheyBelong) {
  const std::string svg = chart_svg({"Reward", false, {{"run", 0, 0, {{1, 0}, {2, 0.5}, {3, 1}}}}});
  EXPECT_NE(svg.find("d=\"M42.0 158.0L196.0 83.0L350.0 8.0\""), svg.npos) << svg;
  EXPECT_NE(svg.find("<circle class=\"r0\" cx=\"196.0\" cy=\"83.0\""), svg.npos);
  EXPECT_NE(svg.find("data-frame=\"42.0 350.0 8.0 158.0 1 3 0 1\""), svg.npos) << svg;
}

TEST(Charts, GapsBreakTheLine) {
  const std::string svg = chart_svg({"kl", false, {{"run", 0, 0, {{1, 0}, {2, 1}, {3, NAN}, {4, 1}, {5, NAN}}}}});
  EXPECT_NE(svg.find("d=\"M42.0 158.0L119.0 8.0M273.0 8.0h0.1\""), svg.npos) << svg;
  EXPECT_EQ(svg.find("nan"), svg.npos);
}

TEST(Charts, OnePointOneValueNoValue) {
  const std::string svg = chart_svg({"x", true, {{"run", 0, 0, {{7, 0.25}}}}});
  EXPECT_NE(svg.find("<circle"), svg.npos);
  EXPECT_EQ(svg.find("nan"), svg.npos);
  EXPECT_EQ(svg.find("inf"), svg.npos);
  EXPECT_FALSE(has_values({"x", false, {{"run", 0, 0, {{1, NAN}}}}}));
  EXPECT_FALSE(has_values({"x", false, {}}));
}

TEST(Charts, OnlyLongNoisySeriesAreSmoothed) {
  Series line, noise;
  for (int i = 0; i < 400; ++i) {
    line.push_back({static_cast<double>(i), i * 0.5});
    noise.push_back({static_cast<double>(i), i % 2 ? 1.0 : -1.0});
  }
  EXPECT_EQ(smoothing_window(line), 1u);
  EXPECT_EQ(smoothing_window(noise), 21u);
  noise.resize(20);
  EXPECT_EQ(smoothing_window(noise), 1u);
}

TEST(Charts, LabelsAreEscaped) {
  const std::string svg = chart_svg({"<title>", false, {{"\"><script>", 0, 0, {{1, 0}, {2, 1}}}}});
  EXPECT_EQ(svg.find("<script"), svg.npos);
  EXPECT_EQ(svg.find("<title"), svg.npos);
}

}  // namespace
}  // namespace cohort
