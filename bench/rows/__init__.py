"""The rows of the report, by name; each takes a session and yields its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.report import Result
from bench.rows import access, ava, data, eco, flow, i3d, inference, network, slowfast, stnet
from bench.session import Session

Row = Callable[[Session], Iterator[Result]]

ROWS: dict[str, Row] = {
    "forward": network.forward,
    "train": network.train,
    "family": inference.family,
    "i3d": i3d.i3d,
    "eco": eco.eco,
    "stnet": stnet.stnet,
    "slowfast": slowfast.slowfast,
    "frames": data.frames,
    "access": access.access,
    "packs": access.packs,
    "clips": data.clips,
    "loader": data.loader,
    "flow": flow.flow,
    "ava-score": ava.score,
}
