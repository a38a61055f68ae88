#include "distill/on_policy/vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "configs/error.h"

namespace cohort {
namespace {

constexpr const char* kRemedy =
    ": on_policy compares probabilities id by id and needs one vocabulary; mode traces works with any two";

std::string quoted(const std::string& token) {
  return token.empty() ? "none" : Json(token).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void expect_same_vocabulary(const Tokenizer& teacher, int32_t teacher_logits, const Tokenizer& student,
                            int32_t student_logits) {
  const std::string sizes = "the teacher's vocabulary has " + std::to_string(teacher.size()) +
                            " tokens, the student's " + std::to_string(student.size());
  for (int32_t id = 0; id < std::max(teacher.size(), student.size()); ++id) {
    const std::string theirs = id < teacher.size() ? teacher.token(id) : "",
                      ours = id < student.size() ? student.token(id) : "";
    if (theirs != ours)
      throw UsageError(sizes + ", and the first that differs is id " + std::to_string(id) + ", " + quoted(theirs) +
                       " and " + quoted(ours) + kRemedy);
  }
  if (teacher_logits < student_logits)
    throw UsageError("the teacher has " + std::to_string(teacher_logits) + " logits, the student " +
                     std::to_string(student_logits) + kRemedy);
}

}  // namespace cohort
