"""Networks of Caffe (`.caffemodel`) as data: layers with their blobs, which have no names of their own.

``NetParameter {string name = 1; repeated V1LayerParameter layers = 2; repeated LayerParameter layer = 100}``,
``LayerParameter {string name = 1; repeated BlobProto blobs = 7}``, in the older form ``V1LayerParameter {string name =
4; repeated BlobProto blobs = 6}``, and ``BlobProto {int32 num = 1; channels = 2; height = 3; width = 4; repeated float
data = 5; BlobShape shape = 7; repeated double double_data = 8}``, as caffe.proto of BVLC/caffe says.
"""

from __future__ import annotations

import math
import mmap
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Final

import numpy as np

from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.stored import OpenFile, Origin, Stored
from actionbook.weights.wire import Data, Span, array, checked_shape, fields, message, text, varints

_LAYERS: Final = {2: (4, 6), 100: (1, 7)}
"""Field of the layers -> fields of a layer's name and of its blobs."""


def open_caffe(file: IO[bytes], path: Path, stack: ExitStack) -> OpenFile:
    """The blobs as ``<layer>.<number>``, counted from 0, read while `stack` is open.

    Of a convolution 0 is the kernel and 1 the bias. Raises WeightsError for a file that is damaged or has no blobs.
    """
    data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    arrays: dict[str, Stored] = {}
    try:
        for number, value in fields(data, (0, len(data))):
            if number in _LAYERS:
                name, blobs = _layer(data, message(value), number)
                for place, blob in enumerate(blobs):
                    if f"{name}.{place}" in arrays:
                        raise ValueError(f"two layers with blobs are called {name[:200]!r}")
                    arrays[f"{name}.{place}"] = _blob(data, blob, f"{name}.{place}")
    except ValueError as error:
        raise WeightsError(f"{path}: a damaged or truncated Caffe model: {error}. {FETCH_AGAIN}") from error
    if not arrays:
        raise WeightsError(
            f"{path}: a Caffe network whose layers have no blobs: a description in binary. Take the .caffemodel that "
            "was trained from it, or, of a Caffe before 2014, bring it up to date with `upgrade_net_proto_binary`."
        )
    return OpenFile(Origin("Caffe model"), arrays)


def _layer(data: Data, span: Span, kind: int) -> tuple[str, list[Span]]:
    """Name and blobs of a layer. Raises ValueError."""
    of_name, of_blobs = _LAYERS[kind]
    name, blobs = "", list[Span]()
    for number, value in fields(data, span):
        if number == of_name:
            name = text(data, value)
        elif number == of_blobs:
            blobs.append(message(value))
    return name, blobs


def _blob(data: Data, span: Span, name: str) -> Stored:
    """One blob. Raises ValueError if its numbers do not make its shape."""
    old, new = dict[int, int](), None
    numbers: dict[int, list[Span]] = {5: [], 8: []}
    for number, value in fields(data, span):
        if number in numbers:
            numbers[number].append(message(value))
        elif number == 7:
            new = [size for inner, sizes in fields(data, message(value)) if inner == 1 for size in varints(data, sizes)]
        elif number <= 4 and isinstance(value, int):
            old[number] = value
    sizes = new if new is not None else [old.get(axis, 0) for axis in (1, 2, 3, 4)] if old else []
    shape = checked_shape(name, sizes)
    kind = "<f8" if numbers[8] else "<f4"
    spans = numbers[8] or numbers[5]
    count = sum(end - begin for begin, end in spans)
    if count != math.prod(shape) * np.dtype(kind).itemsize:
        raise ValueError(f"{name[:200]!r} has {count} bytes, which do not make {kind[1:]} of shape {shape}")
    return Stored(shape, np.dtype(kind[1:]), partial(array, data, spans or [(0, 0)], kind, shape))
