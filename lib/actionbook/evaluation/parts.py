"""Outputs for a test set in parts on disk: an evaluation that is killed goes on, and several devices share one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.clips.pipeline import tested
from actionbook.clips.samples import Samples, batched
from actionbook.core.files import atomic_path, sweep_temporary, write_json_atomic
from actionbook.core.progress import progress_bar
from actionbook.core.spec import Arrays

LEAST = 64
"""A part has so many samples, or one batch if that is more."""

Run = Callable[[Arrays], np.ndarray]


@dataclass(frozen=True)
class Parts:
    """The outputs for a table of samples: ``part-<k>.npy`` while they are made, ``outputs.npy`` once all are there.

    `folder` must be named by all that decides the outputs; what lies in it is taken as it is. Parts consist of whole
    batches, so neither interruptions nor the number of devices changes a bit of the result.
    """

    folder: Path
    table: pd.DataFrame
    """See `Samples.tests`."""
    batch: int

    @property
    def whole(self) -> Path:
        """The file of all outputs, float32 (samples, ...)."""
        return self.folder / "outputs.npy"

    def make(
        self,
        run: Run,
        samples: Samples,
        workers: int,
        rests_on: Mapping[str, object],
        *,
        rank: int = 0,
        count: int = 1,
    ) -> None:
        """Make the parts of process `rank` among `count` that are not there yet; `run` gives the outputs of a batch.

        `rests_on` is what names the folder, written beside the parts for people.
        """
        if _read(self.whole, len(self.table)) is not None:
            return
        if rank == 0:
            sweep_temporary(self.folder)
            write_json_atomic(self.folder / "rests_on.json", dict(rests_on))
        share = list(self._parts())[rank::count]
        missing = [(path, rows) for path, rows in share if _read(path, len(rows)) is None]
        total, left = (sum(len(rows) for _, rows in parts) for parts in (share, missing))
        with progress_bar(total, "testing", "clips", initial=total - left) as bar:
            # One stream for all parts, so that the next clips are being read while the network works.
            ready = tested(samples, self.table.iloc[[row for _, part in missing for row in part]], workers)
            for path, part in missing:
                outputs = []
                for items, batch in batched(islice(ready, len(part)), self.batch):
                    outputs.append(run(batch))
                    bar.update(len(items))
                _write(path, np.concatenate(outputs))

    def read(self) -> np.ndarray | None:
        """All outputs, float32 (samples, ...) in the table's order; None while a part is missing."""
        outputs = _read(self.whole, len(self.table))
        if outputs is None:
            parts = [(path, _read(path, len(rows))) for path, rows in self._parts()]
            found = [part for _, part in parts if part is not None]
            if len(found) < len(parts):
                return None
            outputs = np.concatenate(found)
            _write(self.whole, outputs)
        for path in self.folder.glob("part-*.npy"):
            path.unlink(missing_ok=True)
        return outputs

    def _parts(self) -> Iterator[tuple[Path, range]]:
        size = -(-LEAST // self.batch) * self.batch
        for number, start in enumerate(range(0, len(self.table), size)):
            yield self.folder / f"part-{number:06d}.npy", range(start, min(start + size, len(self.table)))


def _write(path: Path, outputs: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, outputs)


def _read(path: Path, rows: int) -> np.ndarray | None:
    """A file of outputs, None where it is missing, damaged, or of another number of samples."""
    try:
        outputs: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return outputs if outputs.ndim >= 2 and len(outputs) == rows else None
