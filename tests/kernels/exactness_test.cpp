// The contract of kernels.h: the same bits for one row and for many, for every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "policy/kernels/buffer.h"
#include "policy/kernels/kernels.h"
#include "policy/kernels/philox.h"

namespace cohort {
namespace {

std::vector<float> random_floats(int64_t count, uint32_t stream) {
  std::vector<float> x(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) x[size_t(i)] = uniform(philox({uint32_t(i), stream, 0, 0}, {7, 9})[0]) * 2 - 1;
  return x;
}

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> found;
  for (const char* isa : {"scalar", "avx2", "avx512"})
    if (const Kernels* table = kernels_for(isa)) found.push_back(table);
  return found;
}

std::vector<float> zeros(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), 0.0f);
}

struct Shape {
  int64_t n, k;
};

TEST(GemmExactness, EveryRowCountThreadCountAndInstructionSetGivesTheSameBits) {
  for (Shape shape : {Shape{64, 64}, Shape{80, 33}, Shape{464, 256}, Shape{1, 5}, Shape{200, 100}}) {
    const int64_t max_rows = 70;
    std::vector<float> a = random_floats(max_rows * shape.k, 1), w = random_floats(shape.n * shape.k, 2),
                       bias = random_floats(shape.n, 3);
    for (bool bf16 : {false, true}) {
      std::vector<float> expected(size_t(max_rows * shape.n));
      for (int64_t t = 0; t < max_rows; ++t)
        for (int64_t n = 0; n < shape.n; ++n) {
          float chain = bias[size_t(n)];
          for (int64_t k = 0; k < shape.k; ++k) {
            float weight = w[size_t(n * shape.k + k)];
            chain = std::fma(a[size_t(t * shape.k + k)], bf16 ? to_float(to_bfloat16(weight)) : weight, chain);
          }
          expected[size_t(t * shape.n + n)] = chain;
        }
      for (int threads : {1, 2, 3}) {
        Compute compute(threads);
        Buffer packed(packed_size(shape.n, shape.k));
        BufferOf<uint8_t> coded(coded_size(shape.n, shape.k));
        if (bf16)
          pack_coded(compute, w.data(), shape.n, shape.k, shape.k, 1, coded.data());
        else
          pack_matrix(compute, w.data(), shape.n, shape.k, shape.k, 1, packed.data());
        for (const Kernels* table : tables()) {
          compute.kernels = table;
          for (int64_t rows : {int64_t(1), int64_t(2), int64_t(5), int64_t(7), int64_t(64), max_rows}) {
            std::vector<float> c(size_t(rows * shape.n), NAN);
            const void* b = bf16 ? static_cast<const void*>(coded.data()) : packed.data();
            gemm(compute,
                 {.a = a.data(),
                  .a_row = shape.k,
                  .b = b,
                  .b_is_bf16 = bf16,
                  .n = shape.n,
                  .k = shape.k,
                  .c = c.data(),
                  .c_row = shape.n,
                  .bias = bias.data()},
                 rows);
            ASSERT_EQ(std::memcmp(c.data(), expected.data(), c.size() * sizeof(float)), 0)
                << table->isa << " n=" << shape.n << " k=" << shape.k << " rows=" << rows << " threads=" << threads
                << " bf16=" << bf16;
          }
        }
      }
    }
  }
}

