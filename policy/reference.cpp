#include "policy/reference.h"

#include <ATen/ATen.h>

namespace cohort {
namespace {

using at::Tensor;

struct View {
  const ModelSpec& spec;
  const Tensor& flat;
  Tensor at(int64_t offset, at::IntArrayRef shape) const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return flat.narrow(0, offset, n).view(shape);
  }
};

Tensor rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + epsilon) * weight;
}

/// x [S, H, dim], its first rope.dim dimensions rotated by position.
Tensor rope(const Tensor& whole, const RopeSpec& rope) {
  int64_t S = whole.size(0), rest = whole.size(-1) - rope.dim;
  Tensor x = whole.narrow(-1, 0, rope.dim);
  auto joined = [&](const Tensor& rotated) {
    return rest ? at::cat({rotated, whole.narrow(-1, rope.dim, rest)}, -1) : rotated;
  };
  Tensor frequency = at::tensor(at::ArrayRef<float>(rope.inv_freq));
  Tensor angle = at::arange(S).to(at::kFloat).unsqueeze(1) * frequency.unsqueeze(0);
  Tensor c = (angle.to(at::kDouble).cos().to(at::kFloat) * rope.amplitude).to(x.dtype()).unsqueeze(1);
  Tensor s = (angle.to(at::kDouble).sin().to(at::kFloat) * rope.amplitude).to(x.dtype()).unsqueeze(1);
  if (rope.interleaved) {
    Tensor pairs = x.reshape({S, x.size(1), -1, 2}), a = pairs.select(-1, 0), b = pairs.select(-1, 1);
    return joined(at::stack({a * c - b * s, b * c + a * s}, -1).reshape_as(x));
  }
  Tensor a = x.narrow(-1, 0, rope.dim / 2), b = x.narrow(-1, rope.dim / 2, rope.dim / 2);
  return joined(at::cat({a * c - b * s, b * c + a * s}, -1));
}

Tensor causal_attention(const Tensor& q_SHd, const Tensor& k_SHd, const Tensor& v_SHv, double scale,
                        int64_t window = 0) {
  int64_t S = q_SHd.size(0);
  Tensor scores = at::einsum("qhd,khd->hqk", {q_SHd, k_SHd}) * scale;
  Tensor hidden = at::ones({S, S}, at::kBool).triu(1);
  if (window) hidden = hidden.logical_or(at::ones({S, S}, at::kBool).tril(-window));
  Tensor p = scores.masked_fill(hidden, -INFINITY).softmax(-1);
  return at::einsum("hqk,khv->qhv", {p, v_SHv}).reshape({S, -1});
}

Tensor grouped_attention(const View& w, const AttentionSpec& a, const LayerOffsets& o, const Tensor& h) {
  int64_t S = h.size(0), D = w.spec.dim;
  Tensor in = h.matmul(w.at(o.in, {a.in_rows(), D}).t());
  if (o.in_bias >= 0) in = in + w.at(o.in_bias, {a.in_rows()});
  auto turned = [&](Tensor x, int64_t heads, int64_t norm) {
    const double epsilon = w.spec.norm_epsilon;
    if (a.qk_norm == QkNorm::whole) x = rms_norm(x, w.at(norm, {heads * a.head_dim}), epsilon);
    x = x.reshape({S, heads, a.head_dim});
    if (a.qk_norm == QkNorm::heads) x = rms_norm(x, w.at(norm, {a.head_dim}), epsilon);
    x = rope(x, w.spec.rope);
    return a.qk_norm == QkNorm::heads_after_rope ? rms_norm(x, w.at(norm, {a.head_dim}), epsilon) : x;
  };
  Tensor q = turned(in.narrow(1, 0, a.heads * a.head_dim), a.heads, o.q_norm);
  Tensor k = turned(in.narrow(1, a.heads * a.head_dim, a.kv_heads * a.head_dim), a.kv_heads, o.k_norm);
  Tensor v =
      in.narrow(1, (a.heads + a.kv_heads) * a.head_dim, a.kv_heads * a.head_dim).reshape({S, a.kv_heads, a.head_dim});
  int64_t repeat = a.heads / a.kv_heads;
  return causal_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), a.scale, a.window);
}

