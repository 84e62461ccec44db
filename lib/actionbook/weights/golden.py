"""Weights made by a rule, so that two programs can be compared without a checkpoint being passed between them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np


def rule_made(tensors: Iterable[tuple[str, Iterable[int]]]) -> dict[str, np.ndarray]:
    """Float32 arrays for (name, shape) pairs, names as in PyTorch without ``module.``.

    Each is drawn from ``RandomState(crc32(name))``: running means 0.1 x normal, running variances uniform in
    0.5..1.5, weights of two and more axes normal with variance 2 / fan-in, biases 0.1 x normal, batch norm scales
    uniform in 0.5..1.5. The golden outputs under tests/models/data were made by the authors' program with these.
    """
    return {name: _draw(name, tuple(shape)).astype(np.float32) for name, shape in tensors}


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.RandomState(zlib.crc32(name.encode()))  # the legacy generator: its stream is frozen
    if name.endswith("running_mean"):
        return np.asarray(0.1 * rng.standard_normal(shape))
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) > 1:
        return np.asarray(rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith(".bias"):
        return np.asarray(0.1 * rng.standard_normal(shape))
    return rng.uniform(0.5, 1.5, shape)
