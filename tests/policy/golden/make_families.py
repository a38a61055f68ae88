#!/usr/bin/env python3
"""Log-probabilities that transformers gives to tiny models of every family, for tests/policy/family_golden_test.cpp.
Weights are a function of each tensor's name and index (see weight()), so that none need storing. Needs torch and
transformers (5.x).

    tests/policy/golden/make_families.py > tests/policy/golden/families.json
"""
import json
import sys
import zlib

import torch
import transformers

SMALL = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=False,
             eos_token_id=1, bos_token_id=0, pad_token_id=0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=32, beta_slow=1, rope_theta=10000.0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32, rope_theta=5000.0)
LATENT = dict(num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8,
              v_head_dim=12, q_lora_rank=None, moe_intermediate_size=40, n_routed_experts=8, num_experts_per_tok=3,
              n_shared_experts=1, first_k_dense_replace=1, routed_scaling_factor=1.8)
MOE = dict(moe_intermediate_size=40, num_experts_per_tok=3)

CASES = [
    ("llama", dict()),
    ("llama", dict(tie_word_embeddings=True, head_dim=16)),
    ("llama", dict(attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3)),
    ("llama", dict(rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=10000.0))),
    ("llama", dict(rope_parameters=YARN)),
    ("llama", dict(rope_parameters=dict(YARN, truncate=False))),
    ("mistral", dict(sliding_window=9)),
    ("mistral", dict(sliding_window=None, head_dim=12)),
    ("mixtral", dict(num_local_experts=8, num_experts_per_tok=2)),
    ("mixtral", dict(num_local_experts=4, num_experts_per_tok=3, sliding_window=9)),
    ("qwen2", dict()),
    ("qwen2", dict(use_sliding_window=True, sliding_window=7, max_window_layers=1, tie_word_embeddings=True)),
    ("qwen2", dict(rope_parameters=YARN)),
    ("qwen3", dict(head_dim=16)),
    ("qwen3", dict(head_dim=16, attention_bias=True, use_sliding_window=True, sliding_window=7, max_window_layers=2)),
    ("qwen3_moe", dict(MOE, head_dim=16, num_experts=8, norm_topk_prob=True)),
    ("qwen3_moe", dict(MOE, head_dim=8, num_experts=8, norm_topk_prob=False, mlp_only_layers=[1], decoder_sparse_step=1)),
    ("qwen3_moe", dict(MOE, head_dim=8, num_experts=6, norm_topk_prob=True, decoder_sparse_step=2)),
    ("glm4_moe", dict(MOE, head_dim=16, n_routed_experts=8, n_shared_experts=1, first_k_dense_replace=1, use_qk_norm=True,
                      routed_scaling_factor=1.8, attention_bias=True)),
    ("glm4_moe", dict(MOE, head_dim=16, n_routed_experts=8, n_shared_experts=2, first_k_dense_replace=2, n_group=4,
                      topk_group=2, norm_topk_prob=False)),
    ("minimax_m2", dict(MOE, head_dim=16, num_local_experts=8, rotary_dim=8)),
    ("minimax_m2", dict(MOE, head_dim=16, num_local_experts=8)),
    ("hunyuan_v1_dense", dict(head_dim=16)),
    ("hunyuan_v1_dense", dict(head_dim=8, attention_bias=True,
                              rope_parameters=dict(rope_type="dynamic", alpha=1000.0, factor=1.0, rope_theta=10000.0))),
    ("hunyuan_v1_moe", dict(head_dim=8, num_experts=8, moe_topk=3)),
    ("deepseek_v2", dict(LATENT, topk_method="greedy")),
    ("deepseek_v2", dict(LATENT, q_lora_rank=24, topk_method="group_limited_greedy", n_group=4, topk_group=2)),
    ("deepseek_v2", dict(LATENT, rope_parameters=dict(YARN, mscale=0.707, mscale_all_dim=0.707))),
    ("deepseek_v3", dict(LATENT, n_group=1, topk_group=1)),
    ("deepseek_v3", dict(LATENT, q_lora_rank=24, n_group=4, topk_group=2, norm_topk_prob=False)),
    ("deepseek_v3", dict(LATENT, n_group=4, topk_group=2, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0))),
]
TOKENS = [(7 * i * i + 3 * i + 5) % 97 for i in range(41)]


def weight(name, shape):
    """sin of a multiple of (index + seed of the name), scaled as a layer would be; vectors lie around 1 or 0."""
    count = 1
    for d in shape:
        count *= d
    seed = zlib.crc32(name.encode()) % 10007
    value = torch.sin(12.9898 * (torch.arange(count, dtype=torch.float64) + seed)).mul(43758.5453)
    value = (value - torch.floor(value) - 0.5).reshape(shape)
    if len(shape) > 1:
        return value * (2.0 / shape[-1] ** 0.5)
    around = 1.0 if "norm" in name else 0.0
    return around + value * (0.02 if "correction" in name else 0.3)


def fill(model):
    """Through the names that a saved file has, so that the test sees the same ones."""
    import tempfile

    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = folder + "/model.safetensors"
        tensors = {n: weight(n, list(t.shape)).float() for n, t in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
        return type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval(), sorted(tensors)


def main():
    out = []
    for model_type, changes in CASES:
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(model_type, **{**SMALL, **changes})
        model, names = fill(transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32))
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([TOKENS])).logits[0].double(), -1)
        expected = [round(logprobs[t, TOKENS[t + 1]].item(), 6) for t in range(len(TOKENS) - 1)]
        written = json.loads(config.to_json_string(use_diff=False))
        keep = set(SMALL) | set(changes) | {"model_type", "rope_parameters", "head_dim", "layer_types", "norm_topk_prob",
                                           "num_local_experts", "num_experts", "partial_rotary_factor"}
        out.append({"case": model_type + " " + json.dumps(changes, sort_keys=True),
                    "config": {k: v for k, v in written.items() if k in keep}, "tensors": len(names), "logprobs": expected})
        print(out[-1]["case"], file=sys.stderr)
    json.dump({"transformers": transformers.__version__, "tokens": TOKENS, "cases": out}, sys.stdout, indent=None)
    print()


if __name__ == "__main__":
    main()