Tensor latent_attention(const View& w, const AttentionSpec& a, const LayerOffsets& o, const Tensor& h) {
  int64_t S = h.size(0), r = a.kv_lora_rank, first = a.in_rows() - r - a.rope_dim,
          per_head = a.nope_dim + a.value_head_dim;
  Tensor in = h.matmul(w.at(o.in, {a.in_rows(), w.spec.dim}).t());
  Tensor q = in.narrow(1, 0, first);
  if (a.q_lora_rank)
    q = rms_norm(q, w.at(o.q_a_norm, {a.q_lora_rank}), a.lora_norm_epsilon)
            .matmul(w.at(o.q_b, {a.heads * a.head_dim, a.q_lora_rank}).t());
  q = q.reshape({S, a.heads, a.head_dim});
  Tensor latent = rms_norm(in.narrow(1, first, r), w.at(o.kv_a_norm, {r}), a.lora_norm_epsilon);
  Tensor k_rope = rope(in.narrow(1, first + r, a.rope_dim).reshape({S, 1, a.rope_dim}), w.spec.rope)
                      .expand({S, a.heads, a.rope_dim});
  Tensor kv = latent.matmul(w.at(o.kv_b, {a.heads * per_head, r}).t()).reshape({S, a.heads, per_head});
  Tensor k = at::cat({kv.narrow(2, 0, a.nope_dim), k_rope}, 2);
  Tensor q_rotated = at::cat({q.narrow(2, 0, a.nope_dim), rope(q.narrow(2, a.nope_dim, a.rope_dim), w.spec.rope)}, 2);
  return causal_attention(q_rotated, k, kv.narrow(2, a.nope_dim, a.value_head_dim), a.scale);
}

Tensor with_bias(const View& w, const Tensor& x, int64_t bias) {
  return bias >= 0 ? x + w.at(bias, {x.size(-1)}) : x;
}

Tensor swiglu(const View& w, const Tensor& h, int64_t gate_up, int64_t down, int64_t ffn, int64_t gate_up_bias = -1,
              int64_t down_bias = -1) {
  Tensor both = with_bias(w, h.matmul(w.at(gate_up, {2 * ffn, w.spec.dim}).t()), gate_up_bias);
  Tensor act = at::silu(both.narrow(1, 0, ffn)) * both.narrow(1, ffn, ffn);
  return with_bias(w, act.matmul(w.at(down, {w.spec.dim, ffn}).t()), down_bias);
}

Tensor mixture(const View& w, const LayerSpec& layer, const Tensor& h) {
  const MoeSpec& m = layer.moe;
  int64_t S = h.size(0);
  Tensor logits = h.matmul(w.at(layer.offsets.router, {m.experts, w.spec.dim}).t());
  Tensor scores = m.sigmoid_scores ? logits.sigmoid() : logits.softmax(-1);
  Tensor biased = scores.detach();
  if (m.correction_bias) biased = biased + w.at(layer.offsets.router_bias, {m.experts}).detach();
  if (m.top_groups < m.groups) {
    Tensor grouped = biased.reshape({S, m.groups, -1});
    Tensor worth = std::get<0>(grouped.topk(m.group_by_best ? 1 : 2, -1)).sum(-1);
    Tensor best = std::get<1>(worth.topk(m.top_groups, -1));
    Tensor closed =
        at::ones({S, m.groups}, at::kBool).scatter(1, best, false).unsqueeze(-1).expand_as(grouped).reshape({S, -1});
    biased = biased.masked_fill(closed, -INFINITY);
  }
  Tensor chosen = std::get<1>(biased.topk(m.top_k, -1));
  Tensor weight = scores.gather(1, chosen);
  if (m.normalize) weight = weight / (weight.sum(-1, true) + 1e-20);
  Tensor dense = at::zeros_like(scores).scatter(1, chosen, weight * m.scale);
  Tensor out = m.shared_dim ? swiglu(w, h, layer.offsets.gate_up, layer.offsets.down, m.shared_dim) : at::zeros_like(h);
  for (int64_t e = 0; e < m.experts; ++e)
    out = out + dense.narrow(1, e, 1) * swiglu(w, h, layer.offsets.expert_gate_up[size_t(e)],
                                               layer.offsets.expert_down[size_t(e)], m.expert_dim);
  return out;
}

