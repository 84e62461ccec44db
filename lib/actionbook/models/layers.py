"""Layers that several 3-D networks share, in the form that compiles, runs and exports well in MindSpore.

All tensors are float32 ``(N, C, T, H, W)``: clips, channels, frames, rows, columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from mindspore import Parameter, Tensor, dtype, nn, ops
from mindspore.common.initializer import initializer

GROUPED_FORMS = ("banded", "grouped")
WIDE = 4
"""Frames of a clip over those of a filter above which a band over all of them has too many zeros."""
AT_ONCE = (8, 32)
"""Frames, and channels of all of them together, that a convolution of few channels gives at most (`frames_at_once`).

Of 2, 4, 8 and 16 channels, 32 frames and filters of 5 x 7 x 7, these are the fastest: a training step takes two fifths
of Conv3D's time at 2 channels, two thirds at 8 and three quarters at 16."""
MASK_KEY = "mask_key"
"""Last part of the name of a parameter that holds the state of dropout."""

# Odd multipliers as int32: the first spreads seed and step over all bits, the others are those of triple32.
_MULTIPLIERS = tuple(
    int(np.array(value, np.uint32).view(np.int32)) for value in (0x9E3779B1, 0xED5AD4BB, 0xAC4C1B51, 0x31848BAB)
)

Triple = tuple[int, int, int]


