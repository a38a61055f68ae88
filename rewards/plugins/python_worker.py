"""Judges completions with a function of the author's own file. Run as: python3 -c THIS FILE PATH FUNCTION.

Batches come and answers go as JSON lines over file descriptor 3, so nothing that a checker prints can break them:
  in   {"items": [...], "seconds_per_item": s}
  out  {"ready": kind, "one_by_one": bool} or {"fault": why}, once; then for each batch one answer an item, or
       {"failed": why} for all that have none, and {"end": true}.
The function is known by its argument names: TRL, verl, OpenRLHF or verifiers call it as it is called here.
"""

import sys

if sys.path[0] == "":  # the folder the program runs in: its json.py must not be taken for the one meant here
    del sys.path[0]

import asyncio
import difflib
import functools
import importlib.machinery
import importlib.util
import inspect
import json
import math
import os
import select
import signal
import threading
import traceback
import types

CHANNEL = 3
LONGEST_WHY = 500  # characters
PROCESS = os.getpid()
MODES = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Fault(Exception):
    """The file or the function cannot be used: told at start."""


class Reject(Exception):
    """The checker's answer cannot be used."""


def say(message):
    if os.getpid() != PROCESS:  # a checker's fork that came back from its function: only its parent answers
        os._exit(0)
    line = json.dumps(message, ensure_ascii=False, allow_nan=False, default=plain).encode("utf-8", "replace") + b"\n"
    while line:
        line = line[os.write(CHANNEL, line):]


def plain(value):
    """What JSON does not know: numbers of tensor libraries, and anything else as its text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return repr(value)


def loggable(value):
    """A copy of value that JSON can hold: numbers that are not finite become text."""
    try:
        return json.loads(json.dumps(value, default=plain, skipkeys=True), parse_constant=str)
    except (RecursionError, ValueError) as error:
        return {"not_logged": str(error)}


def described(error, path):
    """One line: the exception and where in the author's file it was raised."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    text = " ".join(f"{type(error).__name__}: {said[:LONGEST_WHY]}".split())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if not lines and isinstance(error, SyntaxError):
        lines = [error.lineno]
    return text + (f" ({os.path.basename(path)} line {lines[-1]})" if lines else "")


def leave_with_host():
    """A checker that never returns must not outlive the program that asked it."""
    poll = select.poll()
    poll.register(CHANNEL, 0)  # hang-up alone
    while True:
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
            os.killpg(0, signal.SIGKILL)


# ---- Finding the function and how it wants to be called.


def place_of(path):
    """Where the packages begin that a file is in, and its name from there: relative imports want both."""
    folder, stem = os.path.dirname(path), os.path.splitext(os.path.basename(path))[0]
    names = [stem if stem.isidentifier() and stem not in sys.modules else "checker_" + str(abs(hash(path)))]
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.basename(folder).isidentifier():
        folder, name = os.path.split(folder)
        names.insert(0, name)
    return folder, ".".join(names)


def not_found(name, module):
    functions = [n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__]
    near = difflib.get_close_matches(name, functions, 1, 0.5)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    has = ", ".join(functions[:20]) + (", …" if len(functions) > 20 else "") if functions else "none"
    return Fault(f"it has no function {name!r}{hint}; the functions it has: {has}")


