#include "rollout/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "configs/command_line.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "rollout/evaluate.h"
#include "rollout/serve.h"

namespace cohort {
namespace {

struct SampleOptions {
  std::string model, prompt, tasks, out = "-";
  bool has_prompt = false;
  int32_t n = 8, threads = 0;
  uint64_t seed = 0;
  SamplingConfig sampling;
  EngineConfig engine;
  bool bf16 = false;
};

/// CLI::Range lets nan pass.
CLI::Validator within(double low, double high) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool is_number = CLI::detail::lexical_cast(text, value);
        return is_number && value >= low && value <= high
                   ? std::string()
                   : text + " is not a number from " + Json(low).dump() + " to " + Json(high).dump();
      },
      "FLOAT in [" + Json(low).dump() + " - " + Json(high).dump() + "]");
}

void add_sampling_options(CLI::App& verb, SamplingConfig& s) {
  verb.add_option("--temperature", s.temperature, "0 takes the most likely token")
      ->capture_default_str()
      ->check(within(0.0, 100.0));
  verb.add_option("--top-p", s.top_p, "keep the most likely tokens that together reach this probability")
      ->check(within(1e-9, 1.0));
  verb.add_option("--top-k", s.top_k, "keep this many tokens; 0 keeps all")->check(CLI::NonNegativeNumber);
  verb.add_option("--min-p", s.min_p, "drop tokens less likely than this share of the most likely")
      ->check(within(0.0, 1.0));
  verb.add_option("--max-completion-length", s.max_completion_length, "tokens")
      ->capture_default_str()
      ->check(at_least_one());
  verb.add_option("--stop", s.stop, "a text that ends a completion; may be repeated")->allow_extra_args(false);
}

std::vector<Task> tasks_of(const SampleOptions& o) {
  if (o.has_prompt == !o.tasks.empty()) throw UsageError("give either --prompt or --tasks");
  if (!o.tasks.empty()) return read_tasks(o.tasks);
  return {Task{.id = "prompt", .prompt = {{"", o.prompt}}, .extra = Json::object()}};
}

