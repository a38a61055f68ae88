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

/// prompts answered so far, tokens spent so far.
using TeacherProgress = std::function<void(int64_t prompts, int64_t tokens)>;

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

}  // namespace cohort
