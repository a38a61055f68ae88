// Gradients held against those of LibTorch's autograd.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "policy/model.h"

namespace cohort {

/// The share of the largest gradient by which a parameter's gradients may differ.
inline void expect_same_gradient(const CausalLM& model, const Buffer& gradient, const at::Tensor& theirs) {
  at::Tensor ours = at::from_blob(const_cast<float*>(gradient.data()), {gradient.size()});
  for (const ParameterSpec& p : model.spec.parameters) {
    if (!p.gradient) continue;
    at::Tensor a = ours.narrow(0, p.offset, p.size()), b = theirs.narrow(0, p.offset, p.size());
    double largest = b.abs().max().item<double>();
    EXPECT_GT(largest, 0) << p.name;
    EXPECT_LT((a - b).abs().max().item<double>(), 2e-3 * std::max(largest, 1e-5)) << p.name;
  }
}

}  // namespace cohort
