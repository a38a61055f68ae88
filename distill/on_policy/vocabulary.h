// Whether two models mean the same by a token id.
#pragma once
#include <string>

#include "policy/text/tokenizer.h"

namespace cohort {

/// Throws UsageError naming both sizes and the first token that differs. A teacher may have more logits than the
/// student (padding), not fewer.
void expect_same_vocabulary(const Tokenizer& teacher, int32_t teacher_logits, const Tokenizer& student,
                            int32_t student_logits);

}  // namespace cohort
