#!/usr/bin/env python3
"""Greedy text of model folders: `cohort sample --temperature 0` against transformers' generate (fp32) on the same folder, and
against llama.cpp on GGUF files that `cohort export` makes of it, token by token and as text. Needs torch and transformers
(5.x), or llama-cpp-python; exits 77 where the peer is not installed.

    tests/policy/greedy_parity.py --peer transformers|llama.cpp [--program build/cohort] [--dtypes f32,q8_0] FOLDER…

Where a peer takes another token than ours, the margin between the two is asked of both. Within TIE, what the order of sums
moves a logit by in fp32, it is a tie. llama.cpp rounds activations to the type of the weights (q8_0: to 8 bits), so of other
types than f32 it may take another token for that alone: then llama.cpp on the same weights written as f32 has to take ours,
and the difference is counted as rounded. Anything else fails. Behind a difference the peer goes on from our token, so that
every token of ours is compared.
"""
import argparse
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PROMPTS = ["3+4*2=", "The capital of France is", "Once upon a time, there was a", "def add(a, b):\n", "héllo 世界 12345"]
TIE = 1e-4
LEAST = 40  # tokens of a text; where a model stops earlier, its text is taken once more with stop tokens forbidden


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(part) for part in command[1:4])}: {done.stderr.strip()}")
    return done.stdout


class Ours:
    def __init__(self, program, model, work):
        self.program, self.model, self.work = program, model, work
        shown = json.loads(re.search(r"^stop_ids\s+(\[.*\])$", run(program, "inspect", model), re.M)[1])
        self.stops = [int(stop) for stop in shown]

    def texts(self, prompts, count, stops):
        """Of each prompt its ids, the completion's ids and its text; `stops`: whether it may end before `count`."""
        (self.work / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p, "answer": ""}) + "\n" for p in prompts))
        more = [] if stops else ["--min-tokens", count]
        lines = run(self.program, "sample", "-m", self.model, "--tasks", self.work / "prompts.jsonl", "-n", 1, "--temperature", 0,
                    "--max-completion-length", count, *more).splitlines()
        groups = {g["task"]["prompt"]: g for g in map(json.loads, lines)}
        return [(groups[p]["prompt_ids"], groups[p]["rollouts"][0]["completion_ids"], groups[p]["rollouts"][0]["completion"]) for p in prompts]

    def margin(self, ids, a, b):
        """log p of a minus that of b behind ids."""
        (self.work / "ids.json").write_text(json.dumps({"ids": [ids + [a], ids + [b]]}))
        rows = json.loads(run(self.program, "inspect", self.model, "--logprobs", self.work / "ids.json"))["logprobs"]
        return rows[0][-1] - rows[1][-1]


