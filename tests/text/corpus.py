"""Texts that tokenizers disagree on: scripts, emoji, combining marks, white space, digits, code, mathematics, controls,
contractions, very long words, every code point, and random mixtures of all these. The same texts for the same seed."""
import random

SCRIPTS = [
    "The quick brown fox jumps over the lazy dog. Fünf Wörter später: façade, naïve, Łódź, Ærøskøbing, İstanbul, ĳs, ǅ, ß ẞ",
    "日本語の文章です。漢字とひらがなとカタカナ、ｶﾀｶﾅ、ー々〆〇。一龥龦鿿㐀𠀀𪛟", "中文文本，标点符号！“引号”《书名》…… 繁體字 龍鳳", "한국어 텍스트 가힣 ㄱㅏ ᄒ\u1161\u11ab 각 \u1100\u1161\u11a8",
    "ภาษาไทยไม่มีวรรค ກຂຄງ ລາວ ភាសាខ្មែរ မြန်မာဘာသာ", "हिन्दी क्षत्रिय ज्ञान कि॒॑ বাংলা ক্ষ தமிழ் కన్నడ ಕನ್ನಡ മലയാളം සිංහල ગુજરાતી ਪੰਜਾਬੀ ଓଡ଼ିଆ",
    "العربية مُشَكَّلَة ٱلرَّحْمَٰنِ ۝ فارسی می‌خواهم اردو", "עברית שָׁלוֹם וּבְרָכָה", "Ελληνικά ἀρχῇ ΣΊΣΥΦΟΣ ς σ", "Русский язык Ёж ћирилица ҐґЇї Ѫѭ", "Հայերեն ქართული ᲥᲐᲠᲗᲣᲚᲘ አማርኛ ትግርኛ",
    "བོད་ཡིག་ ᠮᠣᠩᠭᠣᠯ ꓡꓲꓢꓴ ᏣᎳᎩ ꮳꮃꭹ ⵜⵉⴼⵉⵏⴰⵖ ߒߞߏ ᐃᓄᒃᑎᑐᑦ", "𐎀𐎁 𒀀𒁀 𓀀𓁀 𐌰𐌱𐌲 𞤀𞤢 𝒜𝔄𝔸𝕬 🄰🅐🅰 ⓐⓑ ⅠⅣⅫ ⅳ", "Tiếng Việt: ặ ằ ệ ỡ ữ a\u0323\u0306 e\u0302\u0323",
]
EMOJI = [
    "👍 👍🏻👍🏿 👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 🏴‍☠️ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🇩🇪🇫🇷🇯🇵🇩 🇪", "☃ ☃️ ☃︎ ❤️‍🔥 ✋🏾 1️⃣ #️⃣ *️⃣ ©️ ™️", "😀😃😄a😁b 😂😂😂😂😂 🤷🏽‍♀️🤦‍♂️ 🫠🫨🩷 \U0001fae8\U0001face", ":-) ¯\\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻",
]
MARKS = [
    "é e\u0301 ñ n\u0303 Å \u212b A\u030a Ω \u2126 ṩ s\u0323\u0307 s\u0307\u0323 q\u0307\u0323", "Z\u0351\u036b\u0343a\u0328\u0317\u0316l\u0321\u0359g\u0360o\u0489", "\u0301 leading \u0300\u0301\u0302 marks\u20dd\u20e3", "\u0344 \u0958 \u09dc \u2adc \ufb1d \U0001d15e \u0f73 \u0fb9",
    "a\u034f\u0301 o\u0338 =\u0338 <\u0338 ≠ か\u3099 は\u309a ｶﾞ", "Ａ\u0301 ½\u0301 ﬁ\u0301 ①\u20dd e\u200d\u0301 e\u200c\u0301", "\u0cc6\u0cc2\u0cd5 \u0b47\u0b3e \u0bc6\u0bd7 \u1025\u102e \U00011131\U00011127 \U00011935\U00011930",
    "\u0897a\u0897 \U00010efd\U00010efa x\U0001e4ec y\U00011f41 z\u1ad0",
]
SPACES = [
    " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\n \n", " \n", "\n ", "\t\t\n\n \n \r\n\t  \n   x   \n", "a b  c   d    e     f", "a\tb\t\tc \t d\t ", " x", "x ", "  x  y  ", "\u00a0", "a\u00a0b \u00a0 c\u00a0\u00a0d", "a\u2003b\u2009c\u200ad\u202fe\u205ff\u3000g\u1680h",
    "a\u200bb\u200cc\u200dd\u2060e\ufefff\u180eg", "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e\x1f", "x\u2028y\u2029z\u0085w\x0bv\x0cu", "line one \nline two\t\n\n   indented\n        more\n\r\n\r\n end   ", " " * 17, "\n" * 23, "\t" * 9 + "x", " \u3000 \u3000x",
]
DIGITS = [
    "0", "7 42 365 2024 65536 1234567 12345678901234567890", "3.14159 1,234,567.89 1e-10 0x1F 0b1010 1_000_000 -5 +3 5% $9.99 №5", "½ ⅓ ² ³ x² H₂O ① ⑳ ㊿ ㈠ 一二三 〇 Ⅷ ⅷ", "١٢٣ ۴۵۶ ४५६ ๑๒๓ ၁၂၃ ០១២ 𝟘𝟙𝟚 ０１２ 𑁦𑁧 \U00011de0\U00011de1 \U00016ff4", "1st 2nd 3rd a1b2c3 1a 2B x1y22z333w4444v55555", "2024-11-23T12:34:56.789Z 192.168.0.1 +1 (555) 123-4567",
]
CODE = [
    "def f(x: int) -> int:\n\treturn x ** 2 + 3*x - 1  # comment\n\n\nclass A(B):\n    '''doc'''\n    pass\n\nif __name__ == '__main__':\n        main()", "#include <vector>\nint main(int argc, char** argv) {\n  std::vector<int> v{1, 2};\n  for (auto&& x : v) x <<= 2;\n  return v[0]->*p ? 1 : 0;  // done\n}\n",
    "SELECT * FROM t WHERE a = 'it''s' AND b <> \"q\"; -- x\n", "<div class=\"x\" id='y'>&amp;&#x27;<br/></div><!-- c -->", "{\"json\": [1, 2.5e3, {\"a\": null, \"b\": true}], \"s\": \"\\u00e9\\n\"}", "https://example.com/a/b?c=d&e=%20f#g user@example.com C:\\path\\file.txt ~/.bashrc /usr/bin/env",
    "camelCaseWord PascalCase snake_case_word SCREAMING_CASE kebab-case XMLHttpRequest iPhone15Pro aB ABc ǅabc ʰA aʰB Aː", "a+=b;c-->d;e&&f||!g;h===i;j?.k??l;m=>n;@o #p $q ^r ~s `t` |u|", "\\documentclass{article}\\begin{document}\\section*{A}\\end{document}", "fn main() { let r#type = b'\\x7f'; println!(\"{:?}\", 'a'..='z'); }", "././//***///---///\n/\n//\n a/\n b//c",
]
MATHS = ["$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$", "∑∏∫≤≥≠∞∀∃∈∉⊂⊕⊗√∛∂∇ α²+β²=γ² x̄ ŷ f′ f″ 𝑥𝑦𝑧 ℝℂℕℤ", "\\boxed{42} \\frac{1}{2} a_{i,j}^{(k)} \\left( \\begin{matrix} 1 & 0 \\\\ 0 & 1 \\end{matrix} \\right)", "1+1=2; 2×3=6; 6÷2=3; 5−3=2; ±1; 90°; 10⁻³; x→∞; A⇒B; ¬p∨q"]
CONTRACTIONS = ["I'm you're he's she'll we've they'd don't can't it's", "I'M YOU'RE HE'S SHE'LL WE'VE THEY'D DON'T IT'S", "'s 'S 't 're 've 'm 'll 'd 'x 's's ''s '' ' '", "rock'n'roll o'clock y'all'd've 'Tis l'été d’accord it’s", "'ſ x'ſ 'Sſ aſ's K'K \u212a's 'LL'lL'Ll", "a's1's_'s.'s \n's\t's  's"]
CONTROLS = ["\x00", "a\x00b\x01c\x02\x7f\x80\x9f", "\x1b[31mred\x1b[0m\x07\x08", "\ufffe\uffff\ufdd0\ufffd\ufffc", "\ue000\uf8ff\U000f0000\U0010ffff\U000e0001\U000e0100", "\u202a\u202e\u2066\u2069\u200e\u200f\u061c\u00ad", "\u0600\u06dd\u070f\u08e2 \U000110bd"]
SPECIALS = [
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>", "<｜begin▁of▁sentence｜>x<｜User｜> y <｜Assistant｜><｜end▁of▁sentence｜>", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<s> [INST] x [/INST] y</s> <unk> <pad> [TOOL_CALLS]z", "<|im_start|<|im_end|>|> <s <s>> <|im_|im_end|>", "<think>\n</think> <tool_call>{}</tool_call>",
    "▁ ▁▁ a▁b ▁a <0x41> <0x0A> <0xZZ> Ġ Ċ âĢĻ", "<｜fim▁hole｜> <｜tool▁calls▁begin｜> <|fim_prefix|> <|extra_0|> <|reserved_special_token_5|> <SPECIAL_20>",
]
LONG = ["a" * 300, "ab" * 150, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "!" * 200, "=" * 80 + "-" * 79 + "_" * 41, "日本" * 60, "한" * 70, "👍" * 40, "\u0301" * 50, "9" * 120, "x" * 63 + " " + "y" * 65, "pneumonoultramicroscopicsilicovolcanoconiosis" * 6, "ÿ" * 130, "AAAAaaaaAAAA" * 12, "<|" * 40]
GROUPS = [SCRIPTS, EMOJI, MARKS, SPACES, DIGITS, CODE, MATHS, CONTRACTIONS, CONTROLS, SPECIALS, LONG]
ALPHABET = list("abcxyzABCXYZ019 '\t\n\r.,!?-_$<>^`|~/\\(){}[]\"") + list(" \n  ' ") * 3 + [
    "'s", "'LL", "'re", "ſ", "é", "\u0301", "\u0323", "ñ", "日", "の", "カ", "한", "👍", "🏽", "\u200d", "½", "²", "٣", "Ⅷ", "\u00a0", "\u3000", "\u0085", "\x00", "\u180e", "۝", "\u200b", "€", "—", "…", "ß", "İ", "ǅ", "ʰ",
    "ः", "ٱ", "𝟘", "ⓐ", "\u2028", "  ", "\r\n", "▁", "the", " and", "ing", "Ab", "aB", "ÀÉ", "àé", "//", "\n/", "＃", "ﬁ", "가", "\u11a8", "க்", "\ufe0f"]


