// The learner's pass with a teacher: against autograd over plain operations, and unmoved by how work is cut up.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "grpo/learner.h"
#include "policy/reference.h"
#include "tests/grpo/autograd.h"
#include "tests/grpo/tiny_groups.h"

namespace cohort {
namespace {

constexpr double kTemperature = 0.9;  // of StillLearner

struct Outcome {
  StepStats stats;
  std::vector<float> gradient;
};

/// No TokenLoss: it leaves zeros.
LossSums nothing(const TokenBatch&, const TokenGradient&) {
  return {};
}

Outcome taught(StillLearner& still, const CausalLM& teacher, std::span<const Group> groups,
               const DivergenceConfig& divergence, const PackConfig& pack_config = {}) {
  std::vector<MicroBatch> batches = pack(groups, pack_config, Keep::all);
  const Teaching teaching{teacher, divergence, 1 / loss_scale(groups, pack_config, 24).num_tokens};
  const StepStats stats = still.learner.step(batches, nothing, 10, {}, &teaching);
  return {stats, copy_of(still.learner.gradient)};
}

/// A student and a teacher of another shape.
struct Pair {
  Json student, teacher;
};
std::vector<Pair> pairs() {
  return {{tiny_llama(), tiny_deepseek(24)}, {tiny_deepseek(24), tiny_llama(false)}};
}

CausalLM teacher_of(const Pair& pair, const Compute& compute) {
  return random_model(pair.teacher, compute, 5);
}

/// Two tokens that the student did not choose do not count.
std::vector<Group> groups_with_masked_tokens() {
  std::vector<Group> groups = tiny_groups();
  Completion& c = groups[0].rollouts[2].completion;
  c.loss_mask.assign(c.tokens.size(), 1);
  c.loss_mask[4] = c.loss_mask[11] = 0;
  return groups;
}

/// GKD eq. 1 over rows [N, V] of log p and log q, each row's sum.
at::Tensor generalised_jsd(double beta, const at::Tensor& p, const at::Tensor& q) {
  const auto kl = [](const at::Tensor& a, const at::Tensor& b) { return (a.exp() * (a - b)).sum(-1); };
  if (beta == 0) return kl(q, p);
  if (beta == 1) return kl(p, q);
  const at::Tensor m = ((1 - beta) * p.exp() + beta * q.exp()).log();
  return beta * kl(q, m) + (1 - beta) * kl(p, m);
}

/// The teacher's `k` most likely tokens and all others as one more.
at::Tensor with_tail(const at::Tensor& logprobs, const at::Tensor& ids) {
  const at::Tensor inside = logprobs.gather(1, ids);
  return at::cat({inside, at::log1p(-inside.exp().sum(-1, true))}, 1);
}

/// Σ of the divergences behind learned tokens, on the plain models in double.
template <class Divergence>
at::Tensor plain_sum(const ModelSpec& student_spec, const at::Tensor& student, const CausalLM& teacher,
                     std::span<const Group> groups, Divergence divergence) {
  const at::Tensor theirs = parameter_tensor(teacher).detach().to(at::kDouble);
  at::Tensor total = at::zeros({}, at::kDouble);
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) {
      std::vector<int32_t> ids = group.prompt;
      ids.insert(ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
      const int64_t P = int64_t(group.prompt.size()), R = int64_t(r.completion.tokens.size());
      const auto behind = [&](const ModelSpec& spec, const at::Tensor& weights) {
        return reference_distributions(spec, weights, ids, kTemperature).narrow(0, P - 1, R);
      };
      const at::Tensor each = divergence(behind(student_spec, student), behind(teacher.spec, theirs), r.completion);
      for (int64_t t = 0; t < R; ++t)
        if (r.completion.loss_mask.empty() || r.completion.loss_mask[size_t(t)]) total = total + each[t];
    }
  return total;
}

TEST(Distillation, LossAndGradientAreThoseOfAutograd) {
  at::set_num_threads(1);
  for (const Pair& pair : pairs())
    for (double beta : {0.0, 0.3, 1.0}) {
      StillLearner still(pair.student);
      const CausalLM teacher = teacher_of(pair, still.compute);
      const std::vector<Group> groups = groups_with_masked_tokens();
      const Outcome ours = taught(still, teacher, groups, {.beta = beta}, {.max_tokens_per_batch = 64});
      at::Tensor parameters = parameter_tensor(still.model);
      const at::Tensor total = plain_sum(still.model.spec, parameters.to(at::kDouble), teacher, groups,
                                         [&](const at::Tensor& p, const at::Tensor& q, const Completion&) {
                                           return generalised_jsd(beta, p, q);
                                         }) /
                               115;
      total.backward();
      EXPECT_GT(total.item<double>(), 0.1);
      EXPECT_NEAR(ours.stats.sums.loss, total.item<double>(), 1e-5);
      EXPECT_NEAR(ours.stats.sums.kl / 115, total.item<double>(), 1e-5);
      expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
    }
}

TEST(Distillation, OfTheTeachersMostLikelyTokensTheGradientIsThatOfAutograd) {
  at::set_num_threads(1);
  const Pair pair = pairs()[0];
  StillLearner still(pair.student);
  const CausalLM teacher = teacher_of(pair, still.compute);
  const std::vector<Group> groups = tiny_groups();
  const Outcome ours = taught(still, teacher, groups, {.beta = 0, .loss_top_k = 5});
  at::Tensor parameters = parameter_tensor(still.model);
  const at::Tensor total = plain_sum(still.model.spec, parameters.to(at::kDouble), teacher, groups,
                                     [&](const at::Tensor& p, const at::Tensor& q, const Completion&) {
                                       const at::Tensor likely = std::get<1>(q.topk(5, -1));
                                       return generalised_jsd(0, with_tail(p, likely), with_tail(q, likely));
                                     }) /
                           117;
  total.backward();
  EXPECT_NEAR(ours.stats.sums.loss, total.item<double>(), 1e-5);
  expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
}

/// As the on-policy run mixes them: (1 − w) · GRPO + w · divergence.
TEST(Distillation, MixedWithGrpoTheGradientIsThatOfAutograd) {
  at::set_num_threads(1);
  for (const Pair& pair : pairs()) {
    StillLearner still(pair.student);
    const CausalLM teacher = teacher_of(pair, still.compute);
    std::vector<Group> groups = tiny_groups();
    store_logprobs(groups, still.learner, 0);
    const double w = 0.7;
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 64}, Keep::all);
    const LossScale scale = loss_scale(groups, {}, 24);
    const Teaching teaching{teacher, {.beta = 1}, w / scale.num_tokens};
    const StepStats stats = still.learner.step(
        batches,
        [&](const TokenBatch& b, const TokenGradient& d) {
          LossSums sums = grpo_loss({.loss_type = "dapo"}, b, scale, d);
          for (float& g : d.logprobs) g *= float(1 - w);
          sums.loss *= 1 - w;
          return sums;
        },
        10, {}, &teaching);
    at::Tensor parameters = parameter_tensor(still.model), wide = parameters.to(at::kDouble);
    at::Tensor total = w * plain_sum(still.model.spec, wide, teacher, groups,
                                     [](const at::Tensor& p, const at::Tensor& q, const Completion&) {
                                       return generalised_jsd(1, p, q);
                                     });
    for (const Group& group : groups)
      for (const Rollout& r : group.rollouts) {
        std::vector<int32_t> ids = group.prompt;
        ids.insert(ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
        const at::Tensor logprobs =
            reference_logprobs(still.model.spec, wide, ids, kTemperature)
                .narrow(0, int64_t(group.prompt.size()) - 1, int64_t(ids.size() - group.prompt.size()));
        total = total - (1 - w) * ((logprobs - logprobs.detach()).exp() * r.advantage).sum();
      }
    total = total / scale.num_tokens;
    total.backward();
    EXPECT_NEAR(stats.sums.loss, total.item<double>(), 1e-5);
    expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
  }
}

/// The gradient of sampled_kl_loss with the teacher's log-probabilities of the tokens alone.
TEST(Distillation, SampledKlGradientIsThatOfAutograd) {
  at::set_num_threads(1);
  for (const Pair& pair : pairs()) {
    StillLearner still(pair.student);
    const CausalLM teacher = teacher_of(pair, still.compute);
    const std::vector<Group> groups = tiny_groups();
    std::vector<MicroBatch> batches = pack(groups, {.max_tokens_per_batch = 64}, Keep::all);
    for (MicroBatch& batch : batches) still.learner.fill_teacher_logprobs(teacher, batch);
    const LossScale scale = loss_scale(groups, {}, 24);
    const StepStats stats = still.learner.step(
        batches, [&](const TokenBatch& b, const TokenGradient& d) { return sampled_kl_loss(b, scale, d.logprobs); },
        10);
    at::Tensor parameters = parameter_tensor(still.model);
    const at::Tensor total =
        plain_sum(still.model.spec, parameters.to(at::kDouble), teacher, groups,
                  [](const at::Tensor& p, const at::Tensor& q, const Completion& c) {
                    const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(c.tokens)).to(at::kLong).unsqueeze(1);
                    const at::Tensor ours = p.gather(1, ids).squeeze(1), theirs = q.gather(1, ids).squeeze(1);
                    return (ours - theirs).detach() * ours;
                  }) /
        117;
    total.backward();
    EXPECT_NEAR(stats.sums.loss, total.item<double>(), 1e-5);
    EXPECT_NE(stats.sums.kl, 0);
    expect_same_gradient(still.model, still.learner.gradient, parameters.grad());
  }
}

