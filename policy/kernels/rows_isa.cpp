// Functions of one row: norms, activations, softmax over the vocabulary, the optimizer's update.
#include "policy/kernels/lanes.h"
#include "policy/kernels/tables.h"

namespace cohort::COHORT_ISA {
namespace {

/// Calls f(index, count) for each run of 16 lanes of a row, the last one with what is left.
template <class F>
inline void for_lanes(int64_t dim, F f) {
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) f(i, kLanes);
  if (i < dim) f(i, int(dim - i));
}
inline Lanes take(const float* p, int count) {
  return count == kLanes ? load(p) : load(p, count);
}
inline void put(float* p, Lanes a, int count) {
  count == kLanes ? store(p, a) : store(p, a, count);
}

/// ln(x) for a positive finite x, in double: atanh series of the mantissa in [√½, √2).
double natural_log(float x) {
  int exponent;
  double m = std::frexp(double(x), &exponent);
  if (m < 0.70710678118654752) m *= 2, --exponent;
  double z = (m - 1) / (m + 1), z2 = z * z, series = 0;
  for (int k = 21; k >= 1; k -= 2) series = series * z2 + 1.0 / k;
  return 2 * z * series + exponent * 0.69314718055994531;
}

}  // namespace

float rms_norm(const float* x, const float* weight, int64_t dim, float epsilon, float* y) {
  Lanes squares = broadcast(0.0f);
  for_lanes(dim, [&](int64_t i, int n) {
    Lanes v = take(x + i, n);
    squares = fma(v, v, squares);
  });
  float inverse = 1.0f / std::sqrt(sum(squares) / float(dim) + epsilon);
  Lanes scale = broadcast(inverse);
  for_lanes(dim, [&](int64_t i, int n) { put(y + i, take(x + i, n) * scale * take(weight + i, n), n); });
  return inverse;
}

void rms_norm_backward(const float* x, const float* weight, float inverse_rms, const float* d_y, int64_t dim,
                       bool accumulate, float* d_x) {
  Lanes products = broadcast(0.0f);
  for_lanes(
      dim, [&](int64_t i, int n) { products = fma(take(d_y + i, n) * take(weight + i, n), take(x + i, n), products); });
  float along = sum(products) * inverse_rms * inverse_rms / float(dim);
  for_lanes(dim, [&](int64_t i, int n) {
    Lanes g = take(d_y + i, n) * take(weight + i, n);
    Lanes d = broadcast(inverse_rms) * fma(broadcast(-along), take(x + i, n), g);
    put(d_x + i, accumulate ? take(d_x + i, n) + d : d, n);
  });
}

void rms_norm_weight_gradient(const float* x_TD, int64_t x_row, const float* inverse_rms_T, const float* d_y_TD,
                              int64_t dy_row, int64_t rows, int64_t column, int64_t columns, float* d_weight) {
  int n = int(columns);
  Lanes total = take(d_weight + column, n);
  for (int64_t t = 0; t < rows; ++t)
    total = fma(take(d_y_TD + t * dy_row + column, n), take(x_TD + t * x_row + column, n) * broadcast(inverse_rms_T[t]),
                total);
  put(d_weight + column, total, n);
}

void swiglu(const float* gate, const float* up, int64_t dim, float* out) {
  for_lanes(dim, [&](int64_t i, int n) {
    Lanes g = take(gate + i, n);
    put(out + i, g * sigmoid(g) * take(up + i, n), n);
  });
}

void swiglu_backward(const float* gate, const float* up, const float* d_out, int64_t dim, float* d_gate, float* d_up) {
  for_lanes(dim, [&](int64_t i, int n) {
    Lanes g = take(gate + i, n), u = take(up + i, n), d = take(d_out + i, n), s = sigmoid(g);
    Lanes silu = g * s;
    Lanes slope = s + silu * (broadcast(1.0f) - s);
    put(d_gate + i, d * u * slope, n);
    put(d_up + i, d * silu, n);
  });
}

void sigmoid_row(const float* x, int64_t dim, float* out) {
  for_lanes(dim, [&](int64_t i, int n) { put(out + i, sigmoid(take(x + i, n)), n); });
}

