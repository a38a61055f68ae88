#include "rewards/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "configs/durable_file.h"
#include "configs/error.h"
#include "rewards/compose.h"
#include "rewards/plugins/plugin.h"
#include "rewards/rules.h"
#include "tasks/rows.h"

namespace cohort {
namespace {

struct ScoreFlags {
  std::string in;
  std::vector<std::string> rewards;
  std::string out = "-";
  int workers = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  double timeout = 10;  // seconds
  std::string on_verifier_error = "skip";
  bool list = false;
  bool json = false;
};

// One row to judge; `id` goes out as it came in.
struct Row {
  Json id;
  Task task;
  std::string completion;
  std::vector<int32_t> completion_ids;
};

std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : json.is_null() ? std::string() : json.dump();
}

// A completion is a text or a list of messages, whose contents are joined (TRL's conversational form).
std::string completion_of(const Json& json, const std::string& where) {
  if (json.is_string()) return json.get<std::string>();
  std::string text;
  for (const Json& message : json.is_array() ? json : Json::array({nullptr})) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_string()) {
      throw UsageError(where + ": completion is neither a string nor a list of messages");
    }
    text += message["content"].get<std::string>();
  }
  return text;
}

Messages prompt_of(const Json& json) {
  if (json.is_string()) return {{.role = "", .content = json.get<std::string>()}};
  Messages messages;
  if (!json.is_array()) return messages;
  for (const Json& message : json) {
    if (message.is_object())
      messages.push_back({text_of(message.value("role", Json())), text_of(message.value("content", Json()))});
  }
  return messages;
}

// The reference of a row without "answer", by the names of TRL's and verl's rows.
Json reference_of(const Json& row) {
  for (const char* name : {"solution", "ground_truth"})
    if (row.contains(name) && !row[name].is_null()) return row[name];
  const Json model = row.value("reward_model", Json());
  return model.is_object() ? model.value("ground_truth", Json()) : Json();
}

Row row_from(const Json& json, const std::string& where, const std::string& name) {
  if (!json.is_object())
    throw UsageError(where + ": expected an object with \"completion\", found " + excerpt(json.dump()));
  if (!json.contains("completion")) throw UsageError(where + ": no field \"completion\"");
  Row row;
  row.id = json.value("id", Json(name));
  row.task.id = text_of(row.id);
  row.task.prompt = prompt_of(json.value("prompt", Json()));
  row.task.extra = Json::object();
  for (const auto& [key, value] : json.items()) {
    const bool is_text_answer = key == "answer" && value.is_string();  // another type reaches plug-ins as it stands
    if (key != "id" && key != "prompt" && key != "completion" && key != "completion_ids" && !is_text_answer)
      row.task.extra[key] = value;
  }
  row.task.answer = text_of(json.value("answer", reference_of(json)));
  row.completion = completion_of(json["completion"], where);
  if (json.contains("completion_ids")) {
    const Json& ids = json["completion_ids"];
    const bool integers =
        ids.is_array() && std::all_of(ids.begin(), ids.end(), [](const Json& id) { return id.is_number_integer(); });
    if (!integers) throw UsageError(where + ": completion_ids is not a list of integers");
    row.completion_ids = ids.get<std::vector<int32_t>>();
  }
  return row;
}

std::vector<Row> read_rows(std::istream& in, const std::string& file) {
  const std::string stem = file == "-" ? "stdin" : std::filesystem::path(file).stem().string();
  std::vector<Row> rows;
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    std::string_view text = line;
    if (number == 1 && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    if (trim(text).empty()) continue;
    const std::string where = file + " line " + std::to_string(number);
    Json json;
    if (const auto problem = parse_row(text, json)) throw UsageError(where + ": " + *problem);
    rows.push_back(row_from(json, where, stem + "/" + std::to_string(number)));
  }
  if (rows.empty()) throw UsageError(file + " has no rows: expected JSON lines with \"completion\" and \"answer\"");
  return rows;
}

std::vector<Row> read_rows(const std::string& file) {
  if (file == "-") return read_rows(std::cin, file);
  if (std::filesystem::is_directory(file))
    throw UsageError("--in " + file + " is a folder, expected a file of JSON lines");
  std::ifstream in(file);
  if (!in) throw UsageError("--in " + file + " cannot be read");
  return read_rows(in, file);
}

struct Summary {
  size_t rows = 0;
  std::map<std::string, size_t> statuses;
  double sum = 0;  // of the values that are there
  size_t num_values = 0;
  double seconds = 0;  // wall

  void add(const Score& score) {
    ++rows;
    ++statuses[std::string(to_string(score.status))];
    if (score.value) {
      sum += static_cast<double>(*score.value);
      ++num_values;
    }
  }
  Json json() const {
    return {{"rows", rows},
            {"statuses", statuses},
            {"mean", num_values ? Json(sum / static_cast<double>(num_values)) : Json(nullptr)},
            {"seconds", seconds}};
  }
  std::string line() const {
    std::string text = std::to_string(rows) + " rows:";
    for (const auto& [status, count] : statuses) text += " " + std::to_string(count) + " " + status + ",";
    text += num_values ? " mean " + Json(sum / static_cast<double>(num_values)).dump() : " no value";
    return text + ", " + std::to_string(static_cast<int64_t>(static_cast<double>(rows) / std::max(seconds, 1e-9))) +
           " rows/s";
  }
};

