#include "grpo/learner.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace cohort {
namespace {

constexpr int64_t kLogitElements = int64_t(1) << 23;  // of one chunk of the head: 32 MB
constexpr int64_t kPiece = 1 << 16;                   // parameters of one task

int64_t chunk_rows(const CausalLM& model) {
  return std::max<int64_t>(16, kLogitElements / model.spec.vocab);
}

bool is_router(const ParameterSpec& p) {
  return p.name.ends_with("mlp.gate.weight");
}

struct Piece {
  const ParameterSpec* parameter;
  int64_t offset, size;
};
std::vector<Piece> pieces(const ModelSpec& spec, const std::string& router_policy) {
  std::vector<Piece> all;
  for (const ParameterSpec& p : spec.parameters) {
    if (!p.gradient || (router_policy != "train" && is_router(p))) continue;
    for (int64_t begin = 0; begin < p.size(); begin += kPiece)
      all.push_back({&p, p.offset + begin, std::min(kPiece, p.size() - begin)});
  }
  return all;
}

}  // namespace

double learning_rate_at(const OptimizerConfig& c, int64_t step, int64_t max_steps) {
  if (c.lr_scheduler_type == "constant") return c.learning_rate;
  if (step < c.warmup_steps) return c.learning_rate * double(step + 1) / double(c.warmup_steps + 1);
  double share =
      std::min(1.0, double(step - c.warmup_steps) / double(std::max<int64_t>(1, max_steps - c.warmup_steps)));
  if (c.lr_scheduler_type == "linear") return c.learning_rate * (1 - share);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * share));
  if (c.lr_scheduler_type == "cosine") return c.learning_rate * cosine;
  if (c.lr_scheduler_type == "cosine_with_min_lr") return c.learning_rate * (0.1 + 0.9 * cosine);
  return c.learning_rate;  // constant_with_warmup
}

Learner::Learner(CausalLM& model, const Compute& compute, const OptimizerConfig& config, double temperature)
    : mean(model.spec.num_parameters),
      variance(model.spec.num_parameters),
      gradient(model.spec.num_parameters),
      model_(model),
      compute_(compute),
      config_(config),
      temperature_(float(temperature)) {
  for (Buffer* b : {&mean, &variance, &gradient}) std::fill_n(b->data(), b->size(), 0.0f);
}

KvStore& Learner::kv_for(const CausalLM& model, const MicroBatch& batch, bool training) {
  if (!kv_ || kv_->num_blocks < batch.num_blocks || kv_->for_training < training)
    kv_ = std::make_unique<KvStore>(model.spec, round_up(batch.num_blocks, 64), training || (kv_ && kv_->for_training));
  return *kv_;
}

/// logits_ of targets [begin, end).
void Learner::forward_logits(const CausalLM& model, const MicroBatch& batch, int64_t begin, int64_t end) {
  logits_.resize((end - begin) * model.spec.vocab);
  logits(model, compute_, state_.hidden_TD.data(), batch.target_row.data() + begin, end - begin, logits_.data());
}

void Learner::statistics(const CausalLM& model, MicroBatch& batch, std::vector<float>& logprobs,
                         std::vector<float>* entropies, std::vector<TokenStatistics>* all) {
  int64_t N = int64_t(batch.target_row.size()), V = model.spec.vocab, chunk = chunk_rows(model);
  logprobs.resize(size_t(N));
  if (entropies) entropies->resize(size_t(N));
  if (all) all->resize(size_t(N));
  for (int64_t begin = 0; begin < N; begin += chunk) {
    int64_t end = std::min(N, begin + chunk);
    forward_logits(model, batch, begin, end);
    compute_.pool.parallel_for(end - begin, [&](int64_t i) {
      TokenStatistics s = compute_.kernels->token_statistics(logits_.data() + i * V, V, temperature_,
                                                             batch.target_token[size_t(begin + i)]);
      logprobs[size_t(begin + i)] = s.logprob;
      if (entropies) (*entropies)[size_t(begin + i)] = s.entropy;
      if (all) (*all)[size_t(begin + i)] = s;
    });
  }
}

void Learner::fill_logprobs(const CausalLM& model, MicroBatch& batch, std::vector<float>& logprobs,
                            std::vector<float>* entropies) {
  KvStore& kv = kv_for(model, batch, false);
  forward(model, compute_, batch.rows(), kv, false, state_);
  statistics(model, batch, logprobs, entropies, nullptr);
}

