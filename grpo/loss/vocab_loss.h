// The loss that sees whole distributions of student and teacher behind one token (VocabLoss): forward and reverse KL
// and what lies between, the generalised Jensen-Shannon divergence of GKD (arXiv 2306.13649, eq. 1).
#pragma once
#include <span>

#include "configs/config.h"
#include "policy/kernels/kernels.h"

namespace cohort {

struct DivergenceConfig {
  double beta = 1.0;
  int32_t loss_top_k = 0;
  bool loss_add_tail = true;
};
template <class V>
void visit_fields(V& v, DivergenceConfig& c) {
  v.field("beta", c.beta,
          "of the generalised JSD from the teacher: 0 is the forward KL, 1 the reverse KL, between them both are taken "
          "to the mixture (1 - beta) student + beta teacher",
          between(0, 1));
  v.field("loss_top_k", c.loss_top_k,
          "most likely tokens that topk_logits compares: the teacher's at beta 0, the student's at beta 1, else the "
          "union of both",
          at_least(0));
  v.field("loss_add_tail", c.loss_add_tail,
          "all other tokens count as one more; false: what is compared is renormalised");
}

/// Logits behind one token, [V]; the temperature is of both.
struct VocabRow {
  std::span<const float> student, teacher;
  float temperature = 1;
};

/// The divergence, after temperature; `gradient` [V] becomes that with respect to the student's logits and may be the
/// memory of neither. With loss_top_k 0 the whole vocabulary is compared. Of equal logits the lower ids are the likely
/// ones; a tail below 1e-7 counts as 1e-7, as in TRL, and has no gradient.
double divergence(const DivergenceConfig& config, const Kernels& kernels, const VocabRow& row,
                  std::span<float> gradient);

}  // namespace cohort
