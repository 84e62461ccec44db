"""What every engine looks like from outside, and the checks that all of them make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from actionbook.inference.errors import InferenceError

if TYPE_CHECKING:
    from actionbook.inference.throughput import Throughput

IN_NAME = "in"


@runtime_checkable
class Engine(Protocol):
    """Runs batches: float32 (b, C, T, H, W), 1 <= b <= batch_size -> float32 logits (b, num_classes).

    A smaller batch is filled up with zeros where the engine needs its full size, and the result is cut.
    """

    @property
    def name(self) -> str:
        """What runs, for tables: "network", "MINDIR", "ONNX Runtime", "OM, ais_bench"."""

    @property
    def batch_size(self) -> int | None:
        """The batch that the model was exported for; None: any."""

    @property
    def sha256(self) -> str:
        """Digest of the model, by which results are told apart."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Logits of a batch. Raises InferenceError for another shape or dtype than the model takes."""


@dataclass(frozen=True)
class FolderRun:
    """What one call of a tool left behind."""

    results: dict[int, Path]
    """Number k of each input ``<k>.bin`` -> its logits, raw float32 (clips of the file, num_classes)."""
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
        """Run every ``in/<k>.bin`` of `work`; what the tool writes stays below `work`.

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


def fitting(
    batch: np.ndarray, batch_size: int | None, clip_shape: Sequence[int] | None, model: Path | str
) -> np.ndarray:
    """The batch as the model takes it: checked, contiguous, filled up with zeros to `batch_size`.

    Raises InferenceError, naming `model`, for another dtype than float32, another `clip_shape` or too many clips.
    """
    if batch.dtype != np.float32:
        raise InferenceError(f"{model}: batch of {batch.dtype}, expected float32")
    if batch.ndim < 2 or len(batch) < 1 or (clip_shape is not None and batch.shape[1:] != tuple(clip_shape)):
        raise InferenceError(f"{model}: batch {batch.shape}, expected (b, C, T, H, W) with clips {clip_shape}")
    if batch_size is None or len(batch) == batch_size:
        return np.ascontiguousarray(batch)
    if len(batch) > batch_size:
        raise InferenceError(f"{model}: batch of {len(batch)} clips, expected at most {batch_size}")
    full = np.zeros((batch_size, *batch.shape[1:]), np.float32)
    full[: len(batch)] = batch
    return full
