// Running programs that nobody trusts. A box has namespaces, a file tree, limits and a system-call filter of its own,
// sees no file of this program but those it is given, and ends with everything it started.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rewards/sandbox/isolation.h"

namespace cohort::sandbox {

/// A file descriptor that closes itself.
class File {
 public:
  explicit File(int number = -1) : number_(number) {}
  File(File&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~File();
  int number() const { return number_; }

 private:
  int number_;
};

File sealed_file(const std::string& bytes);  // in memory, can be read and executed, never changed
std::pair<File, File> connected_sockets();   // a stream between two boxes

/// What runs in a box. Files 0, 1 and 2 are its input and the two outputs that are collected; `files` follow from 3.
struct Program {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value"
  std::string input;
  std::vector<File> files;
  int program_file = -1;  // where ≥ 3: that file is executed, whatever argv[0] says
  std::string role;       // where given, the Python zygote runs the text in file 3 in this role (see zygote.py)
  Limits limits;
};

struct Ended {
  enum class How {
    exited,
    signalled,
    timeout,  // the wall clock
    cpu,      // its CPU seconds
    asleep,   // of a box with a limit of CPU seconds: for as long as that, none of its processes wanted a processor
    memory,
    output,
    failed  // our side, before or while it ran
  };
  How how = How::failed;
  int code = -1;  // exit code or signal
  std::string out, err;
  double cpu_seconds = 0, wall_seconds = 0;
  int64_t peak_bytes = 0;
  std::string reason;  // of failed
};

std::vector<std::string> default_modules();

struct SandboxOptions {
  std::vector<Readable> readable;
  std::string python = "/usr/bin/python3";
  std::vector<std::string> modules = default_modules();  // that the Python zygote has loaded
};

class Sandbox {
 public:
  /// Starts the warden and tries every layer in a box. Throws MissingError naming the layer that this machine refuses.
  explicit Sandbox(SandboxOptions options = {});
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;

  const Isolation& isolation() const { return isolation_; }

  /// Thread-safe. Returns when the program and all it started have ended; where `is_unwanted`, asked now and then, says
  /// so, they are killed.
  Ended run(Program program, const std::function<bool()>& is_unwanted = {});
  /// Programs that talk to one another; the end of the first ends all. One Ended for each. Throws MissingError where
  /// there is no Python that can be executed and one of them needs it.
  std::vector<Ended> run_together(std::vector<Program> programs, const std::function<bool()>& is_unwanted = {});

  /// Starts what has ended of the warden and the Python zygote; true where one had. Thread-safe.
  bool revive();

 private:
  friend class Resident;
  struct Warden;
  std::shared_ptr<Warden> warden();
  /// Where requests for Python go; the interpreter starts with the first.
  std::shared_ptr<File> zygote();

  SandboxOptions options_;
  Isolation isolation_;
  std::mutex mutex_;  // of what follows
  std::shared_ptr<Warden> warden_;
  std::shared_ptr<File> zygote_;
};

/// A program that stays, to be asked again and again (a compiler that is slow to start). Ends with this object.
class Resident {
 public:
  Resident(Sandbox& sandbox, Program program);
  Resident(const Resident&) = delete;

  /// Sends all bytes, then reads until `is_whole` says that the answer is: exited, and the answer as `out`. Else
  /// timeout or cpu (both limits are those of this call), or failed where the program is gone: it is then of no use any
  /// more.
  Ended ask(const std::string& bytes, const std::function<bool(const std::string&)>& is_whole, const Limits& limits);
  bool is_gone() const;  // it has ended

 private:
  double cpu_seconds();  // used so far; 0 where that cannot be seen

  File channel_, lease_;
  std::optional<int> process_;  // of the one that attends it, as /proc numbers it; none until it has spoken
};

/// What a Sandbox on this machine would have, for `doctor`; never throws.
Isolation probe();

}  // namespace cohort::sandbox
