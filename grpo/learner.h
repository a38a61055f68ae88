// Micro-batches in, better weights out: forward, loss, backward, clipping, AdamW. Sums run over micro-batches in order
// and over parameters in fixed pieces, so the thread count changes no bit.
#pragma once
#include <functional>
#include <memory>

#include "grpo/loss/vocab_loss.h"
#include "grpo/pack.h"
#include "policy/backward.h"
#include "policy/lora_config.h"

namespace cohort {

struct OptimizerConfig {
  double learning_rate = 1e-6;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  double weight_decay = 0.0;   // not on norms and biases
  double max_grad_norm = 1.0;  // 0: no clipping
  std::string lr_scheduler_type = "linear";
  int64_t warmup_steps = 0;
  std::string router_policy = "train";
  double router_bias_update_rate = 0.0;  // γ of the aux-loss-free balancing
  std::optional<bool> gradient_checkpointing;
};
template <class V>
void visit_fields(V& v, OptimizerConfig& c) {
  v.field("learning_rate", c.learning_rate, "peak learning rate of AdamW", between(0, 1));
  v.field("adam_beta1", c.adam_beta1, "decay of the gradient's mean", between(closed(0), open(1)));
  v.field("adam_beta2", c.adam_beta2, "decay of the gradient's square", between(closed(0), open(1)));
  v.field("adam_epsilon", c.adam_epsilon, "added to the root of the mean square", between(1e-30, 1));
  v.field("weight_decay", c.weight_decay, "decoupled weight decay, not on norms and biases", at_least(0));
  v.field("max_grad_norm", c.max_grad_norm, "gradients with a larger norm are scaled down to it; 0: never",
          at_least(0));
  v.field(
      "lr_scheduler_type", c.lr_scheduler_type,
      "course of the learning rate, by the names of transformers: constant knows no warm-up, linear and cosine end at "
      "0, cosine_with_min_lr at a tenth",
      one_of({"linear", "cosine", "cosine_with_min_lr", "constant", "constant_with_warmup"}));
  v.field("warmup_steps", c.warmup_steps, "steps over which the learning rate rises from 0", at_least(0));
  v.field("router_policy", c.router_policy, "what is trained of the routers", one_of({"train", "bias_only", "freeze"}));
  v.field("router_bias_update_rate", c.router_bias_update_rate,
          "step by which each expert's selection bias moves towards an even load", at_least(0));
  v.field("gradient_checkpointing", c.gradient_checkpointing,
          "keep what each layer took in alone, and compute the rest again when its gradient is due: less memory, a "
          "third more arithmetic, the same bits; null: with use_peft");
}

/// Learning rate of the optimizer step that follows `step` finished ones.
double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t max_steps);

/// Fills the gradient, 0 at first, from the batch (its log-probabilities and entropies are there); returns what it
/// added up.
using TokenLoss = std::function<LossSums(const TokenBatch&, const TokenGradient& gradient)>;

/// A second loss beside the TokenLoss: how far the student's distribution behind every learned token is from that of a
/// teacher, whose vocabulary begins with the student's. The batches have no kept sets.
struct Teaching {
  const CausalLM& teacher;
  DivergenceConfig divergence;
  double weight = 1;  // of a token
};

struct StepStats {
  LossSums sums;
  double grad_norm = 0, learning_rate = 0;
  double mtp_loss = 0;         // mean cross-entropy of the multi-token-prediction layer, where its weight is not 0
  int64_t learner_tokens = 0;  // rows passed forward and back
  bool is_skipped = false;     // nothing was learned, see end_step()
};

/// Throws UsageError for settings that adapters have no part in.
void expect_consistent(const LoraConfig& lora, const OptimizerConfig& optimizer, double mtp_loss_weight = 0);

/// Throws UsageError where the multi-token-prediction loss is asked of a model without such a layer.
void expect_mtp(const ModelSpec& spec, double mtp_loss_weight);

/// What a forward of the learner leaves for its backward pass.
Activations kept_activations(const OptimizerConfig& config, bool has_adapter);

/// Bytes of the head's logits and gradients for so many tokens that are learned at once.
int64_t head_bytes(const CausalLM& model, int64_t tokens);

class Learner {
 public:
  /// `mtp_loss_weight` is λ of the multi-token-prediction loss (arXiv 2412.19437 eq. 25), for batches of whole
  /// sequences; at 0 that layer is left as it is.
  Learner(CausalLM& model, const Compute& compute, const OptimizerConfig& config, double temperature,
          double mtp_loss_weight = 0);

  CausalLM& model() { return model_; }
  int64_t step() const { return model_.version; }

