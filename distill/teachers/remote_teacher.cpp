// A teacher behind an OpenAI-compatible API: threads ask for prompts in the order of the run, one piece ahead of the
// one that is judged; what comes is read back from the log, so that a resumed run and one that nobody disturbed see the
// same.
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "distill/teachers/openai.h"
#include "distill/teachers/response_log.h"
#include "distill/teachers/teacher.h"
#include "tasks/random.h"

namespace cohort {
namespace {

/// Completions [first, first + count) of a prompt.
struct Asked {
  int32_t first = 0, count = 0;
  uint64_t seed = 0;
};

/// One prompt of the run and what was answered of it.
struct Prompt {
  std::vector<std::pair<Asked, ResponseLog::Place>> responses;
  int32_t num_completions = 0;
  bool is_over = false;  // all are there, or the budget is spent
};

class RemoteTeacher : public Teacher {
 public:
  RemoteTeacher(const DistillConfig& config, std::span<const Task> tasks, const Tokenizer& counter,
                const std::filesystem::path& log)
      : config_(config),
        tasks_(tasks),
        counter_(counter),
        server_(openai::expect_server(config.teacher, config.remote)),
        log_(log),
        prompts_(tasks.size()) {
    for (size_t i = 0; i < prompts_.size(); ++i) take_up(i);
  }
  ~RemoteTeacher() override { stop(); }

  std::vector<Answers> answer(int64_t piece, const TeacherProgress& progress) override {
    const auto [first, count] = piece_of(config_, piece);
    start(size_t(first), size_t(first + count) + size_t(config_.prompts_per_step));
    wait_for(size_t(first), size_t(first + count), progress);
    std::vector<Answers> answers;
    for (int64_t i = first; i < first + count; ++i) answers.push_back(answers_of(size_t(i)));
    return answers;
  }

 private:
  Asked next_of(size_t i) const {
    const int32_t first = prompts_[i].num_completions, most = config_.remote.completions_per_request;
    const int32_t missing = config_.num_generations - first;
    const uint64_t seed = RandomStream(config_.seed, i).next() >> 34;  // below 2^30
    return {first, most > 0 ? std::min(most, missing) : missing, seed + uint64_t(first)};
  }
  Json body_of(size_t i, const Asked& asked) const {
    return openai::request_body(config_.remote, config_.sampling, tasks_[i].prompt, asked.count, asked.seed);
  }
  /// More than was asked for is not taken.
  void note(size_t i, const Asked& asked, ResponseLog::Place place, const openai::Answer& answer) {
    prompts_[i].responses.emplace_back(asked, place);
    prompts_[i].num_completions += std::min(asked.count, int32_t(answer.choices.size()));
  }
  /// What an earlier attempt was answered.
  void take_up(size_t i) {
    while (prompts_[i].num_completions < config_.num_generations) {
      const Asked asked = next_of(i);
      const auto place = log_.find(body_of(i, asked));
      if (!place) return;
      const openai::Answer answer = read(*place);
      spent_ += cost_of(i, answer);
      note(i, asked, *place, answer);
    }
    prompts_[i].is_over = true;
    ++num_over_;
  }
  openai::Answer read(ResponseLog::Place place) const {
    auto answer = openai::read_answer(log_.response(place), config_.remote.keep_reasoning);
    if (!answer) throw UsageError("responses.jsonl holds an answer without choices: take the line out");
    return std::move(*answer);
  }

  int64_t prompt_tokens(size_t i) const {
    int64_t tokens = 0;
    for (const Message& m : tasks_[i].prompt) tokens += 4 + int64_t(counter_.encode(m.content).size());
    return tokens;
  }
  /// Tokens that the answer is paid with; where the server does not tell, as the student counts them.
  int64_t cost_of(size_t i, const openai::Answer& answer) const {
    return answer.prompt_tokens.value_or(prompt_tokens(i)) + completion_tokens(answer);
  }
  int64_t completion_tokens(const openai::Answer& answer) const {
    if (answer.completion_tokens) return *answer.completion_tokens;
    int64_t tokens = 0;
    for (const openai::Choice& choice : answer.choices) tokens += int64_t(counter_.encode(choice.text).size());
    return tokens;
  }

