#include "rollout/eval_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "configs/command_line.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "configs/interrupts.h"
#include "configs/progress.h"
#include "rollout/evaluate.h"
#include "rollout/figures.h"
#include "rollout/likelihood.h"
#include "rollout/sampling_options.h"
#include "rollout/unfinished_groups.h"
#include "tasks/benchmarks.h"

namespace cohort {
namespace {

struct EvalOptions {
  EvalConfig config;
  std::string tasks, out, against;
  std::vector<std::string> reward, by;
  int64_t limit = 0;
  std::vector<int64_t> k = {1};
  bool json = false, nll = false;
};

/// An earlier evaluation, of these tasks in this order.
Evaluation same_tasks(std::span<const Group> groups, std::span<const Task> tasks, const std::string& file) {
  for (size_t i = 0; i < std::max(groups.size(), tasks.size()); ++i) {
    const std::string theirs = i < groups.size() ? groups[i].task.id : "nothing",
                      ours = i < tasks.size() ? tasks[i].id : "nothing";
    if (theirs != ours)
      throw UsageError("--against " + file + " has " + theirs + " at place " + std::to_string(i + 1) +
                       ", the tasks have " + ours + ": evaluate the same tasks");
  }
  return summarize(groups);
}

std::vector<Task> tasks_of(const EvalOptions& o) {
  std::vector<Task> tasks = read_tasks(o.tasks);
  if (o.limit > 0 && int64_t(tasks.size()) > o.limit) tasks.resize(size_t(o.limit));
  for (const std::string& column : o.by) expect_column(tasks, column);
  return tasks;
}

/// The rewards that were named, else those of the benchmark.
void choose_rewards(EvalOptions& o) {
  const Benchmark* benchmark = parse_source(o.tasks).benchmark;
  if (!o.reward.empty())
    o.config.rewards.assign(o.reward.begin(), o.reward.end());
  else if (benchmark)
    o.config.rewards = {std::string(benchmark->reward)};
  if (!o.nll) expect_rewards(o.config.rewards);
}

void check_flags(const EvalOptions& o) {
  for (int64_t k : o.k)
    if (k < 1 || k > o.config.num_generations)
      throw UsageError("-k " + std::to_string(k) + " needs at least as many completions: give -n " + std::to_string(k));
  if (o.out == "-" && o.json) throw UsageError("--out - and --json both write to stdout: give --out a file");
  if (o.config.num_generations > 1 && o.config.sampling.temperature == 0)
    throw UsageError("-n " + std::to_string(o.config.num_generations) +
                     " at temperature 0 makes equal completions: give --temperature, e.g. 1");
  if (o.nll && !o.against.empty())
    throw UsageError("--against compares completions, and --nll makes none: leave one of them out");
}

/// OUT.jsonl → OUT.figures.json
std::filesystem::path figures_file(const std::filesystem::path& out) {
  std::filesystem::path file = out;
  return file.replace_extension() += ".figures.json";
}

/// What the figures are of, for the report.
Json named_figures(const EvalOptions& o, Json figures) {
  figures.update({{"model", o.config.model}, {"tasks_from", o.tasks}, {"settings", dump_config(o.config.sampling)}});
  figures.update({{"num_generations", o.config.num_generations}, {"seed", o.config.seed}});
  return figures;
}

void print_figures(const EvalOptions& o, const Json& figures, const std::string& text) {
  if (o.json)
    std::cout << figures.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
  else
    std::cout << text;
}

void run_nll(const EvalOptions& o, std::span<const Task> tasks) {
  const ModelSpec spec = load_spec(o.config.model);
  const Tokenizer tokenizer = expect_tokenizer(o.config.model);
  std::vector<SolvedPrompt> solved;
  for (const Task& task : tasks) solved.push_back(encode_solved(task, tokenizer, spec.max_position));
  Compute compute(o.config.threads ? o.config.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(o.config.model, compute, o.config.bf16, Weights::packed);
  Progress progress("evaluating", "tasks", int64_t(tasks.size()));
  const std::vector<Likelihood> all =
      likelihoods(loaded.model, compute, solved, [&](int64_t done) { progress.update(done); });
  progress.finish();
  std::string lines;
  for (size_t i = 0; i < all.size(); ++i)
    lines +=
        Json{{"id", tasks[i].id}, {"logprob", all[i].logprob}, {"tokens", all[i].tokens}, {"bytes", all[i].bytes}}.dump(
            -1, ' ', false, Json::error_handler_t::replace) +
        "\n";
  if (o.out == "-") {
    std::cout << lines;
    return;
  }
  const Json figures = likelihood_figures(all);
  if (!o.out.empty()) {
    write_durably(o.out, lines);
    write_durably(figures_file(o.out), named_figures(o, figures).dump(1) + "\n");
  }
  std::string text;
  for (const auto& [key, value] : figures.items())
    text += key + std::string(16 - key.size(), ' ') + value.dump() + "\n";
  print_figures(o, figures, text);
}

void run_eval(EvalOptions& o) {
  check_flags(o);
  const std::vector<Task> tasks = tasks_of(o);
  choose_rewards(o);
  expect_in_vocabulary(o.config.sampling, load_spec(o.config.model).vocab);
  if (!o.out.empty() && o.out != "-") expect_writable_file(o.out);
  if (o.nll) return run_nll(o, tasks);
  Evaluation before;
  if (!o.against.empty()) before = same_tasks(read_groups(o.against), tasks, o.against);
  Compute compute(o.config.threads ? o.config.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(o.config.model, compute, o.config.bf16, Weights::packed);
  const bool is_kept = !o.out.empty() && o.out != "-";
  Json figures;
  const auto count = [&](std::span<const Group> groups) {
    figures = figures_of(groups, o.k, o.by.empty() ? table_columns(groups) : o.by);
    if (!o.against.empty()) {
      const Gain gain = paired_gain(before, summarize(groups));
      figures["gain"] = gain.mean, figures["gain_ci95"] = {gain.ci_low, gain.ci_high};
    }
    if (is_kept) write_durably(figures_file(o.out), named_figures(o, figures).dump(1) + "\n");
  };
  if (is_kept) {
    watch_interrupts();
    evaluate_into(o.out, loaded, compute, o.config, tasks, count);
  } else {
    const std::vector<Group> groups = evaluate(loaded, compute, o.config, tasks);
    if (o.out == "-") return print_groups(groups, std::cout);
    count(groups);
  }
  print_figures(o, figures, figures_text(figures));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto o = std::make_shared<EvalOptions>();
  CLI::App* verb = app.add_subcommand("eval", "pass@k of a model on tasks, with a 95 % interval");
  verb->add_option("-m,--model", o->config.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  verb->add_option("--tasks", o->tasks, "a task file, a generator, or a benchmark by name (cohort tasks list)")
      ->required();
  verb->add_option("--reward", o->reward, "what decides; default: the benchmark's own, else accuracy")
      ->allow_extra_args(false);
  verb->add_option("-n", o->config.num_generations, "completions of each task")
      ->capture_default_str()
      ->check(at_least_one());
  verb->add_option("-k", o->k, "pass@k for these k, and maj@k above 1")->delimiter(',');
  verb->add_option("--by", o->by,
                   "a table of the values of this column; default: level, type, subject and the like, where tasks have "
                   "them")
      ->allow_extra_args(false);
  add_sampling_options(*verb, o->config.sampling);
  verb->add_option("--limit", o->limit, "first so many tasks; 0: all")->check(whole_number());
  verb->add_option("--seed", o->config.seed, "of the sampling")->check(whole_number());
  verb->add_option("--out", o->out,
                   "write the groups with their verdicts here, and the figures beside it (NAME.figures.json, which "
                   "report shows); a killed eval goes on with the same command. - is stdout, and nothing else is "
                   "printed");
  verb->add_option("--against", o->against,
                   "groups that an earlier eval --out wrote for these tasks: prints the gain, paired task by task");
  verb->add_option("--max-slots", o->config.engine.max_slots, "completions decoded at once")->check(at_least_one());
  verb->add_flag("--bf16", o->config.bf16, "weights in bfloat16");
  verb->add_flag("--json", o->json, "one JSON object");
  verb->add_flag("--nll", o->nll, "instead: log-likelihood of the reference solutions, in nats a token");
  verb->add_option("--threads", o->config.threads, "0: all usable cores")->check(CLI::Range(0, 1024));
  verb->footer(
      "Example:\n  cohort eval -m 'init:configs/models/demo-moe.json?seed=1' --tasks "
      "arithmetic:split=held_out,limit=20 --max-completion-length 16");
  verb->callback([o] { run_eval(*o); });
}

}  // namespace cohort
