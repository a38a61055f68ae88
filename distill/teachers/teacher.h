// Who solves the tasks: the engine in this process, or a server.
#pragma once
#include <functional>
#include <memory>

#include "distill/distill.h"
#include "rollout/completion.h"

namespace cohort {

/// What a teacher gave for one prompt.
struct Answers {
  Group group;                // not judged; fewer completions than asked for, or none, once the budget is spent
  int64_t prompt_tokens = 0;  // as the teacher counts them
  int64_t tokens = 0;         // of all completions together
  std::vector<Json> lengths;  // [rollouts] tokens of each; null where a server tells only the sum
};

/// Prompts answered so far, tokens spent so far, and what else there is to say.
using TeacherProgress = std::function<void(int64_t prompts, int64_t tokens, const std::string& note)>;

class Teacher {
 public:
  virtual ~Teacher() = default;
  /// One for each prompt of the piece, in order. Pieces are asked for in ascending order. Throws Interrupted once a
  /// signal was seen, where it does not finish the piece.
  virtual std::vector<Answers> answer(int64_t piece, const TeacherProgress& progress) = 0;
};

/// Prompts of a piece: [first, first + count) of the run's.
struct Piece {
  int64_t first = 0, count = 0;
};
Piece piece_of(const DistillConfig& config, int64_t piece);

/// Loads the model. `spent`: tokens of the pieces before, against the budget, which is looked at before each piece.
std::unique_ptr<Teacher> local_teacher(const DistillConfig& config, std::span<const Task> tasks, int64_t spent);

/// A server at config.teacher. `log`: where its answers are kept, and looked for before anything is asked. `counter`
/// counts tokens for the budget, which no request is sent against that could exceed it.
std::unique_ptr<Teacher> remote_teacher(const DistillConfig& config, std::span<const Task> tasks,
                                        const Tokenizer& counter, const std::filesystem::path& log);

}  // namespace cohort