static Lanes lane_numbers() {
  alignas(64) static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}
/// The first `count` lanes of a, −infinity in the others.
static Lanes or_minus_infinity(Lanes a, int count) {
  return count == kLanes ? a : where_less(lane_numbers(), broadcast(float(count)), a, broadcast(-INFINITY));
}

static float row_max(const float* x, int64_t dim) {
  Lanes best = broadcast(-INFINITY);
  for_lanes(dim, [&](int64_t i, int n) { best = max(best, or_minus_infinity(take(x + i, n), n)); });
  return largest(best);
}

float exponentials(const float* logits, int64_t vocab, float temperature, float max, float* out) {
  Lanes total = broadcast(0.0f), scale = broadcast(1.0f / temperature), top = broadcast(max);
  for_lanes(vocab, [&](int64_t i, int n) {
    Lanes e = exp((or_minus_infinity(take(logits + i, n), n) - top) * scale);
    total = total + e;
    put(out + i, e, n);
  });
  return sum(total);
}

void softmax_row(const float* x, int64_t dim, float* out) {
  float total = exponentials(x, dim, 1.0f, row_max(x, dim), out);
  for_lanes(dim, [&](int64_t i, int n) { put(out + i, take(out + i, n) / broadcast(total), n); });
}

float dot(const float* a, const float* b, int64_t dim) {
  Lanes total = broadcast(0.0f);
  for_lanes(dim, [&](int64_t i, int n) { total = fma(take(a + i, n), take(b + i, n), total); });
  return sum(total);
}

void add(const float* a, const float* b, int64_t dim, float* out) {
  for_lanes(dim, [&](int64_t i, int n) { put(out + i, take(a + i, n) + take(b + i, n), n); });
}

void add_scaled(const float* a, float scale, int64_t dim, float* out) {
  for_lanes(dim, [&](int64_t i, int n) { put(out + i, fma(broadcast(scale), take(a + i, n), take(out + i, n)), n); });
}

float token_logprob(float logit, float temperature, const TokenStatistics& s) {
  return float(double((logit - s.max) * (1.0f / temperature)) - natural_log(s.sum));
}

static float entropy_of(float all, Lanes weighted) {
  return float(natural_log(all) - double(sum(weighted)) / double(all));
}

TokenStatistics token_statistics(const float* logits, int64_t vocab, float temperature, int32_t token) {
  float top = row_max(logits, vocab);
  Lanes total = broadcast(0.0f), weighted = broadcast(0.0f), scale = broadcast(1.0f / temperature);
  for_lanes(vocab, [&](int64_t i, int n) {
    Lanes x = (or_minus_infinity(take(logits + i, n), n) - broadcast(top)) * scale, e = exp(x);
    total = total + e;
    weighted = fma(e, max(x, broadcast(-1e30f)), weighted);
  });
  TokenStatistics s{.max = top, .sum = sum(total)};
  s.logprob = token_logprob(logits[token], temperature, s), s.entropy = entropy_of(s.sum, weighted);
  return s;
}

/// Of up to 64 weights in double, four lanes.
static double sum_of_run(const float* weights, int64_t count) {
  using Floats = float __attribute__((vector_size(16)));
  using Doubles = double __attribute__((vector_size(32)));
  Doubles total = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    Floats four;
    std::memcpy(&four, weights + i, sizeof four);
    total += __builtin_convertvector(four, Doubles);
  }
  for (; i < count; ++i) total[i % 4] += double(weights[i]);
  return (total[0] + total[1]) + (total[2] + total[3]);
}

