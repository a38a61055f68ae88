"""What can go wrong, asked for by the completion's text: "crash", "hang", "nan" and so on."""

import ctypes
import os
import subprocess
import sys
import time


def misbehave(text):
    if text == "crash":
        ctypes.string_at(0)
    if text == "exit":
        os._exit(3)
    if text == "sys.exit":
        sys.exit(0)
    if text == "hang":
        time.sleep(1000)
    if text == "family":  # a child that keeps every file descriptor, then death
        subprocess.Popen(["sleep", "1000"], close_fds=False)
        os._exit(4)
    if text == "fork":  # the child comes back from the function, too
        os.fork()
    if text == "fork.exit" and os.fork() == 0:
        sys.exit(0)
    if text == "channel":
        os.write(3, b"noise\n")
    if text == "raise":
        raise ValueError("no such\n\x00 luck: \ud800")
    values = {"nan": float("nan"), "inf": float("-inf"), "text": "1", "none": None, "huge": 1e300}
    return values.get(text, 1.0)


def verl(solution_str, ground_truth):
    return misbehave(solution_str)


def trl(completions, **kwargs):
    if "few" in completions:
        return [1.0]
    if "scalar" in completions:
        return 1.0
    return [misbehave(c) for c in completions]


def openrlhf(queries, prompts, labels):
    return {"scores": [1.0] * len(queries)}


def rubric(completion):
    return misbehave(completion)


def unknown(a, b):
    return 1.0


def verl_wants_more(data_source, solution_str, ground_truth, extra_info, judge_url):
    return 1.0


class NoFunction:
    def __call__(self, completions, **kwargs):
        return []


number = 5
