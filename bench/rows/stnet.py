"""StNet at the size of its paper: seven super-images of one video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry
from bench.rows.paper import Targets, paper
from bench.session import Session

SEVEN = Workload("stnet_resnet50", 1, (3, 35, 224, 224), 400, every=5)
FORWARD: Targets = {SEVEN: 0.65}
# The Xception's batch norms see 7 values of a video: with one, rounding decides the losses that both sides must share.
TRAINING: Targets = {replace(SEVEN, batch=4): 0.6}
FILES = (Entry(SEVEN, raw=1.0, eager=1.7),)


def stnet(session: Session) -> Iterator[Result]:
    """Seven super-images of 224 x 224."""
    yield from paper(session, "stnet", FORWARD, TRAINING, FILES)