Tensor block(const View& w, const LayerSpec& layer, Tensor x) {
  const LayerOffsets& o = layer.offsets;
  const AttentionSpec& a = layer.attention;
  const int64_t D = w.spec.dim;
  Tensor h = rms_norm(x, w.at(o.attention_norm, {D}), w.spec.norm_epsilon);
  Tensor attended = a.latent ? latent_attention(w, a, o, h) : grouped_attention(w, a, o, h);
  x = x + with_bias(w, attended.matmul(w.at(o.o, {D, int64_t(a.heads) * a.value_head_dim}).t()), o.o_bias);
  h = rms_norm(x, w.at(o.ffn_norm, {D}), w.spec.norm_epsilon);
  return x + (layer.dense_dim ? swiglu(w, h, o.gate_up, o.down, layer.dense_dim, o.gate_up_bias, o.down_bias)
                              : mixture(w, layer, h));
}

Tensor embedded(const View& w, std::span<const int32_t> tokens) {
  Tensor ids = at::tensor(at::ArrayRef<int32_t>(tokens.data(), tokens.size())).to(at::kLong);
  return w.at(w.spec.embedding, {w.spec.vocab, w.spec.dim}).index_select(0, ids);
}

/// After the final norm.
Tensor hidden_states(const View& w, std::span<const int32_t> tokens) {
  Tensor x = embedded(w, tokens);
  for (const LayerSpec& layer : w.spec.layers) x = block(w, layer, x);
  return rms_norm(x, w.at(w.spec.final_norm, {w.spec.dim}), w.spec.norm_epsilon);
}

/// Row t of hidden_SD predicts target t: [targets].
Tensor target_logprobs(const View& w, const Tensor& hidden_SD, std::span<const int32_t> targets, double temperature,
                       std::span<const std::span<const int32_t>> kept = {}) {
  Tensor ids = at::tensor(at::ArrayRef<int32_t>(targets.data(), targets.size())).to(at::kLong);
  Tensor logits = hidden_SD.matmul(w.at(w.spec.head, {w.spec.vocab, w.spec.dim}).t()) / temperature;
  Tensor open = at::ones_like(logits, at::kBool);
  for (size_t t = 0; t < kept.size(); ++t) {
    if (!kept[t].empty()) open[int64_t(t)].fill_(false);
    for (int32_t id : kept[t]) open[int64_t(t)][id].fill_(true);
  }
  logits = logits.masked_fill(open.logical_not(), -INFINITY);
  return logits.narrow(0, 0, ids.size(0)).log_softmax(-1).gather(1, ids.unsqueeze(1)).squeeze(1);
}

}  // namespace

at::Tensor parameter_tensor(const CausalLM& model) {
  return at::from_blob(const_cast<float*>(model.parameters.data()), {model.spec.num_parameters}, at::kFloat)
      .clone()
      .set_requires_grad(true);
}

at::Tensor reference_logprobs(const ModelSpec& spec, const at::Tensor& parameters, std::span<const int32_t> tokens,
                              double temperature, std::span<const std::span<const int32_t>> kept) {
  const View w{spec, parameters};
  return target_logprobs(w, hidden_states(w, tokens), tokens.subspan(1), temperature, kept);
}

at::Tensor reference_distributions(const ModelSpec& spec, const at::Tensor& parameters, std::span<const int32_t> tokens,
                                   double temperature) {
  const View w{spec, parameters};
  return (hidden_states(w, tokens).matmul(w.at(spec.head, {spec.vocab, spec.dim}).t()) / temperature).log_softmax(-1);
}

at::Tensor reference_mtp_logprobs(const ModelSpec& spec, const at::Tensor& parameters,
                                  std::span<const int32_t> tokens) {
  const View w{spec, parameters};
  const MtpSpec& m = *spec.mtp;
  const int64_t D = spec.dim, S = int64_t(tokens.size()) - 1;  // rows that have a next token
  Tensor next = at::cat({at::zeros({1, D}), embedded(w, tokens.subspan(1)).narrow(0, 1, S - 1)});
  Tensor hidden = hidden_states(w, tokens).narrow(0, 0, S);
  Tensor both = at::cat({rms_norm(next, w.at(m.embedding_norm, {D}), spec.norm_epsilon),
                         rms_norm(hidden, w.at(m.hidden_norm, {D}), spec.norm_epsilon)},
                        1);
  Tensor x = block(w, m.layer, both.matmul(w.at(m.projection, {D, 2 * D}).t()));
  return target_logprobs(w, rms_norm(x, w.at(m.final_norm, {D}), spec.norm_epsilon), tokens.subspan(2), 1.0);
}

}  // namespace cohort
