// What each idea of the learner (engine.md, section 3) is worth: the same update with it and without it, by turns.
//   ninja -C build learner_ideas && build/learner_ideas [MODEL [PROMPTS GENERATIONS PROMPT_LENGTH COMPLETION_LENGTH]]
// Completions are a quarter of the longest to the longest, evenly; every other group has equal rewards.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "configs/error.h"
#include "grpo/bench/bench.h"
#include "grpo/learner.h"

namespace cohort {
namespace {

constexpr int kRounds = 5;

struct Shape {
  int64_t prompts = 8, generations = 8, prompt_length = 128, completion_length = 200;
};

std::vector<Group> make_groups(const Shape& shape, int32_t vocab) {
  int32_t next = 0;
  const auto ids = [&](int64_t count) {
    std::vector<int32_t> all;
    for (int64_t i = 0; i < count; ++i) all.push_back(next = (next * 31 + 7) % vocab);
    return all;
  };
  std::vector<Group> groups;
  for (int64_t g = 0; g < shape.prompts; ++g) {
    Group& group = groups.emplace_back();
    group.prompt = ids(shape.prompt_length);
    for (int64_t i = 0; i < shape.generations; ++i) {
      const int64_t shortest = shape.completion_length / 4,
                    length = shortest + (shape.completion_length - shortest) * (i + 1) / shape.generations;
      Rollout& rollout = group.rollouts.emplace_back();
      rollout.completion.tokens = ids(length);
      rollout.completion.logprobs.assign(size_t(length), 0.0f);
      rollout.advantage = g % 2 ? 0.0f : i % 2 ? 1.0f : -1.0f;
    }
  }
  return groups;
}

/// Each completion with a prompt of its own.
std::vector<Group> apart(std::span<const Group> groups) {
  std::vector<Group> all;
  for (const Group& group : groups)
    for (const Rollout& rollout : group.rollouts) all.push_back({.prompt = group.prompt, .rollouts = {rollout}});
  return all;
}

/// Completions filled up to the longest with tokens that do not count.
std::vector<Group> padded(std::vector<Group> groups, int64_t length) {
  for (Group& group : groups)
    for (Rollout& rollout : group.rollouts) {
      Completion& c = rollout.completion;
      c.loss_mask.assign(c.tokens.size(), 1), c.loss_mask.resize(size_t(length), 0);
      c.tokens.resize(size_t(length), 0), c.logprobs.resize(size_t(length), 0);
    }
  return groups;
}

double seconds_of(const std::function<void()>& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Medians of both, taking turns.
void compare(const char* idea, const std::function<void()>& with, const std::function<void()>& without) {
  std::vector<double> a, b;
  with(), without();
  for (int i = 0; i < kRounds; ++i) a.push_back(seconds_of(with)), b.push_back(seconds_of(without));
  std::printf("%-58s %9.3f s  without %9.3f s  %6.2f times\n", idea, median(a), median(b), median(b) / median(a));
  std::fflush(stdout);
}

void learn(Learner& learner, std::span<const Group> groups, Keep keep = Keep::all) {
  std::vector<MicroBatch> batches = pack(groups, {}, keep);
  const LossScale scale = loss_scale(groups, {}, 0);
  learner.step(
      batches,
      [&](const TokenBatch& batch, const TokenGradient& d) { return cross_entropy_loss(batch, scale, d.logprobs); },
      1 << 20);
}

/// AdamW in the operations of LibTorch, one parameter tensor after another.
struct PlainAdamW {
  std::vector<at::Tensor> values, gradients, means, variances;
  explicit PlainAdamW(const ModelSpec& spec) {
    for (const ParameterSpec& p : spec.parameters)
      for (auto* all : {&values, &gradients, &means, &variances})
        all->push_back(at::full(at::IntArrayRef(p.shape), 1e-3, at::kFloat));
  }
  void step() {
    at::Tensor squares = at::zeros({});
    for (const at::Tensor& g : gradients) squares += g.square().sum();
    const double scale = std::min(1.0, 1.0 / (squares.sqrt().item<double>() + 1e-6));
    for (size_t i = 0; i < values.size(); ++i) {
      gradients[i].mul_(scale);
      means[i].mul_(0.9).add_(gradients[i], 0.1);
      variances[i].mul_(0.999).addcmul_(gradients[i], gradients[i], 0.001);
      values[i].addcdiv_(means[i], variances[i].sqrt().add_(1e-8), -1e-6);
    }
  }
};

void measure(const std::string& model, const Shape& shape) {
  const Compute compute(usable_cores());
  at::set_num_threads(compute.pool.num_threads());
  LoadedModel loaded = load_model(model, compute);
  extend_rope(loaded.model, shape.prompt_length + shape.completion_length);
  const ModelSpec& spec = loaded.model.spec;
  Learner learner(loaded.model, compute, {}, 1.0);
  const std::vector<Group> groups = make_groups(shape, spec.vocab), own_prompts = apart(groups),
                           long_ones = padded(groups, shape.completion_length);
  std::printf("%s, %lld x %lld completions, %lld + up to %lld tokens, %d threads\n", model.c_str(),
              (long long)shape.prompts, (long long)shape.generations, (long long)shape.prompt_length,
              (long long)shape.completion_length, compute.pool.num_threads());
  compare(
      "the prompt once for all completions of its group", [&] { learn(learner, groups); },
      [&] { learn(learner, own_prompts); });
  compare(
      "rows packed without padding", [&] { learn(learner, groups); }, [&] { learn(learner, long_ones); });
  compare(
      "groups without signal dropped, every other one", [&] { learn(learner, groups, Keep::with_signal); },
      [&] { learn(learner, groups); });
  {
    LoadedModel other = load_model(model, compute);
    extend_rope(other.model, shape.prompt_length + shape.completion_length);
    Learner frugal(other.model, compute, {.gradient_checkpointing = true}, 1.0);
    compare(
        "activations kept, not computed again (checkpointing)", [&] { learn(learner, groups); },
        [&] { learn(frugal, groups); });
  }
  PlainAdamW plain(spec);
  compare(
      "one fused AdamW over flat buffers, norm and repacking too", [&] { learn(learner, {}); }, [&] { plain.step(); });
  int64_t targets = 0;
  for (const MicroBatch& batch : pack(groups, {}, Keep::all))
    targets = std::max(targets, int64_t(batch.target_row.size()));
  const double packed = double(head_bytes(loaded.model, 0)),
               whole = packed + 2.0 * double(targets) * spec.vocab * sizeof(float),
               chunked = double(head_bytes(loaded.model, targets));
  std::printf("%-58s %9.1f MB without %9.1f MB %6.2f times\n", "head in chunks, no [T, V] of logits and gradients",
              chunked / 1e6, whole / 1e6, whole / chunked);
}

}  // namespace
}  // namespace cohort

int main(int argc, char** argv) try {
  cohort::Shape shape;
  if (argc == 6) shape = {std::stoll(argv[2]), std::stoll(argv[3]), std::stoll(argv[4]), std::stoll(argv[5])};
  cohort::measure(argc > 1 ? argv[1] : cohort::kBenchModel, shape);
} catch (const cohort::UsageError& error) {
  std::fprintf(stderr, "learner_ideas: %s\n", error.what());
  return 2;
}
