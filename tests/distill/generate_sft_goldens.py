"""Writes tests/distill/golden/trl_sft.json: what TRL's own SFTTrainer makes of chats and of prompts with completions
(tokens, labels), and the loss and the norm of its gradient that its compute_loss gives for them, all rows being one batch.
Tokenizers are those of tests/text/golden, weights a function of each tensor's name (tests/policy/golden/make_families.py).

Usage: python generate_sft_goldens.py [golden folder]      (trl 1.16.0, transformers, torch)
"""
import json
import logging
import pathlib
import sys
import tempfile

import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer
from trl import SFTConfig, SFTTrainer

TESTS = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(TESTS / "policy/golden"))
from make_families import LATENT, SMALL, fill

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")
TOKENIZERS = {"smollm": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
              "llama2": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}}

TURN = "{{ '<|im_start|>' + m.role + '\\n' }}"
TEMPLATES = {
    "chatml": "{% for m in messages %}" + TURN + "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>\\n' }}{% endgeneration %}"
              "{% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # without marks: only a completion can be told from its prompt
    "unmarked": "{% for m in messages %}" + TURN + "{{ m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # marks from the line break on that the prompt ends with
    "early": "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% if m.role == 'assistant' %}{% generation %}{{ '\\n' + m.content + '<|im_end|>\\n' }}{% endgeneration %}"
             "{% else %}{{ '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # reasoning stays in the last turn alone
    "forgetful": "{% for m in messages %}" + TURN + "{% if m.role == 'assistant' %}{% generation %}{{ (m.content if loop.last else m.content.split('</think>')[-1]) + '<|im_end|>\\n' }}"
                 "{% endgeneration %}{% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # the prompt opens the reasoning that a turn need not have
    "opened": "{% for m in messages %}" + TURN + "{{ m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}",
    "brackets": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ ' ' + m.content + eos_token }}{% endgeneration %}"
                "{% else %}{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
}


def chat(*turns):
    roles = ["user", "assistant"] * 9 if len(turns) % 2 == 0 else ["system"] + ["user", "assistant"] * 9
    return [{"role": role, "content": content} for role, content in zip(roles, turns)]


CHATS = [{"messages": chat("What is 17+25?", "17+25=42")},
         {"messages": chat("Be brief. é", "Say it\nin two lines.", "one\ntwo", "And 3*3?", "9", "thanks 👍", "You're welcome.")},
         {"messages": chat("a b c", "The quick brown fox jumps over the lazy dog", "and then?", "it rests")}]
PAIRS = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in CHATS]
DIALOGUE = [{"prompt": chat("x", "y")[:1], "completion": chat("x", "y")[1:] + chat("z", "w")}]
# no token of these reaches across the end of a prompt
PLAIN = [{"prompt": "12+34=", "completion": " 46"}, {"prompt": "Name a colour.\n", "completion": "blue, as the sky is on a summer's day"},
         {"prompt": "def f(x):", "completion": "\n\treturn x**2 + 3*x - 1"}, {"prompt": "Q: why?", "completion": " A: because<|im_end|>"}]
SPLIT = [{"prompt": "hel", "completion": "lo world"}, {"prompt": "a=as", "completion": "sist"}, {"prompt": "1+1=", "completion": "2"}]
LATIN = [{"prompt": "12+34=", "completion": "46"}, {"prompt": "Name a colour:", "completion": " blue"}, {"prompt": "lazy dog", "completion": ", so"}]
LATIN_SPLIT = [{"prompt": "The qui", "completion": "ck fox"}]
THOUGHTS = [{"messages": chat("2*3?", "<think>twice three</think>6", "and 4*3?", "<think>twice that</think>12")}]

