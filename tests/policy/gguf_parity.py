#!/usr/bin/env python3
"""Exports model folders as GGUF files and compares what others make of them: the gguf package reads the same tensors
(Q8_0 by its own quantisation, bit for bit), llama.cpp computes the same log-probabilities, and so does `cohort` from
the file. Needs gguf and llama-cpp-python; without folders also torch and transformers (5.x), which then make tiny
random models of every family (the cases of tests/policy/golden/make_families.py that llama.cpp has).

    tests/policy/gguf_parity.py [--program build/cohort] [FOLDER…]      exit 0 when all agree
"""
import argparse
import ctypes
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

HERE = pathlib.Path(__file__).parent
TEXT = """The sum of the first n whole numbers is n(n + 1)/2. To see why, write the numbers in a row, and below them the
same numbers in the other order: each of the n columns adds up to n + 1, and the two rows together hold the sum twice."""
WINDOWS = []  # exports of models with sliding windows, which llama.cpp does not compute
TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
# Largest difference of a log-probability between llama.cpp and ours on the same file. llama.cpp rounds activations to
# the type of the weights (Q8_0: to 8 bits).
# Rounding now and then chooses another expert.
LLAMA_TOLERANCE = {"f32": 1e-4, "f16": 1e-2, "bf16": 0.3, "q8_0": 0.5}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[1:3]}: {done.stderr.strip()}")
    if "llama.cpp lets queries see all positions" in done.stderr:
        WINDOWS.append(command)
    return done.stdout


def logprobs(program, model, ids):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"ids": [ids]}, file)
        file.flush()
        return np.array(json.loads(run(program, "inspect", model, "--logprobs", file.name))["logprobs"][0][1:])


def ids_of_text(program, model):
    """Text, for models that learnt some: what is improbable to them moves a lot with every bit."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps(TEXT))
        file.flush()
        return json.loads(run(program, "inspect", model, "--encode", file.name))


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def silent(level, text, user):
    if os.environ.get("LLAMA_LOG"):
        sys.stderr.write(text.decode(errors="replace"))


def llama_logprobs(path, ids):
    llama_cpp.llama_log_set(silent, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp does not load {path}")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 512, 512, 512
    params.n_threads = params.n_threads_batch = 1
    params.type_k = params.type_v = 0  # F32
    params.flash_attn_type = 0  # off: it would round to F16
    context = llama_cpp.llama_init_from_model(model, params)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    if llama_cpp.llama_decode(context, batch) != 0:
        raise RuntimeError("llama_decode")
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    out = []
    for i in range(len(ids) - 1):
        row = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, i), (vocab,)).astype(np.float64)
        row -= row.max()
        out.append(row[ids[i + 1]] - math.log(np.exp(row).sum()))
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return np.array(out)


def check_tensors(exact, path, dtype):
    """Against the F32 file: each tensor is what the gguf package's own quantisation makes of the values there."""
    expected = {t.name: t for t in gguf.GGUFReader(exact).tensors}
    found = gguf.GGUFReader(path).tensors
    if [t.name for t in found] != list(expected):
        raise RuntimeError(f"{path}: other tensors")
    for tensor in found:
        values = expected[tensor.name].data.reshape(tuple(int(n) for n in reversed(expected[tensor.name].shape)))
        kind = tensor.tensor_type
        rows = tuple(int(n) for n in reversed(tensor.shape))
        wanted = {TYPES[dtype], "F32"} | ({"F16"} if dtype == "q8_0" and rows[-1] % 32 else set())
        if kind.name not in wanted or (kind.name == "F32") != (dtype == "f32" or len(rows) == 1 or "gate_inp" in tensor.name):
            raise RuntimeError(f"{path}: {tensor.name} is {kind.name}")
        made = gguf.quants.quantize(np.ascontiguousarray(values), kind)
        if made.tobytes() != np.ascontiguousarray(tensor.data).tobytes():
            raise RuntimeError(f"{path}: {tensor.name} has other bytes than gguf.quants.quantize gives")


def check(program, folder, ids, name, work):
    files = {}
    WINDOWS.clear()
    for dtype in TYPES:
        files[dtype] = work / f"{dtype}.gguf"
        files[dtype].unlink(missing_ok=True)
        run(program, "export", "-m", folder, "--format", "gguf", "--dtype", dtype, "--out", files[dtype])
        check_tensors(files["f32"], files[dtype], dtype)
    original, worst = logprobs(program, folder, ids), {}
    ours = {dtype: logprobs(program, path, ids) for dtype, path in files.items()}
    reread = float(np.abs(ours["f32"] - original).max())
    for dtype, path in files.items() if not WINDOWS else []:
        worst[dtype] = float(np.abs(llama_logprobs(path, ids) - ours[dtype]).max())
    good = reread <= 1e-4 and all(worst[d] <= LLAMA_TOLERANCE[d] for d in worst)
    text = ", ".join(f"{d} {w:.1e}" for d, w in worst.items()) or "has no windows"
    print(f"{'ok  ' if good else 'FAIL'} {name}: read again {reread:.1e}; llama.cpp: {text}", flush=True)
    return good


def tiny_models(work):
    import torch
    import transformers

    sys.path.insert(0, str(HERE / "golden"))
    import make_families

    for model_type, changes in make_families.CASES:
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(model_type, **{**make_families.SMALL, **changes})
        model, _ = make_families.fill(transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32))
        folder = work / "model"
        model.save_pretrained(folder)
        yield model_type + " " + json.dumps(changes, sort_keys=True), folder, make_families.TOKENS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/cohort")
    parser.add_argument("folders", nargs="*")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        cases = [(f, pathlib.Path(f), ids_of_text(arguments.program, f)) for f in arguments.folders] or tiny_models(work)
        for name, folder, ids in cases:
            try:
                good &= check(arguments.program, folder, ids, name, work)
            except RuntimeError as error:
                refused = "llama.cpp" in str(error) and "export an HF folder" in str(error)
                print(f"{'--  ' if refused else 'FAIL'} {name}: {error}", flush=True)
                good &= refused
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
