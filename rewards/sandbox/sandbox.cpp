#include "rewards/sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include "configs/error.h"
#include "rewards/sandbox/processes.h"
#include "rewards/sandbox/warden.h"
#include "rewards/sandbox/zygote_source.h"

extern char** environ;

namespace cohort::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::pair<File, File> socket_pair(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) throw std::runtime_error("sandbox: no socket is left");
  return {File(ends[0]), File(ends[1])};
}

std::pair<File, File> pipe_ends() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("sandbox: no pipe is left");
  return {File(ends[0]), File(ends[1])};
}

bool has_hung_up(const File& socket) {
  pollfd watched{socket.number(), 0, 0};
  return socket.number() < 0 || poll(&watched, 1, 0) > 0;
}

bool has_spoken(const File& socket) {
  pollfd watched{socket.number(), POLLIN, 0};
  return poll(&watched, 1, 0) > 0 && (watched.revents & POLLIN) != 0;
}

/// A box that runs, seen from outside.
struct Box {
  Limits limits;
  File out, err, lease;
  std::optional<int> process;  // of the one that attends it, as /proc numbers it; none until it has spoken
  Ended ended;
  bool has_begun = false, is_over = false;
  Clock::time_point start = Clock::now(), last_awake = start;
};

Json request_of(const Program& program, const Isolation& isolation) {
  Json request = {{"steps", steps(program.limits, isolation)}, {"argv", program.argv}, {"env", program.env}};
  if (program.program_file >= 0) request["program"] = program.program_file;
  if (!program.role.empty()) request["role"] = program.role;
  return request;
}

/// Closing the lease kills the box; its outputs may still hold what it wrote.
void end(Box& box, Ended::How how) {
  box.ended.how = how;
  box.lease = File();
  box.is_over = true;
}

void take_output(Box& box, File& file, std::string& text) {
  char bytes[65536];
  const ssize_t got = read(file.number(), bytes, sizeof bytes);
  if (got <= 0) {
    file = File();
    return;
  }
  text.append(bytes, static_cast<size_t>(got));
  if (static_cast<int64_t>(box.ended.out.size() + box.ended.err.size()) <= box.limits.output_bytes) return;
  text.resize(text.size() -
              (box.ended.out.size() + box.ended.err.size() - static_cast<size_t>(box.limits.output_bytes)));
  end(box, Ended::How::output);
}

void take_word(Box& box) {
  const Message message = receive_message(box.lease.number());
  if (message.process != 0 && !box.process) box.process = number_in_proc(message.process);
  const Json word = Json::parse(message.text, nullptr, false);
  if (word.is_object() && word.empty()) {  // its time counts from here: an interpreter or a warden may have been busy
    if (!std::exchange(box.has_begun, true)) box.start = box.last_awake = Clock::now();
    return;
  }
  if (!word.is_object() || word.contains("failed")) {
    box.ended.reason = word.is_object() ? word["failed"].get<std::string>() : "its attendant is gone";
    return end(box, Ended::How::failed);
  }
  box.ended.cpu_seconds = word.at("cpu");
  box.ended.peak_bytes = std::max(box.ended.peak_bytes, word.at("peak").get<int64_t>());
  box.ended.code = word.contains("signal") ? word["signal"] : word.at("code");
  const bool is_used_up = box.limits.cpu_seconds > 0 && box.ended.cpu_seconds > box.limits.cpu_seconds;
  if (is_used_up && box.ended.code != 0) return end(box, Ended::How::cpu);  // a process of it met its RLIMIT_CPU
  end(box, word.contains("signal") ? Ended::How::signalled : Ended::How::exited);
}

/// Of a box with a limit of CPU seconds.
void check_activity(Box& box) {
  const Activity now = activity_below(*box.process);
  box.ended.cpu_seconds = std::max(box.ended.cpu_seconds, now.cpu_seconds);
  if (!now.is_asleep) box.last_awake = Clock::now();
  if (now.cpu_seconds > box.limits.cpu_seconds) return end(box, Ended::How::cpu);
  if (seconds_since(box.last_awake) > box.limits.cpu_seconds) end(box, Ended::How::asleep);
}

