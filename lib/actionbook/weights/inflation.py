"""Inflation: the weights of a network for pictures as a start for one that sees videos.

Carreira and Zisserman (arXiv 1705.07750, 2.4): a filter of k x k becomes k x k x N by being repeated N times along time
and divided by N. On a video whose frames are all the same picture the inflated network then computes what the other one
computes on the picture. Zero padding in time breaks this at both ends: there, fewer than N of the frames that a filter
looks at are pictures. What holds for all frames between the ends holds for none where the network looks further than
the clip is long, as a whole I3D does with 64 frames.

A 2-D convolution over frames that are stacked on the channel axis is inflated along that axis (`inflate_channels`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actionbook.weights.errors import WeightsError
from actionbook.weights.stored import Array


def inflate(state: Mapping[str, Array], frames: int | Mapping[str, int]) -> dict[str, Array]:
    """Arrays of 2-D convolutions (C_out, C_in, kH, kW) as those of 3-D ones (C_out, C_in, T, kH, kW).

    `frames` is T, one for all or for each by its name. Arrays of fewer or more axes stay as they are: biases, batch
    norm, dense layers. Raises WeightsError for a convolution without a T, or one below 1.
    """
    depths = dict.fromkeys(state, frames) if isinstance(frames, int) else frames
    inflated = dict(state)
    for name, kernel in state.items():
        if kernel.ndim != 4:
            continue
        depth = depths.get(name, 0)
        if depth < 1:
            raise WeightsError(
                f"{name}: no number of frames to inflate it to. There are: {dict([*depths.items()][:5])}."
            )
        inflated[name] = np.repeat(kernel[:, :, np.newaxis], depth, axis=2) / np.asarray(depth, kernel.dtype)
    return inflated


def inflate_channels(kernel: Array, channels: int) -> Array:
    """A kernel (C_out, C_in, ...) of one picture as that of frames stacked on the channel axis, (C_out, channels, ...).

    The mean over C_in, divided by the number of frames, channels / C_in, for each of the channels: on grey frames that
    are all the same picture the answer is the old one. So StNet begins (arXiv 1811.01549; `load_pretrain_params` of its
    program). `channels` is a multiple of C_in.
    """
    frames = channels // kernel.shape[1]
    return np.repeat(kernel.mean(axis=1, keepdims=True) / frames, channels, axis=1)
