"""SlowFast at the size of its training on AVA: 8 and 32 frames of one moment, and boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.cases import Workload
from bench.report import Result
from bench.rows.inference import Entry
from bench.rows.paper import Targets, paper
from bench.session import Session

MOMENT = Workload("slowfast_r50", 1, (3, 32, 224, 224), 80, every=4, boxes=8)
FORWARD: Targets = {MOMENT: 0.65}
# A step at 224 x 224 has four times as much to compute, in the same layers.
TRAINING: Targets = {replace(MOMENT, clip=(3, 32, 112, 112)): 0.6}
FILES = (Entry(MOMENT, raw=1.0, eager=1.3),)


def slowfast(session: Session) -> Iterator[Result]:
    """Two pathways of 224 x 224, training at 112 x 112."""
    yield from paper(session, "slowfast", FORWARD, TRAINING, FILES)
