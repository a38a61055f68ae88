"""Writes tests/grpo/golden/trl_distillation.json: what TRL's own distillation losses give for stored random logits, with
the gradients that autograd gives for the student's. GKDTrainer, and DistillationTrainer's chunked form of it, over the whole vocabulary;
the distillation trainers' form of it over the most likely tokens; SDPO's over the sampled token alone. In fp64 on
fp32 inputs; the chunked form is fp32 throughout, so it is only held against the first one, within 1e-5.

Usage: python generate_distillation_goldens.py [golden folder]      (trl 1.16.0, torch)
"""
import itertools
import json
import pathlib
import sys

import torch
import trl
from trl.experimental.gkd import GKDTrainer
from trl.experimental.iw_opd import IWOPDTrainer
from trl.experimental.sdpo.loss_utils import compute_sampled_token_self_distillation_loss
from trl.trainer.distillation_trainer import _chunked_divergence_loss

HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden")
VERSIONS = {"trl": trl.__version__, "torch": torch.__version__.split("+")[0]}


def digits(values, count=9):
    return [float(f"{v:.{count}g}") for v in values]


def rows(seed, count, vocab, spread, apart):
    """Student and teacher logits [1, count, vocab] that differ by about `apart`, the sampled tokens, and which of them count."""
    draw = torch.Generator().manual_seed(seed)
    student = spread * torch.randn(1, count, vocab, generator=draw)
    teacher = student + apart * torch.randn(1, count, vocab, generator=draw)
    tokens = torch.randint(vocab, (1, count), generator=draw)
    mask = torch.rand(1, count, generator=draw) > 0.25
    return {"student": student, "teacher": teacher, "tokens": tokens, "labels": torch.where(mask, tokens, -100)}


BATCHES = {
    "few tokens": rows(1, 6, 5, 1.0, 1.0),
    "many tokens": rows(2, 5, 41, 2.0, 1.5),
    "nearly alike": rows(3, 4, 33, 3.0, 1e-3),
    "sure of different tokens": rows(4, 5, 19, 12.0, 12.0),
}
BETAS, TEMPERATURES = [0.0, 0.1, 0.5, 0.9, 1.0], [1.0, 0.7, 2.0]


def case_of(batch, config, loss):
    """`loss` is given student and teacher; its value and gradient."""
    given = BATCHES[batch]
    student = given["student"].double().requires_grad_(True)
    value = loss(student, given["teacher"].double())
    value.backward()
    return {"batch": batch, "config": config, "loss": digits([value.item()], 12)[0], "gradient": digits(student.grad.flatten().tolist())}


def full_case(batch, beta, temperature):
    given = BATCHES[batch]
    case = case_of(batch, {"beta": beta, "temperature": temperature},
                   lambda student, teacher: GKDTrainer.generalized_jsd_loss(student, teacher, labels=given["labels"], beta=beta, temperature=temperature))
    expect_chunked_alike(given, beta, temperature, case["loss"])
    return case


def expect_chunked_alike(given, beta, temperature, expected):
    head = torch.eye(given["student"].size(-1))
    loss, _, count = _chunked_divergence_loss(given["student"].clone(), given["teacher"], head, head, given["labels"] != -100, beta, temperature=temperature)
    assert abs(loss.item() - expected) < 1e-5 * max(1.0, abs(expected)), (beta, temperature, loss.item(), expected)
    assert count == (given["labels"] != -100).sum()


def top_k_case(batch, beta, temperature, top_k, add_tail):
    labels = BATCHES[batch]["labels"]
    return case_of(batch, {"beta": beta, "temperature": temperature, "loss_top_k": top_k, "loss_add_tail": add_tail},
                   lambda student, teacher: IWOPDTrainer.generalized_jsd_loss(student, teacher, labels=labels, beta=beta, temperature=temperature,
                                                                              top_k=top_k, add_tail=add_tail))


def sampled_case(batch, temperature):
    """The gradient with respect to log p of each token, those that count not alone."""
    given = BATCHES[batch]
    pick = lambda logits: torch.log_softmax(logits.double() / temperature, -1).gather(-1, given["tokens"].unsqueeze(-1)).squeeze(-1)
    student, teacher = pick(given["student"]).requires_grad_(True), pick(given["teacher"])
    # log p as a distribution over one token of two: what the function gathers is log p itself
    both = lambda logp: torch.stack([logp, torch.log(-torch.expm1(logp))], -1)
    per_token = compute_sampled_token_self_distillation_loss(both(student), both(teacher), torch.zeros_like(given["tokens"]), distillation_alpha=1.0)
    mask = given["labels"] != -100
    loss = per_token[mask].sum() / mask.sum()
    loss.backward()
    return {"batch": batch, "logprobs": digits(student.flatten().tolist()), "ref_logprobs": digits(teacher.flatten().tolist()),
            "mask": mask.int().flatten().tolist(), "loss": digits([loss.item()], 12)[0], "gradient": digits(student.grad.flatten().tolist())}


stored = {name: {"vocab": b["student"].size(-1), "mask": (b["labels"] != -100).int().flatten().tolist(),
                 "student": digits(b["student"].flatten().tolist()), "teacher": digits(b["teacher"].flatten().tolist())}
          for name, b in BATCHES.items()}
full = [full_case(*c) for c in itertools.product(BATCHES, BETAS, TEMPERATURES)]
top_k = [top_k_case(*c) for c in itertools.product(BATCHES, [0.0, 0.3, 1.0], [0.7], [1, 4, 1000], [True, False])]
sampled = [sampled_case(*c) for c in itertools.product(["few tokens", "many tokens"], TEMPERATURES)]
text = json.dumps({"source": VERSIONS, "batches": stored, "full": full, "top_k": top_k, "sampled": sampled}, allow_nan=False)
(HERE / "trl_distillation.json").write_text(text.replace('{"batch"', '\n{"batch"') + "\n")