  void start(size_t first, size_t limit) {
    const std::lock_guard lock(mutex_);
    limit_ = std::min(limit, prompts_.size());
    next_ = std::max(next_, first);
    if (threads_.empty())
      for (int32_t t = 0; t < config_.remote.max_concurrent_requests; ++t) threads_.emplace_back([this] { work(); });
    changed_.notify_all();
  }
  /// Requests that are on their way are waited for: they are paid.
  void stop() {
    stopping_ = true;
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void wait_for(size_t first, size_t end, const TeacherProgress& progress) {
    std::unique_lock lock(mutex_);
    const auto is_there = [&] {
      for (size_t i = first; i < end; ++i)
        if (!prompts_[i].is_over) return false;
      return true;
    };
    while (!failure_ && !is_there()) {
      progress(num_over_, spent_, note_);
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      if (!interrupted()) continue;
      lock.unlock();
      stop();
      throw Interrupted(
          "interrupted while the teacher was asked, its answers are kept: go on with the same command "
          "and --resume");
    }
    if (!failure_) return;
    lock.unlock();
    stop();
    std::rethrow_exception(failure_);
  }

  /// A thread: prompts in order, each until all of its completions are there.
  void work() {
    while (const std::optional<size_t> i = next_prompt()) {
      try {
        if (!ask(*i)) return;
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        stopping_ = true;
        changed_.notify_all();
        return;
      }
      const std::lock_guard lock(mutex_);
      prompts_[*i].is_over = true;
      ++num_over_;
      changed_.notify_all();
    }
  }
  std::optional<size_t> next_prompt() {
    std::unique_lock lock(mutex_);
    while (true) {
      while (next_ < prompts_.size() && prompts_[next_].is_over) ++next_;
      if (stopping_ || next_ >= prompts_.size()) return std::nullopt;
      if (next_ < limit_) return next_++;
      changed_.wait_for(lock, std::chrono::milliseconds(200));
    }
  }
  /// False: the run stops before the prompt is over.
  bool ask(size_t i) {
    while (prompts_[i].num_completions < config_.num_generations) {
      const Asked asked = next_of(i);
      const int64_t most = prompt_tokens(i) + int64_t(asked.count) * config_.sampling.max_completion_length;
      if (!reserve(most)) return !stopping_;
      const Json body = body_of(i, asked);
      std::optional<Json> response;
      try {
        response = openai::ask(
            server_, config_.remote, body, asked.seed, [&] { return stopping_.load(); },
            [&](const std::string& why, double pause) { note_retry(why, pause); });
      } catch (const UsageError& error) {
        throw UsageError(std::string(error.what()) + " (task " + tasks_[i].id + ")");
      }
      if (!response) return release(most, 0), false;
      const ResponseLog::Place place = log_.add(body, *response);
      const openai::Answer answer = *openai::read_answer(*response, config_.remote.keep_reasoning);
      note(i, asked, place, answer);
      release(most, cost_of(i, answer));
    }
    return true;
  }

  /// Room in the budget for a request of at most so many tokens; waits for those on their way, which may take less.
  bool reserve(int64_t tokens) {
    if (config_.max_teacher_tokens == 0) return !stopping_;
    std::unique_lock lock(mutex_);
    const auto fits = [&] { return spent_ + reserved_ + tokens <= config_.max_teacher_tokens; };
    while (!stopping_ && !fits() && reserved_ > 0) changed_.wait_for(lock, std::chrono::milliseconds(200));
    if (stopping_ || !fits()) return false;
    reserved_ += tokens;
    return true;
  }
  void release(int64_t reserved, int64_t spent) {
    const std::lock_guard lock(mutex_);
    spent_ += spent;
    if (config_.max_teacher_tokens > 0) reserved_ -= reserved;
    changed_.notify_all();
  }
  void note_retry(const std::string& why, double pause) {
    const std::lock_guard lock(mutex_);
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f s", pause);
    note_ = std::to_string(++num_retries_) + " asked again, the last in " + seconds + ": " + why.substr(0, 120);
  }

  Answers answers_of(size_t i) const {
    Answers answers;
    answers.group.task = tasks_[i];
    for (const auto& [asked, place] : prompts_[i].responses) {
      const openai::Answer answer = read(place);
      answers.prompt_tokens += answer.prompt_tokens.value_or(prompt_tokens(i));
      answers.tokens += completion_tokens(answer);
      for (size_t c = 0; c < std::min(size_t(asked.count), answer.choices.size()); ++c) {
        Rollout rollout{.text = answer.choices[c].text};
        rollout.completion.finish = answer.choices[c].finish;
        rollout.completion.seed = asked.seed, rollout.completion.member = asked.first + int32_t(c);
        answers.group.rollouts.push_back(std::move(rollout));
        const bool is_known = answer.choices.size() == 1 && answer.completion_tokens;
        answers.lengths.push_back(is_known ? Json(*answer.completion_tokens) : Json());
      }
    }
    return answers;
  }

  const DistillConfig& config_;
  std::span<const Task> tasks_;
  const Tokenizer& counter_;
  openai::Server server_;
  ResponseLog log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Prompt> prompts_;
  size_t next_ = 0, limit_ = 0;  // the next prompt to be asked for; none from `limit_` on yet
  int64_t num_over_ = 0, spent_ = 0, reserved_ = 0, num_retries_ = 0;
  std::string note_;
  std::exception_ptr failure_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Teacher> remote_teacher(const DistillConfig& config, std::span<const Task> tasks,
                                        const Tokenizer& counter, const std::filesystem::path& log) {
  return std::make_unique<RemoteTeacher>(config, tasks, counter, log);
}

}  // namespace cohort
