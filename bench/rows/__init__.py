"""The rows of the report, by name; each takes a session and yields its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.report import Result
from bench.rows.data import clips, frames, loader
from bench.rows.inference import family
from bench.rows.network import forward, train
from bench.session import Session

Row = Callable[[Session], Iterator[Result]]

ROWS: dict[str, Row] = {
    "forward": forward,
    "train": train,
    "family": family,
    "frames": frames,
    "clips": clips,
    "loader": loader,
}
