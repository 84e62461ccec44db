"""Clip logits of a test set in parts on disk: an evaluation that is killed goes on, and several devices share one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.clips.pipeline import batched, test_clips
from actionbook.core.files import atomic_path, sweep_temporary
from actionbook.core.progress import progress_bar
from actionbook.core.recipe import Clips

LEAST_CLIPS = 64
"""A part has so many clips, or one batch if that is more."""

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Parts:
    """The logits of a table of test clips: ``part-<k>.npy`` while they are made, ``logits.npy`` once all are there.

    `folder` must be named by all that decides the logits; what lies in it is taken as it is. Parts consist of whole
    batches, so neither interruptions nor the number of devices changes a bit of the result.
    """

    folder: Path
    table: pd.DataFrame
    """See `clips.pipeline.window_table`."""
    batch: int

    @property
    def whole(self) -> Path:
        """The file of all logits, float32 (clips, classes)."""
        return self.folder / "logits.npy"

    def make(self, run: Run, store: Path, clips: Clips, workers: int, *, rank: int = 0, count: int = 1) -> None:
        """Make the parts of process `rank` among `count` that are not there yet; `run` gives the logits of a batch."""
        if _read(self.whole, len(self.table)) is not None:
            return
        if rank == 0:
            sweep_temporary(self.folder)
        share = list(self._parts())[rank::count]
        missing = [(path, rows) for path, rows in share if _read(path, len(rows)) is None]
        total, left = (sum(len(rows) for _, rows in parts) for parts in (share, missing))
        with progress_bar(total, "testing", "clips", initial=total - left) as bar:
            # One stream for all parts, so that the next clips are being read while the network works.
            rows = self.table.iloc[[row for _, part in missing for row in part]]
            ready = test_clips(rows, store, clips, workers)
            for path, part in missing:
                logits = []
                for _, batch in batched(islice(ready, len(part)), self.batch):
                    logits.append(run(batch))
                    bar.update(len(batch))
                _write(path, np.concatenate(logits))

    def read(self) -> np.ndarray | None:
        """All logits, float32 (clips, classes) in the table's order; None while a part is missing."""
        logits = _read(self.whole, len(self.table))
        if logits is None:
            parts = [(path, _read(path, len(rows))) for path, rows in self._parts()]
            found = [part for _, part in parts if part is not None]
            if len(found) < len(parts):
                return None
            logits = np.concatenate(found)
            _write(self.whole, logits)
        for path in self.folder.glob("part-*.npy"):
            path.unlink(missing_ok=True)
        return logits

    def _parts(self) -> Iterator[tuple[Path, range]]:
        size = -(-LEAST_CLIPS // self.batch) * self.batch
        for number, start in enumerate(range(0, len(self.table), size)):
            yield self.folder / f"part-{number:06d}.npy", range(start, min(start + size, len(self.table)))


def _write(path: Path, logits: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, logits)


def _read(path: Path, rows: int) -> np.ndarray | None:
    """A file of logits, None where it is missing, damaged, or of another number of clips."""
    try:
        logits: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return logits if logits.ndim == 2 and len(logits) == rows else None