void Learner::accumulate(MicroBatch& batch, const TokenLoss& loss, StepStats& stats) {
  const ModelSpec& spec = model_.spec;
  int64_t N = int64_t(batch.target_row.size()), T = int64_t(batch.tokens.size()), V = spec.vocab, D = spec.dim,
          chunk = chunk_rows(model_);
  KvStore& kv = kv_for(model_, batch, true);
  forward(model_, compute_, batch.rows(), kv, true, state_);
  for (size_t i = 0; i < state_.expert_load.size(); ++i)
    expert_load_.resize(state_.expert_load.size()), expert_load_[i] += state_.expert_load[i];
  std::vector<TokenStatistics> all;
  statistics(model_, batch, batch.loss.logprobs, &batch.loss.entropies, &all);
  std::vector<float> d_logprobs(static_cast<size_t>(N));
  stats.sums.add(loss(batch.loss, d_logprobs));
  stats.learner_tokens += T;

  d_hidden_.resize(T * D);
  std::fill_n(d_hidden_.data(), T * D, 0.0f);
  head_t_.resize(packed_size(D, V));
  pack_matrix(compute_, model_.at(spec.head), D, V, 1, D, head_t_.data());
  for (int64_t begin = 0; begin < N; begin += chunk) {
    int64_t end = std::min(N, begin + chunk);
    if (N > chunk) forward_logits(model_, batch, begin, end);
    compute_.pool.parallel_for(end - begin, [&](int64_t i) {
      size_t n = size_t(begin + i);
      float* row = logits_.data() + i * V;
      compute_.kernels->logits_gradient(row, V, temperature_, batch.target_token[n], all[n], d_logprobs[n], 0.0f, row);
    });
    d_rows_.resize((end - begin) * D);
    gemm(compute_,
         {.a = logits_.data(), .a_row = V, .b = head_t_.data(), .n = D, .k = V, .c = d_rows_.data(), .c_row = D},
         end - begin);
    compute_.pool.parallel_for(ceil_div(D, 16), [&](int64_t c) {  // a row may predict several tokens: in order
      for (int64_t i = 0; i < end - begin; ++i)
        compute_.kernels->add_scaled(d_rows_.data() + i * D + c * 16, 1.0f, std::min<int64_t>(16, D - c * 16),
                                     d_hidden_.data() + int64_t(batch.target_row[size_t(begin + i)]) * D + c * 16);
    });
    weight_gradient(compute_, logits_.data(), V, V, state_.hidden_TD.data(), D, batch.target_row.data() + begin, D,
                    end - begin, panels_, gradient.data() + spec.head);
  }
  backward(model_, compute_, batch.rows(), kv, state_, scratch_, d_hidden_.data(), gradient.data());
}

StepStats Learner::step(std::span<MicroBatch> batches, const TokenLoss& loss, int64_t max_steps,
                        std::span<const double> expert_load) {
  StepStats stats;
  std::fill_n(gradient.data(), gradient.size(), 0.0f);
  expert_load_.clear();
  for (MicroBatch& batch : batches) accumulate(batch, loss, stats);
  std::vector<Piece> all = pieces(model_.spec, config_.router_policy);
  std::vector<double> squares(all.size());
  compute_.pool.parallel_for(int64_t(all.size()), [&](int64_t i) {
    squares[size_t(i)] = compute_.kernels->sum_of_squares(gradient.data() + all[size_t(i)].offset, all[size_t(i)].size);
  });
  double total = 0;
  for (double s : squares) total += s;
  stats.grad_norm = std::sqrt(total);
  if (!std::isfinite(stats.grad_norm))
    throw std::runtime_error("the gradient of step " + std::to_string(step() + 1) +
                             " is not finite: lower learning_rate, and start a run whose model is a checkpoint from "
                             "before the weights ran away");
  stats.learning_rate = learning_rate_at(config_, model_.version, max_steps);
  apply(stats);
  if (config_.router_bias_update_rate > 0 && config_.router_policy != "freeze")
    balance_routers(expert_load.empty() ? expert_load_ : expert_load);
  repack(model_, compute_);
  ++model_.version;
  return stats;
}

/// Decoupled AdamW (arXiv 1711.05101) over the flat parameters, gradients scaled down to max_grad_norm.
void Learner::apply(const StepStats& stats) {
  double scale = config_.max_grad_norm > 0 && stats.grad_norm > config_.max_grad_norm
                     ? config_.max_grad_norm / (stats.grad_norm + 1e-6)
                     : 1.0;
  double count = double(model_.version + 1);
  AdamW update{.learning_rate = float(stats.learning_rate),
               .beta1 = float(config_.adam_beta1),
               .beta2 = float(config_.adam_beta2),
               .epsilon = float(config_.adam_epsilon),
               .weight_decay = float(config_.weight_decay),
               .correction1 = float(1 - std::pow(config_.adam_beta1, count)),
               .correction2 = float(1 - std::pow(config_.adam_beta2, count)),
               .gradient_scale = float(scale)};
  std::vector<Piece> all = pieces(model_.spec, config_.router_policy);
  compute_.pool.parallel_for(int64_t(all.size()), [&](int64_t i) {
    const Piece& piece = all[size_t(i)];
    AdamW own = update;
    if (piece.parameter->shape.size() < 2) own.weight_decay = 0;
    compute_.kernels->adamw(model_.at(piece.offset), mean.data() + piece.offset, variance.data() + piece.offset,
                            gradient.data() + piece.offset, piece.size, own);
  });
}

/// b_e += γ · sign(mean load − load_e) (arXiv 2408.15664).
void Learner::balance_routers(std::span<const double> load) {
  size_t at = 0;
  for (const LayerSpec& layer : model_.spec.layers) {
    if (layer.dense_dim) continue;
    size_t E = size_t(layer.moe.experts);
    if (at + E > load.size()) return;
    double mean_load = 0;
    for (size_t e = 0; e < E; ++e) mean_load += load[at + e] / double(E);
    for (size_t e = 0; e < E; ++e) {
      double gap = mean_load - load[at + e];
      *model_.at(layer.offsets.router_bias + int64_t(e)) +=
          float(config_.router_bias_update_rate * double((gap > 0) - (gap < 0)));
    }
    at += E;
  }
}

}  // namespace cohort