TEST(Distillation, PackingChangesNeitherLossNorGradient) {
  for (const Pair& pair : pairs()) {
    StillLearner still(pair.student);
    const CausalLM teacher = teacher_of(pair, still.compute);
    const std::vector<Group> groups = groups_with_masked_tokens();
    for (const DivergenceConfig& divergence : {DivergenceConfig{.beta = 0.5}, {.beta = 1, .loss_top_k = 4}}) {
      const Outcome whole = taught(still, teacher, groups, divergence, {.max_tokens_per_batch = 1 << 20});
      for (int64_t tokens : {1, 40, 100}) {
        const Outcome parts = taught(still, teacher, groups, divergence, {.max_tokens_per_batch = tokens});
        EXPECT_LT(relative_difference(parts.gradient, whole.gradient), 1e-5);
        EXPECT_NEAR(parts.stats.sums.loss, whole.stats.sums.loss, 1e-12);
      }
    }
  }
}

/// A vocabulary so large that the head passes the rows in chunks.
TEST(Distillation, ChunksOfTheHeadChangeNeitherLossNorGradient) {
  Json student = tiny_llama();
  student["vocab_size"] = 1 << 17, student["hidden_size"] = 24;
  Json teacher_config = tiny_deepseek();
  teacher_config["vocab_size"] = (1 << 17) + 128;  // padded further
  StillLearner still(student);
  const CausalLM teacher = random_model(teacher_config, still.compute, 5);
  const std::vector<Group> groups = tiny_groups();
  const Outcome chunked = taught(still, teacher, groups, {.beta = 1}, {.max_tokens_per_batch = 1 << 20}),
                alone = taught(still, teacher, groups, {.beta = 1}, {.max_tokens_per_batch = 1});
  EXPECT_NEAR(chunked.stats.sums.loss, alone.stats.sums.loss, 1e-12);
  EXPECT_LT(relative_difference(chunked.gradient, alone.gradient), 1e-5);
}

