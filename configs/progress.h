// Where long work stands, on stderr: one live line on a terminal, else a plain line every ten seconds.
#pragma once
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace cohort {

struct ProgressOutput {
  std::function<void(std::string_view)> write;  // takes bytes as they are
  std::function<double()> seconds;              // a clock that only goes forward
  int columns = 0;                              // of the terminal; 0: not a terminal
};
ProgressOutput standard_error();

/// Where work stands; thread-safe. The last line is written by finish() or at the end of its life.
///   Progress progress("scoring", "rows", rows.size());   scoring 1200/5000 rows  24%  310 rows/s  ETA 12 s  correct
///   0.41
class Progress {
 public:
  /// `total` 0: not known, so no percentage and no ETA. `done`: what an earlier run did, which says nothing of the
  /// rate.
  Progress(std::string label, std::string unit, int64_t total, int64_t done = 0,
           ProgressOutput output = standard_error());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int64_t done, std::string_view detail = "");  // done so far, not since the last call
  void message(std::string_view line);                      // a line of its own, without breaking the live one
  void finish();

 private:
  void show(double now);
  std::string text(double now) const;

  std::string label_, unit_, detail_;
  int64_t total_, first_, done_;
  ProgressOutput output_;
  double start_, last_shown_;
  bool live_ = false, shown_ = false, finished_ = false;
  std::mutex mutex_;
};

/// Seconds as people read them: "8 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(double seconds);

}  // namespace cohort
