"""A network in MindSpore (GRAPH mode) against PyTorch (eager): inference and training. Two rows for MobileNetV2-3D."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from bench.agreement import same_logits, same_losses, same_parameters
from bench.cases import MOBILENET, Workload
from bench.report import Result, timed
from bench.rounds import Round, compare
from bench.session import CHANNELS_LAST, PYTORCH, Session

# The recipes' optimiser, with a rate so small that thousands of steps on one batch do not run away.
SGD = {"lr": 1e-3, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3}


def forward(session: Session) -> Iterator[Result]:
    """Inference of a batch. Target: 1.5 times PyTorch as a user runs it."""
    yield from inference(session, "forward", MOBILENET, 1.5)


def train(session: Session) -> Iterator[Result]:
    """A training step: forward, backward, SGD. Target: 2 times PyTorch as a user runs it."""
    yield from training(session, "train", MOBILENET, 2.0)


def inference(
    session: Session, row: str, workload: Workload, target: float | None, *, layouts: bool = False
) -> Iterator[Result]:
    """Inference of a batch in evaluation mode.

    `target` is about PyTorch as a user runs it. With `layouts` PyTorch also shows what it can do in "channels last".
    """
    rivals = session.torch_peers("forward", workload, layouts=layouts)
    case = session.case(workload)
    ours = session.peer("MindSpore", "book:forward", case.options)
    what = f"forward, {case.workload}"
    with session.running([ours, *rivals]):
        same_parameters([ours, *rivals], case)
        agreement = f"logits agree to {same_logits(ours, rivals):.1e} of their standard deviation"
        rounds = session.rounds(f"{row}, {case.workload}", [ours, *rivals], session.scale.pace)
    note = f"PyTorch {rivals[0].facts['version']}; {agreement}"
    yield from _against(rounds, row, what, [rival.label for rival in rivals], target=target, note=note)


def training(
    session: Session, row: str, workload: Workload, target: float | None, *, layouts: bool = False
) -> Iterator[Result]:
    """A training step on a batch, without dropout; `target` and `layouts` as for `inference`."""
    rivals = session.torch_peers("train", workload, layouts=layouts, sgd=SGD)
    case = session.case(workload)
    ours = session.peer("MindSpore", "book:train", {**case.options, "sgd": SGD})
    what = f"training step, {case.workload}"
    with session.running([ours, *rivals]):
        same_parameters([ours, *rivals], case)
        agreement = f"the first three losses agree to {same_losses(ours, rivals):.1e}"
        rounds = session.rounds(f"{row}, {case.workload}", [ours, *rivals], session.scale.pace)
    note = f"PyTorch {rivals[0].facts['version']}; {agreement}"
    yield from _against(rounds, row, what, [rival.label for rival in rivals], target=target, note=note)


def _against(
    rounds: Sequence[Round], row: str, what: str, rivals: Sequence[str], *, target: float | None, note: str
) -> Iterator[Result]:
    """MindSpore against each of `rivals`, of which the first has the target and takes the note."""
    if CHANNELS_LAST in rivals:
        gain = compare(rounds, CHANNELS_LAST, PYTORCH).ratio
        note += f"; PyTorch's faster layout: {f'channels last, {gain:.2f} times' if gain > 1 else 'its default'}"
    for rival, wanted in zip_longest(rivals, [target]):
        yield timed(row, f"MindSpore vs {rival}, {what}", compare(rounds, "MindSpore", rival), wanted, note)
        note = ""
