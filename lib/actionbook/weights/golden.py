"""Weights made by a rule, so that two programs can be compared without a checkpoint being passed between them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np


@dataclass(frozen=True)
class GoldenNetwork:
    """A network that the authors' program was run with.

    Attributes:
        name: its name in the file of golden outputs.
        model, options, num_classes: what `create_model` makes it of.
        clip_shape: (C, T, H, W) of the one clip, ``RandomState(0).standard_normal((1, C, T, H, W))`` as float32.
    """

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int = 101
    clip_shape: tuple[int, int, int, int] = (3, 16, 112, 112)


# The networks of tests/models/data/efficient3d_golden.json: okankop/Efficient-3DCNNs at commit 9db09f6, in evaluation
# mode, weights from `rule_made`.
EFFICIENT3D: Final = (
    GoldenNetwork("mobilenetv2_1.0x", "mobilenetv2_3d", {"width": 1.0}),
    GoldenNetwork("mobilenetv2_0.45x", "mobilenetv2_3d", {"width": 0.45}),
    GoldenNetwork("mobilenet_1.0x", "mobilenet_3d", {"width": 1.0}),
    GoldenNetwork("mobilenet_0.5x", "mobilenet_3d", {"width": 0.5}),
    GoldenNetwork("shufflenet_1.0x_g3", "shufflenet_3d", {"width": 1.0, "groups": 3}),
    GoldenNetwork("shufflenet_0.5x_g3", "shufflenet_3d", {"width": 0.5, "groups": 3}),
    GoldenNetwork("shufflenet_1.5x_g3", "shufflenet_3d", {"width": 1.5, "groups": 3}),
    GoldenNetwork("shufflenetv2_1.0x", "shufflenetv2_3d", {"width": 1.0}),
    GoldenNetwork("shufflenetv2_0.25x", "shufflenetv2_3d", {"width": 0.25}),
    GoldenNetwork("squeezenet1.1", "squeezenet_3d", {"version": "1.1"}),
    GoldenNetwork("squeezenet1.0", "squeezenet_3d", {"version": "1.0"}),
    GoldenNetwork("resnet18_A", "resnet18_3d", {"shortcut": "A"}),
    GoldenNetwork("resnet50_B", "resnet50_3d", {"shortcut": "B"}),
    GoldenNetwork("resnext101_B", "resnext101_3d", {"shortcut": "B"}),
)

# The networks of tests/models/data/i3d_golden.json: piergiaj/pytorch-i3d at commit 05783d1, likewise; logits are the
# means over time of what it returns.
I3D: Final = (
    GoldenNetwork("rgb_T16_224", "i3d", num_classes=400, clip_shape=(3, 16, 224, 224)),
    GoldenNetwork("flow_T16_224", "i3d", {"in_channels": 2}, num_classes=51, clip_shape=(2, 16, 224, 224)),
    GoldenNetwork("rgb_T17_224_odd_time", "i3d", clip_shape=(3, 17, 224, 224)),
    GoldenNetwork("rgb_T64_224", "i3d", num_classes=400, clip_shape=(3, 64, 224, 224)),
)


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
