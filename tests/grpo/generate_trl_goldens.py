"""Writes tests/grpo/golden/{trl_loss,trl_advantage,adamw}.json: what TRL's own GRPOTrainer and torch.optim.AdamW give for
stored random cases. The trainer's methods run unbound on a stand-in that holds only the attributes they read, in fp64 on
fp32 inputs.

Usage: python generate_trl_goldens.py [golden folder]      (trl 1.16.0, torch)
"""
import collections
import contextlib
import itertools
import json
import pathlib
import sys
import types

import torch
import trl
from trl import GRPOTrainer

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")
VERSIONS = {"trl": trl.__version__, "torch": torch.__version__.split("+")[0]}
MAX_LENGTH = 16


def digits(values, count=9):
    return [float(f"{v:.{count}g}") for v in values]


def batch(seed, lengths, truncated=(), hidden=(), on_policy=False):
    """Padded fp32 tensors [B, T]; `truncated` rows are masked whole, `hidden` are (row, column) of masked tokens."""
    draw = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    old = -torch.rand(shape, generator=draw) * 3 - 0.01
    new = old if on_policy else (old + 0.3 * torch.randn(shape, generator=draw)).clamp(max=-1e-3)
    tokens = torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(lengths):
        tokens[row, :length] = 1
    mask = tokens.clone()
    for row in truncated:
        mask[row] = 0
    for row, column in hidden:
        mask[row, column] = 0
    stored = {"tokens": tokens, "mask": mask, "old_logprobs": old, "logprobs": new,
              "ref_logprobs": (new + 0.4 * torch.randn(shape, generator=draw)).clamp(max=-1e-3),
              "entropies": torch.rand(shape, generator=draw) * 2,
              "advantages": torch.randn(len(lengths), generator=draw) if seed % 2 else torch.tensor([1.5, 0.0, -0.75, -2.0, 0.5, 1.0])[:len(lengths)]}
    stored["sampling_logprobs"] = (old + 0.15 * torch.randn(shape, generator=draw)).clamp(max=-1e-3)
    return stored


BATCHES = {
    "whole": batch(1, [5, 9, 1, 7]),
    "truncated rows": batch(2, [6, 12, 4, 12, 3, 8], truncated=[1, 3]),
    "hidden tokens": batch(3, [7, 5, 8], hidden=[(0, 0), (0, 3), (2, 7), (1, 2)]),
    "on-policy": batch(4, [4, 3, 6], on_policy=True),
}
CLIPPED = {
    "plain": {},
    "clip-higher": {"epsilon_high": 0.28},
    "delta": {"delta": 1.5},
    "kl": {"beta": 0.3, "use_bias_correction_kl": False},
    "kl corrected": {"beta": 0.3},
    "all": {"epsilon": 0.1, "epsilon_high": 0.28, "delta": 1.4, "beta": 0.1},
}
CISPO = {"capped": {"epsilon_high": 1.2}, "all": {"epsilon_high": 1.05, "beta": 0.3}}
SAPO = {"plain": {}, "all": {"sapo_temperature_pos": 0.6, "sapo_temperature_neg": 2.5, "beta": 0.3}}
VESPO = {"plain": {}, "all": {"vespo_k_pos": 1.5, "vespo_lambda_pos": 0.5, "vespo_k_neg": 4.0, "vespo_lambda_neg": 1.0, "beta": 0.3}}
SETTINGS = {**dict.fromkeys(["grpo", "bnpo", "dr_grpo", "dapo", "luspo"], CLIPPED), "cispo": CISPO, "sapo": SAPO, "vespo": VESPO}
IS = "importance_sampling_correction"
BOUNDS = {"importance_sampling_clip_min": 0.85, "importance_sampling_clip_max": 1.15}
CORRECTIONS = {
    "off-policy": {"off_policy_mask_threshold": 0.02},
    "high entropies": {"top_entropy_quantile": 0.35, "entropy_coef": 0.2, "beta": 0.3},
    "entropy bonus": {"entropy_coef": -0.1},
    "token_truncate": {IS: "token_truncate", **BOUNDS},
    "token_mask": {IS: "token_mask", **BOUNDS},
    "sequence_truncate": {IS: "sequence_truncate", **BOUNDS},
    "sequence_mask": {IS: "sequence_mask", **BOUNDS},
    "everything": {IS: "token_truncate", "importance_sampling_clip_max": 1.1, "off_policy_mask_threshold": 0.05, "top_entropy_quantile": 0.6,
                   "entropy_coef": 0.1, "beta": 0.2},
}
CORRECTED = [("dapo", "token", {}), ("dapo", "sequence", {}), ("cispo", "token", {"epsilon_high": 1.2}), ("luspo", "sequence", {}), ("vespo", "token", {})]
DEFAULTS = {"top_entropy_quantile": 1.0, "entropy_coef": 0.0, "off_policy_mask_threshold": None, IS: None, "importance_sampling_clip_min": None,
            "importance_sampling_clip_max": None, "epsilon": 0.2, "epsilon_high": None, "delta": None, "beta": 0.0, "use_bias_correction_kl": True, "sapo_temperature_pos": 1.0,
            "sapo_temperature_neg": 1.05, "vespo_k_pos": 2.0, "vespo_lambda_pos": 3.0, "vespo_k_neg": 3.0, "vespo_lambda_neg": 2.0}


