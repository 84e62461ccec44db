"""The gradient of a max pool on a CPU, compiled by Numba.

MindSpore's own runs the pool a second time, one value after another, to learn where each maximum came from: of a
training step of I3D that was a quarter. Here the outputs are compared with the inputs, one place of the window after
the other, over a whole frame at a time, which processors do eight or sixteen values at once: 4 to 10 times as fast.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from actionbook.core.runtime import default_workers
from actionbook.models.layers import Triple
from actionbook.video.compiled import Array, compiled

Arrays = tuple[Array, Array, Array, Array]


@compiled
def _claim(x: Array, y: Array, rest: Array, dx: Array) -> None:
    """Give to `dx` what is left of the outputs' gradient, where the input is the output."""
    for i in range(rest.size):
        share = rest[i] if x[i] == y[i] else np.float32(0)
        dx[i] += share
        rest[i] -= share


@compiled
def _maps(arrays: Arrays, kernel: Triple, stride: Triple, front: Triple) -> None:
    """The gradient of maps (maps, T, H, W); `arrays` are x, y, dy and dx, `front` the padding before T, H and W.

    Frames are laid out with their padding, and outputs at the place of their window's first input, so that each place
    of the window is one shift of the whole frame.
    """
    x, y, dy, dx = arrays
    maps, frames, height, width = x.shape
    _, frames_out, height_out, width_out = y.shape
    wide = max((width_out - 1) * stride[2] + kernel[2], front[2] + width)
    high = max((height_out - 1) * stride[1] + kernel[1], front[1] + height)
    padded = np.full((frames, high, wide), -np.inf, np.float32)
    gradient = np.empty_like(padded)
    flat, flat_gradient = padded.reshape(frames, -1), gradient.reshape(frames, -1)
    top = np.zeros((height_out * stride[1], wide), np.float32)
    rest = np.zeros_like(top)
    size = (height_out - 1) * stride[1] * wide + (width_out - 1) * stride[2] + 1
    flat_top, flat_rest = top.ravel()[:size], rest.ravel()[:size]
    inner_h, inner_w = slice(front[1], front[1] + height), slice(front[2], front[2] + width)
    for m in range(maps):
        padded[:, inner_h, inner_w] = x[m]
        gradient[:] = 0
        for t in range(frames_out):
            top[:: stride[1], : width_out * stride[2] : stride[2]] = y[m, t]
            rest[:: stride[1], : width_out * stride[2] : stride[2]] = dy[m, t]
            first = t * stride[0] - front[0]
            for frame in range(max(first, 0), min(first + kernel[0], frames)):
                for shift in range(kernel[1] * kernel[2]):
                    start = shift // kernel[2] * wide + shift % kernel[2]
                    part = slice(start, start + size)
                    _claim(flat[frame, part], flat_top, flat_rest, flat_gradient[frame, part])
        dx[m] = gradient[:, inner_h, inner_w]


def max_pool_gradient(
    x: Array, y: Array, dy: Array, kernel: Triple, stride: Triple, *, front: Triple | None = None
) -> Array:
    """The gradient with regard to `x` (N, C, T, H, W) of a max pool that made `y` of it, for the gradient `dy`.

    All float32, `dy` of the shape of `y`. `front` is the padding before T, H and W; None: by TensorFlow's SAME rule. Of
    equal maxima in a window the first in order of T, H and W gets the gradient, as in PyTorch. A window whose maximum
    is NaN gives none.
    """
    n, channels, frames = x.shape[:3]
    if front is None:
        sizes = zip(x.shape[2:], y.shape[2:], kernel, stride, strict=True)
        before, above, left = (max((out - 1) * s + k - size, 0) // 2 for size, out, k, s in sizes)
        front = (before, above, left)
    maps, depth = (n * channels, frames) if kernel[0] > 1 or stride[0] > 1 else (n * channels * frames, 1)
    dx = np.empty(x.shape, np.float32)
    x, y, dy, out = (a.reshape(maps, -1 if depth > 1 else 1, *a.shape[3:]) for a in (x, y, dy, dx))
    threads = min(default_workers(), maps)
    bounds = np.linspace(0, maps, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        parts = [
            pool.submit(_maps, (x[a:b], y[a:b], dy[a:b], out[a:b]), kernel, stride, front)
            for a, b in itertools.pairwise(bounds)
        ]
    for part in parts:
        part.result()
    return dx
