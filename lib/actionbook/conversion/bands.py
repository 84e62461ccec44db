"""Weights of 3-D convolutions spread along a band, for 2-D convolutions over frames folded into channels."""

from __future__ import annotations

import numpy as np

BLOCK = 16  # channels in a block of ONNX Runtime's blocked kernels with AVX-512; AVX2's 8 divides it
MOST = 32  # channels that a group may read; the band is mostly zeros, and with more it costs more than it gains


def band_weight(
    weight: np.ndarray, frames: int, out_frames: int, *, stride: int = 1, dilation: int = 1, pad: int = 1
) -> np.ndarray:
    """Weights (C_out, C_group, kT, kH, kW) -> (C_out * out_frames, C_group * frames, kH, kW) of the 2-D convolution.

    Tap k of output frame o reads input frame ``o * stride - pad + k * dilation``; taps beyond the ends read padding
    and are left out; frames that no tap reads get zeros.
    """
    out_channels, channels, taps, height, width = weight.shape
    band = np.zeros((out_channels, out_frames, channels, frames, height, width), weight.dtype)
    for o in range(out_frames):
        for k in range(taps):
            i = o * stride - pad + k * dilation
            if 0 <= i < frames:
                band[:, o, :, i] = weight[:, :, k]
    return band.reshape(out_channels * out_frames, channels * frames, height, width)


def group_factor(groups: int, read: int, written: int) -> int:
    """How many groups, each reading `read` and writing `written` channels, should be joined into one.

    ONNX Runtime has its fast, blocked 2-D kernels for groups that read and write multiples of 16 channels; joining
    them makes them so, at the price of more zeros. Measured on MobileNetV2-3D: 1.1 to 1.15 times as fast as one
    channel a group. 1 where no factor up to 32 read channels does, or where there is but one frame of a depthwise
    convolution.
    """
    if read == written == 1:
        return 1
    for factor in range(1, MOST // read + 1):
        if groups % factor == 0 and factor * read % BLOCK == 0 and factor * written % BLOCK == 0:
            return factor
    return 1


def merge_groups(weight: np.ndarray, groups: int, factor: int) -> np.ndarray:
    """Weights (C_out, C_group, kH, kW) in `groups` -> (C_out, C_group * factor, kH, kW) in groups / factor.

    Each new group is block-diagonal.
    """
    total, read, height, width = weight.shape
    blocks = weight.reshape(groups // factor, factor, total // groups, read, height, width)
    merged = np.zeros((groups // factor, factor, total // groups, factor, read, height, width), weight.dtype)
    for i in range(factor):
        merged[:, i, :, i] = blocks[:, i]
    return merged.reshape(total, factor * read, height, width)