def mixture(draw, units):
    return "".join(draw.choice(ALPHABET) for _ in range(units))


def soup(draw, units):
    top = draw.choice([0x80, 0x250, 0x600, 0x1000, 0x3000, 0x10000, 0x20000, 0x32000, 0x110000])
    codes = [draw.randrange(top) for _ in range(units)]
    return "".join(chr(c) + draw.choice(["", "", " ", "a", "1", "\u0301"]) for c in codes if not 0xD800 <= c <= 0xDFFF)


def limited():
    """A few hundred texts, which are committed with the ids' hashes."""
    draw = random.Random(11)
    lines = [text for group in GROUPS for text in group]
    return ["", *lines, " ".join(lines), *(mixture(draw, draw.randrange(1, 40)) for _ in range(250)), *(soup(draw, draw.randrange(1, 16)) for _ in range(120))]


def every_code_point(per_text=48):
    codes = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and (c < 0x32400 or 0xE0000 <= c < 0xE0200 or c >= 0x10FF00)]
    for at in range(0, len(codes), per_text):
        characters = [chr(c) for c in codes[at:at + per_text]]
        yield "".join(characters)
        yield "a\u0301".join(characters) + " " + " ".join(characters)


def big(bytes_wanted, seed=23):
    """The limited texts, every code point, and mixtures until so many bytes are there."""
    draw = random.Random(seed)
    texts = [*limited(), *every_code_point()]
    size = sum(len(text.encode()) for text in texts)
    while size < bytes_wanted:
        text = draw.choice([mixture, soup])(draw, draw.randrange(1, 200))
        texts.append(text)
        size += len(text.encode())
    return texts
