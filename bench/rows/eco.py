"""ECO at the size of its paper: Full and Lite, 4 and 16 segments of one video."""

from __future__ import annotations

from collections.abc import Iterator

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry
from bench.rows.paper import Targets, paper
from bench.session import Session

FOUR = Workload("eco_full", 1, (3, 4, 224, 224), 400)
SIXTEEN = Workload("eco_full", 1, (3, 16, 224, 224), 400)
LITE = Workload("eco_lite", 1, (3, 4, 224, 224), 400)
FORWARD: Targets = {FOUR: 1.1, SIXTEEN: 0.75, LITE: None}
TRAINING: Targets = {SIXTEEN: 0.6}
FILES = (Entry(FOUR, raw=1.0, eager=2.5), Entry(SIXTEEN, raw=1.0, eager=1.7))


def eco(session: Session) -> Iterator[Result]:
    """Full at 4 and 16 segments, Lite at 4."""
    yield from paper(session, "eco", FORWARD, TRAINING, FILES)
