#include "configs/progress.h"

#include <gtest/gtest.h>

namespace cohort {
namespace {

/// An output that collects what is written, with a clock set by hand.
struct Screen {
  std::string text;
  double now = 0;
  ProgressOutput output(int columns) {
    return {[this](std::string_view bytes) { text += bytes; }, [this] { return now; }, columns};
  }
};

TEST(Progress, WritesAPlainLineEveryTenSeconds) {
  Screen screen;
  Progress progress("scoring", "rows", 1000, 0, screen.output(0));
  for (int i = 1; i <= 25; ++i) {
    screen.now = i;
    progress.update(i * 10, i == 20 ? "correct 0.5" : "");
  }
  EXPECT_EQ(screen.text,
            "scoring 100/1000 rows  10%  10.0 rows/s  ETA 1 min 30 s\n"
            "scoring 200/1000 rows  20%  10.0 rows/s  ETA 1 min 20 s  correct 0.5\n");
  progress.finish();
  progress.finish();
  EXPECT_TRUE(screen.text.ends_with("\nscoring 250/1000 rows  25%  10.0 rows/s  ETA 1 min 15 s\n"));
}

TEST(Progress, SaysNothingOfShortWork) {
  Screen screen;
  {
    Progress progress("scoring", "rows", 5, 0, screen.output(0));
    screen.now = 2;
    progress.update(5);
  }
  EXPECT_EQ(screen.text, "");
}

TEST(Progress, RedrawsOneLineOnATerminal) {
  Screen screen;
  {
    Progress progress("step", "steps", 10, 0, screen.output(30));
    screen.now = 0.05;
    progress.update(1);  // too soon
    screen.now = 2;
    progress.update(4, "reward é 0.25 and much more");
  }
  EXPECT_EQ(screen.text,
            "\r\x1b[Kstep 4/10 steps  40%  2.00 st"
            "\r\x1b[Kstep 4/10 steps  40%  2.00 st\n");
}

TEST(Progress, KeepsMessagesApartFromTheLiveLine) {
  Screen screen;
  Progress progress("step", "steps", 0, 0, screen.output(80));
  progress.message("before");
  screen.now = 2;
  progress.update(1);
  progress.message("saved");
  EXPECT_EQ(screen.text,
            "before\n\r\x1b[Kstep 1 steps  0.500 steps/s\r\x1b[Ksaved\n\r\x1b[Kstep 1 steps  0.500 steps/s");
}

TEST(Progress, CountsTheRateFromWhereARunResumed) {
  Screen screen;
  Progress progress("step", "steps", 200, 100, screen.output(0));
  screen.now = 10;
  progress.update(120);
  EXPECT_EQ(screen.text, "step 120/200 steps  60%  2.00 steps/s  ETA 40 s\n");
}

TEST(Progress, SpeaksOfDurationsAsPeopleDo) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(59.6), "1 min 0 s");
  EXPECT_EQ(duration_text(7500), "2 h 5 min");
}

}  // namespace
}  // namespace cohort
