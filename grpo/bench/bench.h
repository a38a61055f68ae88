// The verb bench: measured speed, and its fraction of what this machine could do at most.
// Roofs: operations over the measured rate of fused multiply-adds, bytes over the measured rate of reading a buffer as
// large as what is read; the longer of the two is the least time. Speeds are medians of repetitions; roofs, as usual,
// are the best of them: what else runs on the machine lowers no roof.
// Legend: B completions decoded at once, S their mean context, P prompt tokens, R completion tokens.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "policy/load.h"
#include "rollout/engine.h"

namespace CLI {
class App;
}

namespace cohort {

struct BenchShape {
  int64_t prompt_length = 128, completion_length = 200;  // tokens
  int32_t prompts = 8, generations = 8;                  // of learner and step
  std::vector<int32_t> slots = {1, 8, 16, 32, 64, 128};  // of rollout and decode
  std::vector<int32_t> contexts;                         // of decode; empty: 64, 128, … as the model allows
};

constexpr const char* kBenchModel = "init:configs/models/bench-moe.json";

struct BenchConfig {
  std::string model = kBenchModel;
  bool bf16 = false;   // weights stored as bfloat16
  double seconds = 5;  // of repetitions for each figure; at least three are made
  BenchShape shape;
  std::string plot;  // of decode: an HTML file to draw into
};

struct BenchCase {
  std::string bench, name;
  double value = 0;
  std::string unit;                  // "s": less is better; else a rate
  std::optional<double> roof;        // in the same unit
  std::string bound;                 // what the roof is made of: compute or memory
  std::string peer;                  // another program's figure for the same work, with its source
  std::optional<double> peer_value;  // in the same unit
  std::optional<double> fraction_of_roof() const;
  std::optional<double> times_peer() const;  // how many times faster than the peer
};
using BenchReport = std::function<void(const BenchCase&)>;

/// What a figure holds for.
struct BenchContext {
  int threads = 1;
  std::string device, commit;
};
/// One object of `bench --json` (cli contract §3).
Json to_json(const BenchCase& result, const BenchContext& context);

/// Median of the seconds that `run` takes, repeated for `seconds` and at least three times, after one run to warm up.
double median_seconds(double seconds, const std::function<void()>& run);
double median(std::vector<double> values);
/// The least of them.
double fastest_seconds(double seconds, const std::function<void()>& run);

// --- Roofs -----------------------------------------------------------------------------------------------------------

/// fp32 FLOP/s on all threads of fused multiply-adds that touch registers alone, in the kernels' instruction set, or of
/// the largest packed product, whichever is more.
double measure_peak_flops(const Compute& compute, double seconds);
/// Bytes a second at which all threads read a buffer of that size again and again.
double measure_read_bandwidth(const Compute& compute, int64_t bytes, double seconds);
void bench_roofs(const Compute& compute, const BenchConfig& config, const BenchReport& report);

// --- Work of a model (engine.md §4) ----------------------------------------------------------------------------------

/// FLOPs of attention for one row over `context` keys, all layers.
double attention_flops(const ModelSpec& spec, double context);
/// Weights that a decoding step of B completions reads, in expectation.
double touched_parameters(const ModelSpec& spec, double batch);
/// Elements of keys and values that a token leaves behind, all layers.
double kv_elements(const ModelSpec& spec);

struct Work {
  double flops = 0, bytes = 0;
};
Work prefill_work(const CausalLM& model, double prompt_length);
Work decode_work(const CausalLM& model, double batch, double context);  // one step of the batch
/// Forward and backward of packed rows at these positions: 6·N_active and three times the attention.
double training_flops(const ModelSpec& spec, std::span<const RowSpan> rows);

/// The machine's rates, and the least time that work takes.
struct Roofs {
  double flops = 0, bandwidth = 0;  // a second
  double seconds(const Work& work) const;
  bool memory_bound(const Work& work) const { return work.bytes / bandwidth > work.flops / flops; }
};
/// The bandwidth is that of a buffer as large as the model's weights and caches.
Roofs measure_roofs(const Compute& compute, const CausalLM& model, double kv_tokens, double seconds);

// --- Benches ---------------------------------------------------------------------------------------------------------

/// Throws UsageError where prompt and completion exceed the model's context.
LoadedModel load_bench_model(const BenchConfig& config, const Compute& compute);
/// Completions of exactly completion_length tokens (no stop ids) for random prompts; `round` makes them anew.
std::vector<Group> sample_random_prompts(Engine& engine, const ModelSpec& spec, const BenchShape& shape,
                                         int32_t prompts, int32_t generations, uint64_t round);
/// Scores drawn at random, so that every group carries signal, and the advantages that follow.
void score_at_random(std::span<Group> groups);
/// Least seconds of sampling prompts × generations completions, all decoded at once.
double rollout_roof_seconds(const CausalLM& model, const Roofs& roofs, const BenchShape& shape, int32_t prompts,
                            int32_t generations);

void bench_rollout(const Compute& compute, const BenchConfig& config, const BenchReport& report);
void bench_decode(const Compute& compute, const BenchConfig& config, const BenchReport& report);
void bench_learner(const Compute& compute, const BenchConfig& config, const BenchReport& report);
void bench_step(const Compute& compute, const BenchConfig& config, const BenchReport& report);

struct AnsweredTask {
  Task task;
  std::string completion;
};
/// Problems with worked answers in the forms that data sets and models write them; every fifth is wrong.
std::vector<AnsweredTask> answered_tasks(int32_t count);
/// Of bench_rewards: programs in boxes. This process has to be one that can be a warden (rewards/sandbox/warden.h).
void bench_code(const Compute& compute, const BenchConfig& config, const BenchReport& report);
void bench_rewards(const Compute& compute, const BenchConfig& config, const BenchReport& report);

void add_bench(CLI::App& app);

}  // namespace cohort
