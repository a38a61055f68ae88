"""Writes tests/text/golden/{texts,<tokenizer>,<tokenizer>.ids}.json: small vocabularies trained here with the
pre-tokenizers of the model families, and the ids and decoded texts that the `tokenizers` package gives. A vocabulary
that is there already stays: the package trains another one each time, as pairs that are equally frequent have no order.

Usage: python generate_tokenizer_goldens.py [golden folder]
"""
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
from transformers.convert_slow_tokenizer import import_protobuf

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")

LINES = [
    "", " ", "\n", "'", "'s", " '", "'S ",
    "Hello world",
    "  leading and trailing  ",
    "The quick brown fox jumps over the lazy dog's back; they've I'll WE'LL it's IT'S we'd 'tis rock'n'roll 'Sſ 'ſ x'ſ",
    "1234567890 12,345.67 3.14159e-10 ½ ² ١٢٣٤ ४५६ Ⅷ 𝟘𝟙𝟚 一二三 ㊿ 0x1F 1st 2nd a1b2c3",
    "def f(x):\n\treturn x**2 + 3*x - 1  # comment\n\n\nclass A:\n    pass\r\n\r\nif __name__ == '__main__':\n        main()",
    "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$ ∑∏∫≤≥≠∞ α²+β²=γ² \\boxed{42}",
    "日本語のテキスト、漢字とひらがなとカタカナ。中文文本，标点符号！한국어 텍스트 ภาษาไทย हिन्दी العربية עברית Ελληνικά Русский Հայերեն ქართული አማርኛ",
    "👍🏽👨‍👩‍👧‍👦🏳️‍🌈 😀😃 🇩🇪🇫🇷 ☃️ ❤️‍🔥 a👍b 👍👍",
    "é e\u0301 ñ n\u0308 o\u0353\u0354\u0355 ệ ṩ s\u0323\u0307 A\u030a Å Ω \u2126 각 \u1100\u1161\u11a8 が か\u3099",
    "\u00a0\u2003\u3000\u200b\u200d\ufeff\u180e\u2028\u2029\u0085 x\u00a0y \u00a0 z",
    "\t\t\n\n \n \r\n\t  \n   x   \n",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|> <|im_start|><|im_end|> x<|im_end|>y <|im_ start|> <|endoftext",
    "a <mask> b<mask>c  <mask>  word wordy aword word. <word> word",
    "https://example.com/a?b=c&d=e#f C:\\path\\file.txt {\"json\": [1, 2, {\"a\": null}]} <div class=\"x\">&amp;</div>",
    "AAAAaaaaAAAA camelCaseWord snake_case_word SCREAMING_CASE kebab-case-word XMLHttpRequest iPhone15Pro",
    "……—–―‐‑“”‘’«»„‚ ¿¡ §¶†‡•‣ ©®™ €£¥₹₿ °′″ ←↑→↓ ■□▪▫ ✓✗",
    "ﬁﬂﬀ ｆｕｌｌｗｉｄｔｈ ㎏ ㍿ Ⅻ ⓐⓑ ªº ˢ ₂ ꟲ",
    "\x00\x01\x02abc\x7f\x80 \x1b[31mred\x1b[0m",
    "a" * 300,
    "!!!!!!!!!!!!???????????............,,,,,;;;;;;=====-----_____*****#####~~~~~",
    "\U0001f1e6\U00020000\U0002a6df\U0010ffff\ue000\U000e0001 \U00011de0\U00016ff4\U0001e900",
    "▁meta ▁▁ space▁ <0x41> <0x0A> <unk> </s><s> x",
]
ALPHABET = list("abcxyzABCXYZ019 '\t\n\r.,!?-_$<>^`|~/\\(){}[]\"") + list(" \n  ' ") * 2 + [
    "'s", "'LL", "'re", "<|im_end|>", "<|endoftext|>", "<mask>", "word", "ſ", "é", "\u0301", "ñ", "日", "の", "カ", "한", "👍", "🏽", "\u200d", "½", "²",
    "٣", "Ⅷ", "\u00a0", "\u3000", "\u0085", "\x00", "\u180e", "۝", "\u200b", "€", "—", "…", "ß", "İ", "ǅ", "ʰ", "ः", "ٱ",
    "𝟘", "\U00011de0", "ⓐ", "\u2028", "  ", "\r\n", "▁"]


def texts():
    draw = random.Random(7)
    found = LINES + ["\n".join(LINES)]
    found += ["".join(draw.choice(ALPHABET) for _ in range(draw.randrange(1, 25))) for _ in range(250)]
    for _ in range(120):
        top = draw.choice([0x250, 0x600, 0x1000, 0x3000, 0x10000, 0x20000, 0x110000])
        codes = [draw.randrange(1, top) for _ in range(draw.randrange(1, 12))]
        found.append("".join(chr(c) + draw.choice(["", "", " ", "a", "1"]) for c in codes if not 0xD800 <= c <= 0xDFFF))
    return found


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASES = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + r"?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + r"?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
HAN = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+|\p{N}{1,3}" + TAIL
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def bytes_last(*stages, use_regex=False, add_prefix_space=False):
    last = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    return pre_tokenizers.Sequence([*stages, last]) if stages else last


