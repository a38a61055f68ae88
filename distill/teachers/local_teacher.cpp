#include "distill/teachers/teacher.h"
#include "policy/load.h"
#include "rollout/evaluate.h"

namespace cohort {
namespace {

class LocalTeacher : public Teacher {
 public:
  LocalTeacher(const DistillConfig& config, std::span<const Task> tasks, int64_t spent)
      : config_(config),
        tasks_(tasks),
        spent_(spent),
        compute_(config.threads ? config.threads : usable_cores()),
        loaded_(load_with_tokenizer(config.teacher, compute_, false, Weights::packed)),
        engine_(engine_for(loaded_.model, compute_, *loaded_.tokenizer, tasks, config.sampling, config.engine)) {}

  std::vector<Answers> answer(int64_t piece, const TeacherProgress& progress) override {
    const auto [first, count] = piece_of(config_, piece);
    std::vector<Answers> answers(static_cast<size_t>(count));
    if (config_.max_teacher_tokens > 0 && spent_ >= config_.max_teacher_tokens) return answers;
    const CollectJob job{.tasks = tasks_.subspan(size_t(first), size_t(count)),
                         .num_generations = config_.num_generations,
                         .sampling = config_.sampling,
                         .seed = config_.seed,
                         .step = piece};
    const int64_t before = engine_->generated_tokens();
    std::vector<Group> groups =
        collect(*engine_, loaded_.model, *loaded_.tokenizer, nullptr, job, {},
                [&](int64_t done) { progress(first + done, spent_ + engine_->generated_tokens() - before, ""); });
    for (size_t i = 0; i < groups.size(); ++i) answers[i] = counted(std::move(groups[i]));
    for (const Answers& a : answers) spent_ += a.prompt_tokens + a.tokens;
    return answers;
  }

 private:
  static Answers counted(Group group) {
    Answers answers{.prompt_tokens = int64_t(group.prompt.size())};
    for (const Rollout& rollout : group.rollouts) {
      answers.lengths.push_back(rollout.completion.tokens.size());
      answers.tokens += int64_t(rollout.completion.tokens.size());
    }
    answers.group = std::move(group);
    return answers;
  }

  const DistillConfig& config_;
  std::span<const Task> tasks_;
  int64_t spent_;
  Compute compute_;
  LoadedModel loaded_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace

std::unique_ptr<Teacher> local_teacher(const DistillConfig& config, std::span<const Task> tasks, int64_t spent) {
  return std::make_unique<LocalTeacher>(config, tasks, spent);
}

}  // namespace cohort
