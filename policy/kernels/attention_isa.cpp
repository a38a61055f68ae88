// Attention of one query row over a block table. Scores: lane = key, a chain over key_dim. Softmax: the true maximum,
// then exp, summed by lane over blocks and by the fixed tree. Values: lane = dimension, a chain over keys in order.
// The same for decode, prefill, training and shared prefixes.
#include "policy/kernels/lanes.h"
#include "policy/kernels/tables.h"

namespace cohort::COHORT_ISA {
namespace {

inline Lanes lane_numbers() {
  alignas(64) static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}

/// The blocks of one sequence in one array.
struct Blocks {
  const float* base = nullptr;
  int64_t stride = 0;
  const int32_t* table = nullptr;
  const float* operator[](int i) const { return base + int64_t(table[i]) * stride; }
};

/// Blocks to be fetched into the second cache while others are read: block i beside block i of those, the last of them
/// beside all that follow.
struct Ahead {
  Blocks blocks;
  int count = 0;  // 0: none
  const float* beside(int i) const { return blocks[i < count ? i : count - 1]; }
};

/// products[h, position] = Σ_d q[h, d] · block[d, lane] for `NB` neighbouring blocks from `first` on.
template <int HT, int NB, bool kAhead>
inline void block_products(const float* q, int64_t q_row, const Blocks& keys, int first, int dim, float* products,
                           int64_t ld, const Ahead& ahead) {
  const float *k[NB], *next[NB];
#pragma GCC unroll 16
  for (int b = 0; b < NB; ++b) k[b] = keys[first + b];
  if constexpr (kAhead)
#pragma GCC unroll 16
    for (int b = 0; b < NB; ++b) next[b] = ahead.beside(first + b);
  Lanes acc[HT][NB];
#pragma GCC unroll 16
  for (int h = 0; h < HT; ++h)
#pragma GCC unroll 16
    for (int b = 0; b < NB; ++b) acc[h][b] = broadcast(0.0f);
  for (int d = 0; d < dim; ++d) {
    if constexpr (kAhead)
#pragma GCC unroll 16
      for (int b = 0; b < NB; ++b) prefetch(next[b] + d * kLanes);
    Lanes key[NB];
#pragma GCC unroll 16
    for (int b = 0; b < NB; ++b) key[b] = load(k[b] + d * kKeyBlock);
#pragma GCC unroll 16
    for (int h = 0; h < HT; ++h) {
      Lanes x = broadcast(q[h * q_row + d]);
#pragma GCC unroll 16
      for (int b = 0; b < NB; ++b) acc[h][b] = fma(x, key[b], acc[h][b]);
    }
  }
#pragma GCC unroll 16
  for (int h = 0; h < HT; ++h)
#pragma GCC unroll 16
    for (int b = 0; b < NB; ++b) store(products + h * ld + (first + b) * kKeyBlock, acc[h][b]);
}

template <int HT, bool kAhead>
void products_of(const float* q, int64_t q_row, const Blocks& keys, int begin, int end, int dim, float* products,
                 int64_t ld, const Ahead& ahead) {
#if defined(COHORT_ISA_avx512)
  constexpr int kBlocks = HT == 1 ? 8 : HT == 2 ? 6 : HT <= 4 ? 4 : 2;
#else
  constexpr int kBlocks = HT == 1 ? 4 : HT == 2 ? 2 : 1;
#endif
  int b = begin;
  for (; b + kBlocks <= end; b += kBlocks)
    block_products<HT, kBlocks, kAhead>(q, q_row, keys, b, dim, products, ld, ahead);
  for (; b < end; ++b) block_products<HT, 1, kAhead>(q, q_row, keys, b, dim, products, ld, ahead);
}

/// The same for any number of heads, at most eight at a time; what lies ahead is fetched by the first of them.
void all_products(int heads, const float* q, int64_t q_row, const Blocks& keys, int begin, int end, int dim,
                  float* products, int64_t ld, Ahead ahead = {}) {
  while (heads > 0) {
    int take = heads >= 8 ? 8 : heads >= 4 ? 4 : heads;
    auto run = [&](auto plain, auto fetching) {
      auto chosen = ahead.count ? fetching : plain;
      chosen(q, q_row, keys, begin, end, dim, products, ld, ahead);
    };
    switch (take) {
      case 8:
        run(products_of<8, false>, products_of<8, true>);
        break;
      case 4:
        run(products_of<4, false>, products_of<4, true>);
        break;
      case 3:
        run(products_of<3, false>, products_of<3, true>);
        break;
      case 2:
        run(products_of<2, false>, products_of<2, true>);
        break;
      default:
        run(products_of<1, false>, products_of<1, true>);
        break;
    }
    heads -= take, q += take * q_row, products += take * ld, ahead.count = 0;
  }
}

/// The value rows of one sequence: position p in row p mod 16 of its block.
struct ValueRows {
  Blocks blocks;
  int64_t row = 0;  // elements from one to the next
  int begin = 0, end = 0;
};

/// out[h, column …] = Σ over keys in order of weight[h, key] · rows[key, column …], NV vectors wide.
template <int HT, int NV, bool kAhead>
inline void weighted_rows(const float* weights, int64_t ld, const ValueRows& values, int64_t column, int last_count,
                          float* out, int64_t out_row, const Ahead& ahead, int lines_ahead) {
  Lanes acc[HT][NV];
#pragma GCC unroll 16
  for (int h = 0; h < HT; ++h)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) acc[h][v] = broadcast(0.0f);
  const int end = values.end;
  const int64_t row = values.row;
  for (int position = values.begin; position < end;) {
    int b = position / kKeyBlock, stop = (b + 1) * kKeyBlock;
    const float* value = values.blocks[b] + (position % kKeyBlock) * row + column;
    const float* next = nullptr;
    if constexpr (kAhead) next = ahead.beside(b) + (position % kKeyBlock) * lines_ahead * kLanes;
    for (stop = stop < end ? stop : end; position < stop; ++position, value += row) {
      if constexpr (kAhead)
        for (int line = 0; line < lines_ahead; ++line, next += kLanes) prefetch(next);
      Lanes x[NV];
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v)
        x[v] = v == NV - 1 && last_count < kLanes ? load(value + v * kLanes, last_count) : load(value + v * kLanes);
#pragma GCC unroll 16
      for (int h = 0; h < HT; ++h) {
        Lanes w = broadcast(weights[h * ld + position]);
#pragma GCC unroll 16
        for (int v = 0; v < NV; ++v) acc[h][v] = fma(w, x[v], acc[h][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int h = 0; h < HT; ++h)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      float* to = out + h * out_row + column + v * kLanes;
      v == NV - 1 && last_count < kLanes ? store(to, acc[h][v], last_count) : store(to, acc[h][v]);
    }
}

template <int HT>
void weighted_rows_of(const float* weights, int64_t ld, const ValueRows& values, int64_t dim, float* out,
                      int64_t out_row, [[maybe_unused]] Ahead ahead, [[maybe_unused]] int lines_ahead) {
  int64_t column = 0;
#if defined(COHORT_ISA_avx512)
  for (; column + 4 * kLanes <= dim; column += 4 * kLanes) {
    auto run = ahead.count ? weighted_rows<HT, 4, true> : weighted_rows<HT, 4, false>;
    run(weights, ld, values, column, kLanes, out, out_row, ahead, lines_ahead);
    ahead.count = 0;
  }
  for (; column + 2 * kLanes <= dim; column += 2 * kLanes)
    weighted_rows<HT, 2, false>(weights, ld, values, column, kLanes, out, out_row, {}, 0);
#endif
  for (; column < dim; column += kLanes) {
    int count = dim - column < kLanes ? int(dim - column) : kLanes;
    weighted_rows<HT, 1, false>(weights, ld, values, column, count, out, out_row, {}, 0);
  }
}

/// The same for any number of heads, at most four at a time; of each block ahead, 16 · lines_ahead cache lines are
/// fetched.
void all_weighted_rows(int heads, const float* weights, int64_t ld, const ValueRows& values, int64_t dim, float* out,
                       int64_t out_row, Ahead ahead = {}, int lines_ahead = 0) {
  while (heads > 0) {
    int take = heads >= 4 ? 4 : heads;
    switch (take) {
      case 4:
        weighted_rows_of<4>(weights, ld, values, dim, out, out_row, ahead, lines_ahead);
        break;
      case 3:
        weighted_rows_of<3>(weights, ld, values, dim, out, out_row, ahead, lines_ahead);
        break;
      case 2:
        weighted_rows_of<2>(weights, ld, values, dim, out, out_row, ahead, lines_ahead);
        break;
      default:
        weighted_rows_of<1>(weights, ld, values, dim, out, out_row, ahead, lines_ahead);
        break;
    }
    heads -= take, weights += take * ld, out += take * out_row, ahead.count = 0;
  }
}

/// Scores of one head, scaled, −infinity outside [first_key, num_keys); returns the largest.
float mask_and_scale(float* scores, const Attend& a, int begin, int end) {
  Lanes best = broadcast(-INFINITY), scale = broadcast(a.scale);
  Lanes first = broadcast(float(a.first_key)), last = broadcast(float(a.num_keys));
  for (int b = begin; b < end; ++b) {
    Lanes s = load(scores + b * kKeyBlock) * scale;
    Lanes position = lane_numbers() + broadcast(float(b * kKeyBlock));
    s = where_less(position, last, s, broadcast(-INFINITY));
    s = where_less(position, first, broadcast(-INFINITY), s);
    store(scores + b * kKeyBlock, s);
    best = max(best, s);
  }
  return largest(best);
}

float exponentiate(float* scores, float top, int begin, int end) {
  Lanes total = broadcast(0.0f);
  for (int b = begin; b < end; ++b) {
    Lanes e = exp(load(scores + b * kKeyBlock) - broadcast(top));
    store(scores + b * kKeyBlock, e);
    total = total + e;
  }
  return sum(total);
}

}  // namespace

void attend(const Attend& a) {
  int begin = a.first_key / kKeyBlock, end = (a.num_keys + kKeyBlock - 1) / kKeyBlock;
  int64_t ld = int64_t(end) * kKeyBlock;
  const Blocks keys{a.keys, a.key_stride, a.blocks}, values{a.values, a.value_stride, a.blocks};
  Ahead ahead_values, ahead_keys;  // this row's values beside its keys, the next row's keys beside its values
  if (a.next_blocks) {
    ahead_values = {values, end};
    ahead_keys = {{a.keys, a.key_stride, a.next_blocks}, (a.next_num_keys + kKeyBlock - 1) / kKeyBlock};
  }
  all_products(a.heads, a.q, a.key_dim, keys, begin, end, a.key_dim, a.scores, ld, ahead_values);
  float sums[128];
  for (int h = 0; h < a.heads; ++h) {
    float top = mask_and_scale(a.scores + h * ld, a, begin, end);
    sums[h] = exponentiate(a.scores + h * ld, top, begin, end);
    if (a.max) a.max[h] = top, a.sum[h] = sums[h];
  }
  all_weighted_rows(a.heads, a.scores, ld, {values, a.value_row, a.first_key, a.num_keys}, a.value_dim, a.out,
                    a.value_dim, ahead_keys, (a.key_dim + kKeyBlock - 1) / kKeyBlock);
  for (int h = 0; h < a.heads; ++h) {
    Lanes inverse = broadcast(1.0f / sums[h]);
    float* out = a.out + int64_t(h) * a.value_dim;
    int d = 0;
    for (; d + kLanes <= a.value_dim; d += kLanes) store(out + d, load(out + d) * inverse);
    if (d < a.value_dim) store(out + d, load(out + d, a.value_dim - d) * inverse, a.value_dim - d);
  }
}

void attend_backward(const AttendBackward& g) {
  const Attend& a = g.forward;
  int begin = a.first_key / kKeyBlock, end = (a.num_keys + kKeyBlock - 1) / kKeyBlock;
  all_products(a.heads, a.q, a.key_dim, {a.keys, a.key_stride, a.blocks}, begin, end, a.key_dim, g.p, g.ld);
  all_products(a.heads, g.d_out, a.value_dim, {g.values_t, g.value_t_stride, a.blocks}, begin, end, a.value_dim, g.ds,
               g.ld);
  for (int h = 0; h < a.heads; ++h) {
    float* p = g.p + h * g.ld;
    float* ds = g.ds + h * g.ld;
    mask_and_scale(p, a, begin, end);
    float delta = dot(g.d_out + int64_t(h) * a.value_dim, a.out + int64_t(h) * a.value_dim, a.value_dim);
    Lanes inverse = broadcast(1.0f / a.sum[h]), top = broadcast(a.max[h]), d = broadcast(delta),
          scale = broadcast(a.scale);
    for (int b = begin; b < end; ++b) {
      Lanes probability = exp(load(p + b * kKeyBlock) - top) * inverse;
      store(p + b * kKeyBlock, probability);
      store(ds + b * kKeyBlock, probability * (load(ds + b * kKeyBlock) - d) * scale);
    }
  }
  const Blocks key_rows{g.key_rows, g.key_row_stride, a.blocks};
  all_weighted_rows(a.heads, g.ds, g.ld, {key_rows, a.key_dim, a.first_key, a.num_keys}, a.key_dim, g.d_q, a.key_dim);
}

namespace {

template <int KT, int NV>
inline void outer_tile(const OuterSum& o, int key, int64_t column, int last_count) {
  Lanes acc[KT][NV];
#pragma GCC unroll 16
  for (int j = 0; j < KT; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v)
      acc[j][v] = load(o.out + (key + j) * o.out_row + column + v * kLanes, v == NV - 1 ? last_count : kLanes);
  for (int64_t row = 0; row < o.rows; ++row)
    for (int64_t h = 0; h < o.heads; ++h) {
      const float* coefficient = o.coefficients + row * o.coefficient_row + h * o.ld + key;
      const float* vector = o.vectors + row * o.vector_row + h * o.vector_head + column;
      Lanes x[NV];
#pragma GCC unroll 16
      for (int v = 0; v < NV; ++v)
        x[v] = v == NV - 1 && last_count < kLanes ? load(vector + v * kLanes, last_count) : load(vector + v * kLanes);
#pragma GCC unroll 16
      for (int j = 0; j < KT; ++j) {
        Lanes c = broadcast(coefficient[j]);
#pragma GCC unroll 16
        for (int v = 0; v < NV; ++v) acc[j][v] = fma(c, x[v], acc[j][v]);
      }
    }
#pragma GCC unroll 16
  for (int j = 0; j < KT; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v)
      store(o.out + (key + j) * o.out_row + column + v * kLanes, acc[j][v], v == NV - 1 ? last_count : kLanes);
}

}  // namespace

void outer_sum(const OuterSum& o) {
#if defined(COHORT_ISA_avx512)
  constexpr int kKeys = 8, kWide = 2;
#else
  constexpr int kKeys = 4, kWide = 1;
#endif
  for (int key = 0; key < kKeyBlock; key += kKeys) {
    int64_t column = 0;
    for (; column + kWide * kLanes <= o.dim; column += kWide * kLanes) outer_tile<kKeys, kWide>(o, key, column, kLanes);
    for (; column < o.dim; column += kLanes)
      outer_tile<kKeys, 1>(o, key, column, o.dim - column < kLanes ? int(o.dim - column) : kLanes);
  }
}

}  // namespace cohort::COHORT_ISA
