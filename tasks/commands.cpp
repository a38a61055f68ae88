#include "tasks/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "configs/command_line.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "tasks/benchmarks.h"
#include "tasks/formats.h"
#include "tasks/generators.h"
#include "tasks/readers.h"
#include "tasks/sft_rows.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

struct ShowFlags {  // of show and of validate
  TaskSource source;
  int64_t limit = 5;
  bool json = false;
};

struct GenerateFlags {
  TaskSource source;
  int64_t count = 0;
  std::string out = "-";
  bool json = false;
};

std::string line_of(const Json& record) {
  return record.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// ---- list

Json generator_json(const Generator& generator) {
  const Json schema = generator.schema();
  Json options = Json::array();
  for (const auto& [name, option] : schema["properties"].items())
    if (!name.starts_with("$"))
      options.push_back({{"name", name}, {"default", option["default"]}, {"description", option["description"]}});
  return {{"name", generator.name},
          {"makes", generator.open_tasks ? "tasks" : "rows for sft"},
          {"description", generator.summary},
          {"options", std::move(options)}};
}

Json benchmark_json(const Benchmark& benchmark) {
  return {{"name", benchmark.name},
          {"description", benchmark.description},
          {"file", benchmark.file},
          {"reward", benchmark.reward},
          {"chat_prompt", benchmark.chat_prompt},
          {"plain_prompt", benchmark.plain_prompt},
          {"prompt_source", benchmark.prompt_source}};
}

void print_benchmarks(const Json& list) {
  std::cout << "Benchmarks (name[:option=value,...]), files below " << datasets_folder().string()
            << "/ (COHORT_DATASETS=DIR names another folder); chat=false asks a base model the plain way\n";
  for (const Json& benchmark : list) {
    const auto text = [&](const char* key) { return benchmark[key].get<std::string>(); };
    std::cout << "  " << text("name") << ": " << text("description") << ", " << text("file") << ", judged by "
              << text("reward") << '\n'
              << "      chat   " << benchmark["chat_prompt"].dump() << '\n'
              << "      plain  " << benchmark["plain_prompt"].dump() << "  (" << text("prompt_source") << ")\n";
  }
}

void list_tasks(bool json) {
  Json list = {{"generators", Json::array()}, {"benchmarks", Json::array()}, {"formats", Json::array()}};
  for (const Benchmark& benchmark : benchmarks()) list["benchmarks"].push_back(benchmark_json(benchmark));
  for (const Generator& generator : generators()) list["generators"].push_back(generator_json(generator));
  for (const TaskFormat& format : task_formats())
    list["formats"].push_back({{"name", format.name}, {"columns", format.columns}});
  if (json) {
    std::cout << line_of(list) << '\n';
    return;
  }
  std::cout << "Generators (name[:option=value,...]; also split=train|held_out, seed, limit)\n";
  for (const Json& generator : list["generators"]) {
    std::cout << "  " << generator["name"].get<std::string>() << " (" << generator["makes"].get<std::string>()
              << "): " << generator["description"].get<std::string>() << '\n';
    for (const Json& option : generator["options"])
      std::cout << "      " << option["name"].get<std::string>() << '=' << option["default"].dump() << "  "
                << option["description"].get<std::string>() << '\n';
  }
  print_benchmarks(list["benchmarks"]);
  std::cout << "Row formats of files, recognised from the columns of the first row\n";
  for (const Json& format : list["formats"])
    std::cout << "  " << format["name"].get<std::string>() << ": " << format["columns"].get<std::string>() << '\n';
}

// ---- show

void print_field(std::string_view name, const std::string& text) {
  std::cout << "  " << name << ": ";
  for (char c : text) std::cout << (c == '\n' ? "\n    " : std::string(1, c));
  std::cout << '\n';
}

void print_messages(const Messages& messages) {
  for (const Message& message : messages) print_field(message.role.empty() ? "prompt" : message.role, message.content);
}

void print_columns(const Json& extra) {
  for (const auto& [name, value] : extra.items())
    print_field(name, value.is_string() ? value.get<std::string>() : line_of(value));
}

void print(const Task& task) {
  std::cout << task.id << '\n';
  print_messages(task.prompt);
  if (!task.answer.empty()) print_field("answer", task.answer);
  if (!task.reward.is_null()) print_field("reward", line_of(task.reward));
  print_columns(task.extra);
}

void print(const SftRow& row) {
  std::cout << row.id << '\n';
  print_messages(row.messages);
  if (row.messages.empty()) {
    print_field("prompt", row.prompt);
    print_field("completion", row.completion);
  }
  print_columns(row.extra);
}

template <class Row>
void show_rows(const Stream<Row>& stream, const ShowFlags& flags) {
  std::cerr << stream_text(stream) << '\n';
  const int64_t count = std::min(flags.limit, stream.size.value_or(INT64_MAX));
  for (int64_t i = 0; i < count; ++i) {
    const Row row = stream.at(i);
    if (flags.json)
      std::cout << line_of(to_json(row)) << '\n';
    else
      print(row);
  }
}

/// Whether a reference names a generator of rows for sft.
bool makes_rows(const TaskSource& source) {
  const ParsedSource parsed = parse_source(source);
  return parsed.is_generator && find_generator(parsed.source.reference)->open_rows;
}

void show(ShowFlags flags) {
  flags.source.limit = flags.limit;  // a long file is not read to its end
  if (makes_rows(flags.source)) return show_rows(open_sft_rows(flags.source), flags);
  show_rows(open_tasks(flags.source), flags);
}

// ---- validate

Json validation_json(const std::string& reference, const Validation& validation) {
  Json problems = Json::array();
  for (const RowProblem& problem : validation.problems)
    problems.push_back(
        {{"line", problem.line}, {"id", problem.id.empty() ? Json() : Json(problem.id)}, {"problem", problem.what}});
  return {{"reference", reference},
          {"format", validation.format},
          {"rows", validation.rows},
          {"ok", validation.problems.empty()},
          {"problems", std::move(problems)}};
}

void validate(const ShowFlags& flags, const FindFault& find_fault) {
  const std::string& reference = flags.source.reference;
  const Validation validation = validate_tasks(flags.source, find_fault);
  if (flags.json) std::cout << line_of(validation_json(reference, validation)) << '\n';
  const std::string file = parse_source(flags.source).source.reference;
  for (const RowProblem& problem : validation.problems) std::cerr << problem_text(file, problem) << '\n';
  const std::string rows = std::to_string(validation.rows) + " rows";
  if (!validation.problems.empty())
    throw std::runtime_error(reference + ": " + std::to_string(validation.problems.size()) + " problems in " + rows +
                             (validation.format.empty() ? "" : " read as " + validation.format));
  if (!flags.json) std::cout << reference << ": " << rows << " read as " << validation.format << ", no problems\n";
}

// ---- generate

template <class Row>
std::string generated_lines(const Stream<Row>& stream, int64_t count) {
  if (stream.size && *stream.size < count)
    throw UsageError(stream.name + " has " + std::to_string(*stream.size) + " rows, --count asks for " +
                     std::to_string(count));
  std::string lines;
  for (int64_t i = 0; i < count; ++i) lines += line_of(to_json(stream.at(i))) + "\n";
  return lines;
}

void generate(const GenerateFlags& flags) {
  if (!parse_source(flags.source).is_generator)
    throw UsageError(flags.source.reference +
                     " is a file; `tasks generate` takes the name of a generator (see `tasks list`)");
  if (flags.out != "-") expect_writable_file(flags.out);
  const std::string lines = makes_rows(flags.source) ? generated_lines(open_sft_rows(flags.source), flags.count)
                                                     : generated_lines(open_tasks(flags.source), flags.count);
  if (flags.out == "-")
    std::cout << lines << std::flush;
  else
    write_durably(flags.out, lines);
  if (flags.json && flags.out != "-")
    std::cout << line_of({{"out", flags.out}, {"rows", flags.count}}) << '\n';
  else
    std::cerr << flags.source.reference << ": " << flags.count << " rows written to " << flags.out << '\n';
}

// ---- The flags of each verb. They are shared with the callback, which runs after this function has returned.

void add_list(CLI::App& tasks) {
  CLI::App* app = tasks.add_subcommand(
      "list", "Generators and benchmarks with their options and prompts, and the row formats that are read");
  auto json = std::make_shared<bool>(false);
  app->add_flag("--json", *json, "one JSON object");
  app->footer("Example: cohort tasks list");
  app->callback([json] { list_tasks(*json); });
}

void add_show(CLI::App& tasks) {
  CLI::App* app = tasks.add_subcommand("show", "The first tasks of a file, a generator or a benchmark");
  auto flags = std::make_shared<ShowFlags>();
  app->add_option("T", flags->source.reference,
                  "task reference: a file, -, a generator or a benchmark name[:key=value,...]")
      ->required();
  app->add_option("--limit", flags->limit, "how many")->capture_default_str()->check(at_least_one());
  app->add_option("--format", flags->source.format, "force a row format (see `tasks list`)");
  app->add_flag("--json", flags->json, "one JSON record a line");
  app->footer("Example: cohort tasks show arithmetic:operations=3 --limit 3");
  app->callback([flags] { show(*flags); });
}

void add_validate(CLI::App& tasks, const FindFault& find_fault) {
  CLI::App* app = tasks.add_subcommand(
      "validate", "Every row of a file: unparsable lines, empty prompts, unreadable answers, ids given twice");
  auto flags = std::make_shared<ShowFlags>();
  app->add_option("T", flags->source.reference, "task reference")->required();
  app->add_option("--format", flags->source.format, "force a row format (see `tasks list`)");
  app->add_flag("--json", flags->json, "one JSON object: rows, format and the problems by line and id");
  app->footer(
      "Exits 1 when there are problems. Example: printf '{\"prompt\": \"1+1=\", \"answer\": \"2\"}\\n' | cohort tasks "
      "validate -");
  app->callback([flags, find_fault] { validate(*flags, find_fault); });
}

void add_generate(CLI::App& tasks) {
  CLI::App* app = tasks.add_subcommand("generate", "Writes tasks, or rows for sft, of a generator as JSON lines");
  auto flags = std::make_shared<GenerateFlags>();
  app->add_option("NAME", flags->source.reference, "generator name[:key=value,...] (see `tasks list`)")->required();
  app->add_option("--count", flags->count, "rows to write")->required()->check(at_least_one());
  app->add_option("--seed", flags->source.seed, "which stream of the generator")->capture_default_str();
  app->add_option("--out", flags->out, "file; - is standard output")->capture_default_str();
  app->add_flag("--json", flags->json, "one JSON object about the file written");
  app->footer("Example: cohort tasks generate countdown:split=held_out --count 5 --seed 0 --out -");
  app->callback([flags] { generate(*flags); });
}

}  // namespace

void add_tasks_commands(CLI::App& app, const FindFault& find_fault) {
  CLI::App* tasks = app.add_subcommand("tasks", "What there is to solve: data sets and generators");
  tasks->require_subcommand(1);
  add_list(*tasks);
  add_show(*tasks);
  add_validate(*tasks, find_fault);
  add_generate(*tasks);
}

}  // namespace cohort
