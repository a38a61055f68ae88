#include "rewards/plugins/plugin.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "configs/error.h"
#include "rewards/plugins/embedded.h"
#include "rewards/plugins/hosted.h"
#include "rewards/plugins/http_plugin.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

namespace fs = std::filesystem;

// PATH and the name after its last colon.
struct Place {
  std::string path, name;
};

Place place_in(const std::string& spec, std::string_view form) {
  const std::string rest = spec.substr(form.find(':') + 1);
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == rest.size())
    throw UsageError("reward " + excerpt(spec, 200) + " is incomplete, expected " + std::string(form));
  Place place{rest.substr(0, colon), rest.substr(colon + 1)};
  if (place.name.find('=') != std::string::npos)
    throw UsageError("reward " + excerpt(spec, 200) + R"( has options in its name: give {"name": ")" +
                     std::string(form) + R"(", "options": {…}} in their place)");
  std::error_code error;
  if (!fs::is_regular_file(place.path, error))
    throw UsageError("reward " + spec + " cannot be used: there is no file " + place.path);
  return place;
}

bool is_executable(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

// The option `python`, $COHORT_PYTHON, or /usr/bin/python3: a python3 found on PATH may be a slow shim.
std::string python_program(const Json& options) {
  std::string program = options.at("python").get<std::string>();
  const char* configured = std::getenv("COHORT_PYTHON");
  if (program.empty() && configured) program = configured;
  if (program.empty()) program = "/usr/bin/python3";
  if (!is_executable(program))
    throw MissingError("python: rewards need an interpreter, and there is none at " + program +
                       ": apt-get install python3, or name one with COHORT_PYTHON or the option \"python\"");
  return program;
}

HostedOptions hosted_options(const std::string& spec, const Json& options) {
  const auto workers = options.at("workers").get<int64_t>();
  const size_t cores = std::max(2U, std::thread::hardware_concurrency());
  return {.name = spec,
          .workers = workers == 0 ? cores : size_t(workers),
          .start_seconds = options.at("start_timeout").get<double>()};
}

RewardFn python_reward(const std::string& spec, const Json& options) {
  const Place place = place_in(spec, "python:PATH:FUNCTION");
  const WorkerCommand command{.argv = {python_program(options), "-X", "utf8", "-c", std::string(python_worker_script()),
                                       place.path, place.name}};
  return hosted_reward(command, hosted_options(spec, options));
}

RewardFn library_reward(const std::string& spec, const Json& options) {
  const Place place = place_in(spec, "lib:PATH:SYMBOL");
  return hosted_reward({.argv = {"library_host", place.path, place.name}, .program = library_host_program()},
                       hosted_options(spec, options));
}

// Words as a shell separates them, with quotes and backslashes and nothing else of a shell's.
std::vector<std::string> words_of(const std::string& spec, std::string_view text) {
  std::vector<std::string> words;
  char quote = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!quote && (c == ' ' || c == '\t' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote)
      quote = 0;
    else if (!quote && (c == '"' || c == '\''))
      quote = c;
    else if (c == '\\' && quote != '\'' && i + 1 < text.size())
      words.back() += text[++i];
    else
      words.back() += c;
  }
  if (quote) throw UsageError("reward " + spec + ": a quotation mark is not closed");
  if (words.empty()) throw UsageError("reward " + spec + " names no program, expected exec:COMMAND ARGS");
  return words;
}

RewardFn exec_reward(const std::string& spec, const Json& options) {
  HostedOptions hosted = hosted_options(spec, options);
  hosted.protocol = Protocol::lines;
  const WorkerCommand command{.argv = words_of(spec, std::string_view(spec).substr(5)),
                              .talks_on_stdio = true,
                              .extra_environment = {"PYTHONUNBUFFERED=1"}};  // else answers wait in a buffer
  try {
    return hosted_reward(command, hosted);
  } catch (const UsageError& error) {
    throw UsageError("reward " + spec + " cannot be used: " + error.what());
  }
}

struct Form {
  std::string_view prefix, form, description;
  RewardFn (*make)(const std::string& spec, const Json& options);
};

const std::array<Form, 6>& forms() {
  static const std::array<Form, 6> table = {{
      {"python:", "python:PATH:FUNCTION", "a function of TRL, verl, OpenRLHF or verifiers, known by its argument names",
       python_reward},
      {"exec:", "exec:COMMAND ARGS", "a program: an item a line on its stdin, an answer a line on its stdout",
       exec_reward},
      {"http://", "http://HOST:PORT/PATH", "a service: a list of items, answered by a list of answers",
       [](const std::string& spec, const Json&) { return http_reward(spec); }},
      {"https://", "", "", [](const std::string& spec, const Json&) { return http_reward(spec); }},  // refuses
      {"openrlhf:", "openrlhf:http://HOST:PORT/PATH",
       "a service of OpenRLHF's form: {query, prompts, labels}, answered by {rewards}",
       [](const std::string& spec, const Json&) { return openrlhf_reward(spec.substr(9)); }},
      {"lib:", "lib:PATH:SYMBOL", "a shared library behind cohort_reward.h, in a process of its own", library_reward},
  }};
  return table;
}

const Form* form_of(std::string_view name) {
  const auto found = std::ranges::find_if(forms(), [&](const Form& form) { return name.starts_with(form.prefix); });
  return found == forms().end() ? nullptr : &*found;
}

void check(const std::string& name, const Json& options) {
  const auto refuse = [&](const char* option, const char* expected) {
    throw UsageError("reward " + name + ": option " + option + " is " + options.at(option).dump() + ", expected " +
                     expected);
  };
  const auto is_whole = [&](const char* option, int64_t low, int64_t high) {
    const Json& value = options.at(option);
    return value.is_number_integer() && value.get<int64_t>() >= low && value.get<int64_t>() <= high;
  };
  if (!is_whole("batch_size", 1, 65536)) refuse("batch_size", "a whole number from 1 to 65536");
  if (!is_whole("workers", 0, 1024)) refuse("workers", "a whole number from 0 to 1024");
  if (!(options.at("timeout").get<double>() >= 0)) refuse("timeout", "0 or more seconds");
  if (!(options.at("start_timeout").get<double>() > 0)) refuse("start_timeout", "more than 0 seconds");
}

}  // namespace

std::vector<RewardOption> plugin_options() {
  return {{"batch_size", 8, "completions of one request at most"},
          {"workers", 0, "processes at most (python, exec, lib); 0: one a core"},
          {"timeout", 0.0, "seconds for one item; 0: the job's own deadline"},
          {"start_timeout", 60.0, "seconds until a process is ready, before the deadline of its first item begins"},
          {"python", "", "interpreter of python: rewards; empty: $COHORT_PYTHON or /usr/bin/python3"}};
}

std::vector<std::pair<std::string_view, std::string_view>> plugin_forms() {
  std::vector<std::pair<std::string_view, std::string_view>> list;
  for (const Form& form : forms()) {
    if (!form.form.empty()) list.emplace_back(form.form, form.description);
  }
  return list;
}

Reward make_plugin(const std::string& name, const Json& options) {
  check(name, options);
  RewardFn judge = form_of(name)->make(name, options);
  const double seconds = options.at("timeout").get<double>();
  if (seconds > 0) {
    judge = [judge = std::move(judge), seconds](std::span<const Judged> batch, Deadline) {
      return judge(batch, {std::chrono::duration<double>(seconds)});
    };
  }
  return {.judge = std::move(judge), .batch_size = options.at("batch_size").get<size_t>()};
}

}  // namespace cohort