class Transformers:
    def __init__(self, folder, stops):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self.torch, self.stops = torch, stops
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def generate(self, ids, count, stops):
        least = {} if stops else {"min_new_tokens": count}
        given = self.torch.tensor([ids])
        out = self.model.generate(given, attention_mask=self.torch.ones_like(given), do_sample=False, max_new_tokens=count,
                                  eos_token_id=self.stops or None, pad_token_id=0, **least)
        return out[0, len(ids):].tolist()

    def margin(self, ids, a, b):
        with self.torch.no_grad():
            row = self.model(self.torch.tensor([ids])).logits[0, -1].double()
        return (row[a] - row[b]).item()

    def encode(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class LlamaCpp:
    def __init__(self, path, stops):
        import llama_cpp
        import numpy

        self.numpy, self.stops = numpy, stops
        self.model = llama_cpp.Llama(str(path), n_ctx=256, n_batch=256, logits_all=True, flash_attn=False, type_k=llama_cpp.GGML_TYPE_F32,
                                     type_v=llama_cpp.GGML_TYPE_F32, n_threads=1, verbose=False)

    def generate(self, ids, count, stops):
        forbid = lambda _, scores: (scores.__setitem__(self.stops, -self.numpy.inf), scores)[1]
        out = []
        for token in self.model.generate(ids, temp=0, logits_processor=None if stops else [forbid]):
            out.append(token)
            if len(out) == count or token in self.stops:
                return out

    def margin(self, ids, a, b):
        self.model.reset()
        self.model.eval(ids)
        row = self.model.scores[len(ids) - 1]
        return float(row[a]) - float(row[b])

    def encode(self, text):
        return self.model.tokenize(text.encode(), add_bos=False, special=True)

    def decode(self, ids):
        return self.model.detokenize(ids).decode(errors="replace")


def plain(text):
    """Programs write one or several signs for bytes that are no UTF-8."""
    return re.sub("\ufffd+", "\ufffd", text)


class Counts:
    texts = same = tokens = 0

    def __init__(self):
        self.ties, self.rounded = [], []

    def __str__(self):
        largest = [f", {len(m)} {word} (margins up to {max(m):.1e})" for m, word in ((self.ties, "ties"), (self.rounded, "rounded")) if m]
        return f"{self.same} of {self.texts} texts the same, {self.tokens} tokens" + "".join(largest)


def compare(ours, peer, unrounded, prompt, count, stops, counts):
    """Adds what becomes of one prompt; RuntimeError where a token is another for no such reason. Tokens of the text."""
    [(ids, tokens, text)] = ours.texts([prompt], count, stops)
    if peer.encode(prompt) != ids:
        raise RuntimeError(f"prompt {prompt!r}: ids {peer.encode(prompt)}, ours {ids}")
    done, is_same = 0, True
    while done < len(tokens):
        found = peer.generate(ids + tokens[:done], count - done, stops)
        same = next((i for i, (a, b) in enumerate(zip(tokens[done:], found)) if a != b), None)
        if same is None:
            if len(found) != len(tokens) - done:
                raise RuntimeError(f"prompt {prompt!r}: {len(found)} tokens behind {done}, ours {len(tokens) - done}")
            break
        done, is_same = done + same, False
        before, a, b = ids + tokens[:done], tokens[done], found[same]
        margin = max(abs(ours.margin(before, a, b)), abs(peer.margin(before, a, b)))
        if margin <= TIE:
            counts.ties.append(margin)
        elif unrounded and unrounded.margin(before, a, b) >= -TIE:
            counts.rounded.append(margin)
        else:
            raise RuntimeError(f"prompt {prompt!r}: token {done} is {b}, ours {a}, {margin:.2e} between them")
        done += 1
    shown = [t for t in tokens if t not in ours.stops]
    if plain(peer.decode(shown)) != plain(text):
        raise RuntimeError(f"prompt {prompt!r}: text {peer.decode(shown)!r}, ours {text!r}")
    counts.texts, counts.same, counts.tokens = counts.texts + 1, counts.same + is_same, counts.tokens + len(tokens)
    return len(tokens)


def check(name, ours, peer, unrounded, count):
    counts = Counts()
    try:
        for prompt in PROMPTS:
            if compare(ours, peer, unrounded, prompt, count, True, counts) < LEAST:
                compare(ours, peer, unrounded, prompt, count, False, counts)
    except RuntimeError as error:
        print(f"FAIL {name}: {error}", flush=True)
        return False
    print(f"ok   {name}: {counts}", flush=True)
    return True


def check_gguf(program, folder, name, dtype, count, work):
    path, twin = work / "model.gguf", work / "f32.gguf"
    for stale in (path, twin):
        stale.unlink(missing_ok=True)
    run(program, "export", "-m", folder, "--format", "gguf", "--dtype", dtype, "--out", path)
    ours, unrounded = Ours(program, path, work), None
    if dtype != "f32":
        run(program, "export", "-m", path, "--format", "gguf", "--dtype", "f32", "--out", twin)
        unrounded = LlamaCpp(twin, ours.stops)
    return check(f"{name}, llama.cpp {dtype}", ours, LlamaCpp(path, ours.stops), unrounded, count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", choices=["transformers", "llama.cpp"], required=True)
    parser.add_argument("--program", default="build/cohort")
    parser.add_argument("--dtypes", default="f32,f16,bf16,q8_0")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("folders", nargs="+")
    arguments = parser.parse_args()
    packages = {"transformers": ["torch", "transformers"], "llama.cpp": ["llama_cpp", "numpy"]}[arguments.peer]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        print(f"Python packages that are not installed: {', '.join(missing)}")
        sys.exit(77)
    good = True
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for folder in arguments.folders:
            name = pathlib.Path(folder).name
            if arguments.peer == "transformers":
                ours = Ours(arguments.program, folder, work)
                good &= check(f"{name}, transformers", ours, Transformers(folder, ours.stops), None, arguments.tokens)
            else:
                for dtype in arguments.dtypes.split(","):
                    good &= check_gguf(arguments.program, folder, name, dtype, arguments.tokens, work)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