  /// One optimizer step over all micro-batches; `expert_load` (may be empty) moves the routers' biases. A step without
  /// micro-batches still applies AdamW with a zero gradient. Throws std::runtime_error before it changes anything when
  /// the gradient or the loss is not finite. With `teaching` (may be null) the loss is the sum of both, and sums.kl
  /// that of the divergences.
  StepStats step(std::span<MicroBatch> batches, const TokenLoss& loss, int64_t max_steps,
                 std::span<const double> expert_load = {}, const Teaching* teaching = nullptr);

  /// A step in parts: micro-batches in their order, then the update by their gradient over `divisor`. One that is not
  /// finite counts as taken and leaves weights, routers' biases and AdamW's state, its count of steps too, as they
  /// were.
  void begin_step();
  void pass(MicroBatch& batch, const TokenLoss& loss);
  StepStats end_step(int64_t max_steps, std::span<const double> expert_load = {}, double divisor = 1);

  /// Forward and backward of a micro-batch with a zero gradient, which takes all the memory that a step over it will.
  void dry_step(MicroBatch& batch);

  /// What the model says of a micro-batch, as a TokenLoss sees it; no gradient.
  void fill_statistics(MicroBatch& batch);
  /// Log-probabilities and entropies of a micro-batch under `model` (the learner's own, or a reference's), no gradient.
  void fill_logprobs(const CausalLM& model, MicroBatch& batch, std::vector<float>& logprobs,
                     std::vector<float>* entropies = nullptr);
  /// The same under a teacher, of whatever shape, into ref_logprobs.
  void fill_teacher_logprobs(const CausalLM& teacher, MicroBatch& batch);

  /// Tokens each expert received in the last step's forwards, [moe layers · E].
  const std::vector<double>& expert_load() const { return expert_load_; }

  Buffer mean, variance;      // [trained_values] AdamW state
  Buffer gradient;            // [trained_values] of the last step, before clipping
  int64_t skipped_steps = 0;  // of step(): AdamW has taken so many fewer

 private:
  void finish_gradient(int64_t max_steps, double divisor);
  void update(const StepStats& stats, std::span<const double> expert_load);
  void accumulate(MicroBatch& batch, const TokenLoss& loss, const Teaching* teaching = nullptr);
  struct Piece {  // of a parameter that is learned
    const ParameterSpec* parameter;
    int64_t offset, size;
  };
  /// Rows of hidden states and the tokens that they predict.
  struct Head {
    const float* hidden_TD;
    std::span<const int32_t> row, token;                  // [N]
    std::span<const std::span<const int32_t>> kept = {};  // [N] as in MicroBatch
    std::span<const int32_t> kept_of(size_t n) const { return kept.empty() ? std::span<const int32_t>() : kept[n]; }
  };
  static Head head_of(const ForwardState& state, const MicroBatch& batch);
  /// What the gradient of the head takes from a teacher.
  struct Lesson {
    const Teaching& teaching;
    Head teacher;
    std::span<const float> mask;  // [N]
    std::vector<double> values;   // [N] divergences
  };
  Head pass_teacher(const CausalLM& teacher, const MicroBatch& batch);
  /// Of target n, whose teacher's logits are the i-th of their chunk; `gradient` [V] becomes the divergence's.
  void compare(Lesson& lesson, size_t n, int64_t i, std::span<const float> logits, std::span<float> gradient);
  void accumulate_mtp(const MicroBatch& batch);
  void forward_logits(const CausalLM& model, const Head& head, int64_t begin, int64_t end);
  std::vector<TokenStatistics> statistics(const CausalLM& model, const Head& head);
  void spread(std::span<const TokenStatistics> all, TokenBatch& batch) const;
  void head_gradient(const Head& head, std::span<const TokenStatistics> all, const TokenGradient& d, float* d_hidden_TD,
                     Lesson* lesson = nullptr);
  void apply(const StepStats& stats);
  void balance_routers(std::span<const double> load);
  void move_bias(const LayerSpec& layer, std::span<const double> load);
  std::vector<Piece> pieces() const;
  KvStore& kv_for(const CausalLM& model, const MicroBatch& batch, bool training, Activations kept);

  CausalLM& model_;
  const Compute& compute_;
  OptimizerConfig config_;
  float temperature_;
  double mtp_loss_weight_, num_mtp_targets_ = 0;  // targets: of the whole step
  ForwardState state_, teacher_state_;
  BackwardState scratch_;
  Buffer teacher_logits_;
  Buffer logits_, d_hidden_, d_rows_, head_t_, panels_;
  std::unique_ptr<KvStore> kv_, mtp_kv_, teacher_kv_;
  MtpState mtp_;
  Buffer d_mtp_;
  std::vector<double> expert_load_, mtp_load_;
  StepStats stats_;  // of the step that was begun
};

}  // namespace cohort