TEST(Distillation, ThreadsAndGradientCheckpointingChangeNoBit) {
  for (const Pair& pair : pairs()) {
    std::vector<std::vector<float>> gradients;
    std::vector<double> losses;
    for (const auto& [threads, checkpointing] : {std::pair(1, false), std::pair(3, false), std::pair(2, true)}) {
      StillLearner still(pair.student, threads, checkpointing);
      const CausalLM teacher = teacher_of(pair, still.compute);
      const Outcome o = taught(still, teacher, tiny_groups(), {.beta = 0.4}, {.max_tokens_per_batch = 64});
      gradients.push_back(o.gradient), losses.push_back(o.stats.sums.loss);
    }
    for (size_t i : {1, 2}) EXPECT_TRUE(gradients[i] == gradients[0] && losses[i] == losses[0]);
  }
}

/// The student is its own teacher.
TEST(Distillation, NothingIsLearnedFromOneself) {
  StillLearner still(tiny_deepseek(24));
  for (double beta : {0.0, 0.5, 1.0}) {
    const Outcome o = taught(still, still.model, tiny_groups(), {.beta = beta});
    EXPECT_NEAR(o.stats.sums.loss, 0, 1e-9);
    EXPECT_LT(o.stats.grad_norm, 1e-5);
  }
}

}  // namespace
}  // namespace cohort
