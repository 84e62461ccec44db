"""I3D at the size of its paper, both streams."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry
from bench.rows.paper import Targets, paper
from bench.session import Session

RGB = Workload("i3d", 1, (3, 64, 224, 224), 400)
SHORT = Workload("i3d", 4, (3, 16, 224, 224), 400)
FLOW = Workload("i3d", 1, (2, 64, 224, 224), 400)
# None for flow, which differs in the first convolution only.
FORWARD: Targets = {RGB: 1.0, SHORT: 1.0, FLOW: None}
TRAINING: Targets = {RGB: 0.9, SHORT: 0.9}
FILES = (Entry(RGB, raw=1.0, eager=2.0, nodes=0.35), Entry(FLOW, raw=1.0, eager=2.0, nodes=0.35))


def i3d(session: Session) -> Iterator[Result]:
    """Both streams, 16 and 64 frames."""
    yield from paper(session, "i3d", FORWARD, TRAINING, FILES)