PRE_TOKENIZERS = {
    "gpt2": bytes_last(use_regex=True),
    "gpt2_prefix_space": bytes_last(use_regex=True, add_prefix_space=True),
    "smollm": bytes_last(pre_tokenizers.Digits(individual_digits=True), use_regex=True),
    "llama3": bytes_last(split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + TAIL)),
    "qwen2": bytes_last(split(CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + TAIL)),
    "deepseek3": bytes_last(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(DEEPSEEK)),
    "deepseek_coder": bytes_last(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-\ud7ff]+"),
                                 pre_tokenizers.Digits(individual_digits=True)),
    "case_aware": bytes_last(split(CASES)),
    "han": bytes_last(split(HAN)),
    "behaviors": bytes_last(split(r"\d", "merged_with_previous"), split("[aeiou]", "merged_with_next"),
                            split(r"[.!?]+", "contiguous"), split(r"\t", "removed"), split(r"\w+|[^\w\s]+", "isolated", True)),
}


def train_byte_level(name):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC() if name == "qwen2" else None
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=520, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=specials,
                                  show_progress=False)
    tokenizer.train_from_iterator(LINES * 3, trainer)
    if name == "llama3":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)])
    if name == "gpt2":
        tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("word", single_word=True)])
    if name == "qwen2":
        tokenizer.add_tokens([AddedToken("e\u0301 ñ", normalized=True), AddedToken("<mask>", lstrip=True)])
    return tokenizer


def train_metaspace(byte_fallback, scheme):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback))
    specials = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] * byte_fallback
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials, limit_alphabet=120, show_progress=False)
    if scheme == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.train_from_iterator(LINES[7:] * 2, trainer)
    described = json.loads(tokenizer.to_str())
    for token in described["added_tokens"]:  # bytes are not special tokens
        token["special"] = not token["content"].startswith("<0x")
    described["added_tokens"] = [t for t in described["added_tokens"] if t["special"]]
    described["post_processor"] = json.loads(processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]).__getstate__())
    return Tokenizer.from_str(json.dumps(described))


def train_unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(LINES[7:] * 2, trainer)
    return tokenizer


MAPPED = {"\ufb01": "fi", "e\u0301": "é", "\u212b": "Å", "A\u030a": "Å", "½": "1⁄2", "²": "2", "①": "1", "\u3000": " ", "\u00a0": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "\u00ad": "",
          "ｆ": "f", "ｕ": "u", "ｌ": "l", "か\u3099": "が", "…": "...", "İ": "i\u0307", "ß": "ss", "\u0001": ""}


def train_sentencepiece(name, **settings):
    """Writes a sentencepiece model file; that model as transformers describes it."""
    rules = tempfile.NamedTemporaryFile("w", suffix=".tsv")
    for text, mapped in MAPPED.items():
        rules.write(" ".join("%X" % ord(c) for c in text) + "\t" + " ".join("%X" % ord(c) for c in mapped) + "\n")
    rules.flush()
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter([line for line in LINES[7:] if "\0" not in line] * 2), model_writer=file, model_type="unigram",
                                             normalization_rule_tsv=rules.name, minloglevel=2, character_coverage=0.98, **settings)
    proto = import_protobuf().ModelProto()
    proto.ParseFromString(file.getvalue())
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], unk_id=0, byte_fallback=proto.trainer_spec.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True),
                                                 normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    if proto.trainer_spec.byte_fallback:
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(piece.piece, normalized=False, special=True) for piece in proto.pieces if piece.type in (2, 3)])
    tokenizer.add_tokens([AddedToken(piece.piece, normalized=False, special=False) for piece in proto.pieces if piece.type == 4])
    (HERE / f"{name}.model").write_bytes(file.getvalue())
    return tokenizer


def write(name, content):
    (HERE / name).write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    HERE.mkdir(exist_ok=True)
    corpus = texts()
    write("texts.json", corpus)
    trained = {name: lambda name=name: train_byte_level(name) for name in PRE_TOKENIZERS}
    trained["llama2"] = lambda: train_metaspace(True, "legacy")
    trained["metaspace_first"] = lambda: train_metaspace(False, "first")
    trained["metaspace_always"] = lambda: train_metaspace(False, "always")
    trained["unigram"] = train_unigram
    trained["character_map"] = lambda: train_sentencepiece("character_map", vocab_size=360)
    trained["unigram_bytes"] = lambda: train_sentencepiece("unigram_bytes", vocab_size=600, byte_fallback=True,
                                                           user_defined_symbols=["<mask>", "word"])
    for name, train in trained.items():
        path = HERE / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(json.loads(train().to_str()), separators=(",", ":")) + "\n")
        tokenizer = Tokenizer.from_file(str(path))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in corpus]
        draw = random.Random(3)
        size = tokenizer.get_vocab_size()
        drawn = [[draw.randrange(size) for _ in range(draw.randrange(1, 12))] for _ in range(100)]
        write(f"{name}.ids.json", {
            "ids": ids,
            "with_special_tokens": tokenizer.encode(corpus[7]).ids,
            "decoded_ids": drawn,
            "decoded": [tokenizer.decode(i, skip_special_tokens=False) for i in drawn],
            "decoded_without_special": [tokenizer.decode(i, skip_special_tokens=True) for i in drawn],
            "round_trip": [tokenizer.decode(i, skip_special_tokens=False) for i in ids[:60]],
        })


main()
