// One process that judges: started, written to, read line by line, killed with all that it started.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cohort {

struct WorkerCommand {
  std::vector<std::string> argv;  // argv[0] is looked up on PATH
  int program = -1;               // an open executable to run in place of argv[0]
  bool talks_on_stdio = false;    // else on file descriptor 3, and what it prints is kept apart
  std::vector<std::string> extra_environment;
};

class Worker {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Heard { line, nothing, ended, too_much };

  /// Throws UsageError naming the program when it cannot be started.
  explicit Worker(const WorkerCommand& command);
  ~Worker();  // kills its process group
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Bytes go out while hear() waits.
  void send(std::string_view bytes) { outbox_ += bytes; }

  /// The next line (`line`), or: nothing until then, the worker's end, more than 64 MiB without a line's end.
  Heard hear(std::string& line, Clock::time_point until);

  /// Whether it has taken all that was sent.
  bool has_read_all() const;

  /// A process that ended while nobody listened, or that said something nobody asked for.
  bool is_fit();

  /// "killed by signal 11 (Segmentation fault), its last line: …"; after Heard::ended.
  std::string how_it_ended();

  bool has_begun = false;   // read what it was sent, or said something
  bool one_by_one = false;  // judges the items of a batch in turn, so the first without an answer is the one at hand

 private:
  bool has_ended();  // reaps
  bool read_channel();
  void read_noise();
  void write_outbox();
  bool take_line(std::string& line);
  void wait_for_more(Clock::time_point until);

  int pid_ = -1;
  int channel_ = -1;  // socket
  int noise_ = -1;    // pipe: its stderr, and its stdout where that is no channel
  std::string outbox_, inbox_, noise_tail_;
  size_t scanned_ = 0;  // of inbox_, without a line's end
  std::optional<int> wait_status_;
};

}  // namespace cohort