Summary score_rows(const std::vector<Row>& rows, const Scorer& scorer, std::ostream& out) {
  constexpr size_t kChunk = 4096;  // rows judged between two writes
  Summary summary;
  const auto start = std::chrono::steady_clock::now();
  for (size_t first = 0; first < rows.size(); first += kChunk) {
    const size_t last = std::min(rows.size(), first + kChunk);
    std::vector<Judged> batch;
    for (size_t i = first; i < last; ++i) batch.push_back({&rows[i].task, rows[i].completion, rows[i].completion_ids});
    const std::vector<Score> scores = scorer.judge(batch);
    for (size_t i = first; i < last; ++i) {
      const Score& score = scores[i - first];
      Json line = to_json(score);
      line["id"] = rows[i].id;
      out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
      summary.add(score);
    }
  }
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

Json rule_json(const RewardRule& rule) {
  Json options = Json::array();
  for (const RewardOption& option : rule.options) {
    options.push_back({{"name", option.name}, {"default", option.initial}, {"description", option.description}});
  }
  return {{"name", rule.name}, {"description", rule.description}, {"source", rule.source}, {"options", options}};
}

void list_plugins() {
  std::cout << "Plug-ins, given as NAME or as {\"name\": …, \"options\": {…}}:\n";
  for (const auto& [form, description] : plugin_forms()) std::cout << "  " << form << "  " << description << '\n';
  for (const RewardOption& option : plugin_options())
    std::cout << "    " << option.name << '=' << option.initial.dump() << "  " << option.description << '\n';
}

void list_rewards(bool json) {
  for (const RewardRule& rule : reward_rules()) {
    if (json) {
      std::cout << rule_json(rule).dump() << '\n';
      continue;
    }
    std::cout << rule.name << ": " << rule.description << " (" << rule.source << ")\n";
    for (const RewardOption& option : rule.options) {
      std::cout << "    " << option.name << '=' << option.initial.dump() << (option.description.empty() ? "" : "  ")
                << option.description << '\n';
    }
  }
  if (!json) list_plugins();
}

void run_score(const ScoreFlags& flags) {
  if (flags.list) return list_rewards(flags.json);
  if (flags.in.empty()) throw UsageError("score needs --in FILE (- for stdin), or --list");
  if (!(flags.timeout > 0)) throw UsageError("--timeout must be above 0 seconds");
  std::vector<RewardSpec> rewards;
  for (const std::string& text : flags.rewards) rewards.push_back(parse_reward(text));
  const Scorer scorer(rewards, flags.workers, {.per_completion = std::chrono::duration<double>(flags.timeout)},
                      on_verifier_error_from(flags.on_verifier_error));
  if (flags.out != "-") expect_writable_file(flags.out);
  const std::vector<Row> rows = read_rows(flags.in);
  std::ostringstream lines;  // of a file, which is whole or absent
  const Summary summary = score_rows(rows, scorer, flags.out == "-" ? std::cout : lines);
  if (flags.out != "-") write_durably(flags.out, lines.view());
  std::cerr << "scored " << summary.line() << '\n';
  if (flags.json && flags.out != "-") std::cout << summary.json().dump() << '\n';
}

}  // namespace

void add_rewards_commands(CLI::App& app) {
  auto flags = std::make_shared<ScoreFlags>();
  CLI::App* score = app.add_subcommand("score", "Judge completions; no model needed");
  score->add_option("--in", flags->in, "rows to judge, JSON lines with completion and answer; - is stdin")
      ->type_name("FILE");
  score->add_option("--reward", flags->rewards, "NAME[:option=value,…] or a JSON object; repeat for several")
      ->type_name("R")
      ->take_all()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  score->add_option("--workers", flags->workers, "threads that judge")->capture_default_str();
  score->add_option("--timeout", flags->timeout, "wall seconds for one verdict")->capture_default_str();
  score
      ->add_option("--on-verifier-error", flags->on_verifier_error,
                   "a reward that fails is left out (skip), counts as 0 (zero), or ends the command (abort)")
      ->type_name("WHAT")
      ->capture_default_str();
  score->add_option("--out", flags->out, "where scores go, JSON lines; - is stdout")->capture_default_str();
  score->add_flag("--list", flags->list, "show the rewards by name, with options and source");
  score->add_flag("--json", flags->json, "machine-readable --list, or a summary object beside --out");
  score->footer(
      "Example: printf '{\"completion\": \"so \\\\\\\\boxed{1/2}\", \"answer\": \"0.5\"}\\n' | cohort score --in - "
      "--reward accuracy");
  score->callback([flags] { run_score(*flags); });
}

}  // namespace cohort
