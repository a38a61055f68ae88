#!/usr/bin/env python3
"""A whole GRPO step of TRL beside `cohort bench step`, on the same machine and the same work: fp32, rewards that vary
within every group, no early stop, nothing dropped. The two take turns; printed are medians and their ratio.

    python3 -m venv .deps/peers && .deps/peers/bin/pip install torch==2.11.0 transformers trl==1.16.0
    .deps/peers/bin/python tests/peers/trl_step.py [--case moe|smollm2|smollm2-long] [--rounds 3] [--program build/cohort]

moe: an MLA-MoE of 8.8 M parameters (configs/models/bench-moe.json), 8 prompts × 8 completions of 128 + 200 tokens.
smollm2: SmolLM2-135M-Instruct (make smollm2), 4 prompts × 8 completions of 192 + 64 tokens.
smollm2-long: the same, 8 prompts × 8 completions of 192 + 512 tokens, for the peak of memory: TRL passes 8 completions at
once, Cohort what fits max_tokens_per_batch, each of them with gradient checkpointing.
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
GENERATIONS = 8
SHAPES = {"moe": (128, 200, 8), "smollm2": (192, 64, 4), "smollm2-long": (192, 512, 8)}  # tokens of a prompt, of a completion; prompts


def bytes_tokenizer(folder):
    """A vocabulary of 512: prompts of random words of one token each, so that a prompt has exactly 128 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"w{i}": i for i in range(509)} | {"<eos>": 509, "<bos>": 510, "<pad>": 511}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="w0").save_pretrained(folder)


def random_moe(folder):
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    bytes_tokenizer(folder)
    config = json.loads((ROOT / "configs/models/bench-moe.json").read_text())
    config.pop("tokenizer"), config.pop("model_type")
    config |= {"eos_token_id": 509, "bos_token_id": 510, "pad_token_id": 511}
    return DeepseekV3ForCausalLM(DeepseekV3Config(**config)).float()


def smollm2(program, folder):
    import torch
    from transformers import AutoModelForCausalLM

    subprocess.run([program, "export", "-m", str(SMOLLM2), "--dtype", "f32", "--out", f"{folder}/model"], check=True, stdout=subprocess.DEVNULL)
    return AutoModelForCausalLM.from_pretrained(f"{folder}/model", dtype=torch.float32)


def prompts_of(case, tokenizer, count, length):
    """Texts of exactly `length` tokens."""
    draw = random.Random(0)
    words = [f"w{i}" for i in range(509)] if case == "moe" else ["the", "and", "was", "for", "with", "that", "this", "from"]
    texts = [" ".join(draw.choice(words) for _ in range(length)) for _ in range(count)]
    assert all(len(tokenizer(text).input_ids) == length for text in texts)
    return texts


def trl_steps(case, program, rounds):
    """Seconds of each of `rounds` + 1 steps; the first warms up and is left out, but where it is long."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    length, completion, prompts = SHAPES[case]
    draw = random.Random(0)
    ends = []
    is_long = case == "smollm2-long"
    passes = prompts if is_long else 1

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            ends.append(time.perf_counter()) if not ends else None

        def on_step_end(self, *args, **kwargs):
            ends.append(time.perf_counter())
            print(f"TRL step {len(ends) - 1}: {ends[-1] - ends[-2]:.2f} s", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        model = random_moe(folder) if case == "moe" else smollm2(program, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder if case == "moe" else f"{folder}/model")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        rows = [{"prompt": text} for text in prompts_of(case, tokenizer, prompts * (rounds + 1), length)]
        arguments = GRPOConfig(output_dir=folder, per_device_train_batch_size=prompts * GENERATIONS // passes, gradient_accumulation_steps=passes, num_generations=GENERATIONS, max_completion_length=completion,
                               max_steps=1 if is_long else rounds + 1, use_cpu=True, bf16=False, gradient_checkpointing=is_long, report_to=[], save_strategy="no", logging_steps=1,
                               generation_kwargs={"min_new_tokens": completion}, beta=0.0, disable_tqdm=True)
        GRPOTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
                    reward_funcs=lambda completions, **_: [draw.random() for _ in completions], callbacks=[Clock()]).train()
    steps = [after - before for before, after in zip(ends, ends[1:])]
    return steps if is_long else steps[1:]


def measured(command):
    """What the command printed, and the most memory that it held, in GiB."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return out, usage.ru_maxrss / 2**20


def own_step(case, program):
    length, completion, prompts = SHAPES[case]
    model = [] if case == "moe" else ["-m", str(SMOLLM2)]
    if case == "smollm2-long":
        return own_long_step(program, length, completion, prompts)
    shape = ["--prompts", prompts, "--generations", GENERATIONS, "--prompt-length", length, "--max-completion-length", completion]
    out, peak = measured([program, "bench", "step", "--json", *model, *map(str, shape)])
    return next(row for row in map(json.loads, out.splitlines()) if row["bench"] == "step")["value"], peak


def own_long_step(program, length, completion, prompts):
    """One step of a run: prompts of as many tokens, completions that do not end early."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"prompt": " ".join([f"{i} times {i} is"] + ["the"] * (length - 8))} for i in range(prompts)]
        pathlib.Path(folder, "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = {"model": str(SMOLLM2), "tasks": f"{folder}/tasks.jsonl", "rewards": [{"name": "regex", "options": {"pattern": "e.*a"}}],
                  "num_generations": GENERATIONS, "prompts_per_step": prompts, "max_steps": 1, "max_completion_length": completion, "min_tokens": completion,
                  "loss_type": "dapo", "entropy_coef": 1e-6, "gradient_checkpointing": True, "dry_step": "never", "max_verifier_error_rate": 1}
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        _, peak = measured([program, "train", f"{folder}/config.json", "--out", f"{folder}/run"])
        row = json.loads(pathlib.Path(folder, "run/metrics.jsonl").read_text())
        return row["step_time"], peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=SHAPES, default="moe")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default=str(ROOT / "build/cohort"))
    parser.add_argument("--trl-alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trl_alone:
        print(json.dumps(trl_steps(options.case, options.program, options.trl_alone)))
        return
    ours, theirs, peaks = [], [], [0, 0]
    for _ in range(options.rounds):  # taking turns, so that a machine whose speed drifts is fair to both
        seconds, peak = own_step(options.case, options.program)
        ours.append(seconds)
        peaks[0] = max(peaks[0], peak)
        print(f"Cohort step: {seconds:.2f} s, {peak:.2f} GiB", file=sys.stderr)
        out, peak = measured([sys.executable, __file__, "--case", options.case, "--program", options.program, "--trl-alone", "1"])
        theirs += json.loads(out.splitlines()[-1])
        peaks[1] = max(peaks[1], peak)
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"Cohort {ours:.2f} s, TRL {theirs:.2f} s, ratio {theirs / ours:.1f} (medians of {options.rounds}); peaks of memory {peaks[0]:.2f} and {peaks[1]:.2f} GiB")


if __name__ == "__main__":
    main()
