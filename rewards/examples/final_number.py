"""One checker, the last number against the reference, in the four forms that Python files of the field have.

    cohort score --reward python:final_number.py:trl_reward --in rows.jsonl
"""

import re


def last_number(text):
    found = re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
    return found[-1] if found else None


def is_right(text, reference):
    return float(last_number(text) == str(reference))


def trl_reward(prompts, completions, completion_ids, answer, log_extra=None, log_metric=None, **columns):
    """TRL: lists of the whole batch; a chat's completion is a list of messages."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    rewards = [is_right(text, a) if a else None for text, a in zip(texts, answer)]
    if log_extra:
        log_extra("last_number", [last_number(text) for text in texts])
    if log_metric:
        log_metric("mean_tokens", sum(map(len, completion_ids)) / len(completion_ids))
    return rewards


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """verl: one completion; a number, or a dict whose other entries are logged."""
    return {"score": is_right(solution_str, ground_truth), "characters": len(solution_str), "source": data_source}


def reward_func(queries, prompts, labels):
    """OpenRLHF: queries are prompts with their completions; a tensor, a list, or a dict with "rewards"."""
    rewards = [is_right(q[len(p):], label) for q, p, label in zip(queries, prompts, labels)]
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"length": [len(q) for q in queries]}}


async def rubric_reward(completion, answer, parser, **kwargs):
    """verifiers: one completion; arguments by name, sync or async."""
    return is_right(parser.parse_answer(completion), answer)
