#include "grpo/plan.h"

#include <chrono>
#include <sstream>

#include "configs/machine.h"
#include "policy/load.h"

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

/// Of the blocks that completions running at once, and their prompts, fill, and of a step of the engine.
int64_t rollout_bytes(const TrainConfig& c, const ModelSpec& spec, const Plan& p) {
  const int64_t running = std::min<int64_t>(c.engine.max_slots, p.completions_per_rollout),
                prompts = ceil_div(running, c.num_generations),
                blocks = running * (ceil_div(c.sampling.max_completion_length, kKeyBlock) + 1) +
                         prompts * ceil_div(p.prompt_tokens, kKeyBlock),
                most = c.engine.kv_cache_tokens ? c.engine.kv_cache_tokens / kKeyBlock : blocks;
  return KvStore(spec, std::min(blocks, most), false, false).bytes() +
         activation_bytes(spec, Activations::none, running + c.engine.prefill_tokens) +
         2 * running * spec.vocab * int64_t(sizeof(float));
}

/// Rows of the largest micro-batch.
int64_t most_rows(const TrainConfig& c, const Plan& p) {
  const int64_t completion = c.sampling.max_completion_length,
                step = int64_t(c.prompts_per_step) * (p.prompt_tokens + c.num_generations * completion);
  return std::max(p.prompt_tokens + completion, std::min(step, c.pack.max_tokens_per_batch));
}

/// With those of a reference, which shares frozen weights.
int64_t weights_bytes(const CausalLM& model, bool has_reference) {
  const int64_t copies = has_reference ? 2 : 1, store = model.packed.bytes() + model.coded.bytes();
  if (model.adapter) return store + copies * (model.adapter->values.bytes() + model.adapter->packed.bytes());
  return copies * (model.parameters.bytes() + store);
}

/// Of what an earlier version of the weights has of its own.
int64_t version_bytes(const CausalLM& model) {
  if (model.adapter) return model.adapter->values.bytes() + model.adapter->packed.bytes();
  const ModelSpec& spec = model.spec;
  const int64_t embedding = spec.tied_embeddings ? 0 : int64_t(spec.vocab) * spec.dim * int64_t(sizeof(float));
  return model.packed.bytes() + model.coded.bytes() + embedding;
}

MemoryPlan memory_of(const TrainConfig& c, const ModelSpec& spec, const Plan& p) {
  const int64_t rows = most_rows(c, p), completion = c.sampling.max_completion_length,
                blocks = ceil_div(rows, kKeyBlock) + 2 * ceil_div(rows, completion);
  CausalLM model = make_model(spec, c.bf16 || (c.lora.use_peft && is_bf16(c.model)),
                              c.lora.use_peft ? Weights::packed : Weights::all);  // untouched, it takes no memory
  if (c.lora.use_peft) model.adapter = make_adapter(spec, c.lora, "", 0);
  const Activations kept = kept_activations(c.optimizer, c.lora.use_peft);
  const bool has_two_engines = c.max_staleness > 0 && c.eval_steps > 0;  // one that samples ahead, one that evaluates
  return {.weights = weights_bytes(model, c.loss.beta > 0) + c.max_staleness * version_bytes(model),
          .optimizer = 3 * trained_values(model).bytes(),
          .rollout = rollout_bytes(c, spec, p) * (has_two_engines ? 2 : 1),
          .activations =
              activation_bytes(spec, kept, rows) + KvStore(spec, blocks, true, false, kept != Activations::all).bytes(),
          .backward = backward_bytes(spec, rows, p.prompt_tokens + completion, blocks) +
                      head_bytes(model, std::min(rows, p.max_tokens_per_rollout)) +
                      rows * spec.dim * int64_t(sizeof(float)),
          .program = 48 << 20};
}

std::string gib(int64_t bytes) {
  std::ostringstream out;
  out.precision(3);
  out << double(bytes) / double(1 << 30) << " GiB";
  return out.str();
}

