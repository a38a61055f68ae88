"""Writes tests/text/golden/smollm2.ids.json: ids of golden/texts.json with the vocabulary of a SmolLM2 GGUF file and the
pre-tokenizer its name "smollm" stands for, by the `tokenizers` package.

Usage: python generate_smollm2_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf
"""
import json
import pathlib
import sys

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent / "golden"


def main(path):
    fields = gguf.GGUFReader(path).fields
    read = lambda name: fields["tokenizer.ggml." + name].contents()
    tokens, types = read("tokens"), read("token_type")
    merges = [tuple(merge.split(" ")) for merge in read("merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, types) if kind == 3])
    texts = json.loads((HERE / "texts.json").read_text())
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    (HERE / "smollm2.ids.json").write_text(json.dumps({"ids": ids, "decoded": [tokenizer.decode(i, skip_special_tokens=False) for i in ids]}, separators=(",", ":")) + "\n")


main(sys.argv[1])
