"""Layers that several 3-D networks share, in the form that compiles and runs fast in MindSpore.

All tensors are float32 ``(N, C, T, H, W)``: clips, channels, frames, rows, columns.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import initializer

DEPTHWISE_FORMS = ("banded", "grouped")


def conv3d(in_channels: int, out_channels: int, kernel: int, stride: int | tuple[int, int, int] = 1) -> nn.Conv3d:
    """Dense 3-D convolution without bias, padded by ``kernel // 2`` on every side of T, H and W."""
    return nn.Conv3d(in_channels, out_channels, kernel, stride, pad_mode="pad", padding=kernel // 2, has_bias=False)


@ops.constexpr
def _band(frames: int, stride: int) -> Tensor:
    """The 0/1 matrix (3, T_out * T_in): which tap k of a filter of three links input frame i to output frame o.

    Output frame o is centred on input frame ``o * stride``; tap k reads frame ``o * stride + k - 1``, if it exists
    (beyond the ends lies the zero padding).
    """
    out_frames = (frames - 1) // stride + 1
    band = np.zeros((3, out_frames, frames), np.float32)
    for o in range(out_frames):
        for k in range(3):
            i = o * stride + k - 1
            if 0 <= i < frames:
                band[k, o, i] = 1
    return Tensor(band.reshape(3, -1))


class DepthwiseConv3d(nn.Cell):
    """Depthwise 3x3x3 convolution, padding 1, the same stride in T, H and W, no bias. Weight (C, 1, 3, 3, 3).

    MindSpore's ``nn.Conv3d(group=C)`` is a Python loop over C convolutions that hardly compiles and exports as C
    nodes. Two forms with the same weight and the same result (to float rounding) replace it:

    ``banded``
        Frames are folded into channels, ``(N, C*T, H, W)``, and one 2-D convolution with C groups does the work;
        its weights (C*T_out, T, 3, 3) are the 3-D weights spread along a band. It multiplies by T/3 times more
        numbers, most of them zeros, and is still the faster one on a CPU, because 2-D kernels are well optimised.
        It needs no grouped Conv3D, which Ascend's operator library does not promise.
    ``grouped``
        One Conv3D primitive with ``group=C``: what ONNX calls a depthwise convolution; used for export.
    """

    def __init__(self, channels: int, stride: int = 1, form: str = "banded") -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        self.weight = Parameter(initializer("HeNormal", (channels, 1, 3, 3, 3)), name="weight")
        self.grouped = ops.Conv3D(channels, 3, mode=1, pad_mode="pad", pad=1, stride=stride, group=channels)
        self.set_form(form)

    def set_form(self, form: str) -> None:
        """Choose how the convolution is computed; the parameter stays the same. Raises ValueError for other names."""
        if form not in DEPTHWISE_FORMS:
            raise ValueError(f"depthwise form {form!r}: expected one of {', '.join(DEPTHWISE_FORMS)}")
        self.form = form

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T_out, H_out, W_out), sizes rounded up on division by the stride."""
        if self.form == "grouped":
            return self.grouped(x, self.weight)
        n, c, t, h, w = x.shape
        t_out = (t - 1) // self.stride + 1
        taps = self.weight.reshape(c, 3, 9).transpose(0, 2, 1)
        spread = ops.matmul(taps, _band(t, self.stride).astype(x.dtype))
        kernel = spread.reshape(c, 9, t_out * t).transpose(0, 2, 1).reshape(c * t_out, t, 3, 3)
        y = ops.conv2d(x.reshape(n, c * t, h, w), kernel, None, self.stride, "pad", 1, 1, c)
        return y.reshape(n, c, t_out, y.shape[2], y.shape[3])


class Dropout(nn.Cell):
    """Dropout whose masks depend on an explicit seed, so that two runs of a training are the same bit for bit.

    MindSpore's own dropout does not repeat on a CPU, whatever its seeds: it draws in as many threads as its first
    launches found quickest, each from a stream of its own. ``UniformReal`` draws in one. A cell made anew, also to
    resume a training, begins the sequence of masks again.
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        super().__init__()
        self.rate = rate
        self.uniform = ops.UniformReal(seed + 1, seed + 2)

    def construct(self, x: Tensor) -> Tensor:
        """Zero a share `rate` of the values and scale up the rest in training; the identity in evaluation."""
        if self.training and self.rate > 0:
            kept = (self.uniform(x.shape) >= self.rate).astype(x.dtype)
            return x * kept / (1 - self.rate)
        return x


def set_depthwise_form(network: nn.Cell, form: str) -> None:
    """Set the form of every depthwise convolution in `network` ('banded' to run, 'grouped' to export)."""
    for _, cell in network.cells_and_names():
        if isinstance(cell, DepthwiseConv3d):
            cell.set_form(form)


def init_fan_out(network: nn.Cell, seed: int, linear_std: float = 0.01) -> None:
    """Initialise as MobileNet and ResNet code of the field does, from NumPy's generator so that any version agrees.

    Convolutions ~ N(0, sqrt(2 / (kT * kH * kW * C_out))), dense layers ~ N(0, linear_std) with zero bias,
    batch norm scale 1 and shift 0 (okankop/Efficient-3DCNNs, models/mobilenetv2.py).
    """
    rng = np.random.default_rng(seed)
    for name, parameter in network.parameters_and_names():
        shape = tuple(parameter.shape)
        if name.endswith("weight") and len(shape) == 5:
            value = rng.normal(0, np.sqrt(2 / (np.prod(shape[2:]) * shape[0])), shape)
        elif name.endswith("weight"):
            value = rng.normal(0, linear_std, shape)
        elif name.endswith(("gamma", "moving_variance")):
            value = np.ones(shape)
        else:
            value = np.zeros(shape)
        parameter.set_data(Tensor(value.astype(np.float32), ms.float32))