/// What max_staleness means for the loss: nobody is to learn off-policy without having read by what.
std::string staleness_text(const TrainConfig& c) {
  if (c.max_staleness == 0) return "";
  const std::string correction = c.loss.importance_sampling_correction,
                    count = std::to_string(c.max_staleness) + (c.max_staleness == 1 ? " rollout" : " rollouts");
  return "sampling ahead           " + count + ", by weights up to " +
         std::to_string((c.max_staleness + 1) * c.steps_per_generation * c.num_iterations - 1) +
         " optimizer steps old; importance_sampling_correction " + correction +
         (correction == "none" ? ": ratios are taken to the weights that sampled\n"
                               : ": ratios are taken to the weights at the start of the rollout\n");
}

}  // namespace

Plan plan(const TrainConfig& c, int64_t prompt_tokens) {
  const ModelSpec spec = load_spec(c.model);
  const Compute compute(c.threads ? c.threads : usable_cores());
  Plan p;
  p.prompts_per_rollout = int64_t(c.prompts_per_step) * c.steps_per_generation;
  p.completions_per_rollout = p.prompts_per_rollout * c.num_generations;
  p.prompt_tokens = prompt_tokens;
  const int64_t completion = c.sampling.max_completion_length,
                per_step = int64_t(c.prompts_per_step) * (p.prompt_tokens + c.num_generations * completion);
  p.max_tokens_per_rollout = p.completions_per_rollout * completion;
  const int64_t together = std::max<int64_t>(
      1, (c.pack.max_tokens_per_batch - p.prompt_tokens) / completion);  // completions of a micro-batch
  p.micro_batches_per_step =
      int64_t(c.prompts_per_step) * ceil_div(c.num_generations, std::min<int64_t>(together, c.num_generations));
  p.parameters = spec.num_parameters, p.active_parameters = spec.active_parameters();
  p.memory = memory_of(c, spec, p);
  p.staleness = staleness_text(c);
  const double flops =
      double(p.active_parameters) *
      (2.0 * double(p.max_tokens_per_rollout) / double(c.steps_per_generation) +
       (kept_activations(c.optimizer, c.lora.use_peft) == Activations::all ? 6.0 : 8.0) * double(per_step));
  p.seconds_per_step = flops / measured_flops(compute);
  return p;
}

std::string plan_text(const Plan& p) {
  std::ostringstream out;
  const MemoryPlan& m = p.memory;
  out << "prompts per rollout      " << p.prompts_per_rollout << " of at most " << p.prompt_tokens << " tokens\n"
      << "completions per rollout  " << p.completions_per_rollout << "\n"
      << "tokens per rollout       at most " << p.max_tokens_per_rollout << " sampled\n"
      << p.staleness << "micro-batches per step   at most " << p.micro_batches_per_step << "\n"
      << "parameters               " << p.parameters << " (" << p.active_parameters << " active)\n"
      << "memory                   " << gib(m.total()) << " at most: weights " << gib(m.weights) << ", optimizer "
      << gib(m.optimizer) << ", rollout " << gib(m.rollout) << ", activations " << gib(m.activations)
      << ", backward pass " << gib(m.backward) << "\n"
      << "seconds per step         at least " << p.seconds_per_step
      << " (arithmetic alone, every completion at full length)\n";
  const int64_t there = memory().total_bytes;
  if (there > 0 && m.total() > there)
    out << "this machine has         " << gib(there) << " of memory: set gradient_checkpointing or bf16, or lower "
        << "max_tokens_per_batch, max_slots or max_completion_length\n";
  return out.str();
}

std::vector<Group> longest_groups(const TrainConfig& c, int64_t prompt_tokens) {
  const size_t completion = size_t(c.sampling.max_completion_length);
  std::vector<Group> groups(static_cast<size_t>(c.prompts_per_step));
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].prompt.assign(size_t(prompt_tokens), 0);
    if (prompt_tokens > 0) groups[g].prompt[0] = int32_t(g % 2);  // prompts have no beginning in common
    groups[g].rollouts.resize(size_t(c.num_generations));
    for (Rollout& r : groups[g].rollouts) {
      r.completion.tokens.assign(completion, 0), r.completion.logprobs.assign(completion, 0.0f);
      r.advantage = 1;
    }
  }
  return groups;
}

}  // namespace cohort
