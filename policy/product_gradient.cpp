#include <algorithm>
#include <cstring>

#include "policy/layer_backward.h"

namespace cohort {
namespace {

/// Packs in[row(t), k] for t in [begin, end) into [K/64][end−begin][64].
void pack_rows(const Compute& compute, const float* in, int64_t in_row, const int32_t* in_rows, int64_t k,
               int64_t begin, int64_t end, float* panels) {
  int64_t count = end - begin;
  compute.pool.parallel_for(ceil_div(k, kBlock), [&](int64_t block) {
    int64_t columns = std::min<int64_t>(kBlock, k - block * kBlock);
    for (int64_t t = 0; t < count; ++t) {
      const float* from = in + int64_t(in_rows ? in_rows[begin + t] : begin + t) * in_row + block * kBlock;
      float* to = panels + (block * count + t) * kBlock;
      std::memcpy(to, from, sizeof(float) * size_t(columns));
      std::fill(to + columns, to + kBlock, 0.0f);
    }
  });
}

/// Element (k, n) of a packed matrix [n, k], in fp32: block c of the new columns is rows 64·c … of the old.
void transpose_packed(const Compute& compute, const Gemm& matrix, Buffer& out) {
  const int64_t n = matrix.n, k = matrix.k, blocks = ceil_div(n, kBlock);
  out.resize(packed_size(k, n));
  compute.pool.parallel_for(blocks, [&](int64_t block) {
    std::vector<float> column(static_cast<size_t>(k));
    for (int64_t j = block * kBlock; j < std::min(n, (block + 1) * kBlock); ++j) {
      const float* from = column.data();
      if (matrix.b_is_bf16)
        decode_column(coded_block(static_cast<const uint8_t*>(matrix.b), n, k, block), k, int(j % kBlock),
                      column.data());
      else
        for (int64_t i = 0; i < k; ++i)
          column[size_t(i)] = static_cast<const float*>(matrix.b)[(block * k + i) * kBlock + j % kBlock];
      for (int64_t c = 0; c < ceil_div(k, kBlock); ++c) {
        const int64_t count = std::min<int64_t>(kBlock, k - c * kBlock);
        float* to = out.data() + (c * n + j) * kBlock;
        std::copy_n(from + c * kBlock, count, to);
        std::fill(to + count, to + kBlock, 0.0f);
      }
    }
  });
}

/// c (+)= a · panels over so many rows.
void multiply(const BackwardStep& st, const float* a, int64_t a_row, int64_t rows, const Buffer& panels, int64_t n,
              int64_t k, bool accumulate, float* c, int64_t c_row) {
  gemm(st.compute,
       {.a = a, .a_row = a_row, .b = panels.data(), .n = n, .k = k, .c = c, .c_row = c_row, .accumulate = accumulate},
       rows);
}

/// Through C += scale · (x·Aᵀ)·Bᵀ: with u = x·Aᵀ and d_u = scale · d_out·B, dB = scale · d_outᵀ·u, dA = d_uᵀ·x and
/// d_in += d_u·A.
void low_rank_gradient(const BackwardStep& st, const LowRank& r, const float* d_out, int64_t out_row,
                       const Inputs& inputs, int64_t rows, float* d_in, int64_t in_row) {
  const Adapter& adapter = *st.model.adapter;
  st.b.low_rank.resize(2 * rows * r.rank);
  float *u = st.b.low_rank.data(), *d_u = u + rows * r.rank;
  Gemm down = product_a(adapter, r);
  down.a = inputs.x, down.a_row = inputs.row, down.a_rows = inputs.rows, down.c = u, down.c_row = r.rank;
  gemm(st.compute, down, rows);
  transpose_packed(st.compute, product_b(adapter, r), st.b.weight_panels);
  multiply(st, d_out, out_row, rows, st.b.weight_panels, r.rank, r.n, false, d_u, r.rank);
  transpose_packed(st.compute, product_a(adapter, r), st.b.weight_panels);
  multiply(st, d_u, r.rank, rows, st.b.weight_panels, r.k, r.rank, true, d_in, in_row);
  for (int64_t i = 0; i < rows * r.rank; ++i) u[i] *= adapter.scale;
  for (const LowRank::Module& m : r.modules)
    weight_gradient(st.compute, d_out + m.first_row, out_row, m.rows, u + m.first_rank, r.rank, nullptr, m.rank, rows,
                    st.b.input_panels, st.gradient + m.b);
  weight_gradient(st.compute, d_u, r.rank, r.rank, inputs.x, inputs.row, inputs.rows, r.k, rows, st.b.input_panels,
                  st.gradient + r.a);
}

}  // namespace

void pack_as_read(const CausalLM& model, const Compute& compute, int64_t offset, int64_t n, int64_t k, int64_t n_stride,
                  int64_t k_stride, Buffer& out) {
  out.resize(packed_size(n, k));
  pack_matrix(compute, model.at(offset), n, k, n_stride, k_stride, out.data());
  if (!model.bf16) return;
  compute.pool.parallel_for(ceil_div(n, kBlock), [&](int64_t block) {
    float* panel = out.data() + block * k * kBlock;
    for (int64_t i = 0; i < k * kBlock; ++i) panel[i] = to_float(to_bfloat16(panel[i]));
  });
}

void pack_transposed(const CausalLM& model, const Compute& compute, const PackedMatrix& matrix, int64_t index,
                     Buffer& out) {
  transpose_packed(compute, product(model, matrix, index), out);
}

void weight_gradient(const Compute& compute, const float* d_out, int64_t out_row, int64_t n, const float* in,
                     int64_t in_row, const int32_t* in_rows, int64_t k, int64_t rows, Buffer& panels, float* d_weight) {
  panels.resize(packed_size(k, kSumRows));
  for (int64_t begin = 0; begin < rows; begin += kSumRows) {  // the chain goes on in d_weight
    int64_t end = std::min(rows, begin + kSumRows);
    pack_rows(compute, in, in_row, in_rows, k, begin, end, panels.data());
    gemm(compute,
         {.a = d_out + begin * out_row,
          .a_row = 1,
          .a_k = out_row,
          .b = panels.data(),
          .n = k,
          .k = end - begin,
          .c = d_weight,
          .c_row = k,
          .accumulate = true},
         n);
  }
}

void input_gradient(const BackwardStep& st, const Weight& w, const float* d_out, int64_t out_row, int64_t rows,
                    bool accumulate, float* d_in, int64_t in_row) {
  const int64_t n = w.matrix.n, k = w.matrix.k;
  if (st.adapter)
    pack_transposed(st.model, st.compute, w.matrix, w.index, st.b.weight_panels);
  else
    pack_as_read(st.model, st.compute, w.offset, k, n, w.is_transposed ? n : 1, w.is_transposed ? 1 : k,
                 st.b.weight_panels);
  multiply(st, d_out, out_row, rows, st.b.weight_panels, k, n, accumulate, d_in, in_row);
}

void weight_gradient(const BackwardStep& st, int64_t offset, const float* d_out, int64_t out_row, int64_t n,
                     const Inputs& inputs, int64_t k, int64_t rows) {
  if (st.adapter) return;
  weight_gradient(st.compute, d_out, out_row, n, inputs.x, inputs.row, inputs.rows, k, rows, st.b.input_panels,
                  st.gradient + offset);
}

void product_gradient(const BackwardStep& st, const Weight& w, const float* d_out, int64_t out_row,
                      const Inputs& inputs, int64_t rows, bool accumulate, float* d_in, int64_t in_row) {
  weight_gradient(st, w.offset, d_out, out_row, w.matrix.n, inputs, w.matrix.k, rows);
  input_gradient(st, w, d_out, out_row, rows, accumulate, d_in, in_row);
  if (w.adapter) low_rank_gradient(st, *w.adapter, d_out, out_row, inputs, rows, d_in, in_row);
}

void norm_gradient(const BackwardStep& st, int64_t offset, const float* x, int64_t x_row, const float* inverse_rms,
                   const float* d_y, int64_t dy_row, int64_t dim, bool accumulate, float* d_x, int64_t dx_row) {
  for_rows(st.compute, st.T, [&](int64_t t) {
    st.compute.kernels->rms_norm_backward(x + t * x_row, st.model.at(offset), inverse_rms[t], d_y + t * dy_row, dim,
                                          accumulate, d_x + t * dx_row);
  });
  if (st.adapter) return;
  st.compute.pool.parallel_for(ceil_div(dim, 16), [&](int64_t i) {
    st.compute.kernels->rms_norm_weight_gradient(x, x_row, inverse_rms, d_y, dy_row, st.T, i * 16,
                                                 std::min<int64_t>(16, dim - i * 16), st.gradient + offset);
  });
}

void bias_gradient(const BackwardStep& st, int64_t offset, const float* d_out, int64_t n) {
  if (offset < 0 || st.adapter) return;
  st.compute.pool.parallel_for(ceil_div(n, kKeyBlock), [&](int64_t i) {
    for (int64_t t = 0; t < st.T; ++t)
      st.compute.kernels->add_scaled(d_out + t * n + i * kKeyBlock, 1.0f,
                                     std::min<int64_t>(kKeyBlock, n - i * kKeyBlock),
                                     st.gradient + offset + i * kKeyBlock);
  });
}

}  // namespace cohort
