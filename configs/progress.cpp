#include "configs/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

namespace cohort {
namespace {

constexpr double kLiveInterval = 0.1;    // seconds between two drawings of the live line
constexpr double kPlainInterval = 10.0;  // seconds between two plain lines
constexpr std::string_view kClearLine = "\r\x1b[K";

/// Three significant digits, without an exponent.
std::string rate_text(double rate) {
  char text[32];
  const int decimals = rate >= 100 ? 0 : rate >= 10 ? 1 : rate >= 1 ? 2 : 3;
  std::snprintf(text, sizeof text, "%.*f", decimals, rate);
  return text;
}

/// The first `columns` characters of UTF-8 text.
std::string_view clipped(std::string_view text, int columns) {
  int characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (starts_character && characters++ == columns) return text.substr(0, i);
  }
  return text;
}

}  // namespace

ProgressOutput standard_error() {
  ProgressOutput output;
  output.write = [](std::string_view bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
    std::fflush(stderr);
  };
  output.seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  winsize window{};
  if (isatty(STDERR_FILENO) != 0)
    output.columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
  return output;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

Progress::Progress(std::string label, std::string unit, int64_t total, int64_t done, ProgressOutput output)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(done),
      done_(done),
      output_(std::move(output)),
      start_(output_.seconds()),
      last_shown_(start_) {}

Progress::~Progress() {
  finish();
}

void Progress::update(int64_t done, std::string_view detail) {
  const std::lock_guard lock(mutex_);
  done_ = done;
  detail_ = detail;
  const double now = output_.seconds();
  const bool is_terminal = output_.columns > 0;
  if (now - last_shown_ >= (is_terminal ? kLiveInterval : kPlainInterval)) show(now);
}

void Progress::message(std::string_view line) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(live_, false)) output_.write(kClearLine);
  output_.write(std::string(line) + "\n");
  if (output_.columns > 0 && shown_ && !finished_) show(output_.seconds());
}

void Progress::finish() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(finished_, true) || !shown_) return;  // work too short for a line needs no last one
  show(output_.seconds());
  if (std::exchange(live_, false)) output_.write("\n");
}

void Progress::show(double now) {
  const std::string line = text(now);
  last_shown_ = now;
  shown_ = true;
  if (output_.columns == 0) return output_.write(line + "\n");
  live_ = true;
  output_.write(std::string(kClearLine) + std::string(clipped(line, output_.columns - 1)));
}

std::string Progress::text(double now) const {
  std::string line = label_ + " " + std::to_string(done_);
  if (total_ > 0) line += "/" + std::to_string(total_);
  line += " " + unit_;
  if (total_ > 0) line += "  " + std::to_string(100 * done_ / total_) + "%";
  const double rate = now > start_ ? static_cast<double>(done_ - first_) / (now - start_) : 0;
  if (rate > 0) line += "  " + rate_text(rate) + " " + unit_ + "/s";
  if (rate > 0 && total_ > done_) line += "  ETA " + duration_text(static_cast<double>(total_ - done_) / rate);
  if (!detail_.empty()) line += "  " + detail_;
  return line;
}

}  // namespace cohort