void check_limits(Box& box) {
  constexpr double kLongestStart = 60;  // seconds
  if (!box.has_begun) {
    if (seconds_since(box.start) <= kLongestStart) return;
    box.ended.reason = "no box began within a minute: the machine is too busy";
    return end(box, Ended::How::failed);
  }
  if (box.process) {
    const int64_t used = resident_bytes_below(*box.process);
    box.ended.peak_bytes = std::max(box.ended.peak_bytes, used);
    if (used > box.limits.memory_bytes) return end(box, Ended::How::memory);
    if (box.limits.cpu_seconds > 0) check_activity(box);
    if (box.is_over) return;
  }
  if (seconds_since(box.start) > box.limits.wall_seconds) end(box, Ended::How::timeout);
}

/// What the pipes still hold once nothing writes into them.
void drain(Box& box) {
  for (auto [file, text] : {std::pair{&box.out, &box.ended.out}, {&box.err, &box.ended.err}}) {
    if (file->number() < 0 || box.ended.how == Ended::How::output) continue;
    fcntl(file->number(), F_SETFL, O_NONBLOCK);
    while (file->number() >= 0 && box.ended.how != Ended::How::output) take_output(box, *file, *text);
  }
  box.ended.wall_seconds = seconds_since(box.start);
}

/// Waits until the first box is over, or nobody wants it any more, then ends the others.
void supervise(std::vector<Box>& boxes, const std::function<bool()>& is_unwanted) {
  constexpr int kTick = 10;  // milliseconds between two looks at memory and time
  auto last_look = Clock::now();
  while (!boxes[0].is_over) {
    std::vector<pollfd> watched;
    std::vector<std::function<void()>> reactions;
    for (Box& box : boxes) {
      if (box.is_over) continue;
      const auto watch = [&](const File& file, std::function<void()> react) {
        if (file.number() >= 0) watched.push_back({file.number(), POLLIN, 0}), reactions.push_back(std::move(react));
      };
      watch(box.out, [&box] { take_output(box, box.out, box.ended.out); });
      watch(box.err, [&box] { take_output(box, box.err, box.ended.err); });
      watch(box.lease, [&box] { take_word(box); });
    }
    poll(watched.data(), watched.size(), kTick);
    for (size_t i = 0; i < watched.size(); ++i)
      if (watched[i].revents != 0) reactions[i]();
    if (Clock::now() - last_look < std::chrono::milliseconds(kTick)) continue;
    last_look = Clock::now();
    for (Box& box : boxes)
      if (!box.is_over) check_limits(box);
    if (is_unwanted && is_unwanted()) break;
  }
  for (Box& box : boxes) {
    if (!box.is_over) end(box, Ended::How::signalled), box.ended.code = SIGKILL;
    drain(box);
  }
}

}  // namespace

File::~File() {
  if (number_ >= 0) close(number_);
}

