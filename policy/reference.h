// The model in plain LibTorch operations, one sequence at a time: slow, short, and the oracle of the engine's forward
// and (through autograd) of its backward.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>

#include "policy/model.h"

namespace cohort {

/// log p(token | tokens before it) of one sequence after temperature, [S − 1]; differentiable in `parameters`
/// ([num_parameters], the flat layout of model.parameters, any floating dtype). `kept` [S − 1]: the ids that each token
/// is chosen from, none: all.
at::Tensor reference_logprobs(const ModelSpec& spec, const at::Tensor& parameters, std::span<const int32_t> tokens,
                              double temperature = 1.0, std::span<const std::span<const int32_t>> kept = {});

/// log p of every token of the vocabulary behind each of these, [S, V].
at::Tensor reference_distributions(const ModelSpec& spec, const at::Tensor& parameters, std::span<const int32_t> tokens,
                                   double temperature = 1.0);

/// A copy of the model's parameters as a leaf that requires a gradient.
at::Tensor parameter_tensor(const CausalLM& model);

/// [S − 2] log-probabilities of the tokens after the second by the multi-token-prediction layer, temperature 1.
at::Tensor reference_mtp_logprobs(const ModelSpec& spec, const at::Tensor& parameters, std::span<const int32_t> tokens);

}  // namespace cohort
