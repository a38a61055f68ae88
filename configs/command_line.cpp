#include "configs/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "configs/config.h"
#include "configs/error.h"

namespace cohort {
namespace {

constexpr int kFailed = 1, kUsage = 2, kMissing = 3, kInterrupted = 130;

int say(const CLI::App& app, const std::string& sentence, int exit_code) {
  std::cerr << app.get_name() << ": " << sentence << std::endl;
  return exit_code;
}

/// Of a message with details below, such as LibTorch's with its stack, the first line.
std::string first_line(const char* what) {
  const std::string text = what;
  return text.empty() ? "an error without a message" : text.substr(0, text.find('\n'));
}

/// The verb the command line got to, and how it was called ("cohort tasks show").
const CLI::App& deepest_verb(const CLI::App& app, std::string& name) {
  const CLI::App* verb = &app;
  name = app.get_name();
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    name += " " + verb->get_name();
  }
  return *verb;
}

std::vector<std::string> flags_of(const CLI::App& verb) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  return names;
}

/// What is wrong with a command line that names something unknown.
std::string unknown_word(const CLI::App& verb, const std::string& called, const std::vector<std::string>& unexpected) {
  const auto flag =
      std::find_if(unexpected.begin(), unexpected.end(), [](const auto& word) { return word.starts_with("-"); });
  const bool is_flag = flag != unexpected.end();
  const std::string word = is_flag ? flag->substr(0, flag->find('=')) : unexpected.front();
  const std::vector<std::string> known = is_flag ? flags_of(verb) : verbs_of(verb);
  const std::string close = nearest(word, known);
  const std::string kind = is_flag ? "flag" : known.empty() ? "argument" : "verb";
  return "unknown " + kind + " " + word + (close.empty() ? "" : "; the nearest is " + close) + " (" + called +
         " --help lists all)";
}

std::string parse_sentence(const CLI::App& app, const CLI::ParseError& error) {
  std::string called;
  const CLI::App& verb = deepest_verb(app, called);
  const std::vector<std::string> unexpected = app.remaining(true);
  if (!unexpected.empty()) return unknown_word(verb, called, unexpected);
  const bool lacks_a_verb = !verbs_of(verb).empty();
  if (lacks_a_verb) return "a verb is missing (" + called + " --help lists them)";
  return first_line(error.what()) + " (" + called + " --help)";
}

/// `cohort trian --help`, which would else show the help of `cohort`.
bool asks_for_an_unknown_verb(const CLI::App& app) {
  std::string called;
  const std::vector<std::string> unexpected = app.remaining(true);
  return !unexpected.empty() && !unexpected.front().starts_with("-") && !verbs_of(deepest_verb(app, called)).empty();
}

int parse_and_run(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& help_or_version) {
    const bool of_an_unknown_verb = asks_for_an_unknown_verb(app);
    return of_an_unknown_verb ? say(app, parse_sentence(app, help_or_version), kUsage) : app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return say(app, parse_sentence(app, error), kUsage);
  } catch (const UsageError& error) {
    return say(app, error.what(), kUsage);
  } catch (const MissingError& error) {
    return say(app, error.what(), kMissing);
  } catch (const Interrupted& error) {
    return say(app, error.what(), kInterrupted);
  } catch (const std::bad_alloc&) {
    return say(app, "out of memory", kFailed);
  } catch (const std::exception& error) {
    return say(app, first_line(error.what()), kFailed);
  }
}

bool is_whole(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

}  // namespace

int run_command_line(CLI::App& app, int argc, const char* const* argv) {
  const int exit_code = parse_and_run(app, argc, argv);
  const bool is_written = std::cout.flush().good() && std::fflush(stdout) == 0;  // a full disk shows here
  return exit_code == 0 && !is_written ? say(app, "stdout could not be written to", kFailed) : exit_code;
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](const std::string& text) {
        return is_whole(text) ? std::string() : text + " is not a whole number from 0 on";
      },
      "NUMBER");
}

CLI::Validator at_least_one() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool is_zero = text.find_first_not_of('0') == text.npos;
        return is_whole(text) && !is_zero ? std::string() : text + " is not a whole number from 1 on";
      },
      "NUMBER");
}

}  // namespace cohort
