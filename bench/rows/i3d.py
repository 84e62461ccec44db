"""I3D at the size of its paper, both streams: MindSpore and the book's ONNX files against PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry, compared, guarded
from bench.rows.network import inference, training
from bench.session import Session

RGB = Workload("i3d", 1, (3, 64, 224, 224), 400)
SHORT = Workload("i3d", 4, (3, 16, 224, 224), 400)
FLOW = Workload("i3d", 1, (2, 64, 224, 224), 400)
# Targets beside PyTorch as a user runs it; none for flow, which differs in the first convolution only.
FORWARD: dict[Workload, float | None] = {RGB: 1.0, SHORT: 1.0, FLOW: None}
TRAINING: dict[Workload, float | None] = {RGB: 0.9, SHORT: 0.9}
FILES = (Entry(RGB, raw=1.0, eager=2.0, nodes=0.35), Entry(FLOW, raw=1.0, eager=2.0, nodes=0.35))


def i3d(session: Session) -> Iterator[Result]:
    """Inference, training step, ONNX files. What breaks does not cost the rest its turn."""
    if session.torch_missing:
        yield Result("i3d", "vs PyTorch", state="not run", note=session.torch_missing)
    else:
        for workload, target in FORWARD.items():
            what = f"forward, {session.scale.fitted(workload)}"
            yield from guarded("i3d", what, inference(session, "i3d", workload, target, layouts=True))
        for workload, target in TRAINING.items():
            what = f"training step, {session.scale.fitted(workload)}"
            yield from guarded("i3d", what, training(session, "i3d", workload, target, layouts=True))
    for entry in FILES:
        what = f"forward, {session.scale.fitted(entry.workload)}"
        yield from guarded("i3d", what, compared(session, "i3d", what, entry))
