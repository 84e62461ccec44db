"""Checkpoints of PyTorch (`.pth`, `.pt`, `.pth.tar`) and pickles of NumPy arrays, without executing anything.

Of PyTorch two file formats are read: the zip archive of version 1.6 and later, and the sequence of pickles with the
storages behind it that came before (also by Python 2). The archive's checksums are verified; the older format has none,
so compare such a file's sha256 with its manifest first. Plain pickles are those of Caffe2, PaddlePaddle and others.
"""

from __future__ import annotations

import mmap
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

from actionbook.core.pickle_reader import PickleError
from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.formats import Format
from actionbook.weights.numpy_pickles import NumpyArray
from actionbook.weights.state_dict import locate
from actionbook.weights.stored import OpenFile, Origin, Plain, Stored
from actionbook.weights.torch_files import Checkpoint, open_archive, open_pickle
from actionbook.weights.torch_tensors import TensorRef, checked_view, materialise, result_type


def open_torch(file: IO[bytes], path: Path, kind: Format, stack: ExitStack) -> OpenFile:
    """The state dict in a file of kind ``archive`` or ``pickle``; it can be read while `stack` is open.

    Raises WeightsError for a file that is truncated, damaged or without tensors by name.
    """
    try:
        if kind == "archive":
            checkpoint = open_archive(file, path)
        else:
            data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            checkpoint = open_pickle(data, path)
    except PickleError as error:
        remedy = FETCH_AGAIN if error.damaged else "Save only its state dict again, from a source that you trust."
        raise WeightsError(f"{error}. {remedy}") from error
    found = locate(checkpoint.root, str(path))
    arrays = {name: _stored(one, checkpoint, f"{path}: tensor {name!r}") for name, one in found.tensors.items()}
    metadata: dict[str, Plain] = {
        name: _stored(one, checkpoint, f"{path}: tensor {name!r}").read().item() if isinstance(one, TensorRef) else one
        for name, one in found.metadata.items()
    }
    origin = Origin(checkpoint.format, found.under, found.others, found.skipped, found.beside)
    return OpenFile(origin, arrays, metadata)


def _stored(tensor: TensorRef | NumpyArray, checkpoint: Checkpoint, what: str) -> Stored:
    if isinstance(tensor, NumpyArray):
        shape, kind = tensor.checked(what)
        return Stored(shape, kind.newbyteorder("="), partial(tensor.array, what))
    shape, _, _ = checked_view(tensor, what)
    return Stored(shape, result_type(tensor), partial(materialise, tensor, checkpoint.read, checkpoint.order, what))
