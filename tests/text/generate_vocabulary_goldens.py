"""Ids that the `tokenizers` package gives with the real vocabularies that fetch_vocabularies.sh puts into .deps/tokenizers
(and SmolLM2's GGUF file in .deps/models, from `make smollm2`).

Usage: python generate_vocabulary_goldens.py
           writes golden/corpus.json and golden/vocabularies.json: for each text the hash of its ids
       python generate_vocabulary_goldens.py FOLDER [FILE…]
           writes FOLDER/texts.json and FOLDER/NAME.ids for a large corpus, 5 MB and the FILEs (text, or JSON lists of
           texts); COHORT_VOCABULARY_CORPUS=FOLDER build/text_tests --gtest_filter='*Large*' compares
Takes the packages tokenizers, transformers, tiktoken, sentencepiece, protobuf and gguf.
"""
import array
import base64
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers.convert_slow_tokenizer import TikTokenConverter, generate_merges, import_protobuf

import corpus

ROOT = pathlib.Path(__file__).parent.parent.parent
VOCABULARIES = ROOT / ".deps/tokenizers"
GOLDEN = pathlib.Path(__file__).parent / "golden"
QWEN = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


def special(names):
    return [AddedToken(name, normalized=False, special=True) for name in names]


def qwen(folder):
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
    tokenizer = TikTokenConverter(str(folder / "qwen.tiktoken"), pattern=QWEN).converted()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(special(names))
    return tokenizer


def llama3(folder):
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>",
             "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
    names += [f"<|reserved_special_token_{i}|>" for i in range(2, 2 + 256 - len(names))]
    tokenizer = TikTokenConverter(str(folder / "tokenizer.model")).converted()
    tokenizer.add_special_tokens(special(names))
    return tokenizer


def tekken(folder):
    file = json.loads((folder / "tekken.json").read_text())
    first, size = file["config"]["default_num_special_tokens"], file["config"]["default_vocab_size"]
    ranks = {base64.b64decode(t["token_bytes"]): i for i, t in enumerate(file["vocab"][:size - first])}
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
             "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"]
    names += [f"<SPECIAL_{i}>" for i in range(len(names), first)]
    converter = TikTokenConverter(None, pattern=file["config"]["pattern"])
    converter.load_tiktoken_bpe = lambda _: ranks
    vocab, merges = converter.extract_vocab_merges_from_model(None)
    vocab = {name: i for i, name in enumerate(names)} | {token: first + rank for token, rank in vocab.items()}
    tokenizer = Tokenizer(models.BPE(vocab, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(file["config"]["pattern"]), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special(names))
    return tokenizer


def sentencepiece(folder):
    proto = import_protobuf().ModelProto()
    proto.ParseFromString((folder / "tokenizer.model").read_bytes())
    vocab = {piece.piece: i for i, piece in enumerate(proto.pieces)}
    merges = generate_merges(vocab, {piece.piece: piece.score for piece in proto.pieces})
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(special(piece.piece for piece in proto.pieces if piece.type in (2, 3)))
    return tokenizer


def smollm2(file):
    import gguf
    fields = gguf.GGUFReader(file).fields
    read = lambda name: fields["tokenizer.ggml." + name].contents()
    tokens = read("tokens")
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in read("merges")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special(token for token, kind in zip(tokens, read("token_type")) if kind == 3))
    return tokenizer


ORACLES = {
    "deepseek": lambda: Tokenizer.from_file(str(VOCABULARIES / "deepseek/tokenizer.json")),
    "qwen": lambda: qwen(VOCABULARIES / "qwen"),
    "llama3": lambda: llama3(VOCABULARIES / "llama3"),
    "mistral_v1": lambda: sentencepiece(VOCABULARIES / "mistral_v1"),
    "mistral_v3": lambda: sentencepiece(VOCABULARIES / "mistral_v3"),
    "tekken_240718": lambda: tekken(VOCABULARIES / "tekken_240718"),
    "tekken_240911": lambda: tekken(VOCABULARIES / "tekken_240911"),
    "smollm2": lambda: smollm2(ROOT / ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
}


def ids_of(tokenizer, texts):
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def hash_of(ids):
    """FNV-1a over the ids, 64 bits."""
    value = 0xCBF29CE484222325
    for number in ids:
        value = (value ^ number) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def write_goldens():
    texts = corpus.limited()
    (GOLDEN / "corpus.json").write_text(json.dumps(texts, separators=(",", ":")) + "\n")
    content = {}
    for name, oracle in ORACLES.items():
        tokenizer = oracle()
        ids = ids_of(tokenizer, texts)
        draw = random.Random(5)
        drawn = [[draw.randrange(tokenizer.get_vocab_size()) for _ in range(draw.randrange(1, 12))] for _ in range(40)]
        content[name] = {"size": tokenizer.get_vocab_size(), "ids": [hash_of(i) for i in ids], "first_ids": [i[:4] for i in ids[:40]], "drawn": drawn,
                         "decoded": [tokenizer.decode(i, skip_special_tokens=False) for i in drawn]}
        print(name, sum(map(len, ids)), "ids", flush=True)
    (GOLDEN / "vocabularies.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


def write_large(folder, files):
    texts = corpus.big(5_000_000)
    for file in files:
        text = pathlib.Path(file).read_text(errors="replace")
        texts += json.loads(text) if file.endswith(".json") else [text]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps(texts))
    for name, oracle in ORACLES.items():
        tokenizer = oracle()
        flat = array.array("i")
        for at in range(0, len(texts), 256):
            for encoded in tokenizer.encode_batch(texts[at:at + 256], add_special_tokens=False):
                flat.append(len(encoded.ids))
                flat.extend(encoded.ids)
        (folder / f"{name}.ids").write_bytes(flat.tobytes())
        print(name, len(flat) - len(texts), "ids of", len(texts), "texts", flush=True)


if len(sys.argv) > 1:
    write_large(pathlib.Path(sys.argv[1]), sys.argv[2:])
else:
    write_goldens()