def load(path, name):
    path = os.path.abspath(path)
    folder, module_name = place_of(path)
    sys.path[:0] = dict.fromkeys((os.path.dirname(path), folder, ""))
    sys.argv = [path]
    spec = importlib.util.spec_from_file_location(
        module_name, path, loader=importlib.machinery.SourceFileLoader(module_name, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise Fault(f"importing it failed: {described(error, path)}") from error
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise not_found(name, module)
    if inspect.isclass(found) or not callable(found):
        raise Fault(f"{name!r} is a {type(found).__name__ if not inspect.isclass(found) else 'class'}, "
                    "expected a function")
    return module, found


def is_async(function):
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


class Signature:
    def __init__(self, function):
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError) as error:
            raise Fault(f"its signature cannot be read: {error}") from error
        self.names = [p.name for p in parameters if p.kind in MODES]
        self.required = [p.name for p in parameters if p.kind in MODES and p.default is p.empty]
        self.takes_all = any(p.kind == p.VAR_KEYWORD for p in parameters)

    def choose(self, arguments):
        """Of the arguments there are, those the function takes."""
        return {k: v for k, v in arguments.items() if self.takes_all or k in self.names}

    def expect_only(self, known, kind):
        for name in self.required:
            if name not in known:
                raise Fault(f"its argument {name!r} is none that {kind} gives ({', '.join(known)}) and has no default")


VERL = ("data_source", "solution_str", "ground_truth", "extra_info")
VERL_BATCH = ("data_sources", "solution_strs", "ground_truths", "extra_infos")
OPENRLHF = ("queries", "prompts", "labels")
VERIFIERS = ("prompt", "completion", "answer", "state", "info", "task", "parser")
VERIFIERS_GROUP = {"answers": "answer", "states": "state", "infos": "info", "tasks": "task"}


def kind_of(signature, function_name):
    """A function that takes all by **kwargs is TRL's, or verl's where it has the name of verl's."""
    if not signature.names and signature.takes_all:
        return "verl" if function_name.endswith("compute_score") else "trl"
    names = set(signature.names)
    if "solution_str" in names:
        signature.expect_only(VERL, "verl")
        return "verl"
    if "solution_strs" in names:
        signature.expect_only(VERL_BATCH, "verl")
        return "verl_batch"
    if "queries" in names:
        signature.expect_only(OPENRLHF, "OpenRLHF")
        return "openrlhf"
    if names & {"completions", "prompts", "completion_ids", "states"}:
        return "trl"
    if names & set(VERIFIERS):
        return "verifiers"
    raise Fault(
        f"the signature ({', '.join(signature.names + ['**'] * signature.takes_all)}) is not recognised: expected "
        "TRL's (prompts, completions, completion_ids, **columns), verl's (data_source, solution_str, ground_truth, "
        "extra_info), OpenRLHF's (queries, prompts, labels), or arguments of verifiers' (prompt, completion, answer, "
        "state, info, task, parser)")


# ---- What each kind is given.


class Parser:
    """Stands in for verifiers' Parser where the file has none of its own."""

    def parse(self, text):
        return text

    def parse_answer(self, completion):
        return self.parse(completion if isinstance(completion, str) else completion[-1]["content"])

    def get_assistant_messages(self, completion):
        return [] if isinstance(completion, str) else [m for m in completion if m["role"] == "assistant"]


def is_chat(item):
    return not isinstance(item["prompt"], str)


def completion_of(item):
    """A list of one message where the prompt is a chat, as TRL and verifiers have it."""
    return [{"role": "assistant", "content": item["completion"]}] if is_chat(item) else item["completion"]


def prompt_text(item):
    return "\n".join(m["content"] for m in item["prompt"]) if is_chat(item) else item["prompt"]


def columns_of(item):
    """The row's columns; the reference, which readers take out of its column, goes by each of its usual names."""
    columns = dict.fromkeys(("answer", "ground_truth", "solution"), item["ground_truth"])
    columns["id"] = item["id"]
    columns.update(item["extra"] or {})
    return columns


def trainer_state(items):
    """The fields of transformers' TrainerState; progress is global_step / max_steps."""
    return types.SimpleNamespace(
        global_step=max(item["step"] for item in items), max_steps=max(1, *(item["max_steps"] for item in items)),
        epoch=0.0, num_train_epochs=1, train_batch_size=len(items), logging_steps=1, eval_steps=0, save_steps=0,
        num_input_tokens_seen=0, total_flos=0, log_history=[], best_metric=None, best_global_step=None,
        best_model_checkpoint=None, is_local_process_zero=True, is_world_process_zero=True,
        is_hyper_param_search=False, trial_name=None, trial_params=None, stateful_callbacks={})


def trl_arguments(items, logs, metrics):
    rows = [columns_of(item) for item in items]
    names = dict.fromkeys(name for row in rows for name in row)
    arguments = {name: [row.get(name) for row in rows] for name in names}

    def log_extra(column, values):
        for log, value in zip(logs, values):
            log[str(column)] = value

    def log_metric(name, value):
        metrics[str(name)] = value

    arguments.update(
        prompts=[item["prompt"] for item in items], completions=[completion_of(item) for item in items],
        completion_ids=[item["completion_ids"] for item in items], trainer_state=trainer_state(items),
        log_extra=log_extra, log_metric=log_metric)
    return arguments


def verl_extra_info(item):
    info = (item["extra"] or {}).get("extra_info")
    return dict(info) if isinstance(info, dict) else dict(item["extra"] or {})


def verl_arguments(item):
    return dict(data_source=item["data_source"], solution_str=item["completion"], ground_truth=item["ground_truth"],
                extra_info=verl_extra_info(item))


def verl_batch_arguments(items):
    rows = [verl_arguments(item) for item in items]
    return {batched: [row[single] for row in rows] for batched, single in zip(VERL_BATCH, VERL)}


def openrlhf_arguments(items):
    prompts = [prompt_text(item) for item in items]
    return dict(queries=[p + item["completion"] for p, item in zip(prompts, items)], prompts=prompts,
                labels=[item["ground_truth"] for item in items])


def verifiers_arguments(item, parser):
    columns = columns_of(item)
    info = columns.get("info")
    if isinstance(info, str):
        try:
            info = json.loads(info)
        except ValueError:
            info = {}
    answer = "" if columns["answer"] is None else columns["answer"]
    common = dict(prompt=item["prompt"], completion=completion_of(item), answer=answer,
                  task=columns.get("task") or item["data_source"] or "default",
                  info=info if isinstance(info, dict) else {}, parser=parser)
    common["state"] = dict(common, id=item["id"], turn=1, responses=[], timing={"total_ms": 0.0, "scoring_ms": 0.0},
                           trajectory=[{"prompt": item["prompt"], "completion": common["completion"]}])
    del common["state"]["parser"]
    return {**columns, **common}


# ---- What each kind gives back.


def number(value):
    """A finite float, None, or Reject."""
    if value is None:
        return None
    if not hasattr(type(value), "__float__"):
        raise Reject(f"the score is {value!r:.80}, expected a number")
    try:
        score = float(value)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise Reject(f"the score is no number: {error}") from error
    if not math.isfinite(score):
        raise Reject(f"the score is {score}, expected a finite number")
    return score


def listed(values, count, what):
    """A list of `count` values, or Reject."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if count == 1 and isinstance(values, (int, float)):
        values = [values]
    if not isinstance(values, (list, tuple)) and hasattr(values, "__next__"):
        values = list(values)
    if not isinstance(values, (list, tuple)):
        raise Reject(f"{what} is {values!r:.80}, expected a list of {count} numbers")
    if len(values) != count:
        raise Reject(f"{what} has {len(values)} values for {count} completions")
    return list(values)


def answer(item, value, components=None, logs=None):
    message = {"id": item["id"]}
    try:
        message["score"] = number(value)
        if message["score"] is None:
            message["reason"] = "the function returned None"
    except Reject as error:
        message.update(score=None, status="error", reason=str(error))
    if components:
        message["components"] = components
    if logs:
        message["extra_logs"] = loggable(logs)
    return message


def answer_verl(item, value):
    """A number, or a dict whose other entries are logged."""
    if not isinstance(value, dict):
        return answer(item, value)
    if "score" not in value:
        raise Reject(f"the dict returned has no 'score', its keys are {', '.join(map(str, value))}")
    components, logs = {}, {}
    for key, part in value.items():
        if key == "score":
            continue
        if isinstance(part, (int, float)) and math.isfinite(part):
            components[str(key)] = float(part)
        else:
            logs[str(key)] = part
    return answer(item, value["score"], components, logs)


def answers_openrlhf(items, value):
    """A tensor or list of rewards, or a dict with it; extra_logs has lists, and values of the whole batch."""
    logs = [{} for _ in items]
    if isinstance(value, dict):
        if "rewards" not in value:
            raise Reject(f"the dict returned has no 'rewards', its keys are {', '.join(map(str, value))}")
        for name, values in (value.get("extra_logs") or {}).items():
            values = values.tolist() if hasattr(values, "tolist") else values
            is_each = isinstance(values, (list, tuple)) and len(values) == len(items)
            for log, one in zip(logs, values if is_each else [values] * len(items)):
                log[str(name)] = one
        value = value["rewards"]
    rewards = listed(value, len(items), "the list of rewards")
    return [answer(item, reward, None, log) for item, reward, log in zip(items, rewards, logs)]


# ---- The batch loop.


class Judge:
    def __init__(self, path, name):
        self.path = os.path.abspath(path)
        self.module, self.function = load(path, name)
        self.signature = Signature(self.function)
        self.kind = kind_of(self.signature, name)
        self.parser = getattr(self.module, "parser", None) or Parser()
        self.is_async = is_async(self.function)
        self.one_by_one = self.kind in ("verl", "verifiers") and not self.is_async
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    def call(self, arguments):
        """Its value, awaited where it is to be."""
        value = self.function(**self.signature.choose(arguments))
        return self.loop.run_until_complete(value) if inspect.isawaitable(value) else value

    def arguments_of(self, item):
        return verl_arguments(item) if self.kind == "verl" else verifiers_arguments(item, self.parser)

    def group_arguments(self, items):
        """Those of verifiers' functions of a group, as far as they are asked for."""
        return {many: [verifiers_arguments(item, self.parser)[one] for item in items]
                for many, one in VERIFIERS_GROUP.items() if many in self.signature.names}

    def answer_of(self, item, value):
        return answer_verl(item, value) if self.kind == "verl" else answer(item, value)

    def failed(self, item, error):
        reason = str(error) if isinstance(error, Reject) else "the checker raised " + described(error, self.path)
        return {"id": item["id"], "score": None, "status": "error", "reason": reason}

    def judge_each(self, items):
        for item in items:
            try:
                say(self.answer_of(item, self.call(self.arguments_of(item))))
            except BaseException as error:
                say(self.failed(item, error))

    def judge_at_once(self, items, seconds):
        """An async function of one item: all items wait together, each with its own deadline."""

        async def one(item):
            try:
                value = self.function(**self.signature.choose(self.arguments_of(item)))
                say(self.answer_of(item, await asyncio.wait_for(value, seconds)))
            except asyncio.TimeoutError:
                say(self.failed(item, Reject(f"took longer than the deadline of {seconds:g} s")))
            except BaseException as error:
                say(self.failed(item, error))

        async def every():
            await asyncio.gather(*(one(item) for item in items))

        self.loop.run_until_complete(every())

    def judge_batch(self, items):
        if self.kind == "openrlhf":
            return answers_openrlhf(items, self.call(openrlhf_arguments(items)))
        if self.kind == "verl_batch":
            values = listed(self.call(verl_batch_arguments(items)), len(items), "the list returned")
            return [answer_verl(item, value) for item, value in zip(items, values)]
        logs, metrics = [{} for _ in items], {}
        arguments = self.group_arguments(items) | trl_arguments(items, logs, metrics)
        values = listed(self.call(arguments), len(items), "the list returned")
        for log in logs:
            log.update({"metric/" + name: value for name, value in metrics.items()})
        return [answer(item, value, None, log) for item, value, log in zip(items, values, logs)]

    def judge(self, items, seconds):
        if self.one_by_one:
            return self.judge_each(items)
        if self.kind in ("verl", "verifiers"):
            return self.judge_at_once(items, seconds)
        try:
            for message in self.judge_batch(items):
                say(message)
        except Reject as error:
            say({"failed": str(error)})
        except BaseException as error:
            say({"failed": "the checker raised " + described(error, self.path)})


def main():
    os.set_inheritable(CHANNEL, False)
    path, name = sys.argv[1:3]
    threading.Thread(target=leave_with_host, daemon=True).start()
    try:
        judge = Judge(path, name)
    except Fault as fault:
        say({"fault": str(fault)})
        return
    say({"ready": judge.kind, "one_by_one": judge.one_by_one})
    for line in os.fdopen(os.dup(CHANNEL), "rb"):
        batch = json.loads(line)
        judge.judge(batch["items"], batch["seconds_per_item"])
        say({"end": True})


main()
