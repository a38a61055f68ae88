"""Writes tests/grpo/golden/verl_loss.json: value, gradient and share of clipped ratios of verl's policy losses and KL estimators on
stored random cases, in fp64 on fp32 inputs.

Usage: python generate_verl_goldens.py [golden folder]      (verl 0.9.1, torch)
"""
import importlib.metadata
import itertools
import json
import pathlib
import sys

import torch
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig, PolicyLossConfig

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")
VERSIONS = {"verl": importlib.metadata.version("verl"), "torch": torch.__version__.split("+")[0]}
MAX_LENGTH = 16


def digits(values, count=9):
    return [float(f"{v:.{count}g}") for v in values]


def batch(seed, lengths, hidden=()):
    draw = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    old = -torch.rand(shape, generator=draw) * 3 - 0.01
    new = (old + 0.5 * torch.randn(shape, generator=draw)).clamp(max=-1e-3)
    tokens = torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(lengths):
        tokens[row, :length] = 1
    mask = tokens.clone()
    for row, column in hidden:
        mask[row, column] = 0
    return {"tokens": tokens, "mask": mask, "old_logprobs": old, "logprobs": new,
            "ref_logprobs": (new + 0.4 * torch.randn(shape, generator=draw)).clamp(max=-1e-3),
            "advantages": torch.randn(len(lengths), generator=draw)}


BATCHES = {"whole": batch(21, [5, 9, 1, 7, 4]), "hidden tokens": batch(22, [7, 5, 8, 6], hidden=[(0, 0), (0, 3), (2, 7), (1, 2)])}
BAND = {"epsilon": 0.2, "epsilon_high": 0.28}
# verl's name and its settings; ours that say the same
LOSSES = [
    ("vanilla", {"clip_ratio_c": 1.3}, {**BAND, "dual_clip": 1.3}),
    ("vanilla", {"clip_ratio_c": 3.0}, {**BAND, "dual_clip": 3.0}),
    ("gspo", {}, {**BAND, "importance_sampling_level": "sequence"}),
    ("cispo", {}, {**BAND, "loss_type": "cispo", "cispo_clip": "band"}),
    ("sapo", {"tau_pos": 1.0, "tau_neg": 1.05}, {"loss_type": "sapo"}),
    ("sapo", {"tau_pos": 0.5, "tau_neg": 2.0}, {"loss_type": "sapo", "sapo_temperature_pos": 0.5, "sapo_temperature_neg": 2.0}),
]
MODES = {"token-mean": "dapo", "seq-mean-token-mean": "grpo", "seq-mean-token-sum": "luspo", "seq-mean-token-sum-norm": "dr_grpo"}


def modes(name):
    """The aggregations that ours has too."""
    return {"cispo": ["token-mean"], "sapo": ["seq-mean-token-mean"]}.get(name, MODES)


def actor(settings):
    own = {key: settings[key] for key in ["clip_ratio_c", "tau_pos", "tau_neg"] if key in settings}
    return ActorConfig(strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, clip_ratio=0.2, clip_ratio_low=0.2, clip_ratio_high=0.28,
                       global_batch_info={"loss_scale_factor": MAX_LENGTH}, policy_loss=PolicyLossConfig(), **own)


def loss_case(batch_name, name, settings, ours, mode):
    inputs = BATCHES[batch_name]
    logprobs = inputs["logprobs"].double().requires_grad_(True)
    loss, metrics = core_algos.get_policy_loss_fn(name)(
        old_log_prob=inputs["old_logprobs"].double(), log_prob=logprobs, advantages=inputs["advantages"].double()[:, None].expand_as(logprobs),
        response_mask=inputs["mask"].double(), loss_agg_mode=mode, config=actor(settings))
    loss.backward()
    return {"batch": batch_name, "of": f"{name} {mode} {settings}", "config": {"loss_type": MODES[mode], **ours}, "loss": digits([loss.item()], 12)[0],
            "clipped": digits([metrics["actor/pg_clipfrac"]])[0], "gradient": digits(logprobs.grad[inputs["tokens"].bool()].tolist(), 7)}


def kl_case(batch_name, estimator):
    """The mean over tokens: what a loss adds with β = 1 where no advantage is given."""
    inputs = BATCHES[batch_name]
    logprobs = inputs["logprobs"].double().requires_grad_(True)
    values = core_algos.kl_penalty(logprobs, inputs["ref_logprobs"].double(), estimator)
    core_algos.agg_loss(values, inputs["mask"].double(), "token-mean").backward()
    kept = inputs["tokens"].bool()
    return {"batch": batch_name, "estimator": estimator, "values": digits(values[kept].tolist()), "gradient": digits(logprobs.grad[kept].tolist(), 7)}


stored = {}
for name, b in BATCHES.items():
    kept = b["tokens"].bool()
    stored[name] = {"lengths": b["tokens"].sum(1).tolist(), "advantages": digits(b["advantages"].tolist()), "mask": b["mask"][kept].tolist(),
                    "entropies": [0.0] * int(kept.sum())}
    for key in ["logprobs", "old_logprobs", "ref_logprobs"]:
        stored[name][key] = digits(b[key][kept].tolist())
content = {"source": VERSIONS, "max_completion_length": MAX_LENGTH, "batches": stored,
           "cases": [loss_case(b, *loss, mode) for b in BATCHES for loss in LOSSES for mode in modes(loss[0])],
           "kl": [kl_case(*c) for c in itertools.product(BATCHES, ["k1", "k2", "k3"])]}
(HERE / "verl_loss.json").write_text(json.dumps(content, allow_nan=False).replace('{"batch"', '\n{"batch"') + "\n")
