"""A chapter's networks at the size of their paper: MindSpore and the book's ONNX files against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry, compared, guarded
from bench.rows.network import inference, training
from bench.session import Session

Targets = Mapping[Workload, float | None]
"""How many times as fast as PyTorch as a user runs it; None where that is only shown."""


def paper(session: Session, row: str, forward: Targets, steps: Targets, files: Sequence[Entry]) -> Iterator[Result]:
    """Inference, training steps, ONNX files. What breaks does not cost the rest its turn."""
    if session.torch_missing:
        yield Result(row, "vs PyTorch", state="not run", note=session.torch_missing)
    else:
        for workload, target in forward.items():
            what = f"forward, {session.scale.fitted(workload)}"
            yield from guarded(row, what, inference(session, row, workload, target, layouts=True))
        for workload, target in steps.items():
            what = f"training step, {session.scale.fitted(workload)}"
            yield from guarded(row, what, training(session, row, workload, target, layouts=True))
    for entry in files:
        what = f"forward, {session.scale.fitted(entry.workload)}"
        yield from guarded(row, what, compared(session, row, what, entry))