class Accelerator:
    num_processes, process_index, device = 1, 0, torch.device("cpu")
    gather = staticmethod(lambda x: x)
    gather_for_metrics = staticmethod(lambda x: x)
    pad_across_processes = staticmethod(lambda x, dim, pad_index: x)
    sync_gradients = True
    reduce = staticmethod(lambda x, reduction: x)
    unwrap_model = staticmethod(lambda model: model)


def stand_in(**attributes):
    """What both methods read, in train mode."""
    attributes = {"use_vllm": False, "beta": 0.0, **attributes}
    return types.SimpleNamespace(accelerator=Accelerator, model=types.SimpleNamespace(training=True), aux_loss_enabled=False,
                                 _metrics={"train": collections.defaultdict(list)}, **attributes)


def importance_ratios(config, inputs):
    """The factors that the trainer computes where vLLM sampled, and what it logs of them."""
    kept, rows = inputs["tokens"].bool(), range(len(inputs["tokens"]))
    lists = lambda key: [inputs[key][i][kept[i]].tolist() for i in rows]
    grouped = Grouped([[0.0]] * len(rows), 1, "none").trainer
    grouped.use_vllm = grouped.vllm_importance_sampling_correction = True
    grouped.vllm_importance_sampling_mode = config[IS]
    grouped.vllm_importance_sampling_clip_min, grouped.vllm_importance_sampling_clip_max = (config[f"importance_sampling_clip_{end}"] for end in ("min", "max"))
    grouped._generate = lambda prompts: ([[1]] * len(rows), lists("tokens"), lists("mask"), [""] * len(rows), lists("sampling_logprobs"), {}, None, None)
    grouped._get_per_token_logps_and_entropies = lambda *a, **k: (inputs["old_logprobs"].double(), None, None)
    ratios = GRPOTrainer._generate_and_score_completions(grouped, [{"prompt": ""}] * len(rows))["importance_sampling_ratio"]
    return ratios, {name: values for name, values in grouped._metrics["train"].items() if name.startswith("sampling/importance")}


