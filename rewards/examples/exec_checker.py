"""A checker as a program: an item a line comes in, an answer a line goes out, and nothing else on stdout.

    cohort score --reward "exec:python3 exec_checker.py --tolerance 0.01" --in rows.jsonl
"""

import argparse
import json
import re
import sys


def judge(item, tolerance):
    numbers = re.findall(r"-?\d+(?:\.\d+)?", item["completion"])
    if item["ground_truth"] is None:
        return {"id": item["id"], "score": None, "reason": "the row has no reference"}
    if not numbers:
        return {"id": item["id"], "score": 0, "status": "unparsable", "reason": "no number"}
    error = abs(float(numbers[-1]) - float(item["ground_truth"]))
    return {"id": item["id"], "score": float(error <= tolerance), "components": {"error": error}}


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--tolerance", type=float, default=0.0)
    tolerance = flags.parse_args().tolerance
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line), tolerance)), flush=True)


main()
