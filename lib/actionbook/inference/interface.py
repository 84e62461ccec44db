"""What every engine looks like from outside, and the checks that all of them make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from actionbook.core.spec import Arrays, Spec
from actionbook.inference.errors import InferenceError

if TYPE_CHECKING:
    from actionbook.inference.throughput import Throughput

IN_NAME = "in"


class Batches(Protocol):
    """What `run_batches` runs: `BatchSet` on disk, or batches that are made as they are needed. Text names them."""

    @property
    def ids(self) -> tuple[tuple[str, ...], ...]:
        """Of each batch, the ids of its real samples (at most batch_size), which come first."""

    @property
    def batch_size(self) -> int:
        """Samples of a batch, padding included."""

    @property
    def spec(self) -> Spec:
        """Inputs of a batch, and the output where it is known."""

    @property
    def sha256(self) -> str:
        """Digest of the content, by which results are told apart."""

    def ready(self, numbers: Sequence[int]) -> Iterator[Arrays]:
        """The batches of these numbers, which ascend: inputs by name, float32 (batch_size, ...)."""


@runtime_checkable
class Engine(Protocol):
    """Runs batches: inputs by name, float32 (b, ...), 1 <= b <= batch_size -> float32 output (b, ...).

    An array alone is the only input. A smaller batch is filled up with zeros where the engine needs its full size, and
    the result is cut.
    """

    @property
    def name(self) -> str:
        """What runs, for tables: "network", "MINDIR", "ONNX Runtime", "OM, ais_bench"."""

    @property
    def spec(self) -> Spec | None:
        """What the model takes; None: it is not known before it runs."""

    @property
    def batch_size(self) -> int | None:
        """The batch that the model was exported for; None: any."""

    @property
    def sha256(self) -> str:
        """Digest of the model, by which results are told apart."""

    def run(self, batch: Arrays | np.ndarray) -> np.ndarray:
        """The output of a batch. Raises SpecError for other inputs, shapes or dtypes than the model takes."""


@dataclass(frozen=True)
class FolderRun:
    """What one call of a tool left behind."""

    results: dict[int, Path]
    """Number k of each batch ``<k>.bin`` -> its output, raw float32 (samples of the file, ...)."""
    console: str
    """All that the tool printed."""
    summary: Path | None
    """The tool's own file of times, if it writes one."""


@runtime_checkable
class FolderEngine(Protocol):
    """An engine whose tool starts slowly and takes a whole folder at once; `run_batches` then calls it once."""

    def check_files(self, clips: int) -> None:
        """Raise InferenceError where the tool cannot take files of so many clips."""

    def run_folder(self, work: Path, *, progress: bool = True) -> FolderRun:
        """Run every ``in/<input>/<k>.bin`` of `work`; what the tool writes stays below `work`.

        Every result of the answer is there and has the right size, else InferenceError.
        """

    def finished(self, work: Path) -> dict[int, Path]:
        """The results that a call which did not end well had written completely."""

    def throughput(self, clips: int | None = None) -> Throughput:
        """Of the last call, as the tool timed it, for so many real clips in each batch (None: all).

        Raises InferenceError where there was no call.
        """


def existing(path: Path) -> Path:
    """`path`, if there is such a file. Raises InferenceError."""
    if not path.is_file():
        raise InferenceError(f"{path} does not exist. Export the network first")
    return path
