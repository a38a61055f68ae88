"""Writes policy/text/nfc_table.inc: the code points before which a text may not be cut for NFC, by the `tokenizers`
package, whose tables are older (Unicode 9) than those of utf8proc.

Usage: python generate_nfc_table.py ../../policy/text/nfc_table.inc
"""
import sys

from tokenizers import normalizers

nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
CODES = [c for c in range(0x300, 0x30000) if not 0xD800 <= c <= 0xDFFF]
BELOW, RIGHT = "\u0316", "\u0315"  # combining classes 220 and 232, which compose with nothing


def reorders(c):
    before, after = "a" + RIGHT + c, "a" + c + BELOW
    return nfd(before) != "a" + RIGHT + nfd(c) or nfd(after) != "a" + nfd(c) + BELOW


def main(path):
    unsafe = set()
    for code in CODES:
        c = chr(code)
        if nfc(c) != c or reorders(c):
            unsafe.add(code)
        elif len(nfd(c)) > 1:  # composed from parts, of which all but the first join what stands before them
            unsafe.update(map(ord, nfd(c)[1:]))
    unsafe |= {code for code in CODES if len(nfd(chr(code))) > 1 and ord(nfd(chr(code))[0]) in unsafe}
    starts = [c for c in sorted(unsafe) if c - 1 not in unsafe]
    ends = [c for c in sorted(unsafe) if c + 1 not in unsafe]
    lines, line = [], ""
    for entry in ("{0x%x,0x%x}," % pair for pair in zip(starts, ends)):
        if len(line) + len(entry) > 120:
            lines.append(line)
            line = ""
        line += entry
    with open(path, "w") as out:
        out.write("// Ranges of code points, closed. Written by tests/text/generate_nfc_table.py.\n")
        out.write("// clang-format off\n" + "\n".join(lines + [line]) + "\n")
    print(len(unsafe), "code points in", len(starts), "ranges")


main(sys.argv[1])
