#include "grpo/sampling/prompt_filter.h"

#include <cstdio>

#include "configs/error.h"
#include "rollout/collect.h"

namespace cohort {
namespace {

constexpr int64_t kFar = int64_t{1} << 32;  // between an endless stream's task and the one that may take its place
constexpr int kMostTries = 1000;

bool fits(const Task& task, const Tokenizer& tokenizer, int64_t room) {
  return int64_t(encode_prompt(tokenizer, task.prompt).size()) <= room;
}

[[noreturn]] void refuse(const std::string& name, int64_t room) {
  throw UsageError(name + ": no prompt has at most " + std::to_string(room) +
                   " tokens, which max_prompt_length and the model's context leave (filter_overlong_prompts)");
}

void tell(const std::string& name, int64_t left_out, int64_t all, int64_t room) {
  std::fprintf(stderr, "cohort: %s: %lld of %lld prompts have more than %lld tokens and are left out\n", name.c_str(),
               static_cast<long long>(left_out), static_cast<long long>(all), static_cast<long long>(room));
}

void filter_finite(Stream<Task>& stream, const Tokenizer& tokenizer, int64_t room) {
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < *stream.size; ++i)
    if (fits(stream.at(i), tokenizer, room)) kept.push_back(i);
  tell(stream.name, *stream.size - int64_t(kept.size()), *stream.size, room);
  if (kept.empty()) refuse(stream.name, room);
  stream.size = int64_t(kept.size());
  stream.at = [at = std::move(stream.at), kept = std::move(kept)](int64_t index) { return at(kept.at(size_t(index))); };
}

void filter_endless(Stream<Task>& stream, const Tokenizer& tokenizer, int64_t room) {
  stream.at = [at = std::move(stream.at), name = stream.name, &tokenizer, room](int64_t index) {
    for (int tries = 0; tries < kMostTries; ++tries)
      if (Task task = at(index + tries * kFar); fits(task, tokenizer, room)) return task;
    refuse(name, room);
  };
}

}  // namespace

std::vector<Stream<Task>> without_long_prompts(std::vector<Stream<Task>> streams, const Tokenizer& tokenizer,
                                               int64_t room) {
  for (Stream<Task>& stream : streams) {
    stream.size ? filter_finite(stream, tokenizer, room) : filter_endless(stream, tokenizer, room);
    stream.digest += ", prompts of at most " + std::to_string(room) + " tokens";
  }
  return streams;
}

std::vector<Task> without_long_prompts(std::vector<Task> tasks, const Tokenizer& tokenizer, int64_t room) {
  const int64_t all = int64_t(tasks.size());
  const int64_t left_out =
      int64_t(std::erase_if(tasks, [&](const Task& task) { return !fits(task, tokenizer, room); }));
  if (all > 0) tell("eval_tasks", left_out, all, room);
  if (all > 0 && tasks.empty()) refuse("eval_tasks", room);
  return tasks;
}

}  // namespace cohort