def conv3d(
    in_channels: int, out_channels: int, kernel: int, stride: int | Triple = 1, *, groups: int = 1, bias: bool = False
) -> nn.Cell:
    """3-D convolution padded by ``kernel // 2`` on every side of T, H and W. Weight (C_out, C_in / groups, k, k, k).

    Raises ValueError for a bias in a grouped one, which no network of the book has.
    """
    if groups > 1:
        if bias:
            raise ValueError(f"{groups} groups: grouped convolutions have no bias here")
        return GroupedConv3d(in_channels, out_channels, kernel, stride, groups)
    return nn.Conv3d(in_channels, out_channels, kernel, stride, pad_mode="pad", padding=kernel // 2, has_bias=bias)


@ops.constexpr
def _band(frames: int, stride: int, taps: int) -> Tensor:
    """The 0/1 matrix (taps, T_out * T_in): which tap k of a filter links input frame i to output frame o.

    Output frame o is centred on input frame ``o * stride``; tap k reads frame ``o * stride + k - taps // 2``, if it
    exists (beyond the ends lies the zero padding).
    """
    out_frames = (frames - 1) // stride + 1
    band = np.zeros((taps, out_frames, frames), np.float32)
    for o in range(out_frames):
        for k in range(taps):
            i = o * stride + k - taps // 2
            if 0 <= i < frames:
                band[k, o, i] = 1
    return Tensor(band.reshape(taps, -1))


def frames_together(frames: int, channels: int) -> int:
    """The largest divisor of so many frames that keeps to `AT_ONCE`."""
    found = 1
    for count in range(2, min(frames, AT_ONCE[0], AT_ONCE[1] // channels) + 1):
        if frames % count == 0:
            found = count
    return found


class GroupedConv3d(nn.Cell):
    """Grouped 3-D convolution with an odd kernel, k frames or as many as `frames` says, padded by half of it, no bias.

    With as many groups as channels it is the depthwise convolution. Weight (C_out, C_in / groups, frames, k, k).

    MindSpore's ``nn.Conv3d(group=G)`` is a Python loop over G convolutions that hardly compiles and exports as G
    nodes. Two forms with the same weight and the same result (to float rounding) replace it:

    ``banded``
        Frames are folded into channels, ``(N, C*T, H, W)``, and one 2-D convolution with as many groups does the work;
        its weights (C_out*T_out, C_in/groups*T, k, k) are the 3-D weights spread along a band. It multiplies by T/k
        times as many numbers, most of them zeros, and is still the faster one on a CPU for depthwise convolutions,
        because 2-D kernels are well optimised. It needs no grouped Conv3D, which Ascend's operator library does not
        promise. A kernel of 1 needs no band: frames are folded into rows. Where it would be much wider than the
        filter, and all channels are of one group, it is one over a few frames: see `frames_at_once`.
    ``grouped``
        One Conv3D primitive with ``group=G``: what ONNX calls a grouped convolution; used for export.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int | Triple = 1,
        groups: int = 1,
        *,
        frames: int | None = None,
        form: str = "banded",
    ) -> None:
        super().__init__()
        sizes = (kernel if frames is None else frames, kernel, kernel)
        if any(size % 2 == 0 for size in sizes) or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"kernel {sizes}, channels {in_channels} -> {out_channels}, {groups} groups: expected an odd kernel "
                "and channels that are multiples of the groups"
            )
        self.channels, self.kernel, self.groups = (in_channels, out_channels), sizes, groups
        self.stride: Triple = (stride, stride, stride) if isinstance(stride, int) else stride
        self.weight = Parameter(initializer("HeNormal", (out_channels, in_channels // groups, *sizes)), name="weight")
        pads = tuple(size // 2 for size in sizes for _ in range(2))
        self.conv = ops.Conv3D(out_channels, sizes, mode=1, pad_mode="pad", pad=pads, stride=self.stride, group=groups)
        self.set_form(form)

    def set_form(self, form: str) -> None:
        """Choose how the convolution is computed; the parameter stays the same. Raises ValueError for other names."""
        if form not in GROUPED_FORMS:
            raise ValueError(f"form of grouped convolutions {form!r}: expected one of {', '.join(GROUPED_FORMS)}")
        self.form = form

    def construct(self, x: Tensor) -> Tensor:
        """(N, C_in, T, H, W) -> (N, C_out, T_out, H_out, W_out), sizes rounded up on division by the stride."""
        if self.form == "grouped":
            return self.conv(x, self.weight)
        n, c, t, h, w = x.shape
        out, (frames, k, _) = self.channels[1], self.kernel
        if frames == k == 1 and self.stride == (1, 1, 1):
            rows = ops.conv2d(
                x.reshape(n, c, t * h, w), self.weight.reshape(out, -1, 1, 1), None, 1, "valid", 0, 1, self.groups
            )
            return rows.reshape(n, out, t, h, w)
        if self.groups == 1 and self.stride[0] == 1 and t > WIDE * frames:
            return self.frames_at_once(x)
        t_out = (t - 1) // self.stride[0] + 1
        taps = self.weight.reshape(-1, frames, k * k).transpose(0, 2, 1)
        spread = ops.matmul(taps, _band(t, self.stride[0], frames).astype(x.dtype))
        spread = spread.reshape(out, c // self.groups, k * k, t_out, t).transpose(0, 3, 1, 4, 2)
        kernel = spread.reshape(out * t_out, c // self.groups * t, k, k)
        y = ops.conv2d(x.reshape(n, c * t, h, w), kernel, None, self.stride[1:], "pad", k // 2, 1, self.groups)
        return y.reshape(n, out, t_out, y.shape[2], y.shape[3])

    def frames_at_once(self, x: Tensor) -> Tensor:
        """One 3-D convolution that gives a few neighbouring frames as channels, at every so many frames.

        Its filters reach over all frames that these need, each with the taps at its own place and zeros elsewhere. That
        multiplies more numbers, and is still faster where the channels are too few to fill a processor's vectors.
        """
        n, c, t, h, w = x.shape
        out, (frames, k, _), (_, *stride) = self.channels[1], self.kernel, self.stride
        count = frames_together(t, out)
        reach = count + frames - 1
        taps = self.weight.reshape(-1, frames, k * k).transpose(0, 2, 1)
        band = _band(reach, 1, frames).reshape(frames, reach, reach)[:, frames // 2 : frames // 2 + count]
        spread = ops.matmul(taps, band.reshape(frames, -1).astype(x.dtype))
        spread = spread.reshape(out, c, k * k, count, reach).transpose(0, 3, 1, 4, 2)
        pads = (frames // 2, frames // 2, k // 2, k // 2, k // 2, k // 2)
        conv = ops.Conv3D(out * count, (reach, k, k), 1, "pad", pads, (count, *stride))
        y = conv(x, spread.reshape(out * count, c, reach, k, k))
        h, w = y.shape[3:]
        y = y.reshape(n * out, count, t // count, h * w).transpose(0, 2, 1, 3)
        return y.reshape(n, out, t, h, w)


class ChannelShuffle(nn.Cell):
    """Deal the channels of `groups` groups out again: one from each in turn, as reshape-transpose-reshape would."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.order = Tensor(np.arange(channels, dtype=np.int32).reshape(groups, -1).T.ravel())

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        return ops.gather(x, self.order, 1)


@ops.constexpr
def _numbers(first: int, count: int) -> Tensor:
    """int32 numbers `first` onwards."""
    return Tensor((first + np.arange(count)).astype(np.int32))


class Dropout(nn.Cell):
    """Dropout whose masks are a function of (seed, step) and of a value's place in the global batch.

    MindSpore's own dropout does not repeat on a CPU, whatever its seeds, and generators that repeat begin again with
    the process. Here each number of a mask is a hash of its place, the seed and the count of steps, mixed as in
    Wellons' triple32 (three rounds of shift, exclusive or, multiply). The count is part of the cell's state, so a
    training that is resumed from a checkpoint goes on with the masks that it would have had. Of several devices each
    draws its share of one mask.
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        super().__init__()
        self.rate = rate
        self.rank = 0
        """Number of the device whose share of a global batch the cell sees; set before the graph is compiled."""
        # Not trained, and not a weight: files of weights neither hold nor need it.
        self.mask_key = Parameter(Tensor([seed, 0], dtype.int32), name=MASK_KEY, requires_grad=False)
        self.next_step = Tensor([0, 1], dtype.int32)

    def construct(self, x: Tensor) -> Tensor:
        """Zero a share `rate` of the values and scale up the rest in training; the identity in evaluation."""
        if self.training and self.rate > 0:
            mixed = ops.bitwise_xor(_numbers(self.rank * x.size, x.size), self.mask_key[0] * _MULTIPLIERS[0])
            mixed = ops.bitwise_xor(mixed, _shifted(mixed, 17)) * _MULTIPLIERS[1]
            mixed = ops.bitwise_xor(mixed, self.mask_key[1] * _MULTIPLIERS[0])
            mixed = ops.bitwise_xor(mixed, _shifted(mixed, 11)) * _MULTIPLIERS[2]
            mixed = ops.bitwise_xor(mixed, _shifted(mixed, 15)) * _MULTIPLIERS[3]
            mixed = ops.bitwise_xor(mixed, _shifted(mixed, 14))
            ops.assign_add(self.mask_key, self.next_step)
            # 23 bits, so that every number is exact in float32.
            uniform = ops.bitwise_and(mixed, 0x7FFFFF).astype(dtype.float32) / 0x800000
            return x * (uniform.reshape(x.shape) >= self.rate).astype(x.dtype) / (1 - self.rate)
        return x


def _shifted(x: Tensor, bits: int) -> Tensor:
    """int32 shifted right as if it had no sign."""
    return ops.bitwise_and(ops.bitwise_right_shift(x, bits), (1 << (32 - bits)) - 1)


def set_grouped_form(network: nn.Cell, form: str) -> None:
    """Set the form of every grouped convolution in `network` ('banded' to run, 'grouped' to export)."""
    for _, cell in network.cells_and_names():
        if isinstance(cell, GroupedConv3d):
            cell.set_form(form)


def init_fan_out(network: nn.Cell, seed: int, linear_std: float | None = None) -> None:
    """Initialise as the field's MobileNetV2, SqueezeNet and ResNet code does, from NumPy's generator.

    Convolutions ~ N(0, sqrt(2 / (kT * kH * kW * C_out))) with zero bias, batch norm scale 1 and shift 0; dense layers
    ~ N(0, linear_std) with zero bias, or as `init_uniform` where `linear_std` is None
    (okankop/Efficient-3DCNNs, models/mobilenetv2.py, squeezenet.py, resnet.py).
    """
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 5:
            return rng.normal(0, np.sqrt(2 / (np.prod(shape[2:]) * shape[0])), shape)
        if len(shape) == 2 and linear_std is not None:
            return rng.normal(0, linear_std, shape)
        return _within(rng, _default_bound(shape), shape) if len(shape) == 2 else np.zeros(shape)

    _initialise(network, draw)


def init_uniform(network: nn.Cell, seed: int) -> None:
    """Initialise as PyTorch does by default, from NumPy's generator; batch norm scale 1 and shift 0.

    Weights ~ U(-b, b) with b = 1 / sqrt(fan_in) (okankop/Efficient-3DCNNs, models/mobilenet.py and shufflenet*.py,
    leave it at the default). Biases, which PyTorch draws from the same interval, are zero.
    """
    _init_within(network, seed, _default_bound)


def init_xavier(network: nn.Cell, seed: int) -> None:
    """Initialise from NumPy's generator: weights ~ U(-b, b) with b = sqrt(6 / (fan_in + fan_out)), biases zero.

    Glorot and Bengio (AISTATS 2010); batch norm scale 1 and shift 0.
    """
    _init_within(network, seed, lambda shape: np.sqrt(6 / (np.prod(shape[2:]) * (shape[0] + shape[1]))))


def init_he_uniform(network: nn.Cell, seed: int) -> None:
    """Initialise from NumPy's generator: weights ~ U(-b, b) with b = sqrt(6 / fan_in), biases zero.

    He et al. (arXiv 1502.01852), for layers before a ReLU; batch norm scale 1 and shift 0.
    """
    _init_within(network, seed, lambda shape: np.sqrt(6 / np.prod(shape[1:])))


def _init_within(network: nn.Cell, seed: int, bound: Callable[[tuple[int, ...]], float]) -> None:
    """Weights uniform between plus and minus what `bound` makes of their shape, biases zero."""
    rng = np.random.default_rng(seed)
    _initialise(network, lambda shape: np.zeros(shape) if len(shape) == 1 else _within(rng, bound(shape), shape))


def _within(rng: np.random.Generator, bound: float, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-bound, bound, shape)


def _default_bound(shape: tuple[int, ...]) -> float:
    return float(1 / np.sqrt(np.prod(shape[1:])))


_undrawn = ContextVar("_undrawn", default=False)


@contextmanager
def undrawn() -> Iterator[None]:
    """Networks that are made while the block runs keep the weights that MindSpore gives them.

    For networks whose sizes alone are looked at: drawing 80 million weights takes longer than all else.
    """
    token = _undrawn.set(True)
    try:
        yield
    finally:
        _undrawn.reset(token)


def _initialise(network: nn.Cell, draw: Callable[[tuple[int, ...]], np.ndarray]) -> None:
    """Give every weight what `draw` makes of its shape; scales and variances of batch norm become 1."""
    if _undrawn.get():
        return
    for name, parameter in network.parameters_and_names():
        if name.endswith(MASK_KEY):  # the seed of dropout's masks
            continue
        shape = tuple(parameter.shape)
        ones = name.endswith(("gamma", "moving_variance"))
        value = np.ones(shape) if ones else draw(shape)
        parameter.set_data(Tensor(value.astype(np.float32)))
