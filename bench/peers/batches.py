"""The batch that all contestants share, and what a training on it is to learn. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
BOXES = "boxes"  # the book's name for the input with the boxes of detection


def read(path: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, in the order of the network's inputs."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def drawn(inputs: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Float32 arrays of these shapes (N, ...): standard normal clips, and boxes that lie within them.

    The boxes' corners (N, M, 4) are x1, y1, x2, y2 in pixels of the clips (N, C, T, H, W) before them.
    """
    batch: dict[str, np.ndarray] = {}
    size: tuple[int, ...] = ()
    rng = np.random.default_rng(0)
    for name, shape in inputs.items():
        if name == BOXES:
            corners = np.sort(rng.uniform(size=(*shape[:-1], 2, 2)), axis=-2) * np.array(size[::-1])
            batch[name] = corners.reshape(shape).astype(np.float32)
        else:
            batch[name], size = rng.standard_normal(shape, dtype=np.float32), tuple(shape[-2:])
    return batch


def targets(batch: Arrays, classes: int) -> np.ndarray:
    """Of clips one class number each, int32 (N,); of boxes a 1 for one class each, float32 (N, M, classes)."""
    if BOXES not in batch:
        return (np.arange(len(next(iter(batch.values())))) % classes).astype(np.int32)
    n, m, _ = batch[BOXES].shape
    return np.eye(classes, dtype=np.float32)[np.arange(n * m) % classes].reshape(n, m, classes)
