#include "rewards/plugins/worker.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "configs/error.h"
#include "rewards/rules.h"
#include "rewards/sandbox/processes.h"

namespace cohort {
namespace {

constexpr size_t kMostUnread = 64U << 20U;  // bytes of one line
constexpr size_t kNoiseTail = 4096;         // bytes kept of what a worker prints
constexpr int kChannel = 3, kProgram = 4;   // file descriptors of the worker

// Above those the worker is given, so that putting them in place overwrites none.
int above_standard(int fd) {
  const int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
  close(fd);
  if (high < 0) throw std::runtime_error(std::string("no file descriptor for a plug-in: ") + std::strerror(errno));
  return high;
}

struct Pair {
  int ours, theirs;
};

Pair socket_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::runtime_error(std::string("no socket for a plug-in: ") + std::strerror(errno));
  return {above_standard(ends[0]), above_standard(ends[1])};
}

Pair noise_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("no pipe for a plug-in: ") + std::strerror(errno));
  return {above_standard(ends[0]), above_standard(ends[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_with(const std::vector<std::string>& extra) {
  std::vector<std::string> all = extra;
  for (char** one = environ; *one; ++one) {
    const std::string_view name = std::string_view(*one).substr(0, std::string_view(*one).find('='));
    const bool replaced = std::ranges::any_of(
        extra, [&](const std::string& e) { return std::string_view(e).substr(0, e.find('=')) == name; });
    if (!replaced) all.emplace_back(*one);
  }
  return all;
}

// File descriptors 0 to 3 as the command wants them, no other (but the program's own), a session of its own.
int spawn(const WorkerCommand& command, int channel, int noise, int& error) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, noise, 2);
  if (command.talks_on_stdio) {
    posix_spawn_file_actions_adddup2(&actions, channel, 0);
    posix_spawn_file_actions_adddup2(&actions, channel, 1);
  } else {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, noise, 1);
    posix_spawn_file_actions_adddup2(&actions, channel, kChannel);
  }
  int first_closed = command.talks_on_stdio ? kChannel : kProgram;
  if (command.program >= 0) {
    posix_spawn_file_actions_adddup2(&actions, command.program, kProgram);
    first_closed = kProgram + 1;
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, first_closed);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const std::vector<std::string> environment = environment_with(command.extra_environment);
  const std::string program = command.program >= 0 ? "/proc/self/fd/" + std::to_string(kProgram) : command.argv.at(0);
  pid_t pid = -1;
  error = posix_spawnp(&pid, program.c_str(), &actions, &attributes, pointers(command.argv).data(),
                       pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -1;
}

// The kernel, when it is short of memory, takes a worker before the program that trains.
void offer_to_oom_killer(pid_t pid) {
  const std::string file = "/proc/" + std::to_string(pid) + "/oom_score_adj";
  const int score = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (score < 0) return;
  (void)!write(score, "1000", 4);
  close(score);
}

std::string last_line_of(std::string_view text) {
  text = trim(text);
  const size_t end = text.rfind('\n');
  return std::string(trim(end == std::string_view::npos ? text : text.substr(end + 1)));
}

}  // namespace

Worker::Worker(const WorkerCommand& command) {
  const Pair channel = socket_pair(), noise = noise_pipe();
  channel_ = channel.ours, noise_ = noise.ours;
  fcntl(channel_, F_SETFL, O_NONBLOCK);
  fcntl(noise_, F_SETFL, O_NONBLOCK);
  int error = 0;
  pid_ = spawn(command, channel.theirs, noise.theirs, error);
  close(channel.theirs);
  close(noise.theirs);
  if (pid_ < 0) {
    close(channel_);
    close(noise_);
    throw UsageError("the program " + excerpt(command.argv.at(0)) + " cannot be started: " + std::strerror(error));
  }
  offer_to_oom_killer(pid_);
}

// What a process started, also in sessions of their own (Popen's start_new_session), as far as /proc shows it.
static std::vector<int> started_by(pid_t pid) {
  return sandbox::number_in_proc(pid) == pid ? sandbox::processes_below(pid) : std::vector<int>();
}

