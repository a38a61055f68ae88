#include "grpo/learner.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "configs/error.h"
#include "grpo/loss/kept_rows.h"

namespace cohort {
namespace {

constexpr int64_t kLogitElements = int64_t(1) << 23;  // of one chunk of the head: 32 MB
constexpr int64_t kPiece = 1 << 16;                   // parameters of one task

int64_t chunk_rows(const CausalLM& model) {
  return std::max<int64_t>(16, kLogitElements / model.spec.vocab);
}

/// What a token is chosen from: so many logits at the beginning of its row, and its place among them.
struct Choices {
  int64_t count;
  int32_t place;
};
Choices choices(int64_t vocab, int32_t token, std::span<const int32_t> kept) {
  if (kept.empty()) return {vocab, token};
  return {int64_t(kept.size()), int32_t(std::ranges::lower_bound(kept, token) - kept.begin())};
}

bool is_router(const ParameterSpec& p) {
  return p.name.ends_with("mlp.gate.weight");
}

void spread(std::span<const TokenStatistics> all, std::vector<float>& logprobs, std::vector<float>* entropies) {
  logprobs.clear();
  if (entropies) entropies->clear();
  for (const TokenStatistics& s : all) {
    logprobs.push_back(s.logprob);
    if (entropies) entropies->push_back(s.entropy);
  }
}

void add(std::span<const double> load, std::vector<double>& total) {
  total.resize(load.size());
  for (size_t i = 0; i < load.size(); ++i) total[i] += load[i];
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

void expect_mtp(const ModelSpec& spec, double mtp_loss_weight) {
  if (mtp_loss_weight != 0 && !spec.mtp)
    throw UsageError("mtp_loss_weight is " + Json(mtp_loss_weight).dump() +
                     ", but the model has no multi-token-prediction layer: set it to 0");
}

void expect_consistent(const LoraConfig& lora, const OptimizerConfig& optimizer, double mtp_loss_weight) {
  if (lora.use_peft && optimizer.router_bias_update_rate > 0)
    throw UsageError("router_bias_update_rate is " + Json(optimizer.router_bias_update_rate).dump() +
                     ", but use_peft leaves all weights but the adapters as they are: set it to 0");
  if (lora.use_peft && mtp_loss_weight != 0)
    throw UsageError("mtp_loss_weight is " + Json(mtp_loss_weight).dump() +
                     ", but use_peft adapts no multi-token-prediction layer: set it to 0");
}

Activations kept_activations(const OptimizerConfig& config, bool has_adapter) {
  return config.gradient_checkpointing.value_or(has_adapter) ? Activations::inputs : Activations::all;
}

int64_t head_bytes(const CausalLM& model, int64_t tokens) {
  const int64_t V = model.spec.vocab, D = model.spec.dim, chunk = std::min(tokens, chunk_rows(model));
  return (chunk * (V + D) + packed_size(D, V) + packed_size(D, 256)) * int64_t(sizeof(float));
}

Learner::Learner(CausalLM& model, const Compute& compute, const OptimizerConfig& config, double temperature,
                 double mtp_loss_weight)
    : mean(trained_values(model).size()),
      variance(trained_values(model).size()),
      gradient(trained_values(model).size()),
      model_(model),
      compute_(compute),
      config_(config),
      temperature_(float(temperature)),
      mtp_loss_weight_(mtp_loss_weight) {
  expect_mtp(model.spec, mtp_loss_weight);
  for (Buffer* b : {&mean, &variance, &gradient}) std::fill_n(b->data(), b->size(), 0.0f);
}

std::vector<Learner::Piece> Learner::pieces() const {
  std::vector<Piece> all;
  for (const ParameterSpec& p : trained_parameters(model_)) {
    if (!p.gradient || (config_.router_policy != "train" && is_router(p))) continue;
    if (!model_.adapter && mtp_loss_weight_ == 0 && p.offset >= model_.spec.main_parameters()) break;
    for (int64_t begin = 0; begin < p.size(); begin += kPiece)
      all.push_back({&p, p.offset + begin, std::min(kPiece, p.size() - begin)});
  }
  return all;
}

KvStore& Learner::kv_for(const CausalLM& model, const MicroBatch& batch, bool training, Activations kept) {
  const bool one_for_all = kept != Activations::all;
  if (!kv_ || kv_->num_blocks < batch.num_blocks || kv_->for_training < training || kv_->one_for_all > one_for_all) {
    const bool for_training = training || (kv_ && kv_->for_training), one = one_for_all && (!kv_ || kv_->one_for_all);
    kv_.reset();  // first: memory for both is in no plan
    kv_ = std::make_unique<KvStore>(model.spec, round_up(batch.num_blocks, 64), for_training, true, one);
  }
  return *kv_;
}

Learner::Head Learner::head_of(const ForwardState& state, const MicroBatch& batch) {
  return {state.hidden_TD.data(), batch.target_row, batch.target_token, batch.target_kept};
}

/// logits_ of targets [begin, end); those of a kept set stand at the beginning of the row.
void Learner::forward_logits(const CausalLM& model, const Head& head, int64_t begin, int64_t end) {
  logits_.resize((end - begin) * model.spec.vocab);
  logits(model, compute_, head.hidden_TD, head.row.data() + begin, end - begin, logits_.data());
  if (head.kept.empty()) return;
  compute_.pool.parallel_for(end - begin, [&](int64_t i) {
    gather_kept(head.kept[size_t(begin + i)], logits_.data() + i * model.spec.vocab);
  });
}

std::vector<TokenStatistics> Learner::statistics(const CausalLM& model, const Head& head) {
  const int64_t N = int64_t(head.row.size()), V = model.spec.vocab, chunk = chunk_rows(model);
  std::vector<TokenStatistics> all(static_cast<size_t>(N));
  for (int64_t begin = 0; begin < N; begin += chunk) {
    int64_t end = std::min(N, begin + chunk);
    forward_logits(model, head, begin, end);
    compute_.pool.parallel_for(end - begin, [&](int64_t i) {
      const size_t n = size_t(begin + i);
      const Choices of = choices(V, head.token[n], head.kept_of(n));
      all[n] = compute_.kernels->token_statistics(logits_.data() + i * V, of.count, temperature_, of.place);
    });
  }
  return all;
}

void Learner::fill_logprobs(const CausalLM& model, MicroBatch& batch, std::vector<float>& logprobs,
                            std::vector<float>* entropies) {
  KvStore& kv = kv_for(model, batch, false, Activations::none);
  forward(model, compute_, batch.rows(), kv, Activations::none, state_);
  cohort::spread(statistics(model, head_of(state_, batch)), logprobs, entropies);
}

void Learner::spread(std::span<const TokenStatistics> all, TokenBatch& batch) const {
  cohort::spread(all, batch.logprobs, &batch.entropies);
  batch.is_top1.clear();
  for (const TokenStatistics& s : all)
    batch.is_top1.push_back(s.logprob == compute_.kernels->token_logprob(s.max, temperature_, s));
}

void Learner::fill_statistics(MicroBatch& batch) {
  KvStore& kv = kv_for(model_, batch, false, Activations::none);
  forward(model_, compute_, batch.rows(), kv, Activations::none, state_);
  spread(statistics(model_, head_of(state_, batch)), batch.loss);
}

Learner::Head Learner::pass_teacher(const CausalLM& teacher, const MicroBatch& batch) {
  if (!teacher_kv_ || teacher_kv_->num_blocks < batch.num_blocks)
    teacher_kv_ = std::make_unique<KvStore>(teacher.spec, round_up(batch.num_blocks, 64), false);
  forward(teacher, compute_, batch.rows(), *teacher_kv_, Activations::none, teacher_state_);
  return head_of(teacher_state_, batch);
}

void Learner::fill_teacher_logprobs(const CausalLM& teacher, MicroBatch& batch) {
  cohort::spread(statistics(teacher, pass_teacher(teacher, batch)), batch.loss.ref_logprobs, nullptr);
}

void Learner::compare(Lesson& lesson, size_t n, int64_t i, std::span<const float> row, std::span<float> gradient) {
  const float* teacher = teacher_logits_.data() + i * lesson.teaching.teacher.spec.vocab;
  lesson.values[n] =
      divergence(lesson.teaching.divergence, *compute_.kernels, {row, {teacher, row.size()}, temperature_}, gradient);
}

/// Adds the gradient of Σ log p · d.logprobs + entropy · d.entropies, and of a lesson's divergences, to d_hidden_TD and
/// to the head's. logits_ holds what statistics() left.
void Learner::head_gradient(const Head& head, std::span<const TokenStatistics> all, const TokenGradient& d,
                            float* d_hidden_TD, Lesson* lesson) {
  const int64_t N = int64_t(head.row.size()), V = model_.spec.vocab, D = model_.spec.dim, chunk = chunk_rows(model_);
  if (model_.adapter)
    pack_transposed(model_, compute_, model_.head, 0, head_t_);
  else
    pack_as_read(model_, compute_, model_.spec.head, D, V, 1, D, head_t_);
  for (int64_t begin = 0; begin < N; begin += chunk) {
    int64_t end = std::min(N, begin + chunk);
    if (N > chunk) forward_logits(model_, head, begin, end);
    if (lesson) {
      const CausalLM& teacher = lesson->teaching.teacher;
      teacher_logits_.resize((end - begin) * teacher.spec.vocab);
      logits(teacher, compute_, lesson->teacher.hidden_TD, head.row.data() + begin, end - begin,
             teacher_logits_.data());
    }
    compute_.pool.parallel_for(end - begin, [&](int64_t i) {
      size_t n = size_t(begin + i);
      float* row = logits_.data() + i * V;
      std::vector<float> towards_teacher(lesson && lesson->mask[n] != 0 ? size_t(V) : 0);
      if (!towards_teacher.empty()) compare(*lesson, n, i, {row, size_t(V)}, towards_teacher);
      const std::span<const int32_t> kept = head.kept_of(n);
      const Choices of = choices(V, head.token[n], kept);
      compute_.kernels->logits_gradient(row, of.count, temperature_, of.place, all[n], d.logprobs[n], d.entropies[n],
                                        row);
      if (!kept.empty()) scatter_kept(kept, {row, size_t(V)});
      if (!towards_teacher.empty())
        compute_.kernels->add_scaled(towards_teacher.data(), float(lesson->teaching.weight * lesson->mask[n]), V, row);
    });
    d_rows_.resize((end - begin) * D);
    gemm(compute_,
         {.a = logits_.data(), .a_row = V, .b = head_t_.data(), .n = D, .k = V, .c = d_rows_.data(), .c_row = D},
         end - begin);
    compute_.pool.parallel_for(ceil_div(D, 16), [&](int64_t c) {  // a row may predict several tokens: in order
      for (int64_t i = 0; i < end - begin; ++i)
        compute_.kernels->add_scaled(d_rows_.data() + i * D + c * 16, 1.0f, std::min<int64_t>(16, D - c * 16),
                                     d_hidden_TD + int64_t(head.row[size_t(begin + i)]) * D + c * 16);
    });
    if (!model_.adapter)
      weight_gradient(compute_, logits_.data(), V, V, head.hidden_TD, D, head.row.data() + begin, D, end - begin,
                      panels_, gradient.data() + model_.spec.head);
  }
}

void Learner::accumulate(MicroBatch& batch, const TokenLoss& loss, const Teaching* teaching) {
  const int64_t T = int64_t(batch.tokens.size()), D = model_.spec.dim;
  const Activations kept = kept_activations(config_, model_.adapter.has_value());
  KvStore& kv = kv_for(model_, batch, true, kept);
  forward(model_, compute_, batch.rows(), kv, kept, state_);
  add(state_.expert_load, expert_load_);
  const Head head = head_of(state_, batch);
  const std::vector<TokenStatistics> all = statistics(model_, head);
  spread(all, batch.loss);
  std::vector<float> d_logprobs(all.size()), d_entropies(all.size());
  const TokenGradient d{d_logprobs, d_entropies};
  stats_.sums.add(loss(batch.loss, d));
  stats_.learner_tokens += T;
  d_hidden_.resize(T * D);
  std::fill_n(d_hidden_.data(), T * D, 0.0f);
  if (teaching) {
    Lesson lesson{*teaching, pass_teacher(teaching->teacher, batch), batch.loss.mask, std::vector<double>(all.size())};
    head_gradient(head, all, d, d_hidden_.data(), &lesson);
    for (size_t n = 0; n < all.size(); ++n)
      stats_.sums.kl += lesson.mask[n] * lesson.values[n],
          stats_.sums.loss += teaching->weight * lesson.mask[n] * lesson.values[n];
  } else {
    head_gradient(head, all, d, d_hidden_.data());
  }
  if (mtp_loss_weight_ != 0) accumulate_mtp(batch);
  backward(model_, compute_, batch.rows(), kv, state_, scratch_, d_hidden_.data(), gradient.data());
}

/// λ times the mean cross-entropy of the tokens after the next one; its gradient of hidden states joins d_hidden_.
void Learner::accumulate_mtp(const MicroBatch& batch) {
  const int64_t T = int64_t(batch.tokens.size()), D = model_.spec.dim;
  if (!mtp_kv_ || mtp_kv_->num_blocks < batch.num_blocks)
    mtp_kv_ = std::make_unique<KvStore>(std::span(&model_.spec.mtp->layer, 1), round_up(batch.num_blocks, 64), true);
  forward_mtp(model_, compute_, batch.rows(), *mtp_kv_, state_, mtp_);
  const std::vector<int64_t>& begin = mtp_.layer.expert_begin;
  std::vector<double> load;
  for (size_t e = 0; e + 1 < begin.size(); ++e) load.push_back(double(begin[e + 1] - begin[e]));
  add(load, mtp_load_);
  const Targets targets = mtp_targets(batch);
  const Head head{mtp_.hidden_TD.data(), targets.row, targets.token};
  const std::vector<TokenStatistics> all = statistics(model_, head);
  for (const TokenStatistics& s : all) stats_.mtp_loss -= s.logprob / num_mtp_targets_;
  std::vector<float> d_logprobs(all.size(), float(-mtp_loss_weight_ / num_mtp_targets_)), d_entropies(all.size());
  d_mtp_.resize(T * D);
  std::fill_n(d_mtp_.data(), T * D, 0.0f);
  head_gradient(head, all, {d_logprobs, d_entropies}, d_mtp_.data());
  backward_mtp(model_, compute_, batch.rows(), *mtp_kv_, state_, mtp_, scratch_, d_mtp_.data(), d_hidden_.data(),
               gradient.data());
}

void Learner::dry_step(MicroBatch& batch) {
  stats_ = {};
  accumulate(batch, [](const TokenBatch&, const TokenGradient&) { return LossSums{}; });
}

void Learner::begin_step() {
  stats_ = {};
  std::fill_n(gradient.data(), gradient.size(), 0.0f);
  expert_load_.clear(), mtp_load_.clear(), num_mtp_targets_ = 0;
}

void Learner::pass(MicroBatch& batch, const TokenLoss& loss) {
  accumulate(batch, loss);
}

/// Its norm, and that of the loss.
void Learner::finish_gradient(int64_t max_steps, double divisor) {
  std::vector<Piece> all = pieces();
  std::vector<double> squares(all.size());
  compute_.pool.parallel_for(int64_t(all.size()), [&](int64_t i) {
    float* values = gradient.data() + all[size_t(i)].offset;
    const int64_t size = all[size_t(i)].size;
    if (divisor != 1)
      for (int64_t j = 0; j < size; ++j) values[j] *= float(1 / divisor);
    squares[size_t(i)] = compute_.kernels->sum_of_squares(values, size);
  });
  double total = 0;
  for (double s : squares) total += s;
  stats_.sums.loss /= divisor, stats_.sums.policy_loss /= divisor;
  stats_.grad_norm = std::sqrt(total);
  stats_.learning_rate = learning_rate_at(config_, model_.version, max_steps);
  stats_.is_skipped = !std::isfinite(stats_.grad_norm) || !std::isfinite(stats_.sums.loss);
}

void Learner::update(const StepStats& stats, std::span<const double> expert_load) {
  apply(stats);
  if (config_.router_bias_update_rate > 0 && config_.router_policy != "freeze")
    balance_routers(expert_load.empty() ? expert_load_ : expert_load);
  repack(model_, compute_);
  ++model_.version;
}

StepStats Learner::step(std::span<MicroBatch> batches, const TokenLoss& loss, int64_t max_steps,
                        std::span<const double> expert_load, const Teaching* teaching) {
  begin_step();
  if (mtp_loss_weight_ != 0)
    for (const MicroBatch& batch : batches) num_mtp_targets_ += double(mtp_targets(batch).row.size());
  for (MicroBatch& batch : batches) accumulate(batch, loss, teaching);
  finish_gradient(max_steps, 1);
  if (stats_.is_skipped)
    throw std::runtime_error("the " + std::string(std::isfinite(stats_.grad_norm) ? "loss" : "gradient") + " of step " +
                             std::to_string(step() + 1) +
                             " is not finite: lower learning_rate, and start a run whose model is a checkpoint from "
                             "before the weights ran away");
  update(stats_, expert_load);
  return stats_;
}

StepStats Learner::end_step(int64_t max_steps, std::span<const double> expert_load, double divisor) {
  finish_gradient(max_steps, divisor);
  if (stats_.is_skipped)
    ++model_.version, ++skipped_steps;
  else
    update(stats_, expert_load);
  return stats_;
}

/// Decoupled AdamW (arXiv 1711.05101) over the flat parameters, gradients scaled down to max_grad_norm.
void Learner::apply(const StepStats& stats) {
  double scale = config_.max_grad_norm > 0 && stats.grad_norm > config_.max_grad_norm
                     ? config_.max_grad_norm / (stats.grad_norm + 1e-6)
                     : 1.0;
  double count = double(model_.version + 1 - skipped_steps);
  AdamW update{.learning_rate = float(stats.learning_rate),
               .beta1 = float(config_.adam_beta1),
               .beta2 = float(config_.adam_beta2),
               .epsilon = float(config_.adam_epsilon),
               .weight_decay = float(config_.weight_decay),
               .correction1 = float(1 - std::pow(config_.adam_beta1, count)),
               .correction2 = float(1 - std::pow(config_.adam_beta2, count)),
               .gradient_scale = float(scale)};
  std::vector<Piece> all = pieces();
  compute_.pool.parallel_for(int64_t(all.size()), [&](int64_t i) {
    const Piece& piece = all[size_t(i)];
    AdamW own = update;
    if (piece.parameter->shape.size() < 2) own.weight_decay = 0;
    compute_.kernels->adamw(trained_values(model_).data() + piece.offset, mean.data() + piece.offset,
                            variance.data() + piece.offset, gradient.data() + piece.offset, piece.size, own);
  });
}

void Learner::balance_routers(std::span<const double> load) {
  size_t at = 0;
  for (const LayerSpec& layer : model_.spec.layers) {
    if (layer.dense_dim) continue;
    const size_t E = size_t(layer.moe.experts);
    if (at + E > load.size()) return;
    move_bias(layer, load.subspan(at, E));
    at += E;
  }
  if (!mtp_load_.empty()) move_bias(model_.spec.mtp->layer, mtp_load_);
}

/// b_e += γ · sign(mean load − load_e) (arXiv 2408.15664).
void Learner::move_bias(const LayerSpec& layer, std::span<const double> load) {
  const size_t E = load.size();
  double mean_load = 0;
  for (size_t e = 0; e < E; ++e) mean_load += load[e] / double(E);
  for (size_t e = 0; e < E; ++e) {
    double gap = mean_load - load[e];
    *model_.at(layer.offsets.router_bias + int64_t(e)) +=
        float(config_.router_bias_update_rate * double((gap > 0) - (gap < 0)));
  }
}

}  // namespace cohort