LLAMA = ("llama", {"vocab_size": 520, "tie_word_embeddings": True})
CASES = [
    {"name": "chats", "template": "chatml", "rows": CHATS, "model": LLAMA, "args": {"assistant_only_loss": True}},
    {"name": "chats, packed", "template": "chatml", "rows": CHATS, "model": LLAMA, "args": {"assistant_only_loss": True, "packing": True, "max_length": 256}},
    {"name": "chats, cut", "template": "chatml", "rows": CHATS, "model": LLAMA, "args": {"assistant_only_loss": True, "max_length": 60}},
    {"name": "chats of a mixture", "template": "chatml", "rows": CHATS, "model": ("deepseek_v3", {**LATENT, "vocab_size": 520, "n_group": 1, "topk_group": 1}),
     "args": {"assistant_only_loss": True}},
    {"name": "pairs of messages", "template": "unmarked", "rows": PAIRS, "model": LLAMA, "args": {}},
    {"name": "pairs of messages, packed and cut", "template": "unmarked", "rows": PAIRS, "model": LLAMA, "args": {"packing": True, "max_length": 70}},
    {"name": "pairs of messages, reasoning opened", "template": "opened", "rows": PAIRS, "model": LLAMA, "args": {}},
    {"name": "pairs", "rows": PLAIN, "model": LLAMA, "args": {}},
    {"name": "pairs, packed", "rows": PLAIN, "model": LLAMA, "args": {"packing": True, "max_length": 100}},
    {"name": "pairs, cut, some to nothing", "rows": PLAIN, "model": LLAMA, "args": {"max_length": 9}},
    {"name": "pairs of a tokenizer with spaces in front", "tokenizer": "llama2", "rows": LATIN, "model": ("llama", {"vocab_size": 700}), "args": {}},
    {"name": "chats of a tokenizer with spaces in front", "tokenizer": "llama2", "template": "brackets",
     "rows": [{"messages": row["messages"]} for row in CHATS if len(row["messages"]) % 2 == 0], "model": ("llama", {"vocab_size": 700}),
     "args": {"assistant_only_loss": True}},
    {"name": "early marks", "template": "early", "rows": CHATS, "model": LLAMA, "args": {"assistant_only_loss": True}, "differs": True},
    {"name": "forgotten reasoning", "template": "forgetful", "rows": THOUGHTS, "model": LLAMA, "args": {"assistant_only_loss": True}, "differs": True},
    {"name": "a dialogue as the completion", "template": "unmarked", "rows": DIALOGUE, "model": LLAMA, "args": {}, "differs": True},
    {"name": "tokens across the end of a prompt", "rows": SPLIT, "model": LLAMA, "args": {}, "differs": True},
    {"name": "tokens across, with spaces in front", "tokenizer": "llama2", "rows": LATIN_SPLIT, "model": ("llama", {"vocab_size": 700}), "args": {}, "differs": True},
]


def model_of(model_type, changes):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **{**SMALL, **changes})
    model, _ = fill(transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32))
    written = json.loads(config.to_json_string(use_diff=False))
    keep = set(SMALL) | set(changes) | {"model_type", "rope_parameters", "head_dim", "norm_topk_prob"}
    return model, {key: value for key, value in written.items() if key in keep}


def tokenizer_of(name, template):
    inner = Tokenizer.from_file(str(TESTS / f"text/golden/{name}.json"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template, **TOKENIZERS[name])


def sequences_of(packed):
    """The rows of a dataset that SFTTrainer prepared, taken apart where it packed them."""
    rows = []
    for row in packed:
        begin = 0
        for length in row.get("seq_lengths") or [len(row["input_ids"])]:
            rows.append({"tokens": row["input_ids"][begin:begin + length], "labels": row["labels"][begin:begin + length]})
            begin += length
    return rows


def golden(case, folder):
    model, config = model_of(*case["model"])
    name, template = case.get("tokenizer", "smollm"), TEMPLATES.get(case.get("template"))
    args = SFTConfig(output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", **{"max_length": None, **case["args"]})
    trainer = SFTTrainer(model, args, train_dataset=Dataset.from_list(case["rows"]), processing_class=tokenizer_of(name, template))
    rows = list(trainer.train_dataset)
    batch = trainer.data_collator(rows)
    num_items = trainer._get_num_items_in_batch([batch], torch.device("cpu"))
    model.train()
    loss = trainer.compute_loss(model, dict(batch), num_items_in_batch=num_items)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    return {"name": case["name"], "tokenizer": name, "template": case.get("template"), "model": config, "rows": case["rows"],
            "max_length": case["args"].get("max_length"), "differs": case.get("differs", False), "sequences": sequences_of(rows),
            "num_tokens": int(num_items), "loss": round(loss.item(), 7), "grad_norm": float(f"{norm.item():.6g}"),
            "mean_token_accuracy": round(trainer._metrics["train"]["mean_token_accuracy"][0], 7), "entropy": round(trainer._metrics["train"]["entropy"][0], 6)}


def main():
    disable_progress_bars()
    logging.disable(logging.WARNING)
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        cases = [golden(case, folder) for case in CASES]
    for case in cases:
        print(case["name"], len(case["sequences"]), "rows,", case["num_tokens"], "tokens, loss", case["loss"], "norm", case["grad_norm"])
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    content = {"source": versions, "tokenizers": TOKENIZERS, "templates": TEMPLATES, "cases": cases}
    (HERE / "trl_sft.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
