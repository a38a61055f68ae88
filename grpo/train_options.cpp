#include "grpo/train_options.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <sstream>

#include "configs/error.h"
#include "configs/machine.h"
#include "policy/load.h"
#include "rollout/evaluate.h"
#include "tasks/task_set.h"

namespace cohort {
namespace {

/// fp32 multiply-adds a second of the packed product: the best of 0.1 s of tries, as others may use the cores too.
double measured_flops(const Compute& compute) {
  const int64_t rows = 192, n = 512, k = 256;
  Buffer a(rows * k), b(packed_size(n, k)), c(rows * n);
  std::fill_n(a.data(), a.size(), 0.5f), std::fill_n(b.data(), b.size(), 0.5f);
  const auto start = std::chrono::steady_clock::now();
  double passed = 0, fastest = 1;
  while (passed < 0.1) {
    const double before = passed;
    gemm(compute, {.a = a.data(), .a_row = k, .b = b.data(), .n = n, .k = k, .c = c.data(), .c_row = n}, rows);
    passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fastest = std::min(fastest, passed - before);
  }
  return 2.0 * double(rows * n * k) / fastest;
}

/// Floats the learner keeps of one row, over all layers.
int64_t activation_floats(const ModelSpec& spec) {
  int64_t floats = 0;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    const MoeSpec& m = layer.moe;
    floats += 4 * spec.dim + a.in_rows() + a.heads * (a.key_dim() + a.value_dim() + a.value_head_dim + 2) +
              3 * layer.ffn_dim() + 4 * a.kv_heads * a.key_dim();
    if (!layer.dense_dim) floats += m.experts + m.top_k * (3 * m.expert_dim + spec.dim);
  }
  return floats;
}

/// Of one layer: attention's backward pass holds two numbers for each of a row's heads and keys.
int64_t most_heads(const ModelSpec& spec) {
  int64_t most = 0;
  for (const LayerSpec& layer : spec.layers) most = std::max<int64_t>(most, layer.attention.heads);
  return most;
}

std::string gib(int64_t bytes) {
  std::ostringstream out;
  out.precision(3);
  out << double(bytes) / double(1 << 30) << " GiB";
  return out.str();
}

}  // namespace

void add_run_options(CLI::App& verb, RunOptions& options) {
  verb.add_option("config", options.config, "the job, one JSON file");
  verb.add_option("--out", options.out, "run folder; default: runs/ and the config's name");
  verb.add_flag(std::string("--resume{") + RunOptions::kOwnFolder + "}", options.resume,
                "go on with the run in --out, or with =DIR from a run or checkpoint folder");
  verb.add_flag("--overwrite", options.overwrite, "replace the run that --out holds");
  verb.add_option("--set", options.set, "override a key: a.b.c=VALUE")->allow_extra_args(false);
}

RunRequest run_request(const RunOptions& options) {
  namespace fs = std::filesystem;
  RunRequest request{.out = fs::path("runs") / fs::path(options.config).stem(),
                     .resume = !options.resume.empty(),
                     .overwrite = options.overwrite};
  if (request.resume && options.resume != RunOptions::kOwnFolder) request.resume_from = options.resume;
  if (!options.out.empty())
    request.out = options.out;
  else if (!request.resume_from.empty())
    request.out = run_of(request.resume_from);
  return request;
}

Json run_config_json(const RunOptions& options) {
  if (options.config.empty()) throw UsageError("no config given: name a JSON file (configs/ has some)");
  Json config = parse_config_file(options.config);
  apply_overrides(config, options.set);
  return config;
}

Plan plan(const TrainConfig& c) {
  ModelSpec spec = load_spec(c.model);
  Compute compute(c.threads ? c.threads : usable_cores());
  Plan p;
  p.prompts_per_rollout = int64_t(c.prompts_per_step) * c.steps_per_generation;
  p.refill_batches = c.dynamic_sampling.max_refill_batches;
  p.completions_per_rollout = p.prompts_per_rollout * c.num_generations;
  p.prompt_tokens = c.max_prompt_length.value_or(128);
  int64_t completion = c.sampling.max_completion_length,
          per_step = int64_t(c.prompts_per_step) * (p.prompt_tokens + c.num_generations * completion);
  p.max_tokens_per_rollout = p.completions_per_rollout * completion;
  const int64_t together = std::max<int64_t>(
      1, (c.pack.max_tokens_per_batch - p.prompt_tokens) / completion);  // completions of a micro-batch
  p.micro_batches_per_step =
      int64_t(c.prompts_per_step) * ceil_div(c.num_generations, std::min<int64_t>(together, c.num_generations));
  p.parameters = spec.num_parameters, p.active_parameters = spec.active_parameters();
  p.weight_bytes = p.parameters * (4 + (c.bf16 ? 2 : 4)) * (c.loss.beta > 0 ? 2 : 1);
  p.optimizer_bytes = p.parameters * 12;
  int64_t kv_floats = 0;
  for (const LayerSpec& layer : spec.layers)
    kv_floats +=
        layer.attention.kv_heads * (layer.attention.key_dim() +
                                    (layer.attention.latent ? layer.attention.key_dim() : layer.attention.value_dim()));
  p.kv_bytes =
      (c.engine.kv_cache_tokens ? c.engine.kv_cache_tokens : c.engine.max_slots * (p.prompt_tokens + completion + 32)) *
      kv_floats * 4;
  p.activation_bytes = std::min(per_step, c.pack.max_tokens_per_batch) *
                       (activation_floats(spec) + 2 * most_heads(spec) * (p.prompt_tokens + completion)) * 4;
  double flops = double(p.active_parameters) *
                 (2.0 * double(p.max_tokens_per_rollout) / double(c.steps_per_generation) + 6.0 * double(per_step));
  p.seconds_per_step = flops / measured_flops(compute);
  return p;
}

std::string plan_text(const Plan& p) {
  std::ostringstream out;
  const std::string refills = " and at most " + std::to_string(p.refill_batches) + " times those without signal";
  out << "prompts per rollout      " << p.prompts_per_rollout << (p.refill_batches ? refills : "") << "\n"
      << "completions per rollout  " << p.completions_per_rollout << "\n"
      << "tokens per rollout       at most " << p.max_tokens_per_rollout << " sampled\n"
      << "micro-batches per step   at most " << p.micro_batches_per_step << "\n"
      << "parameters               " << p.parameters << " (" << p.active_parameters << " active)\n"
      << "memory                   weights " << gib(p.weight_bytes) << ", optimizer " << gib(p.optimizer_bytes)
      << ", key/value cache " << gib(p.kv_bytes) << ", activations " << gib(p.activation_bytes) << "\n"
      << "seconds per step         at least " << p.seconds_per_step
      << " (arithmetic alone, every completion at full length)\n";
  const int64_t needed = p.weight_bytes + p.optimizer_bytes + p.kv_bytes + p.activation_bytes,
                there = memory().total_bytes;
  if (there > 0 && needed > there)
    out << "this machine has         " << gib(there) << " of memory: lower max_slots, max_completion_length or "
        << "max_tokens_per_batch\n";
  return out.str();
}

}  // namespace cohort
