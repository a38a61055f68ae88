#include "rollout/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "configs/command_line.h"
#include "configs/durable_file.h"
#include "configs/error.h"
#include "rollout/eval_command.h"
#include "rollout/evaluate.h"
#include "rollout/sampling_options.h"
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

std::vector<Task> tasks_of(const SampleOptions& o) {
  if (o.has_prompt == !o.tasks.empty()) throw UsageError("give either --prompt or --tasks");
  if (!o.tasks.empty()) return read_tasks(o.tasks);
  return {Task{.id = "prompt", .prompt = {{"", o.prompt}}, .extra = Json::object()}};
}

void run_sample(const SampleOptions& o) {
  std::vector<Task> tasks = tasks_of(o);
  expect_in_vocabulary(o.sampling, load_spec(o.model).vocab);
  if (o.out != "-") expect_writable_file(o.out);
  Compute compute(o.threads ? o.threads : usable_cores());
  LoadedModel loaded = load_with_tokenizer(o.model, compute, o.bf16, Weights::packed);
  std::unique_ptr<Engine> engine = engine_for(loaded.model, compute, *loaded.tokenizer, tasks, o.sampling, o.engine);
  CollectJob job{.tasks = tasks, .num_generations = o.n, .sampling = o.sampling, .seed = o.seed, .step = 0};
  std::vector<Group> groups = collect(*engine, loaded.model, *loaded.tokenizer, nullptr, job);
  if (o.out != "-") return write_groups(o.out, groups);
  print_groups(groups, std::cout);
}

void add_sample(CLI::App& app) {
  auto o = std::make_shared<SampleOptions>();
  CLI::App* verb = app.add_subcommand("sample", "groups of completions with token ids and log-probabilities");
  verb->add_option("-m,--model", o->model, "an HF folder, a .gguf file, or init:CONFIG.json?seed=N")->required();
  const CLI::Option* prompt = verb->add_option("--prompt", o->prompt, "a text, tokenised as it is");
  verb->add_option("--tasks", o->tasks, "a task file, generator or benchmark");
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