TEST(PackMatrix, PutsEveryElementInItsPlace) {
  Compute compute(2);
  for (Shape shape : {Shape{64, 16}, Shape{64, 15}, Shape{63, 32}, Shape{129, 37}, Shape{1, 1}, Shape{200, 100}}) {
    std::vector<float> w = random_floats(shape.n * shape.k, 8);
    const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, -0.0f, 1e-42f, 3.4028235e38f, 1.00390625f, 1.01171875f};
    for (size_t i = 0; i < w.size(); i += 7) w[i] = odd[i / 7 % std::size(odd)];
    Buffer packed(packed_size(shape.n, shape.k));
    BufferOf<uint8_t> coded(coded_size(shape.n, shape.k));
    pack_matrix(compute, w.data(), shape.n, shape.k, shape.k, 1, packed.data());
    pack_coded(compute, w.data(), shape.n, shape.k, shape.k, 1, coded.data());
    std::vector<float> column = zeros(shape.k);
    for (int64_t n = 0; n < round_up(shape.n, kBlock); ++n) {
      const CodedBlock block = coded_block<const uint8_t>(coded.data(), shape.n, shape.k, n / kBlock);
      decode_column(block, shape.k, int(n % kBlock), column.data());
      for (int64_t k = 0; k < shape.k; ++k) {
        const int64_t at = n / kBlock * kBlock * shape.k + k * kBlock + n % kBlock;
        const float expected = n < shape.n ? w[size_t(n * shape.k + k)] : 0.0f;
        ASSERT_EQ(std::bit_cast<uint32_t>(packed[at]), std::bit_cast<uint32_t>(expected)) << n << ", " << k;
        ASSERT_EQ(std::bit_cast<uint32_t>(column[size_t(k)]), uint32_t(to_bfloat16(expected).bits) << 16)
            << n << ", " << k;
      }
    }
  }
}

/// Finite weights whose exponents are, by `kind`: anything; fifteen neighbouring ones and 0; the same without 0;
/// sixteen neighbouring ones, the lowest of them rarely; fifteen up to the largest finite one; the smallest ones.
std::vector<float> weights_of_kind(uint32_t kind, int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  const uint32_t most = kind == 4 ? 254 : kind == 5 ? random() % 16 : 20 + random() % 230;
  std::vector<float> w;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t exponent = most - random() % std::min(most + 1, 15u);
    if (kind == 0) exponent = random() % 255;
    if (kind != 2 && random() % 8 == 0) exponent = 0;
    if (kind == 3 && random() % 200 == 0) exponent = most - 15;
    w.push_back(to_float({uint16_t((random() & 0x8000u) | exponent << 7 | (random() & 127u))}));
  }
  return w;
}

TEST(CodedBfloat16, EveryWeightIsReadWithItsBits) {
  Compute compute(1);
  int64_t wide_pairs[6] = {}, pairs = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    const int64_t n = 64 + int64_t(seed % 3) * 5, k = 50 + seed;
    const std::vector<float> w = weights_of_kind(seed % 6, n * k, seed);
    BufferOf<uint8_t> coded(coded_size(n, k));
    pack_coded(compute, w.data(), n, k, k, 1, coded.data());
    const auto block_of = [&](int64_t j) { return coded_block<const uint8_t>(coded.data(), n, k, j / kBlock); };
    for (int64_t pair = 0; pair < coded_pairs(k); ++pair) wide_pairs[seed % 6] += block_of(0).is_wide(pair), ++pairs;
    std::vector<float> column = zeros(k);
    for (int64_t j = 0; j < n; ++j) {
      decode_column(block_of(j), k, int(j % kBlock), column.data());
      ASSERT_EQ(std::memcmp(column.data(), w.data() + j * k, sizeof(float) * size_t(k)), 0) << j << " seed " << seed;
    }
    std::vector<float> unit = zeros(k * k);  // row k of A picks weight k of every column
    for (int64_t i = 0; i < k; ++i) unit[size_t(i * k + i)] = 1;
    for (const Kernels* table : tables()) {
      compute.kernels = table;
      std::vector<float> c(size_t(k * n), NAN);
      Gemm g{.a = unit.data(), .a_row = k, .b = coded.data(), .b_is_bf16 = true, .n = n, .k = k};
      g.c = c.data(), g.c_row = n;
      gemm(compute, g, k);
      for (int64_t i = 0; i < k; ++i)
        for (int64_t j = 0; j < n; ++j) ASSERT_EQ(c[size_t(i * n + j)], w[size_t(j * k + i)]) << table->isa;
    }
  }
  for (int kind : {1, 2, 4, 5}) EXPECT_EQ(wide_pairs[kind], 0) << kind;
  EXPECT_GT(wide_pairs[0], pairs / 6 * 9 / 10);
  EXPECT_GT(wide_pairs[3], 5);
  EXPECT_LT(wide_pairs[3], pairs / 6);
}