File sealed_file(const std::string& bytes) {
  File file(memfd_create("cohort", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = write(file.number(), bytes.data() + done, bytes.size() - done);
    if (wrote <= 0) throw std::runtime_error("sandbox: no memory is left for a file");
    done += static_cast<size_t>(wrote);
  }
  lseek(file.number(), 0, SEEK_SET);
  fcntl(file.number(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return file;
}

std::pair<File, File> connected_sockets() {
  return socket_pair(SOCK_STREAM);
}

struct Sandbox::Warden {
  File control;
  pid_t process = -1;
  bool fresh_proc = false;

  explicit Warden(const SandboxOptions& options) {
    auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
    control = std::move(ours);
    std::vector<std::string> words = {"/proc/self/exe", kWardenVerb};
    for (const Readable& folder : options.readable) words.insert(words.end(), {folder.source, folder.target});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const File high(fcntl(theirs.number(), F_DUPFD_CLOEXEC, kControlFile + 1));  // dup2 onto itself keeps CLOEXEC
    posix_spawn_file_actions_adddup2(&actions, high.number(), kControlFile);
    const int error = posix_spawn(&process, words[0].c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("sandbox: the warden cannot be started");
    theirs = File();
    const Json word = Json::parse(receive_message(control.number()).text, nullptr, false);
    if (!word.is_object() || word.contains("failed"))
      throw MissingError("the sandbox cannot be set up here: " +
                         (word.is_object() ? word["failed"].get<std::string>() : std::string("its warden ended")) +
                         "; it needs unprivileged user namespaces (sysctl user.max_user_namespaces above 0, "
                         "kernel.unprivileged_userns_clone=1, or "
                         "kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu) and seccomp");
    fresh_proc = word.at("fresh_proc");
  }
  ~Warden() {
    control = File();  // it ends, and with it every box
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
};

Sandbox::Sandbox(SandboxOptions options) : options_(std::move(options)), warden_(std::make_shared<Warden>(options_)) {
  const std::string unseen = why_processes_are_unseen();
  isolation_ = {.namespaces = true, .fresh_proc = warden_->fresh_proc, .system_calls = true, .watched = unseen.empty()};
  if (!isolation_.fresh_proc) isolation_.reason = "/proc cannot be mounted anew here: boxes have none";
  if (!unseen.empty())
    isolation_.reason += (isolation_.reason.empty() ? "" : "; ") + unseen +
                         ": memory is bounded for each process, not for all of a program together";
  const Ended tried = run({.argv = {"/usr/bin/true"}});
  if (tried.how != Ended::How::exited || tried.code != 0)
    throw MissingError("the sandbox cannot be set up here: " + tried.reason);
}

Sandbox::~Sandbox() = default;

std::vector<std::string> default_modules() {
  return {"abc",        "array",        "bisect",      "calendar",  "cmath",   "collections", "collections.abc",
          "contextlib", "copy",         "dataclasses", "datetime",  "decimal", "enum",        "fractions",
          "functools",  "hashlib",      "heapq",       "inspect",   "io",      "itertools",   "json",
          "linecache",  "math",         "operator",    "queue",     "random",  "re",          "statistics",
          "string",     "struct",       "textwrap",    "threading", "time",    "types",       "typing",
          "unittest",   "unittest.mock"};
}

std::shared_ptr<Sandbox::Warden> Sandbox::warden() {
  const std::lock_guard lock(mutex_);
  return warden_;
}

bool Sandbox::revive() {
  const std::lock_guard lock(mutex_);
  const bool no_warden = has_hung_up(warden_->control), no_zygote = zygote_ && has_hung_up(*zygote_);
  if (no_warden) warden_ = std::make_shared<Warden>(options_);
  if (no_warden || no_zygote) zygote_ = nullptr;  // it starts with the next program
  return no_warden || no_zygote;
}

std::shared_ptr<File> Sandbox::zygote() {
  const std::lock_guard lock(mutex_);
  if (zygote_) return zygote_;
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  auto [lease, lease_end] = socket_pair(SOCK_SEQPACKET);
  const File nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  const File source = sealed_file(kZygoteSource);
  std::vector<std::string> argv = {options_.python, "-I", "-c",
                                   "import os; exec(compile(os.fdopen(4).read(), 'zygote.py', 'exec'))"};
  argv.insert(argv.end(), options_.modules.begin(), options_.modules.end());
  const Json request = {{"steps", Json::array()}, {"argv", argv}, {"env", {"PATH=/usr/bin:/bin", "PYTHONHASHSEED=0"}}};
  send_message(
      warden_->control.number(), request.dump(),
      {nothing.number(), nothing.number(), nothing.number(), theirs.number(), source.number(), lease_end.number()});
  theirs = File(), lease_end = File();
  for (;;) {  // the lease closes as the interpreter is executed
    const std::string text = receive_message(lease.number()).text;
    if (text.empty()) break;
    const Json word = Json::parse(text, nullptr, false);
    if (word.is_object() && word.contains("failed"))
      throw MissingError("Python programs cannot be run: " + word["failed"].get<std::string>() +
                         ": apt-get install python3, or name an interpreter with the option python");
  }
  return zygote_ = std::make_shared<File>(std::move(ours));
}

Ended Sandbox::run(Program program, const std::function<bool()>& is_unwanted) {
  std::vector<Program> one;
  one.push_back(std::move(program));
  return std::move(run_together(std::move(one), is_unwanted)[0]);
}

std::vector<Ended> Sandbox::run_together(std::vector<Program> programs, const std::function<bool()>& is_unwanted) {
  std::vector<Box> boxes(programs.size());
  const std::shared_ptr<Warden> wardens = warden();  // held while its boxes run
  for (size_t i = 0; i < programs.size(); ++i) {
    Program& program = programs[i];
    Box& box = boxes[i];
    box.limits = program.limits;
    auto [out, out_end] = pipe_ends();
    auto [err, err_end] = pipe_ends();
    auto [lease, lease_end] = socket_pair(SOCK_SEQPACKET);
    const int yes = 1;
    setsockopt(lease.number(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    const File input = sealed_file(program.input);
    std::vector<int> files = {input.number(), out_end.number(), err_end.number()};
    for (const File& file : program.files) files.push_back(file.number());
    files.push_back(lease_end.number());
    box.out = std::move(out), box.err = std::move(err), box.lease = std::move(lease);
    const std::string request = request_of(program, isolation_).dump();
    if (program.role.empty())
      send_message(wardens->control.number(), request, files);
    else
      send_message(zygote()->number(), request, files);
    program.files.clear();
  }
  supervise(boxes, is_unwanted);
  std::vector<Ended> all;
  for (Box& box : boxes) all.push_back(std::move(box.ended));
  return all;
}

Resident::Resident(Sandbox& sandbox, Program program) {
  auto [ours, theirs] = connected_sockets();
  auto [lease, lease_end] = socket_pair(SOCK_SEQPACKET);
  const int yes = 1;
  setsockopt(lease.number(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
  const File nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  send_message(sandbox.warden()->control.number(), request_of(program, sandbox.isolation_).dump(),
               {theirs.number(), theirs.number(), nothing.number(), lease_end.number()});
  channel_ = std::move(ours), lease_ = std::move(lease);
}

double Resident::cpu_seconds() {
  if (!process_ && has_spoken(lease_)) process_ = number_in_proc(receive_message(lease_.number()).process);
  return process_ ? activity_below(*process_).cpu_seconds : 0;
}

Ended Resident::ask(const std::string& bytes, const std::function<bool(const std::string&)>& is_whole,
                    const Limits& limits) {
  constexpr int kTick = 100;  // milliseconds between two looks at what it uses
  const Clock::time_point start = Clock::now();
  const double before = cpu_seconds();
  Ended ended;
  const auto end = [&](Ended::How how) {
    ended.how = how, ended.wall_seconds = seconds_since(start), ended.cpu_seconds = cpu_seconds() - before;
    return ended;
  };
  size_t sent = 0;
  auto last_look = start;
  while (!is_whole(ended.out)) {
    pollfd watched{channel_.number(), static_cast<short>(POLLIN | (sent < bytes.size() ? POLLOUT : 0)), 0};
    if (poll(&watched, 1, kTick) < 0 && errno != EINTR) return end(Ended::How::failed);
    if (watched.revents & POLLOUT) {
      const ssize_t wrote =
          send(channel_.number(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (wrote > 0) sent += static_cast<size_t>(wrote);
    }
    if (watched.revents & (POLLIN | POLLHUP)) {
      char chunk[65536];
      const ssize_t got = recv(channel_.number(), chunk, sizeof chunk, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return end(Ended::How::failed);
      if (got > 0) ended.out.append(chunk, static_cast<size_t>(got));
    }
    if (Clock::now() - last_look < std::chrono::milliseconds(kTick)) continue;
    last_look = Clock::now();
    if (limits.cpu_seconds > 0 && cpu_seconds() - before > limits.cpu_seconds) return end(Ended::How::cpu);
    if (seconds_since(start) > limits.wall_seconds) return end(Ended::How::timeout);
  }
  return end(Ended::How::exited);
}

bool Resident::is_gone() const {
  return has_hung_up(channel_);
}

Isolation probe() {
  try {
    return Sandbox().isolation();
  } catch (const std::exception& error) {
    return {.reason = error.what()};
  }
}

}  // namespace cohort::sandbox