Worker::~Worker() {
  const std::vector<int> started = wait_status_ ? std::vector<int>() : started_by(pid_);
  kill(-pid_, SIGKILL);
  for (const int one : started) kill(one, SIGKILL);
  if (!wait_status_) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  close(channel_);
  close(noise_);
}

bool Worker::has_ended() {
  int status = 0;
  if (!wait_status_ && waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
  return wait_status_.has_value();
}

// Whether the channel is still open.
bool Worker::read_channel() {
  std::array<char, 65536> bytes{};
  for (;;) {
    const ssize_t count = read(channel_, bytes.data(), bytes.size());
    if (count > 0) inbox_.append(bytes.data(), size_t(count));
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (count < 0 && errno == EAGAIN) return true;
    if (inbox_.size() > kMostUnread) return true;
  }
}

void Worker::read_noise() {
  std::array<char, 65536> bytes{};
  for (int i = 0; i < 16; ++i) {  // a worker that floods must not keep us from the clock
    const ssize_t count = read(noise_, bytes.data(), bytes.size());
    if (count <= 0) return;
    noise_tail_.append(bytes.data(), size_t(count));
    if (noise_tail_.size() > kNoiseTail) noise_tail_.erase(0, noise_tail_.size() - kNoiseTail);
  }
}

void Worker::write_outbox() {
  while (!outbox_.empty()) {
    const ssize_t count = ::send(channel_, outbox_.data(), outbox_.size(), MSG_NOSIGNAL);
    if (count < 0) return;  // full, or gone: reading tells which
    outbox_.erase(0, size_t(count));
  }
}

bool Worker::take_line(std::string& line) {
  const size_t end = inbox_.find('\n', scanned_);
  scanned_ = end == std::string::npos ? inbox_.size() : 0;
  if (end == std::string::npos) return false;
  line = inbox_.substr(0, end);
  inbox_.erase(0, end + 1);
  return true;
}

void Worker::wait_for_more(Clock::time_point until) {
  // Short turns: a process may end while a child of its own keeps the channel open.
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count() + 1;
  const short write = outbox_.empty() ? short(0) : short(POLLOUT);
  std::array<pollfd, 2> polled = {pollfd{channel_, short(POLLIN | write), 0}, pollfd{noise_, POLLIN, 0}};
  poll(polled.data(), 2, int(std::clamp<int64_t>(left, 0, 50)));
  if (polled[1].revents & POLLHUP) poll(polled.data(), 1, int(std::clamp<int64_t>(left, 0, 10)));
  if (polled[1].revents) read_noise();
}

Worker::Heard Worker::hear(std::string& line, Clock::time_point until) {
  for (;;) {
    write_outbox();
    if (take_line(line)) return Heard::line;
    const bool ended = has_ended();  // before the last reading, which then has all it said
    const bool open = read_channel();
    if (take_line(line)) return Heard::line;
    if (ended || !open) return read_noise(), Heard::ended;
    if (inbox_.size() > kMostUnread) return Heard::too_much;
    if (Clock::now() >= until) return Heard::nothing;
    wait_for_more(until);
  }
}

bool Worker::has_read_all() const {
  int unread = 0;
  return outbox_.empty() && ioctl(channel_, SIOCOUTQ, &unread) == 0 && unread == 0;
}

bool Worker::is_fit() {
  return !has_ended() && read_channel() && inbox_.empty() && outbox_.empty();
}

std::string Worker::how_it_ended() {
  // A closed channel comes moments before the end of the process.
  for (int i = 0; i < 20 && !has_ended(); ++i) usleep(10'000);
  read_noise();
  std::string text = "closed its channel";
  if (wait_status_ && WIFSIGNALED(*wait_status_)) {
    const int number = WTERMSIG(*wait_status_);
    text = "was killed by signal " + std::to_string(number) + " (" + sigdescr_np(number) + ")";
  } else if (wait_status_) {
    text = "exited with code " + std::to_string(WEXITSTATUS(*wait_status_));
  }
  const std::string words = last_line_of(noise_tail_);
  return words.empty() ? text : text + ", its last words: " + excerpt(words, 160);
}

}  // namespace cohort