TEST(GemmExactness, StridedAndGatheredRowsAndAccumulation) {
  Compute compute(2);
  const int64_t rows = 13, n = 70, k = 37;
  std::vector<float> a = random_floats(k * rows, 4), b = random_floats(n * k, 5), start = random_floats(rows * n, 6);
  std::vector<int32_t> gather = {12, 0, 3, 3, 7};
  Buffer packed(packed_size(n, k));
  pack_matrix(compute, b.data(), n, k, 1, n, packed.data());  // B given as [k, n]
  for (const Kernels* table : tables()) {
    compute.kernels = table;
    std::vector<float> c = start;
    gemm(compute,
         {.a = a.data(),
          .a_row = 1,
          .a_k = rows,
          .a_rows = gather.data(),
          .b = packed.data(),
          .n = n,
          .k = k,
          .c = c.data(),
          .c_row = n,
          .accumulate = true},
         int64_t(gather.size()));
    for (size_t t = 0; t < gather.size(); ++t)
      for (int64_t j = 0; j < n; ++j) {
        float chain = start[t * size_t(n) + size_t(j)];
        for (int64_t i = 0; i < k; ++i) chain = std::fma(a[size_t(i * rows + gather[t])], b[size_t(i * n + j)], chain);
        ASSERT_EQ(c[t * size_t(n) + size_t(j)], chain) << table->isa;
      }
  }
}

TEST(AttendExactness, InstructionSetsAgreeAndMatchDoubleArithmetic) {
  for (int heads : {1, 3, 8}) {
    for (int num_keys : {1, 15, 16, 17, 100, 333}) {
      const int key_dim = 80, value_dim = 72, num_blocks = (num_keys + 15) / 16;
      std::vector<float> q = random_floats(heads * key_dim, 1), k = random_floats(num_keys * key_dim, 2),
                         v = random_floats(num_keys * value_dim, 3);
      std::vector<int32_t> blocks;
      for (int b = 0; b < num_blocks; ++b) blocks.push_back(num_blocks - 1 - b);  // any order of memory
      std::vector<float> keys(size_t(num_blocks) * 16 * key_dim, NAN), values(size_t(num_blocks) * 16 * value_dim, NAN);
      for (int p = 0; p < num_keys; ++p) {
        for (int d = 0; d < key_dim; ++d)
          keys[size_t((blocks[p / 16] * key_dim + d) * 16 + p % 16)] = k[size_t(p * key_dim + d)];
        for (int d = 0; d < value_dim; ++d)
          values[size_t((blocks[p / 16] * 16 + p % 16) * value_dim + d)] = v[size_t(p * value_dim + d)];
      }
      for (int first_key : {0, num_keys / 2}) {
        std::vector<float> reference;
        for (const Kernels* table : tables()) {
          std::vector<float> out = zeros(heads * value_dim), scores = zeros(heads * num_blocks * 16),
                             top = zeros(heads), total = zeros(heads);
          table->attend({.q = q.data(),
                         .blocks = blocks.data(),
                         .keys = keys.data(),
                         .values = values.data(),
                         .key_stride = 16 * key_dim,
                         .value_stride = 16 * value_dim,
                         .value_row = value_dim,
                         .heads = heads,
                         .key_dim = key_dim,
                         .value_dim = value_dim,
                         .first_key = first_key,
                         .num_keys = num_keys,
                         .scale = 0.3f,
                         .scores = scores.data(),
                         .out = out.data(),
                         .max = top.data(),
                         .sum = total.data()});
          if (reference.empty()) reference = out;
          ASSERT_EQ(std::memcmp(out.data(), reference.data(), out.size() * 4), 0) << table->isa << " keys " << num_keys;
        }
        for (int h = 0; h < heads; ++h) {
          std::vector<double> weight;
          double sum = 0;
          for (int p = first_key; p < num_keys; ++p) {
            double score = 0;
            for (int d = 0; d < key_dim; ++d) score += double(q[size_t(h * key_dim + d)]) * k[size_t(p * key_dim + d)];
            weight.push_back(std::exp(score * 0.3));
            sum += weight.back();
          }
          for (int d = 0; d < value_dim; ++d) {
            double out = 0;
            for (int p = first_key; p < num_keys; ++p)
              out += weight[size_t(p - first_key)] / sum * v[size_t(p * value_dim + d)];
            ASSERT_NEAR(reference[size_t(h * value_dim + d)], out, 2e-5);
          }
        }
      }
    }
  }
}

