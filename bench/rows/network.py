"""MobileNetV2-3D in MindSpore (GRAPH mode) against PyTorch (eager): inference and training."""

from __future__ import annotations

from collections.abc import Iterator

from bench.agreement import same_logits, same_losses, same_parameters
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import Session

# The recipes' optimiser, with a rate so small that thousands of steps on one batch do not run away.
SGD = {"lr": 1e-3, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3}


def forward(session: Session) -> Iterator[Result]:
    """Inference of a batch. Target: 1.5 times PyTorch as a user runs it."""
    rivals = session.torch_peers("forward")
    ours = session.peer("MindSpore", "book:forward", session.case().options)
    with session.running([ours, *rivals]):
        same_parameters([ours, *rivals], session.case())
        difference = same_logits(ours, rivals)
        note = f"PyTorch {rivals[0].facts['version']}; logits agree to {difference:.1e} of their standard deviation"
        rounds = session.rounds("forward", [ours, *rivals], session.scale.pace)
    for rival, target in zip(rivals, (1.5, None), strict=True):
        what = f"MindSpore vs {rival.label}, forward, batch {session.scale.batch}"
        yield timed("forward", what, compare(rounds, ours.label, rival.label), target, note)
        note = ""


def train(session: Session) -> Iterator[Result]:
    """A training step: forward, backward, SGD. Target: 2 times PyTorch as a user runs it."""
    rivals = session.torch_peers("train", sgd=SGD)
    ours = session.peer("MindSpore", "book:train", {**session.case().options, "sgd": SGD})
    with session.running([ours, *rivals]):
        same_parameters([ours, *rivals], session.case())
        difference = same_losses(ours, rivals)
        note = f"PyTorch {rivals[0].facts['version']}; the first three losses agree to {difference:.1e}"
        rounds = session.rounds("train", [ours, *rivals], session.scale.pace)
    for rival, target in zip(rivals, (2.0, None), strict=True):
        what = f"MindSpore vs {rival.label}, training step, batch {session.scale.batch}"
        yield timed("train", what, compare(rounds, ours.label, rival.label), target, note)
        note = ""