void print_groups(std::span<const Group> groups) {
  for (const Group& group : groups)
    std::cout << to_json(group).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

void run_sample(const SampleOptions& o) {
  std::vector<Task> tasks = tasks_of(o);
  load_spec(o.model);
  if (o.out != "-") expect_writable_file(o.out);
  Compute compute(o.threads ? o.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(o.model, compute, o.bf16, Weights::packed);
  std::unique_ptr<Engine> engine = engine_for(loaded.model, compute, *loaded.tokenizer, tasks, o.sampling, o.engine);
  CollectJob job{.tasks = tasks, .num_generations = o.n, .sampling = o.sampling, .seed = o.seed, .step = 0};
  std::vector<Group> groups = collect(*engine, loaded.model, *loaded.tokenizer, nullptr, job);
  if (o.out != "-") return write_groups(o.out, groups);
  print_groups(groups);
}

struct EvalOptions {
  EvalConfig config;
  std::string tasks, out, against;
  std::vector<std::string> reward;
  int64_t limit = 0;
  std::vector<int64_t> k = {1};
  bool json = false, nll = false;
};

Json evaluation_json(const Evaluation& e, std::span<const Group> groups, const std::vector<int64_t>& ks) {
  Json out = {{"tasks", e.tasks},
              {"rollouts", e.rollouts},
              {"pass@1", e.pass_at_1},
              {"ci95", {e.ci_low, e.ci_high}},
              {"mean_length", e.mean_length},
              {"truncated", e.truncated}};
  for (int64_t k : ks) {
    double sum = 0;
    for (const Group& group : groups) {
      int64_t correct = std::count_if(group.rollouts.begin(), group.rollouts.end(),
                                      [](const Rollout& r) { return r.score.status == Status::correct; });
      sum += pass_at_k(int64_t(group.rollouts.size()), correct, k);
    }
    out["pass@" + std::to_string(k)] = groups.empty() ? 0 : sum / double(groups.size());
    const auto majorities =
        std::count_if(groups.begin(), groups.end(), [&](const Group& group) { return majority_is_correct(group, k); });
    if (k > 1) out["maj@" + std::to_string(k)] = double(majorities) / double(std::max<size_t>(1, groups.size()));
  }
  return out;
}

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

void run_eval(EvalOptions& o) {
  if (o.nll) throw MissingError("eval --nll is not available yet in this version");
  for (int64_t k : o.k)
    if (k < 1 || k > o.config.num_generations)
      throw UsageError("-k " + std::to_string(k) + " needs at least as many completions: give -n " + std::to_string(k));
  std::vector<Task> tasks = read_tasks(o.tasks);
  if (o.limit > 0 && int64_t(tasks.size()) > o.limit) tasks.resize(size_t(o.limit));
  if (!o.reward.empty()) o.config.rewards.assign(o.reward.begin(), o.reward.end());
  reward_specs(o.config.rewards);
  load_spec(o.config.model);
  if (!o.out.empty() && o.out != "-") expect_writable_file(o.out);
  if (o.out == "-" && o.json) throw UsageError("--out - and --json both write to stdout: give --out a file");
  if (o.config.num_generations > 1 && o.config.sampling.temperature == 0)
    throw UsageError("-n " + std::to_string(o.config.num_generations) +
                     " at temperature 0 makes equal completions: give --temperature, e.g. 1");
  Evaluation before;
  if (!o.against.empty()) before = same_tasks(read_groups(o.against), tasks, o.against);
  Compute compute(o.config.threads ? o.config.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(o.config.model, compute, o.config.bf16, Weights::packed);
  std::vector<Group> groups = evaluate(loaded, compute, o.config, tasks);
  if (o.out == "-") return print_groups(groups);
  if (!o.out.empty()) write_groups(o.out, groups);
  Evaluation evaluation = summarize(groups);
  Json out = evaluation_json(evaluation, groups, o.k);
  if (!o.against.empty()) {
    Gain gain = paired_gain(before, evaluation);
    out["gain"] = gain.mean, out["gain_ci95"] = {gain.ci_low, gain.ci_high};
  }
  if (o.json) {
    std::cout << out.dump() << "\n";
    return;
  }
  for (const auto& [key, value] : out.items())
    std::cout << key << std::string(key.size() < 14 ? 14 - key.size() : 1, ' ') << value.dump() << "\n";
}

void add_sample(CLI::App& app) {
  auto o = std::make_shared<SampleOptions>();
  CLI::App* verb = app.add_subcommand("sample", "groups of completions with token ids and log-probabilities");
  verb->add_option("-m,--model", o->model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  const CLI::Option* prompt = verb->add_option("--prompt", o->prompt, "a text, tokenised as it is");
  verb->add_option("--tasks", o->tasks, "a task file or generator");
  verb->add_option("-n", o->n, "completions of each prompt")->capture_default_str()->check(at_least_one());
  add_sampling_options(*verb, o->sampling);
  verb->add_option("--seed", o->seed, "of the sampling")->capture_default_str()->check(whole_number());
  verb->add_option("--out", o->out, "groups file; - is stdout")->capture_default_str();
  verb->add_option("--max-slots", o->engine.max_slots, "completions decoded at once")
      ->capture_default_str()
      ->check(at_least_one());
  verb->add_flag("--bf16", o->bf16, "weights in bfloat16");
  verb->add_option("--threads", o->threads, "0: all usable cores")->check(CLI::Range(0, 1024));
  verb->footer(
      "Example:\n  cohort sample -m 'init:configs/models/demo-moe.json?seed=1' --prompt '3+4*2=' -n 4 "
      "--max-completion-length 16");
  verb->callback([o, prompt] {
    o->has_prompt = prompt->count() > 0;
    run_sample(*o);
  });
}

void add_eval(CLI::App& app) {
  auto o = std::make_shared<EvalOptions>();
  CLI::App* verb = app.add_subcommand("eval", "pass@k of a model on tasks, with a 95 % interval");
  verb->add_option("-m,--model", o->config.model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  verb->add_option("--tasks", o->tasks, "a task file or generator")->required();
  verb->add_option("--reward", o->reward, "what decides; default: accuracy")->allow_extra_args(false);
  verb->add_option("-n", o->config.num_generations, "completions of each task")
      ->capture_default_str()
      ->check(at_least_one());
  verb->add_option("-k", o->k, "pass@k for these k, and maj@k above 1")->delimiter(',');
  add_sampling_options(*verb, o->config.sampling);
  verb->add_option("--limit", o->limit, "first so many tasks; 0: all")->check(whole_number());
  verb->add_option("--seed", o->config.seed, "of the sampling")->check(whole_number());
  verb->add_option("--out", o->out,
                   "write the groups with their verdicts here; - is stdout, and nothing else is printed");
  verb->add_option("--against", o->against,
                   "groups that an earlier eval --out wrote for these tasks: prints the gain, paired task by task");
  verb->add_option("--max-slots", o->config.engine.max_slots, "completions decoded at once")->check(at_least_one());
  verb->add_flag("--bf16", o->config.bf16, "weights in bfloat16");
  verb->add_flag("--json", o->json, "one JSON object");
  verb->add_flag("--nll", o->nll, "log-likelihood of reference solutions: not available yet");
  verb->add_option("--threads", o->config.threads, "0: all usable cores")->check(CLI::Range(0, 1024));
  verb->footer(
      "Example:\n  cohort eval -m 'init:configs/models/demo-moe.json?seed=1' --tasks "
      "arithmetic:split=held_out,limit=20 --max-completion-length 16");
  verb->callback([o] { run_eval(*o); });
}

void add_model_options(CLI::App& verb, ServiceOptions& o) {
  verb.add_option("--served-model-name", o.name, "in /v1/models and the field model; default: the reference");
  verb.add_option("--max-slots", o.engine.max_slots, "completions decoded at once")
      ->capture_default_str()
      ->check(at_least_one());
  verb.add_option("--max-model-len", o.max_model_len, "longest prompt and completion in tokens; 0: the model's context")
      ->check(whole_number());
  verb.add_option("--kv-cache-tokens", o.engine.kv_cache_tokens,
                  "tokens of the key/value cache; 0: as many as the slots need or a sixteenth of the memory holds")
      ->check(whole_number());
  verb.add_flag("--allow-reload", o.allow_reload, "POST /reload: weights from a folder");
  verb.add_flag("--bf16", o.bf16, "weights in bfloat16");
}

void add_serve(CLI::App& app) {
  auto o = std::make_shared<ServeConfig>();
  o->code.max_running = usable_cores();
  CLI::App* verb =
      app.add_subcommand("serve", "HTTP service: a model behind OpenAI's routes, the code sandbox, or both");
  verb->add_option("-m,--model", o->model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N");
  verb->add_flag("--sandbox", o->sandbox, "POST /run_code in SandboxFusion's form: python, cpp, java");
  verb->add_option("--host", o->server.host, "address to listen on")->capture_default_str();
  verb->add_option("--port", o->server.port, "0: any free one")->capture_default_str()->check(CLI::Range(0, 65535));
  verb->add_option("--api-key-file", o->api_key_file, "keys, one a line: all but /health want one");
  verb->add_flag("--insecure", o->insecure, "an address that other machines reach, without a key");
  add_model_options(*verb, o->service);
  verb->add_option("--threads", o->threads, "of the model; 0: all usable cores")->check(CLI::Range(0, 1024));
  verb->add_option("--workers", o->code.max_running, "programs run at once; default: the cores")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--max-waiting", o->max_waiting,
                   "requests in line, those beyond are answered 429; default: 1024 prompts, 64 programs")
      ->check(CLI::Range(1, 100000));
  verb->footer("Example:\n  cohort serve -m 'init:configs/models/demo-moe.json?seed=1' --sandbox --port 8080");
  verb->callback([o] { serve(*o); });
}

}  // namespace

void add_rollout_commands(CLI::App& app) {
  add_sample(app);
  add_eval(app);
  add_serve(app);
}

}  // namespace cohort