TEST(RowExactness, InstructionSetsAgree) {
  for (int64_t dim : {1, 15, 16, 33, 256, 1000}) {
    std::vector<float> x = random_floats(dim, 1), y = random_floats(dim, 2), w = random_floats(dim, 3);
    for (float& value : x) value *= 20;
    std::vector<std::vector<float>> results;
    for (const Kernels* k : tables()) {
      std::vector<float> all, out = zeros(dim), other = zeros(dim);
      auto keep = [&](const std::vector<float>& v) { all.insert(all.end(), v.begin(), v.end()); };
      float inverse = k->rms_norm(x.data(), w.data(), dim, 1e-6f, out.data());
      all.push_back(inverse), keep(out);
      k->rms_norm_backward(x.data(), w.data(), inverse, y.data(), dim, false, out.data()), keep(out);
      k->swiglu(x.data(), y.data(), dim, out.data()), keep(out);
      k->swiglu_backward(x.data(), y.data(), w.data(), dim, out.data(), other.data()), keep(out), keep(other);
      TokenStatistics s = k->token_statistics(x.data(), dim, 0.7f, int32_t(dim / 2));
      all.insert(all.end(), {s.logprob, s.entropy, s.max, s.sum});
      k->logits_gradient(x.data(), dim, 0.7f, int32_t(dim / 2), s, 0.3f, 0.1f, out.data()), keep(out);
      EXPECT_EQ(k->exponentials(x.data(), dim, 0.7f, s.max, out.data()), s.sum);
      std::vector<float> weight = w, mean(size_t(dim), 0.1f), variance(size_t(dim), 0.2f);
      k->adamw(weight.data(), mean.data(), variance.data(), x.data(), dim,
               {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f, 0.5f});
      keep(weight), keep(mean), keep(variance);
      all.push_back(float(k->sum_of_squares(x.data(), dim)));
      results.push_back(all);
    }
    for (const auto& r : results) ASSERT_EQ(std::memcmp(r.data(), results[0].data(), r.size() * 4), 0) << dim;
  }
}