def trl_loss(config, inputs, num_items, micro_batches, **state):
    logprobs, entropies = (inputs[key].double().requires_grad_(True) for key in ("logprobs", "entropies"))
    config = {**DEFAULTS, **config}
    trainer = stand_in(
        args=types.SimpleNamespace(**{**config, **state.pop("args", {})}, steps_per_generation=micro_batches),
        _get_per_token_logps_and_entropies=lambda *a, **k: (logprobs, entropies, None),
        get_high_entropy_mask=lambda *a: GRPOTrainer.get_high_entropy_mask(trainer, *a), get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
        get_gamma_weights=GRPOTrainer.get_gamma_weights, loss_type=config["loss_type"], epsilon_low=config["epsilon"],
        epsilon_high=config["epsilon_high"] or config["epsilon"], max_completion_length=MAX_LENGTH,
        current_gradient_accumulation_steps=micro_batches, **{"use_adaptive_entropy": False, "_entropy_window_stats": None,
        "_entropy_bonus_enabled": config["entropy_coef"] != 0, "entropy_coef": config["entropy_coef"], **state},
        **{key: config[key] for key in ["importance_sampling_level", "beta", "top_entropy_quantile", "off_policy_mask_threshold"]})
    ids = torch.zeros_like(inputs["tokens"])
    given = {"prompt_ids": ids[:, :1], "prompt_mask": torch.ones_like(ids[:, :1]), "completion_ids": ids, "completion_mask": inputs["mask"],
             "advantages": inputs["advantages"].double(), "old_per_token_logps": inputs["old_logprobs"].double(),
             "ref_per_token_logps": inputs["ref_logprobs"].double(), "num_items_in_batch": num_items}
    if config[IS]:
        trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
        given["importance_sampling_ratio"], logged = importance_ratios(config, inputs)
        given["sampling_per_token_logps"] = inputs["sampling_logprobs"].double()
        trainer._metrics["train"].update(logged)
    loss = GRPOTrainer._compute_loss(trainer, None, given)
    loss.backward()
    metrics = {name: values[0] for name, values in trainer._metrics["train"].items() if name not in ("policy_loss", "entropy_coef")}
    kept = inputs["tokens"].bool()
    return loss.item(), logprobs.grad[kept], metrics, None if entropies.grad is None else entropies.grad[kept], trainer


def loss_case(name, level, loss_type, setting, micro_batches=1):
    return case_of(name, setting, {"loss_type": loss_type, "importance_sampling_level": level, **SETTINGS[loss_type][setting]}, micro_batches)


def case_of(name, setting, config, micro_batches=1):
    whole, rows = BATCHES[name], len(BATCHES[name]["tokens"]) // micro_batches
    parts = [{key: value[i * rows:(i + 1) * rows] for key, value in whole.items()} for i in range(micro_batches)]
    results = [trl_loss(config, part, whole["mask"].sum(), micro_batches) for part in parts]
    case = {"batch": name, "setting": setting, "micro_batches": micro_batches, "config": config, "loss": digits([sum(r[0] for r in results)], 12)[0],
            "gradient": digits(torch.cat([r[1] for r in results]).tolist(), 7)}
    if micro_batches == 1:
        if results[0][3] is not None:
            case["entropy_gradient"] = digits(results[0][3].tolist(), 7)
        case["metrics"] = {key: digits([value])[0] for key, value in results[0][2].items()}
    return case


def loss_goldens():
    stored = {}
    for name, b in BATCHES.items():
        kept = b["tokens"].bool()
        stored[name] = {"lengths": b["tokens"].sum(1).tolist(), "advantages": digits(b["advantages"].tolist()), "mask": b["mask"][kept].tolist()}
        for key in ["logprobs", "old_logprobs", "sampling_logprobs", "ref_logprobs", "entropies"]:
            stored[name][key] = digits(b[key][kept].tolist())
    cases = [loss_case(*c) for c in itertools.product(BATCHES, ["token", "sequence"], SETTINGS, ["all"])]
    cases += [loss_case(name, level, loss_type, setting) for name in ["whole", "truncated rows"] for level in ["token", "sequence"]
              for loss_type in SETTINGS for setting in SETTINGS[loss_type] if setting != "all"]
    # bnpo divides by its micro-batch's tokens in TRL: only the others promise that accumulation changes nothing
    cases += [loss_case("truncated rows", level, loss_type, "all", micro) for level in ["token", "sequence"]
              for loss_type in SETTINGS if loss_type != "bnpo" for micro in (2, 3)]
    cases = [c for c in cases if c["config"]["loss_type"] != "vespo" or c["config"]["importance_sampling_level"] == "token"]
    cases += [case_of(name, setting, {"loss_type": loss_type, "importance_sampling_level": level, **own, **CORRECTIONS[setting]})
              for name in ["truncated rows", "hidden tokens"] for loss_type, level, own in CORRECTED for setting in CORRECTIONS
              if loss_type != "vespo" or not setting.startswith("sequence")]
    return {"source": VERSIONS, "max_completion_length": MAX_LENGTH, "batches": stored, "cases": cases, "entropy_control": entropy_control()}


