#!/usr/bin/env python3
"""PEFT and `cohort` on the same adapters, both ways: a folder that PEFT wrote is read, and one that was read and written
again is loaded by PEFT; log-probabilities of random ids. Needs torch, transformers (5.x) and peft (0.19).

    tests/policy/peft_parity.py [PROGRAM]      exit 0 when the largest difference is at most 5e-4
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, DeepseekV3Config, LlamaConfig, Qwen2Config

LLAMA = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.15)
CASES = {
    "llama, all-linear": (LlamaConfig(**LLAMA), dict(target_modules="all-linear", r=4, lora_alpha=12)),
    "llama, attention, rslora": (LlamaConfig(**LLAMA), dict(target_modules=["q_proj", "v_proj"], r=3, use_rslora=True)),
    "qwen2, mlp": (Qwen2Config(**LLAMA), dict(target_modules=["gate_proj", "down_proj"], r=5)),
    "deepseek_v3, dense": (
        DeepseekV3Config(vocab_size=97, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=4, n_routed_experts=8, first_k_dense_replace=2, kv_lora_rank=32, q_lora_rank=24,
                         qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12, max_position_embeddings=512),
        dict(target_modules=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj"], r=4)),
}


def logprobs(program, model, ids):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"ids": ids}, file)
        file.flush()
        out = subprocess.run([program, "inspect", model, "--logprobs", file.name], capture_output=True, text=True)
    if out.returncode:
        sys.exit(out.stderr)
    return json.loads(out.stdout)["logprobs"]


def difference(peer, ids, ours):
    worst = 0.0
    for row, found in zip(ids, ours):
        with torch.no_grad():
            expected = torch.log_softmax(peer(torch.tensor([row])).logits[0].double(), -1)
        for t in range(len(row) - 1):
            worst = max(worst, abs(expected[t, row[t + 1]].item() - found[t + 1]))
    return worst


def loaded(base, adapter, by_hand):
    """PEFT 0.19.1 does not load adapters of mixture families beside transformers 5.23 (WeightConversion); tensors are
    then put in place by their names."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if not by_hand:
        return PeftModel.from_pretrained(model, adapter).eval()
    model = get_peft_model(model, LoraConfig.from_pretrained(adapter)).eval()
    tensors = load_file(os.path.join(adapter, "adapter_model.safetensors"))
    tensors = {name.replace(".weight", ".default.weight"): tensor for name, tensor in tensors.items()}
    assert not model.load_state_dict(tensors, strict=False).unexpected_keys
    return model


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/cohort"
    largest = 0.0
    for name, (config, lora) in CASES.items():
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            base, adapter, again = (os.path.join(folder, part) for part in ("base", "adapter", "again"))
            AutoModelForCausalLM.from_config(config).float().save_pretrained(base)
            peer = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), LoraConfig(**lora))
            for parameter_name, parameter in peer.named_parameters():
                if "lora_B" in parameter_name:
                    torch.nn.init.normal_(parameter, std=0.1)
            peer.eval().save_pretrained(adapter)
            ids = [torch.randint(3, 90, (n,)).tolist() for n in (5, 40, 90)]
            read = difference(peer, ids, logprobs(program, adapter, ids))
            subprocess.run([program, "export", "-m", adapter, "--out", os.path.join(folder, "merged")], check=True,
                           capture_output=True)
            merged = difference(peer, ids, logprobs(program, os.path.join(folder, "merged"), ids))
            subprocess.run([program, "export", "-m", adapter, "--format", "peft", "--out", again], check=True,
                           capture_output=True)
            back = loaded(base, again, by_hand=config.model_type == "deepseek_v3")
            written = difference(back, ids, logprobs(program, adapter, ids))
            print(f"{name}: read {read:.1e}, merged {merged:.1e}, written {written:.1e}")
            largest = max(largest, read, merged, written)
    sys.exit(0 if largest <= 5e-4 else 1)


main()
