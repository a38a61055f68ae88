"""Writes tests/rollout/golden/sampling.json: the distributions that transformers' own logits processors leave of stored
logits, in the order in which generate() applies them. presence_penalty and frequency_penalty, which transformers lacks,
follow OpenAI's definition (as vLLM does): logits -= frequency * times said + presence * (said at all).

Usage: python generate_sampling_goldens.py [golden folder]      (transformers 5.23, torch)
"""
import json
import pathlib
import sys

import torch
import transformers
from transformers.generation import logits_process as lp

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")
VOCAB, STOP_IDS = 257, [3, 101]
PROMPT = [5, 5, 17, 200, 44, 9, 120]
COMPLETION = [9, 33, 33, 33, 60, 5, 251, 60]

SETTINGS = [
    {},
    {"temperature": 0.6},
    {"temperature": 1.7},
    {"top_k": 1},
    {"top_k": 20},
    {"top_k": 200, "temperature": 1.3},
    {"top_p": 0.9},
    {"top_p": 0.5, "temperature": 0.7},
    {"top_p": 0.999},
    {"top_p": 0.02},
    {"min_p": 0.1},
    {"min_p": 0.02, "temperature": 1.5},
    {"top_k": 30, "top_p": 0.8},
    {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "top_p": 0.9},
    {"presence_penalty": 1.5},
    {"frequency_penalty": 0.8},
    {"presence_penalty": -0.6, "frequency_penalty": -0.3},
    {"logit_bias": {"7": 4.5, "33": -100, "250": 2}},
    {"repetition_penalty": 1.2, "presence_penalty": 0.4, "frequency_penalty": 0.3, "logit_bias": {"44": 3, "120": -2},
     "temperature": 0.9, "top_k": 60, "top_p": 0.92, "min_p": 0.03},
    {"min_tokens": 9},
    {"min_tokens": 9, "top_k": 15},
]


def row(seed, spread):
    """Logits that fp32 holds exactly, none of them twice, as ties are broken differently."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.round(torch.randn(VOCAB, generator=draw) * spread * 1024) / 1024
    while len(set(logits.tolist())) < VOCAB:
        logits += torch.arange(VOCAB) / 65536
    return logits


def processed(logits, s):
    """What transformers would draw from, [V]; and by how much a top_p decision was made."""
    ids, scores = torch.tensor([PROMPT + COMPLETION]), logits[None].clone()
    if "logit_bias" in s:
        scores = lp.SequenceBiasLogitsProcessor({(int(i),): float(b) for i, b in s["logit_bias"].items()})(ids, scores)
    if "repetition_penalty" in s:
        scores = lp.RepetitionPenaltyLogitsProcessor(s["repetition_penalty"])(ids, scores)
    said = torch.bincount(torch.tensor(COMPLETION), minlength=VOCAB).float()
    scores = scores - s.get("frequency_penalty", 0.0) * said - s.get("presence_penalty", 0.0) * (said > 0)
    if "min_tokens" in s:
        scores = lp.MinNewTokensLengthLogitsProcessor(len(PROMPT), s["min_tokens"], STOP_IDS, device="cpu")(ids, scores)
    if "temperature" in s:
        scores = lp.TemperatureLogitsWarper(s["temperature"])(ids, scores)
    if "top_k" in s:
        scores = lp.TopKLogitsWarper(s["top_k"])(ids, scores)
    if "top_p" in s:
        sums = torch.softmax(scores.double()[0], -1).sort(descending=True).values.cumsum(-1)
        assert (sums - s["top_p"]).abs().min() > 1e-6, f"{s} is too close to a token's edge"
        scores = lp.TopPLogitsWarper(s["top_p"])(ids, scores)
    if "min_p" in s:
        scores = lp.MinPLogitsWarper(s["min_p"])(ids, scores)
    return scores[0]


def case(name, logits, settings):
    probabilities = torch.softmax(processed(logits, settings).double(), -1)
    kept = probabilities.nonzero().flatten().tolist()
    return {"row": name, "settings": settings, "kept": kept,
            "probabilities": [float(f"{probabilities[i]:.9g}") for i in kept]}


def main():
    rows = {"flat": row(1, 1.0), "peaked": row(2, 3.0)}
    golden = {
        "transformers": transformers.__version__,
        "prompt": PROMPT, "completion": COMPLETION, "stop_ids": STOP_IDS,
        "rows": {name: logits.tolist() for name, logits in rows.items()},
        "cases": [case(name, logits, s) for name, logits in rows.items() for s in SETTINGS],
    }
    HERE.mkdir(parents=True, exist_ok=True)
    (HERE / "sampling.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