def entropy_control():
    """Adaptive entropy over steps: the coefficient before, as it acted, and after."""
    keys = {"entropy_coef_min": 0.005, "entropy_coef_max": 0.03, "entropy_coef_delta": 0.01, "entropy_target": 0.9}
    inputs, coef, last, steps = BATCHES["whole"], 0.01, float("inf"), []
    for scale in [0.5, 0.4, 0.6, 0.5, 2.0, 1.5, 0.5, 2.0, 2.0, 2.0]:
        now = {**inputs, "entropies": inputs["entropies"] * scale}
        *_, gradient, trainer = trl_loss({"loss_type": "dapo", "importance_sampling_level": "token"}, now, inputs["mask"].sum(), 1, args=keys,
                                         use_adaptive_entropy=True, _entropy_bonus_enabled=True, entropy_coef=coef, _last_world_entropy=last)
        steps.append({"entropy": digits([trainer._last_world_entropy])[0], "acted": digits([-gradient.sum().item()])[0],
                      "after": digits([trainer.entropy_coef])[0]})
        coef, last = trainer.entropy_coef, trainer._last_world_entropy
    return {"config": {**keys, "entropy_coef": 0.01, "use_adaptive_entropy": True}, "steps": steps}


class Grouped:
    """Stands where the trainer would sample: one token a completion, rewards as given, [completion][reward]."""

    def __init__(self, rewards, group, scale, weights=(1.0,), aggregation="sum_then_normalize"):
        count, nothing = len(rewards), collections.defaultdict(list)
        table = torch.tensor([[float("nan") if r is None else r for r in row] for row in rewards], dtype=torch.float64)
        names = ["reward"] if len(weights) == 1 else [f"reward{i}" for i in range(len(weights))]
        self.trainer = stand_in(
            environment_factories=None, environments=None, tools=None, scale_rewards=scale, num_generations=group, num_iterations=1, chat_template_kwargs={},
            multi_objective_aggregation=aggregation, reward_weights=torch.tensor(weights, dtype=torch.float64), reward_func_names=names,
            reward_funcs=[None] * len(weights),
            mask_truncated_completions=False, pad_to_multiple_of=None, _tokenizer=types.SimpleNamespace(pad_token_id=0), eos_token_ids=[0],
            args=types.SimpleNamespace(per_device_train_batch_size=count, steps_per_generation=1, gradient_accumulation_steps=1, gradient_checkpointing_kwargs=None),
            _generate=lambda prompts: ([[1]] * count, [[0]] * count, None, [""] * count, None, {}, None, None),
            _calculate_rewards=lambda *a: table, _pending_extra_logs={}, _pending_metrics={}, log_multimodal=False,
            _logs={"prompt": [], "completion": [], "rewards": nothing, "advantages": [], "extra": collections.defaultdict(list)})
        self.trainer.model.is_gradient_checkpointing = False

    def advantages(self):
        return GRPOTrainer._generate_and_score_completions(self.trainer, [{"prompt": ""}] * len(self.trainer._calculate_rewards()))["advantages"]

    def metrics(self):
        return {name: digits(values)[0] for name, values in self.trainer._metrics["train"].items()}


