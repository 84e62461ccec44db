"""Pooling in three dimensions, and in two, in the form that MindSpore can export.

All tensors are float32 ``(N, C, T, H, W)``, or images ``(N, C, H, W)``.
"""

from __future__ import annotations

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from actionbook.models.layers import Triple


class MaxPool3d(nn.Cell):
    """Largest value of every window; by default 3x3x3, stride 2, padding 1, as all networks of this family pool.

    `padding` is ``kernel // 2`` if not given. `ceil_mode` rounds sizes up: a last window may reach beyond the padding.
    Images (N, C, H, W) are pooled as single frames, with a kernel of 1 frame: MindSpore exports no padded 2-D pool. The
    gradient on CPUs is that of `SamePool3d`.
    """

    def __init__(
        self,
        kernel: int | Triple = 3,
        stride: int | Triple = 2,
        padding: int | Triple | None = None,
        *,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        sizes, strides = _triple(kernel), _triple(stride)
        sides = (sizes[0] // 2, sizes[1] // 2, sizes[2] // 2) if padding is None else _triple(padding)
        pads = _pool_pads(sizes, strides, sides, ceil_mode=ceil_mode, extend=False)
        self.pool = _pool(ops.MaxPool3D(sizes, strides, "pad", pads, ceil_mode=ceil_mode), sizes, strides, sides)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T_out, H_out, W_out), sizes (size + 2 * padding - kernel) / stride + 1."""
        if x.ndim == 4:
            return self.pool(x.expand_dims(2)).squeeze(2)
        return self.pool(x)


class SamePool3d(nn.Cell):
    """Largest value of every window, padded by TensorFlow's SAME rule, with a gradient of its own on CPUs.

    Sizes are rounded up on division by the stride, with as much padding as that takes on both sides; of an odd number
    the larger half comes last. Padding never is the maximum. Of equal maxima in a window the first in order of T, H
    and W gets the gradient, as in PyTorch.
    """

    def __init__(self, kernel: int | Triple, stride: int | Triple) -> None:
        super().__init__()
        sizes, strides = _triple(kernel), _triple(stride)
        self.pool = _pool(ops.MaxPool3D(sizes, strides, "same"), sizes, strides, None)

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return self.pool(x)


def _pool(pool: ops.Primitive, kernel: Triple, stride: Triple, front: Triple | None) -> ops.Primitive | nn.Cell:
    """`pool`, on CPUs with a gradient of our own; `front` is the padding before T, H and W, None: the SAME rule."""
    return _PoolOnCpu(pool, kernel, stride, front) if ms.get_context("device_target") == "CPU" else pool


class _PoolOnCpu(nn.Cell):
    """A max pool of MindSpore's, whose gradient is a call to Python. A cell within the pool: with `bprop`, no hooks."""

    def __init__(self, pool: ops.Primitive, kernel: Triple, stride: Triple, front: Triple | None) -> None:
        super().__init__()
        self.pool = pool
        self.gradient = ops.Custom(_gradient(kernel, stride, front), lambda x, *_: x, lambda x, *_: x, "pyfunc")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        x32, out32, dout32 = x.astype(ms.float32), out.astype(ms.float32), dout.astype(ms.float32)
        return (self.gradient(x32, out32, dout32).astype(x.dtype),)


def _gradient(kernel: Triple, stride: Triple, front: Triple | None) -> Callable[..., np.ndarray]:
    """A function of NumPy arrays (x, y, dy) that MindSpore can call from a compiled graph."""

    def gradient(x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
        # Imported when a network is trained: Numba takes its time.
        from actionbook.models.pool_gradient import max_pool_gradient  # noqa: PLC0415

        return max_pool_gradient(x, y, dy, kernel, stride, front=front)

    return gradient


class AvgPool3d(nn.Cell):
    """Mean over a window, as a depthwise convolution with equal weights.

    Zeros of the padding are counted in, or left out where `count_include_pad` is false. `ceil_mode` rounds sizes up;
    what lies beyond the padding never counts (PyTorch's rules). A constant map of the counts then corrects the
    convolution. Images (N, C, H, W) are pooled as single frames, with a kernel of 1 frame. MindSpore exports no 3-D
    and no padded 2-D average pool, and Ascend's library lists it for its newest chips only.
    """

    def __init__(
        self,
        channels: int,
        kernel: int | Triple,
        stride: int | Triple,
        padding: int | Triple = 0,
        *,
        count_include_pad: bool = True,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = _triple(kernel), _triple(stride), _triple(padding)
        self.count_include_pad, self.ceil_mode = count_include_pad, ceil_mode
        pads = _pool_pads(self.kernel, self.stride, self.padding, ceil_mode=ceil_mode, extend=ceil_mode)
        self.weight = Tensor(np.full((channels, 1, *self.kernel), 1 / np.prod(self.kernel), np.float32))
        self.conv = ops.Conv3D(
            channels, self.kernel, mode=1, pad_mode="pad", pad=pads, stride=self.stride, group=channels
        )

    def construct(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T_out, H_out, W_out), sizes (size + 2 * padding - kernel) / stride + 1."""
        if x.ndim == 4:
            return self.pooled(x.expand_dims(2)).squeeze(2)
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """As `construct`, of clips only."""
        y = self.conv(x, self.weight.astype(x.dtype))
        if self.count_include_pad and not self.ceil_mode:
            return y
        window = (self.kernel, self.stride, self.padding)
        return y * _shares(x.shape[2:], y.shape[2:], window, self.count_include_pad).astype(x.dtype)


def _triple(size: int | Triple) -> Triple:
    return (size, size, size) if isinstance(size, int) else size


def _pool_pads(kernel: Triple, stride: Triple, padding: Triple, *, ceil_mode: bool, extend: bool) -> tuple[int, ...]:
    """Padding before and after T, H and W, checked.

    Rounding up is rounding down with ``stride - 1`` more at the end, which `extend` adds for an operator that only
    rounds down.
    """
    if any(2 * p > k for k, p in zip(kernel, padding, strict=True)):
        raise ValueError(f"padding {padding}: expected at most half of the kernel {kernel}")
    if ceil_mode and any(s > k - p for k, s, p in zip(kernel, stride, padding, strict=True)):
        raise ValueError(
            f"kernel {kernel}, stride {stride}, padding {padding}: a window could be all padding (ceil_mode)"
        )
    return tuple(n for s, p in zip(stride, padding, strict=True) for n in (p, p + (s - 1) * extend))


@ops.constexpr
def _shares(sizes: Triple, out_sizes: Triple, window: tuple[Triple, Triple, Triple], include_pad: bool) -> Tensor:
    """What a mean over the whole window must be multiplied by, (1, 1, T_out, H_out, W_out), so that less counts."""
    shares = np.ones((1, 1, 1, 1, 1))
    for axis, (kernel, stride, padding) in enumerate(zip(*window, strict=True)):
        start = np.arange(out_sizes[axis]) * stride - padding
        beyond = padding if include_pad else 0
        count = np.minimum(start + kernel, sizes[axis] + beyond) - np.maximum(start, -beyond)
        shares = shares * (kernel / count).reshape([-1 if i == 2 + axis else 1 for i in range(5)])
    return Tensor(shares.astype(np.float32))
