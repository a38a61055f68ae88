#include "rewards/code/service.h"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>

#include "configs/error.h"
#include "rewards/code/run.h"
#include "rewards/rules.h"
#include "tasks/rows.h"

namespace cohort::code {
namespace {

using http::Error;
using sandbox::Ended;
using sandbox::File;
using sandbox::Program;
using sandbox::Sandbox;

constexpr double kLongest = 3600;  // seconds a request may ask for

// ---- the request

struct RunCode {
  std::string code, input, language;
  double compile_seconds = 10, run_seconds = 10;
  int64_t memory_bytes = 0;                                          // 0: the sandbox's own limit
  std::vector<std::pair<std::filesystem::path, std::string>> files;  // path, base64
  std::vector<std::string> wanted;                                   // paths of files that go back
};

/// The value of a field, or `missing` where it is absent or null.
template <class T>
T field(const Json& json, const char* name, bool (Json::*is_right)() const, const char* right, T missing) {
  auto found = json.find(name);
  if (found == json.end() || found->is_null()) return missing;
  if (!((*found).*is_right)())
    throw Error(422, std::string(name) + " must be " + right + ", found " + excerpt(found->dump()), name);
  return found->get<T>();
}

double seconds_field(const Json& json, const char* name) {
  const double seconds = field<double>(json, name, &Json::is_number, "a number of seconds", 10.0);
  if (!(seconds > 0 && seconds <= kLongest))
    throw Error(422, std::string(name) + " must lie in (0, 3600] seconds, found " + json[name].dump(), name);
  return seconds;
}

// The text without line breaks; throws 422 where it is no base64.
std::string base64_of(const std::string& path, const Json& content) {
  std::string text = content.is_string() ? content.get<std::string>() : "?";
  std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
  const size_t end =
      text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");  // padding is left
  const std::string padding = end == std::string::npos ? "" : text.substr(end);
  if (text.size() % 4 != 0 || (padding != "" && padding != "=" && padding != "=="))
    throw Error(422, "files: the content of " + excerpt(path) + " is not base64", "files");
  return text;
}

// A file's path in the folder of the program; throws 422 where it leads elsewhere.
std::filesystem::path inside(const std::string& path, const char* name) {
  const auto normal = std::filesystem::path("./" + path).lexically_normal();
  const bool leads_out = !normal.empty() && *normal.begin() == "..";
  if (leads_out || normal.filename().empty() || normal == "." || path.find('\0') != std::string::npos)
    throw Error(422, std::string(name) + ": " + excerpt(path) + " is no path of a file in the program's folder", name);
  return normal;
}

RunCode run_code_of(const std::string& body) {
  Json json;
  if (const auto problem = parse_row(body, json)) throw Error(400, "the body: " + *problem);
  RunCode request;
  request.code = field<std::string>(json, "code", &Json::is_string, "a text", "");
  if (!json.contains("code")) throw Error(422, "the field code is missing: the program to run", "code");
  request.language = field<std::string>(json, "language", &Json::is_string, "a text", "");
  if (request.language != "python" && request.language != "cpp" && request.language != "java")
    throw Error(422, "language must be python, cpp or java, found '" + request.language + "'", "language");
  request.input = field<std::string>(json, "stdin", &Json::is_string, "a text", "");
  request.compile_seconds = seconds_field(json, "compile_timeout");
  request.run_seconds = seconds_field(json, "run_timeout");
  const double megabytes = field<double>(json, "memory_limit_MB", &Json::is_number, "a number of megabytes", -1.0);
  if (megabytes > 1e6) throw Error(422, "memory_limit_MB must be at most 1000000", "memory_limit_MB");
  if (megabytes > 0) request.memory_bytes = int64_t(megabytes * (1 << 20));
  const Json files = field<Json>(json, "files", &Json::is_object, "an object of path and base64", Json::object());
  for (const auto& [path, content] : files.items()) {
    if (!content.is_null()) request.files.emplace_back(inside(path, "files"), base64_of(path, content));
  }
  const Json wanted = field<Json>(json, "fetch_files", &Json::is_array, "a list of paths", Json::array());
  for (const Json& path : wanted) {
    if (!path.is_string()) throw Error(422, "fetch_files must hold paths", "fetch_files");
    inside(path.get<std::string>(), "fetch_files");
    request.wanted.push_back(path.get<std::string>());
  }
  return request;
}

// ---- running it: shell scripts in boxes. File 3 is the script (too long for an argument), 4 takes what goes back and
// is closed to the program, 5 is the binary, 6 the program's text.

std::string quoted(const std::string& text) {
  std::string inside = "'";
  for (char c : text) c == '\'' ? inside += "'\\''" : inside += c;
  return inside + "'";
}

/// A script that writes the program and the files of the request into the folder it runs in.
std::string unpacking(const RunCode& request, const char* program_name) {
  std::string script;
  for (const auto& [path, text] : request.files) {
    if (path.has_parent_path()) script += "mkdir -p " + quoted("./" + path.parent_path().string()) + "\n";
    script += "base64 -d > " + quoted("./" + path.string()) + " <<'COHORT' || exit 125\n" + text + "\nCOHORT\n";
  }
  return script + "cat <&6 > " + program_name + "\n";
}

/// A script that writes a line to file 4 for each wanted file: its base64, or "-" where there is none.
std::string packing(const RunCode& request) {
  std::string script;
  for (const std::string& path : request.wanted)
    script +=
        "{ [ -f " + quoted("./" + path) + " ] && base64 -w0 " + quoted("./" + path) + " || printf -; echo; } >&4\n";
  return script;
}

std::string contents(const File& file) {
  std::string text(static_cast<size_t>(lseek(file.number(), 0, SEEK_END)), '\0');
  const ssize_t got = pread(file.number(), text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return text;
}

struct Stage {
  Ended ended;
  std::string back;  // what was written to file 4
};

Stage run_stage(Sandbox& sandbox, const RunCode& request, const char* program_name, const std::string& command,
                const std::string& binary, double seconds, bool is_java, http::Answer& answer) {
  const bool compiling = binary.empty() && std::string_view(program_name) != "main.py";
  File back(memfd_create("back", MFD_CLOEXEC));
  Program program{.argv = {"/bin/sh", "-c", "eval \"$(cat <&3)\""},
                  .env = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"},
                  .input = compiling ? "" : request.input};
  program.files.push_back(sandbox::sealed_file(unpacking(request, program_name) + "exec 3<&- 6<&-\n" + command +
                                               "\nended=$?\n" + (compiling ? "" : packing(request)) + "exit $ended"));
  program.files.push_back(File(dup(back.number())));
  program.files.push_back(sandbox::sealed_file(binary));
  program.files.push_back(sandbox::sealed_file(request.code));
  program.limits.wall_seconds = seconds;
  if (compiling) program.limits.memory_bytes = int64_t{2} << 30, program.limits.disk_bytes = int64_t{256} << 20;
  if (!compiling && request.memory_bytes) program.limits.memory_bytes = request.memory_bytes;
  program.limits.bound_addresses = !is_java;
  Ended ended = sandbox.run(std::move(program), [&answer] { return answer.abandoned(); });
  return {std::move(ended), contents(back)};
}

// ---- the answer

Json result_json(const Ended& ended) {
  const bool late = ended.how == Ended::How::timeout;
  Json code;  // as a shell has it where a signal ended the program
  if (ended.how == Ended::How::exited) code = ended.code;
  if (ended.how == Ended::How::signalled) code = -ended.code;
  if (ended.how == Ended::How::memory || ended.how == Ended::How::output) code = -9;
  std::string errors = ended.err;
  if (ended.how == Ended::How::memory) errors += "\nout of memory";
  if (ended.how == Ended::How::output) errors += "\ntoo much output";
  return {{"status", late ? "TimeLimitExceeded" : "Finished"},
          {"execution_time", ended.wall_seconds},
          {"return_code", code},
          {"stdout", ended.out},
          {"stderr", errors}};
}

Json fetched(const RunCode& request, const std::string& lines) {
  Json files = Json::object();
  size_t at = 0;
  for (const std::string& path : request.wanted) {
    const size_t end = lines.find('\n', at);
    if (end == std::string::npos) break;
    if (lines.compare(at, end - at, "-") != 0) files[path] = lines.substr(at, end - at);
    at = end + 1;
  }
  return files;
}

bool succeeded(const Ended& ended) {
  return ended.how == Ended::How::exited && ended.code == 0;
}

Json answer_of(Sandbox& sandbox, const std::string& python, const RunCode& request, http::Answer& client) {
  Json answer = {{"status", "Success"},   {"message", ""},           {"compile_result", nullptr},
                 {"run_result", nullptr}, {"executor_pod_name", ""}, {"files", Json::object()}};
  const auto failed = [&](const Ended& ended) {  // our side
    if (ended.how != Ended::How::failed) return false;
    answer["status"] = "SandboxError", answer["message"] = ended.reason;
    return true;
  };
  const bool is_cpp = request.language == "cpp", is_java = request.language == "java";
  const char* name = is_cpp ? "main.cpp" : is_java ? "Main.java" : "main.py";
  std::string binary;
  if (is_cpp || is_java) {
    const std::string compiler =
        is_cpp ? "g++ -std=gnu++17 -O2 -pipe -I/headers main.cpp -o test && cat test >&4"
               : "mkdir -p classes && javac -d classes -cp . Main.java 4>&- && tar -c -C classes . >&4";
    Stage compiled = run_stage(sandbox, request, name, compiler, "", request.compile_seconds, is_java, client);
    if (failed(compiled.ended)) return answer;
    answer["compile_result"] = result_json(compiled.ended);
    if (!succeeded(compiled.ended)) {
      answer["status"] = "Failed";
      return answer;
    }
    binary = std::move(compiled.back);
  }
  const std::string command = is_cpp    ? "cat <&5 > test && chmod +x test && exec 5<&- && ./test 4>&-"
                              : is_java ? "tar -x <&5 && exec 5<&- && java -cp . -ea Main 4>&-"
                                        : "exec 5<&-\n" + quoted(python) + " main.py 4>&-";
  Stage ran = run_stage(sandbox, request, name, command, binary, request.run_seconds, is_java, client);
  if (failed(ran.ended)) return answer;
  answer["run_result"] = result_json(ran.ended);
  answer["files"] = fetched(request, ran.back);
  if (!succeeded(ran.ended)) answer["status"] = "Failed";
  return answer;
}

/// So many at once, so many in line.
class Gate {
 public:
  explicit Gate(const ServiceOptions& options) : free_(options.max_running), room_(options.max_waiting) {}

  /// Throws 429 where the line is full; false where the client left it.
  bool enter(http::Answer& answer) {
    std::unique_lock lock(mutex_);
    if (free_ == 0 && room_ == 0) throw Error(429, "the line is full: try again in a second");
    --room_;
    while (free_ == 0 && !answer.abandoned()) changed_.wait_for(lock, std::chrono::milliseconds(200));
    ++room_;
    if (free_ == 0 || answer.abandoned()) return false;
    --free_;
    return true;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    ++free_;
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_, room_;
};

}  // namespace

std::vector<http::Route> run_code_routes(const ServiceOptions& options) {
  auto sandbox = sandbox_of(options.python);
  auto gate = std::make_shared<Gate>(options);
  const auto run = [sandbox, gate, python = options.python](const http::Request& request, http::Answer& answer) {
    const RunCode wanted = run_code_of(request.body);
    const Error ending(503, "the service ends");  // or the client has left, and reads no answer
    if (!gate->enter(answer)) throw ending;
    struct Leave {
      Gate& gate;
      ~Leave() { gate.leave(); }
    } leave{*gate};
    Json result = answer_of(*sandbox, python, wanted, answer);
    if (result["status"] == "SandboxError" && sandbox->revive()) result = answer_of(*sandbox, python, wanted, answer);
    if (answer.abandoned()) throw ending;
    answer.send(200, "application/json", result.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  return {{"POST", "/run_code", run}};
}

}  // namespace cohort::code
