#include "rollout/collect.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "configs/error.h"
#include "policy/kernels/philox.h"
#include "policy/text/chat_template.h"
#include "tasks/task_json.h"

namespace cohort {

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const Messages& prompt) {
  if (!is_chat(prompt)) return tokenizer.encode(prompt.at(0).content, true);
  Json messages = Json::array();
  for (const Message& m : prompt) messages.push_back({{"role", m.role}, {"content", m.content}});
  return tokenizer.encode(render_chat(tokenizer, messages, true));
}

uint64_t request_seed(uint64_t run_seed, int64_t step, std::span<const int32_t> prompt, int64_t repeats) {
  std::array<uint32_t, 2> key = {uint32_t(run_seed), uint32_t(run_seed >> 32)};
  auto mix = [&](uint32_t word, uint32_t kind) {
    auto bits = philox({word, kind, 0x73656564u, 0}, key);
    key = {bits[0], bits[1]};
  };
  mix(uint32_t(step), 1), mix(uint32_t(repeats), 2);
  for (int32_t id : prompt) mix(uint32_t(id), 3);
  return (uint64_t(key[1] & 0x1FFFFFu) << 32) | key[0];  // below 2^53: exact in JSON everywhere
}

void expect_no_own_reward(const Task& task) {
  if (!task.reward.is_null())
    throw MissingError("task " + task.id + " has a reward of its own, " + task.reward.dump() +
                       ", which is not available yet: drop the column and name the reward for all tasks");
}

void judge(const Scorer& scorer, Group& group, int64_t step, int64_t max_steps) {
  std::vector<Judged> batch;
  for (const Rollout& r : group.rollouts)
    batch.push_back(
        {&group.task, r.text, r.completion.tokens, r.completion.finish == FinishReason::length, step, max_steps});
  std::vector<Score> scores = scorer.judge(batch);
  for (size_t i = 0; i < scores.size(); ++i) group.rollouts[i].score = std::move(scores[i]);
}

static Group group_of(const Task& task, Finished finished) {
  Group group{.task = task, .prompt = std::move(finished.request.prompt), .policy_version = finished.policy_version};
  group.expert_load = std::move(finished.expert_load);
  for (size_t i = 0; i < finished.completions.size(); ++i)
    group.rollouts.push_back({.completion = std::move(finished.completions[i]), .text = std::move(finished.texts[i])});
  return group;
}

/// Verdicts on another form of the task, or of a verifier that failed, are passed anew.
static bool is_out_of_date(const Group& kept, const Task& task) {
  return to_json(kept.task) != to_json(task) ||
         std::any_of(kept.rollouts.begin(), kept.rollouts.end(), [](const Rollout& r) { return has_error(r.score); });
}

std::vector<std::vector<int32_t>> EarlierCompletions::of(const std::vector<int32_t>& prompt) const {
  const auto found = by_prompt_.find(prompt);
  return found == by_prompt_.end() ? std::vector<std::vector<int32_t>>() : found->second;
}

void EarlierCompletions::remember(const Group& group) {
  std::vector<std::vector<int32_t>>& kept = by_prompt_[group.prompt];
  for (const std::vector<int32_t>& old : kept) tokens_ -= int64_t(old.size());
  kept.clear();
  for (const Rollout& rollout : group.rollouts) {
    const auto length = int64_t(rollout.completion.tokens.size());
    if (tokens_ + length > kMostTokens) continue;
    tokens_ += length;
    kept.push_back(rollout.completion.tokens);
  }
}

namespace {

/// Finishes what comes on threads of its own, so that decoding goes on while verifiers run; without threads at once.
class Finishing {
 public:
  Finishing(int num_threads, std::function<void(int64_t)> finish) : finish_(std::move(finish)) {
    for (int t = 0; t < num_threads; ++t) threads_.emplace_back([this] { work(); });
  }
  ~Finishing() { close(true); }

  /// Throws what a thread threw.
  void push(int64_t index) {
    if (threads_.empty()) return finish_(index);
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    waiting_.push_back(index);
    changed_.notify_one();
  }
  /// Returns when all is finished. Throws what a thread threw.
  void wait() {
    close(false);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void close(bool gives_up) {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      if (gives_up) waiting_.clear();
    }
    changed_.notify_all();
    threads_.clear();  // joins
  }
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
      if (waiting_.empty() || error_) return;
      const int64_t index = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      std::exception_ptr error;
      try {
        finish_(index);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && !error_) error_ = error;
    }
  }

  std::function<void(int64_t)> finish_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<int64_t> waiting_;
  std::exception_ptr error_;
  bool closed_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace

std::vector<Group> collect(Engine& engine, const CausalLM& model, const Tokenizer& tokenizer, const Scorer* scorer,
                           const CollectJob& job, const GroupStore& store,
                           const std::function<void(int64_t)>& progress) {
  std::vector<Group> groups(job.tasks.size());
  PromptCounts none_before;
  PromptCounts& seen = job.counts ? *job.counts : none_before;
  int64_t done = 0;
  for (size_t i = 0; i < job.tasks.size(); ++i) {
    std::vector<int32_t> prompt = encode_prompt(tokenizer, job.tasks[i].prompt);
    uint64_t seed = request_seed(job.seed, job.step, prompt, seen[prompt]++);
    if (store.find) {
      std::optional<Group> kept = store.find(job.first_index + int64_t(i));
      if (kept && kept->prompt == prompt && !kept->rollouts.empty() && kept->rollouts[0].completion.seed == seed) {
        if (scorer && is_out_of_date(*kept, job.tasks[i])) {
          kept->task = job.tasks[i];
          judge(*scorer, *kept, std::max<int64_t>(0, job.step), job.max_steps);
          store.keep(job.first_index + int64_t(i), *kept);
        }
        groups[i] = std::move(*kept);
        if (job.complete) job.complete(job.first_index + int64_t(i), groups[i]);
        ++done;
        continue;
      }
    }
    std::vector<std::vector<int32_t>> drafts;
    if (job.earlier) drafts = job.earlier->of(prompt);
    std::vector<int32_t> stop_ids = model.spec.stop_ids;
    stop_ids.insert(stop_ids.end(), job.sampling.stop_token_ids.begin(), job.sampling.stop_token_ids.end());
    engine.submit({.id = int64_t(i),
                   .prompt = std::move(prompt),
                   .num_completions = job.num_generations,
                   .seed = seed,
                   .sampling = job.sampling,
                   .stop_ids = std::move(stop_ids),
                   .drafts = std::move(drafts)});
  }
  std::mutex mutex;
  const auto finish = [&](int64_t i) {
    Group& group = groups[size_t(i)];
    if (scorer) judge(*scorer, group, std::max<int64_t>(0, job.step), job.max_steps);
    const std::lock_guard lock(mutex);
    if (store.keep) store.keep(job.first_index + i, group);
    if (job.earlier) job.earlier->remember(group);
    if (job.complete) job.complete(job.first_index + i, group);
    if (progress) progress(++done);
  };
  Finishing finishing(scorer ? scorer->num_workers() : 0, finish);
  while (std::optional<Finished> finished = engine.next_completed()) {
    const int64_t i = finished->request.id;
    groups[size_t(i)] = group_of(job.tasks[size_t(i)], std::move(*finished));
    finishing.push(i);
  }
  finishing.wait();
  return groups;
}

}  // namespace cohort
