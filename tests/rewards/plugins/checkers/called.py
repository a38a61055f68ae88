"""How each form is called: what a checker was given comes back in its logs and scores."""

import asyncio
import fractions
import functools
import os
import sys

import beside  # a file in the same folder


def trl_seen(prompts, completions, completion_ids, trainer_state, log_extra, log_metric, **columns):
    log_extra("prompt", prompts)
    log_extra("completion", completions)
    log_extra("ids", completion_ids)
    for name in ("level", "answer", "ground_truth", "data_source"):
        if name in columns:
            log_extra(name, columns[name])
    log_metric("columns", len(columns))
    return [trainer_state.global_step + beside.HALF for _ in completions]


def trl_columns(completions, level):
    return [None if x is None else x / 10 for x in level]


async def trl_async(completions, **kwargs):
    await asyncio.sleep(0.001)
    return [1.0] * len(completions)


def all_by_keyword(**arguments):
    return (float(c == a) for c, a in zip(arguments["completions"], arguments["answer"]))


def compute_score(**arguments):
    return arguments["solution_str"] == arguments["ground_truth"]


def trl_progress(completions, trainer_state, **kwargs):
    seen = trainer_state.num_input_tokens_seen  # the fields of TrainerState are there
    return [trainer_state.global_step / trainer_state.max_steps + seen] * len(completions)


def trl_logs_what_it_cannot(completions, log_extra, **kwargs):
    loop = []
    loop.append(loop)
    log_extra("loop", [loop] * len(completions))
    return [1.0] * len(completions)


class Stateful:
    def __init__(self, value):
        self.value = value

    async def __call__(self, prompts, completions, **kwargs):
        return [self.value] * len(completions)


stateful = Stateful(0.25)
partial = functools.partial(lambda value, completions, **kwargs: [value] * len(completions), 0.75)


class Tensor:
    """Stands in for what tensor libraries give."""

    def __init__(self, values):
        self.values = values

    def tolist(self):
        return self.values


def openrlhf_tensor(queries, prompts, labels):
    return Tensor([float(q == p + "ok" and label == "g") for q, p, label in zip(queries, prompts, labels)])


def openrlhf_means(queries, prompts, labels):
    return {"rewards": Tensor([1.0] * len(queries)), "extra_logs": {"accuracy": Tensor(0.5), "each": [1, 2], "of": "all"}}


def verl_seen(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": 1.0, "acc": 0.5, "source": data_source, "truth": ground_truth, "info": extra_info,
            "text": solution_str}


def verl_positional(solution_str, ground_truth, method="strict", format_score=0.0):
    return float(solution_str == ground_truth)


async def verl_async(data_source, solution_str, ground_truth, extra_info):
    await asyncio.sleep(50 if solution_str == "slow" else 0.001)
    return 1


def verl_batch(data_sources, solution_strs, ground_truths, extra_infos):
    return [{"score": float(s == g)} for s, g in zip(solution_strs, ground_truths)]


def rubric(completion, answer, state, info, task, parser, prompt):
    assert state["answer"] == answer and state["completion"] == completion
    if isinstance(prompt, list):
        assert completion[0]["role"] == "assistant" and completion[-1]["content"] == parser.parse_answer(completion)
    return info.get("bonus", 0) + (task == "sums") + (parser.parse_answer(completion) == answer)


async def rubric_of_group(completions, answers, states):
    return [float(c == a and s["trajectory"][0]["completion"] == c) for c, a, s in zip(completions, answers, states)]


def rubric_column(completion, level):
    return level / 10


class Half:
    def __float__(self):
        return 0.5


def verl_floats(solution_str, ground_truth):
    return {"half": Half(), "fraction": fractions.Fraction(1, 4), "huge": 10**400, "complex": 1j}[solution_str]


def oom_score(completions, **kwargs):
    with open("/proc/self/oom_score_adj") as file:
        return [float(file.read())] * len(completions)


def noisy(completions, **kwargs):
    print("x" * 200_000)
    os.write(1, b"not a protocol\n")
    sys.stderr.write("y" * 200_000)
    return [1.0] * len(completions)


def which_process(completions, **kwargs):
    return [float(os.getpid())] * len(completions)
