#!/usr/bin/env python3
"""Sampling beside llama.cpp and transformers on the same machine, the same weights and the same number of tokens, no
speculation and no early stop. They take turns; printed are medians of the decoding and prompt rates and their ratios.

    make smollm2 && python3 -m venv .deps/peers
    .deps/peers/bin/pip install torch==2.11.0 transformers==5.23.0 llama-cpp-python==0.3.36
    .deps/peers/bin/python tests/peers/rollout_speed.py [--rounds 3] [--slots 1,16,64] [--moe] [--program build/cohort]

SmolLM2-135M-Instruct: prompts of 192 tokens, 64 new ones; Cohort with bfloat16 weights and fp32 arithmetic, llama.cpp
with F16 weights, transformers in fp32. --moe: the MLA-MoE of 8.8 M parameters (configs/models/bench-moe.json), 128 + 200
tokens, fp32 everywhere.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMOLLM2 = ROOT / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"
CORES = len(os.sched_getaffinity(0))


def cohort(program, folder, shape, slots, moe):
    """Prompt tokens a second, and new tokens a second; each with its fraction of the roof."""
    command = [program, "bench", "rollout", "-m", folder, "--json", "--seconds", "1", "--slots", str(slots),
               "--generations", "1", "--prompt-length", str(shape[0]), "--max-completion-length", str(shape[1])]
    out = subprocess.run([str(c) for c in command] + ([] if moe else ["--bf16"]), check=True, capture_output=True, text=True)
    rows = {json.loads(line)["case"].split(", ")[1]: json.loads(line) for line in out.stdout.splitlines()}
    found = [rows["prompts alone"], rows["decoding alone"]]
    return [r["value"] for r in found], [r["fraction_of_roof"] for r in found]


def prompts_of(vocab, length, slots):
    draw = random.Random(slots)
    return [[draw.randrange(3, vocab) for _ in range(length)] for _ in range(slots)]


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, path):
        import ctypes

        import llama_cpp as lc

        self.lc = lc
        self.silent = lc.llama_log_callback(lambda level, text, user: None)
        lc.llama_log_set(self.silent, ctypes.c_void_p(0))
        lc.llama_backend_init()
        self.model = lc.llama_model_load_from_file(str(path).encode(), lc.llama_model_default_params())
        self.vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))

    def pass_rows(self, context, rows):
        """rows: (token, position, sequence, wants logits)."""
        batch = self.lc.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = sequence
        begin = time.perf_counter()
        if self.lc.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode")
        self.lc.llama_synchronize(context)
        taken = time.perf_counter() - begin
        self.lc.llama_batch_free(batch)
        return taken

    def run(self, shape, slots):
        """The time of llama_decode alone: tokens are drawn beforehand, choosing them would come on top."""
        lc = self.lc
        params = lc.llama_context_default_params()
        params.n_ctx = slots * (sum(shape) + 8)
        params.n_batch, params.n_ubatch, params.n_seq_max, params.kv_unified = 2048, 512, slots, False
        params.n_threads = params.n_threads_batch = CORES
        context = lc.llama_init_from_model(self.model, params)
        prompts = prompts_of(self.vocab, shape[0], slots)
        prefill = 0
        for s, prompt in enumerate(prompts):
            prefill += self.pass_rows(context, [(t, i, s, i + 1 == len(prompt)) for i, t in enumerate(prompt)])
        decode = 0
        for n in range(shape[1] - 1):
            decode += self.pass_rows(context, [(p[n % len(p)], shape[0] + n, s, 1) for s, p in enumerate(prompts)])
        lc.llama_free(context)
        return slots * shape[0] / prefill, slots * (shape[1] - 1) / decode


class Transformers:
    name = "transformers"

    def __init__(self, folder):
        import torch
        import transformers

        torch.set_num_threads(CORES)
        transformers.logging.set_verbosity_error()
        self.torch = torch
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.vocab = self.model.config.vocab_size

    def seconds(self, ids, count):
        begin = time.perf_counter()
        with self.torch.inference_mode():
            self.model.generate(ids, attention_mask=self.torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0,
                                min_new_tokens=count, max_new_tokens=count, pad_token_id=0)
        return time.perf_counter() - begin

    def run(self, shape, slots):
        ids = self.torch.tensor(prompts_of(self.vocab, shape[0], slots))
        one, whole = self.seconds(ids, 1), self.seconds(ids, shape[1])
        return slots * shape[0] / one, slots * (shape[1] - 1) / (whole - one)


def models(program, work, moe):
    folder, gguf = work / "model", work / "model.gguf"
    source = f"init:{ROOT}/configs/models/bench-moe.json" if moe else SMOLLM2
    run = lambda *command: subprocess.run([str(c) for c in command], check=True, capture_output=True)
    run(program, "export", "-m", source, "--dtype", "f32" if moe else "bf16", "--out", folder)
    run(program, "export", "-m", folder, "--format", "gguf", "--dtype", "f32" if moe else "f16", "--out", gguf)
    return folder, gguf


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=ROOT / "build/cohort")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", default="")
    parser.add_argument("--moe", action="store_true")
    parser.add_argument("--peers", default="llama.cpp,transformers")
    a = parser.parse_args()
    shape = (128, 200) if a.moe else (192, 64)
    slots_of = [int(s) for s in (a.slots or ("1,64,128" if a.moe else "1,16,64")).split(",")]
    with tempfile.TemporaryDirectory() as work:
        folder, gguf = models(a.program, pathlib.Path(work), a.moe)
        makers = {"llama.cpp": lambda: LlamaCpp(gguf), "transformers": lambda: Transformers(folder)}
        peers = [makers[name]() for name in a.peers.split(",") if name]
        for slots in slots_of:
            ours, fractions, theirs = [], [], {p.name: [] for p in peers}
            for _ in range(a.rounds):
                rates, of_roof = cohort(a.program, folder, shape, slots, a.moe)
                ours.append(rates), fractions.append(of_roof)
                for peer in peers:
                    theirs[peer.name].append(peer.run(shape, slots))
                print(slots, ours[-1], {n: t[-1] for n, t in theirs.items()}, file=sys.stderr, flush=True)
            for i, what in enumerate(["prompts", "decoding"]):
                mine = statistics.median(r[i] for r in ours)
                line = f"{slots:4} slots, {what:8}: {mine:8.0f} tokens/s, {statistics.median(f[i] for f in fractions):4.0%} of the roof"
                for name, rates in theirs.items():
                    rate = statistics.median(r[i] for r in rates)
                    line += f"; {name} {rate:.0f}, {mine / rate:.2f} times"
                print(line, flush=True)


if __name__ == "__main__":
    main()
