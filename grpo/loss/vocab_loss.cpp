#include "grpo/loss/vocab_loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace cohort {
namespace {

constexpr double kLeastTail = 1e-7;

/// A row of logits as probabilities.
struct Distribution {
  Distribution(const Kernels& kernels, std::span<const float> row, float temperature)
      : logits(row), weights(row.size()), scale(1 / double(temperature)), max(*std::ranges::max_element(row)) {
    kernels.exponentials(row.data(), int64_t(row.size()), temperature, float(max), weights.data());
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);  // the kernel's is a float
    inverse_sum = 1 / sum, log_sum = std::log(sum);
  }
  double p(size_t v) const { return double(weights[v]) * inverse_sum; }
  double log_p(size_t v) const { return (double(logits[v]) - max) * scale - log_sum; }

  std::span<const float> logits;
  std::vector<float> weights;               // [V] exp((logit − max)/temperature)
  double scale, max, inverse_sum, log_sum;  // scale: of the temperature
};

/// What a token, or the tail, adds to the divergence, and its derivative with respect to log p of the student, without
/// the constant that the softmax takes out again.
struct Term {
  double value, slope;
};
struct Likelihood {
  double p, log_p;
};
Term term(double beta, const Likelihood& student, const Likelihood& teacher) {
  if (beta == 0) return {teacher.p * (teacher.log_p - student.log_p), -teacher.p};
  if (beta == 1) {
    const double value = student.p * (student.log_p - teacher.log_p);
    return {value, value};
  }
  if (student.p == 0 && teacher.p == 0) return {0, 0};  // both are below the least float
  const double log_mixture = student.p >= teacher.p
                                 ? student.log_p + std::log((1 - beta) + beta * teacher.p / student.p)
                                 : teacher.log_p + std::log((1 - beta) * student.p / teacher.p + beta);
  const double slope = (1 - beta) * student.p * (student.log_p - log_mixture);
  return {beta * teacher.p * (teacher.log_p - log_mixture) + slope, slope};
}

double over_vocabulary(double beta, const Distribution& student, const Distribution& teacher,
                       std::span<float> gradient) {
  double value = 0, slopes = 0;
  for (size_t v = 0; v < gradient.size(); ++v) {
    const Term t = term(beta, {student.p(v), student.log_p(v)}, {teacher.p(v), teacher.log_p(v)});
    value += t.value, slopes += t.slope;
    gradient[v] = float(t.slope);
  }
  for (size_t v = 0; v < gradient.size(); ++v)
    gradient[v] = float((gradient[v] - student.p(v) * slopes) * student.scale);
  return value;
}

std::vector<int32_t> most_likely(std::span<const float> logits, int32_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::nth_element(ids, ids.begin() + count, [&](int32_t a, int32_t b) {
    return logits[size_t(a)] != logits[size_t(b)] ? logits[size_t(a)] > logits[size_t(b)] : a < b;
  });
  ids.resize(size_t(count));
  std::ranges::sort(ids);
  return ids;
}

/// Ids that are compared, ascending.
std::vector<int32_t> support(const DivergenceConfig& c, const VocabRow& row) {
  if (c.beta == 0) return most_likely(row.teacher, c.loss_top_k);
  std::vector<int32_t> ids = most_likely(row.student, c.loss_top_k);
  if (c.beta == 1) return ids;
  std::vector<int32_t> both;
  std::ranges::set_union(ids, most_likely(row.teacher, c.loss_top_k), std::back_inserter(both));
  return both;
}

/// What none of the ids has of a distribution.
double outside_of(const Distribution& d, std::span<const int32_t> ids) {
  double outside = 0;
  size_t next = 0;
  for (size_t v = 0; v < d.weights.size(); ++v) {
    const bool is_inside = next < ids.size() && size_t(ids[next]) == v;
    if (!is_inside) outside += d.p(v);
    next += is_inside;
  }
  return outside;
}

/// What is compared, [ids] and the tail where it is, summing to 1.
std::vector<Likelihood> compared(const Distribution& d, std::span<const int32_t> ids, bool add_tail, double outside) {
  std::vector<Likelihood> all;
  double most = -INFINITY, sum = 0, log_sum = 0;
  for (int32_t id : ids) most = std::max(most, d.log_p(size_t(id)));
  for (int32_t id : ids) sum += std::exp(d.log_p(size_t(id)) - most);
  if (!add_tail) log_sum = most + std::log(sum);
  for (int32_t id : ids) {
    const double log_p = d.log_p(size_t(id)) - log_sum;
    all.push_back({std::exp(log_p), log_p});
  }
  const double tail = std::max(outside, kLeastTail);
  if (add_tail) all.push_back({tail, std::log(tail)});
  return all;
}

double over_support(const DivergenceConfig& c, const Distribution& student, const Distribution& teacher,
                    std::span<const int32_t> ids, std::span<float> gradient) {
  const double outside = outside_of(student, ids);
  const std::vector<Likelihood> ours = compared(student, ids, c.loss_add_tail, outside),
                                theirs = compared(teacher, ids, c.loss_add_tail, outside_of(teacher, ids));
  double value = 0, slopes = 0, tail_slope = 0;  // the tail's: for each unit of its probability
  std::vector<double> slope;
  for (size_t i = 0; i < ours.size(); ++i) {
    const Term t = term(c.beta, ours[i], theirs[i]);
    const bool is_tail = i == ids.size(), has_gradient = !is_tail || outside >= kLeastTail;
    value += t.value, slopes += has_gradient ? t.slope : 0;
    if (is_tail && has_gradient) tail_slope = t.slope / outside;
    slope.push_back(t.slope);
  }
  for (size_t v = 0; v < gradient.size(); ++v)
    gradient[v] = c.loss_add_tail ? float(student.p(v) * (tail_slope - slopes) * student.scale) : 0;
  for (size_t i = 0; i < ids.size(); ++i)
    gradient[size_t(ids[i])] = float((slope[i] - ours[i].p * slopes) * student.scale);
  return value;
}

}  // namespace

double divergence(const DivergenceConfig& c, const Kernels& kernels, const VocabRow& row, std::span<float> gradient) {
  const Distribution student(kernels, row.student, row.temperature), teacher(kernels, row.teacher, row.temperature);
  if (c.loss_top_k == 0 || size_t(c.loss_top_k) >= row.student.size())
    return over_vocabulary(c.beta, student, teacher, gradient);
  return over_support(c, student, teacher, support(c, row), gradient);
}

}  // namespace cohort
