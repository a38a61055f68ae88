#!/usr/bin/env python3
"""A whole GRPO step of TRL beside `cohort bench step`, on the same machine and the same work: an MLA-MoE of 8.8 M
parameters (configs/models/bench-moe.json), 8 prompts × 8 completions of 128 + 200 tokens, fp32, rewards that vary within
every group, no early stop, nothing dropped. The two take turns; printed are medians and their ratio.

    python3 -m venv .deps/peers && .deps/peers/bin/pip install torch==2.11.0 transformers trl==1.16.0
    .deps/peers/bin/python tests/peers/trl_step.py [--rounds 3] [--program build/cohort]
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
PROMPT, COMPLETION, PROMPTS, GENERATIONS = 128, 200, 8, 8


def bytes_tokenizer(folder):
    """A vocabulary of 512: prompts of random words of one token each, so that a prompt has exactly 128 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"w{i}": i for i in range(509)} | {"<eos>": 509, "<bos>": 510, "<pad>": 511}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="w0").save_pretrained(folder)


def trl_steps(rounds):
    """Seconds of each of `rounds` + 1 steps; the first warms up and is left out."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, DeepseekV3Config, DeepseekV3ForCausalLM, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = json.loads((ROOT / "configs/models/bench-moe.json").read_text())
    config.pop("tokenizer"), config.pop("model_type")
    config |= {"eos_token_id": 509, "bos_token_id": 510, "pad_token_id": 511}
    torch.manual_seed(0)
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**config)).float()
    draw = random.Random(0)
    rows = [{"prompt": " ".join(f"w{draw.randrange(509)}" for _ in range(PROMPT))} for _ in range(PROMPTS * (rounds + 1))]
    ends = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            ends.append(time.perf_counter()) if not ends else None

        def on_step_end(self, *args, **kwargs):
            ends.append(time.perf_counter())
            print(f"TRL step {len(ends) - 1}: {ends[-1] - ends[-2]:.2f} s", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        bytes_tokenizer(folder)
        arguments = GRPOConfig(output_dir=folder, per_device_train_batch_size=PROMPTS * GENERATIONS, num_generations=GENERATIONS, max_completion_length=COMPLETION,
                               max_steps=rounds + 1, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1,
                               generation_kwargs={"min_new_tokens": COMPLETION}, beta=0.0, disable_tqdm=True)
        GRPOTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(folder),
                    reward_funcs=lambda completions, **_: [draw.random() for _ in completions], callbacks=[Clock()]).train()
    return [after - before for before, after in zip(ends[1:], ends[2:])]


def own_step(program):
    rows = subprocess.run([program, "bench", "step", "--json"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(row for row in map(json.loads, rows) if row["bench"] == "step")["value"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", default=str(ROOT / "build/cohort"))
    parser.add_argument("--trl-alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trl_alone:
        print(json.dumps(trl_steps(options.trl_alone)))
        return
    ours, theirs = [], []
    for _ in range(options.rounds):  # taking turns, so that a machine whose speed drifts is fair to both
        ours.append(own_step(options.program))
        print(f"Cohort step: {ours[-1]:.2f} s", file=sys.stderr)
        alone = subprocess.run([sys.executable, __file__, "--trl-alone", "1"], stdout=subprocess.PIPE, text=True, check=True)
        theirs += json.loads(alone.stdout.splitlines()[-1])
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"Cohort {ours:.2f} s, TRL {theirs:.2f} s, ratio {theirs / ours:.1f} (medians of {options.rounds})")


if __name__ == "__main__":
    main()