TokenStatistics sampling_row(const float* logits, int64_t vocab, float temperature, const SamplingRow& row) {
  float top = row_max(logits, vocab);
  Lanes total = broadcast(0.0f), weighted = broadcast(0.0f), scale = broadcast(1.0f / temperature);
  Lanes largest = broadcast(0.0f);
  for (int64_t begin = 0; begin < vocab; begin += SamplingRow::kRun) {
    int64_t count = vocab - begin < SamplingRow::kRun ? vocab - begin : SamplingRow::kRun;
    for_lanes(count, [&](int64_t i, int n) {
      Lanes x = (or_minus_infinity(take(logits + begin + i, n), n) - broadcast(top)) * scale, e = exp(x);
      total = total + e;
      weighted = fma(e, max(x, broadcast(-1e30f)), weighted);
      largest = max(largest, e);
      put(row.weights + begin + i, e, n);
    });
    row.run_sums[begin / SamplingRow::kRun] = sum_of_run(row.weights + begin, count);
    if ((begin + SamplingRow::kRun) % SamplingRow::kChunk && begin + SamplingRow::kRun < vocab) continue;
    store(row.group_max + begin / SamplingRow::kChunk * kLanes, largest);
    largest = broadcast(0.0f);
  }
  TokenStatistics s{.max = top, .sum = sum(total)};
  s.entropy = entropy_of(s.sum, weighted);
  return s;
}

int64_t keys_from(const float* weights, int64_t count, float least, uint64_t* keys) {
  int64_t found = 0;
  auto add = [&](int64_t id) {
    uint32_t bits;
    std::memcpy(&bits, weights + id, sizeof bits);
    keys[found++] = uint64_t(bits) << 32 | uint32_t(~uint32_t(id));
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (uint32_t lanes = at_least(load(weights + i), broadcast(least)); lanes; lanes &= lanes - 1)
      add(i + __builtin_ctz(lanes));
  for (; i < count; ++i)
    if (weights[i] >= least) add(i);
  return found;
}

void logits_gradient(const float* logits, int64_t vocab, float temperature, int32_t token, TokenStatistics s,
                     float d_logprob, float d_entropy, float* d_logits) {
  Lanes scale = broadcast(1.0f / temperature), inverse = broadcast(1.0f / s.sum);
  Lanes log_sum = broadcast(float(natural_log(s.sum)) - s.entropy);
  for_lanes(vocab, [&](int64_t i, int n) {
    Lanes x = (or_minus_infinity(take(logits + i, n), n) - broadcast(s.max)) * scale;
    Lanes p = exp(x) * inverse;
    // ∂entropy/∂logit = −p (log p + entropy); ∂logprob/∂logit = [token] − p
    Lanes toward = fma(broadcast(d_entropy), max(x, broadcast(-1e30f)) - log_sum, broadcast(d_logprob));
    put(d_logits + i, broadcast(0.0f) - p * toward * scale, n);
  });
  d_logits[token] += d_logprob / temperature;
}

void adamw(float* weight, float* mean, float* variance, const float* gradient, int64_t count, const AdamW& o) {
  // m/c1 / (√(v/c2) + ε) = √c2/c1 · m / (√v + ε√c2)
  float root = std::sqrt(o.correction2);
  Lanes decay = broadcast(1.0f - o.learning_rate * o.weight_decay);
  Lanes rate = broadcast(o.learning_rate / o.correction1 * root), epsilon = broadcast(o.epsilon * root);
  for_lanes(count, [&](int64_t i, int n) {
    Lanes g = take(gradient + i, n) * broadcast(o.gradient_scale);
    Lanes m = fma(broadcast(1.0f - o.beta1), g, broadcast(o.beta1) * take(mean + i, n));
    Lanes v = fma(broadcast(1.0f - o.beta2) * g, g, broadcast(o.beta2) * take(variance + i, n));
    put(mean + i, m, n);
    put(variance + i, v, n);
    put(weight + i, take(weight + i, n) * decay - rate * m / (sqrt(v) + epsilon), n);
  });
}

double sum_of_squares(const float* x, int64_t count) {
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += 4096) {  // lanes hold at most 256 terms before they go to double
    Lanes squares = broadcast(0.0f);
    int64_t end = begin + 4096 < count ? begin + 4096 : count;
    for_lanes(end - begin, [&](int64_t i, int n) {
      Lanes v = take(x + begin + i, n);
      squares = fma(v, v, squares);
    });
    total += sum(squares);
  }
  return total;
}

}  // namespace cohort::COHORT_ISA
