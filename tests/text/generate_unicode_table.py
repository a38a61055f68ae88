"""Writes policy/text/unicode_table.inc: general categories of all code points, as the `tokenizers` package sees them.

Usage: python generate_unicode_table.py ../../policy/text/unicode_table.inc
"""
import sys

from tokenizers import Regex, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()


def members(category, codes, text):
    split = pre_tokenizers.Split(Regex(r"\p{%s}+" % category), "removed", invert=True)
    for _, (begin, end) in split.pre_tokenize_str(text):
        yield from codes[begin:end]


def main(path):
    codes = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    text = "".join(map(chr, codes))
    category_of = ["Cn"] * 0x110000
    for category in CATEGORIES:
        for code in members(category, codes, text):
            category_of[code] = category
    starts = [c for c in range(0x110000) if c == 0 or category_of[c] != category_of[c - 1]]
    lines, line = [], ""
    for entry in ("{0x%x,%s}," % (c, category_of[c]) for c in starts):
        if len(line) + len(entry) > 120:
            lines.append(line)
            line = ""
        line += entry
    with open(path, "w") as out:
        out.write("// First code point of each run of one general category. Written by tests/text/generate_unicode_table.py.\n")
        out.write("// clang-format off\n" + "\n".join(lines + [line]) + "\n")


main(sys.argv[1])