TEST(RowBits, TheSamplersPassHasTheBitsOfTheOthers) {
  for (int64_t vocab : {1, 3, 15, 16, 17, 63, 64, 65, 130, 1023, 1024, 1025, 2500}) {
    std::vector<float> x = random_floats(vocab, 9);
    for (float& value : x) value *= 12;
    if (vocab > 20) x[7] = -INFINITY, x[size_t(vocab) - 1] = -200;
    for (const Kernels* k : tables()) {
      std::vector<float> weights(static_cast<size_t>(vocab)), expected = weights,
                                                              groups(size_t(ceil_div(vocab, 1024)) * 16);
      std::vector<double> runs(size_t(ceil_div(vocab, 64)));
      const TokenStatistics s = k->sampling_row(x.data(), vocab, 0.7f, {weights.data(), runs.data(), groups.data()});
      const int32_t token = int32_t(vocab / 2);
      const TokenStatistics t = k->token_statistics(x.data(), vocab, 0.7f, token);
      EXPECT_EQ(k->exponentials(x.data(), vocab, 0.7f, t.max, expected.data()), s.sum);
      EXPECT_EQ(weights, expected);
      EXPECT_EQ(s.max, t.max);
      EXPECT_EQ(s.entropy, t.entropy);
      EXPECT_EQ(k->token_logprob(x[size_t(token)], 0.7f, s), t.logprob);
      std::vector<double> sums(runs.size() * 4);
      std::vector<float> largest(groups.size());
      for (int64_t v = 0; v < vocab; ++v) {
        sums[size_t(v / 64 * 4 + v % 4)] += double(weights[size_t(v)]);
        float& group = largest[size_t(v / 1024 * 16 + v % 16)];
        group = std::max(group, weights[size_t(v)]);
      }
      EXPECT_EQ(groups, largest);
      for (size_t r = 0; r < runs.size(); ++r)
        EXPECT_EQ(runs[r], (sums[r * 4] + sums[r * 4 + 1]) + (sums[r * 4 + 2] + sums[r * 4 + 3]));
    }
  }
}

TEST(RowBits, KeysComeInTheOrderOfIdsAndSortByWeightThenId) {
  const std::vector<float> weights = {0.5f, 0, 1, 0.25f, 0.5f, 1e-30f, 0.75f, 0, 0, 0.5f, 0, 0, 0, 0, 0, 0, 0.5f, 0.3f};
  for (const Kernels* k : tables()) {
    std::vector<uint64_t> keys(weights.size());
    keys.resize(size_t(k->keys_from(weights.data(), int64_t(weights.size()), 0.3f, keys.data())));
    const auto ids = [&] {
      std::vector<uint32_t> all;
      for (uint64_t key : keys) all.push_back(~uint32_t(key));
      return all;
    };
    EXPECT_EQ(ids(), (std::vector<uint32_t>{0, 2, 4, 6, 9, 16, 17}));
    std::sort(keys.begin(), keys.end(), std::greater());
    EXPECT_EQ(ids(), (std::vector<uint32_t>{2, 6, 0, 4, 9, 16, 17}));
  }
}

TEST(RowAccuracy, TokenStatisticsAndItsGradientMatchDoubleArithmetic) {
  const int64_t vocab = 77;
  std::vector<float> x = random_floats(vocab, 5);
  for (float& value : x) value *= 9;
  const float temperature = 0.6f, d_logprob = 0.7f, d_entropy = -0.4f;
  auto statistics = [&](const std::vector<double>& logits) {
    double total = 0, entropy = 0;
    for (double l : logits) total += std::exp(l / temperature);
    for (double l : logits) entropy -= std::exp(l / temperature) / total * (l / temperature - std::log(total));
    return std::pair(logits[3] / temperature - std::log(total), entropy);
  };
  std::vector<double> logits(x.begin(), x.end());
  auto [logprob, entropy] = statistics(logits);
  for (const Kernels* k : tables()) {
    TokenStatistics s = k->token_statistics(x.data(), vocab, temperature, 3);
    EXPECT_NEAR(s.logprob, logprob, 2e-5);
    EXPECT_NEAR(s.entropy, entropy, 2e-5);
    std::vector<float> gradient(vocab);
    k->logits_gradient(x.data(), vocab, temperature, 3, s, d_logprob, d_entropy, gradient.data());
    for (size_t v = 0; v < size_t(vocab); ++v) {
      auto at = [&](double step) {
        std::vector<double> moved = logits;
        moved[v] += step;
        auto [l, e] = statistics(moved);
        return d_logprob * l + d_entropy * e;
      };
      ASSERT_NEAR(gradient[v], (at(1e-5) - at(-1e-5)) / 2e-5, 1e-5) << k->isa << " " << v;
    }
  }
}

TEST(Philox, KnownAnswers) {  // Random123's kat_vectors for philox4x32-10
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

}  // namespace
}  // namespace cohort