def advantage_goldens():
    draw = torch.Generator().manual_seed(11)
    some = [round(v, 6) for v in torch.randn(12, generator=draw).tolist()]
    rewards = {
        "binary": (4, [1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
        "real": (4, some),
        "without some": (4, [1, None, 0, 0.5, None, None, 0.25, 2, None, None, None, None, 1, 1, None, 1]),
        "one left": (3, [None, 0.75, None, 0, 1, 0]),
        "pairs": (2, [0.1, 0.2, -3, 3, 7, 7]),
    }
    cases = []
    for name, (group, values) in rewards.items():
        for scale in ["group", "batch", "none"]:
            grouped = Grouped([[v] for v in values], group, scale)
            cases.append({"name": name, "scale_rewards": scale, "num_generations": group, "rewards": values,
                          "advantages": digits(grouped.advantages().tolist()), "metrics": grouped.metrics()})
    return {"source": VERSIONS, "cases": cases, "objectives": objective_goldens(draw)}


def objective_goldens(draw):
    """Several rewards of their own weights, [completion][reward]; None where a reward does not apply."""
    real = [[round(v, 6) for v in row] for row in torch.randn(12, 3, generator=draw).tolist()]
    rewards = {
        "accuracy and format": (4, [1.0, 0.5], [[1, 1], [0, 1], [0, 0], [1, 1], [0, 1], [0, 0], [0, 0], [0, 1]]),
        "real": (4, [1.0, -0.5, 2.0], real),
        "one does not apply": (3, [1.0, 1.0], [[1, None], [0, None], [1, None], [None, 0.5], [1, 0.25], [0, 1]]),
        "some unscored": (4, [1.0, 0.3], [[1, 0], [None, None], [0, 0.5], [0, 1], [None, None], [1, 1], [1, None], [0, 0.2]]),
        "one alike": (2, [1.0, 3.0], [[1, 0.1], [0, 0.1], [1, 0.1], [1, 0.1], [0.5, 0.1], [0, 0.1]]),
    }
    return [{"name": name, "aggregation": aggregation, "num_generations": group, "weights": weights, "rewards": values,
             "advantages": digits(Grouped(values, group, "group", weights, aggregation).advantages().tolist())}
            for name, (group, weights, values) in rewards.items() for aggregation in ["sum_then_normalize", "normalize_then_sum"]]


def adamw_goldens():
    """Weights after each of six steps, in fp64, gradients as given; weight decay on, clipping by norm on and off."""
    draw = torch.Generator().manual_seed(13)
    start = torch.randn(8, generator=draw)
    gradients = torch.randn(6, 8, generator=draw) * torch.tensor([[1.0], [0.1], [3.0], [0.0], [1e-3], [0.5]])
    cases = []
    for weight_decay, clip in itertools.product([0.0, 0.1], [0.0, 1.0]):
        weight = torch.nn.Parameter(start.double())
        optimizer = torch.optim.AdamW([weight], lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=weight_decay)
        after, norms = [], []
        for gradient in gradients.double():
            weight.grad = gradient.clone()
            norms.append(gradient.norm().item())
            if clip:
                torch.nn.utils.clip_grad_norm_([weight], clip)
            optimizer.step()
            after.append(digits(weight.tolist()))
        cases.append({"weight_decay": weight_decay, "max_grad_norm": clip, "after": after, "norms": digits(norms)})
    return {"source": VERSIONS, "learning_rate": 0.02, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "start": digits(start.tolist()),
            "gradients": [digits(g) for g in gradients.tolist()], "cases": cases}


def write(name, content):
    rows = json.dumps(content, allow_nan=False).replace('{"batch"', '\n{"batch"').replace('{"name"', '\n{"name"')
    (HERE / name).write_text(rows + "\n")


with contextlib.redirect_stdout(sys.stderr):
    write("trl_loss.json", loss_goldens())
    write("trl_advantage.json", advantage_goldens())
    write("adamw.json", adamw_goldens())
