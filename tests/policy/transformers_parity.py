#!/usr/bin/env python3
"""Compares a model folder (or .gguf file) in transformers with `cohort inspect`: log-probabilities of random ids, and
token ids of a few texts. Needs torch and transformers (5.x); exits 77 where they are not installed.

    tests/policy/transformers_parity.py MODEL [PROGRAM]      exit 0 when the largest difference is at most 5e-4
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError:
    print("the packages torch and transformers are not installed")
    sys.exit(77)

TEXTS = ["3+4*2=", "<think>3+4=7</think><answer>7</answer>", "héllo 世界 <|eos|>", "  two  spaces\n\n1234567"]


def inspect(program, model, flag, lines):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(lines)
        file.flush()
        return subprocess.run([program, "inspect", model, flag, file.name], capture_output=True, text=True, check=True).stdout


def main():
    model, program = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "build/cohort"
    is_gguf = model.endswith(".gguf")
    where = {"gguf_file": os.path.basename(model)} if is_gguf else {}
    peer = AutoModelForCausalLM.from_pretrained(os.path.dirname(model) if is_gguf else model, dtype=torch.float32, **where).eval()
    torch.manual_seed(0)
    ids = [torch.randint(3, peer.config.vocab_size - 10, (n,)).tolist() for n in (5, 40, 90)]
    ours = json.loads(inspect(program, model, "--logprobs", json.dumps({"ids": ids})))["logprobs"]
    worst = 0.0
    for row, logprobs in zip(ids, ours):
        with torch.no_grad():
            expected = torch.log_softmax(peer(torch.tensor([row])).logits[0].double(), -1)
        for t in range(len(row) - 1):
            worst = max(worst, abs(expected[t, row[t + 1]].item() - logprobs[t + 1]))
    print(f"{type(peer).__name__}: largest difference of a log-probability {worst:.2e}")
    same = True
    if not is_gguf:
        tokenizer = AutoTokenizer.from_pretrained(model)
        expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
        lines = inspect(program, model, "--encode", "".join(json.dumps(text) + "\n" for text in TEXTS))
        same = [json.loads(line) for line in lines.splitlines()] == expected
        print(f"{type(tokenizer).__name__}: ids {'equal' if same else 'differ'}")
    sys.exit(0 if worst <= 5e-4 and same else 1)


if __name__ == "__main__":
    main()
