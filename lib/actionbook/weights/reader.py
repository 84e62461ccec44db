"""The one door to weight files of every format: recognised by what they hold, read without executing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from actionbook.weights.caffe_files import open_caffe
from actionbook.weights.errors import WeightsError
from actionbook.weights.formats import Format, identify
from actionbook.weights.graph_files import open_graph
from actionbook.weights.mindspore_files import open_mindspore
from actionbook.weights.numpy_files import open_npy, open_npz
from actionbook.weights.safetensors_files import open_safetensors
from actionbook.weights.stored import OpenFile, Plain, Weights, read_all
from actionbook.weights.tensorflow_files import index_of, open_tensorflow
from actionbook.weights.torch_reader import open_torch

_OPENERS: Final[Mapping[Format, Callable[[IO[bytes], Path, ExitStack], OpenFile]]] = {
    "mindspore": open_mindspore,
    "tensorflow": open_tensorflow,
    "graph": open_graph,
    "caffe": open_caffe,
}


def read(path: Path | str) -> Weights:
    """The arrays of the state dict in a weight file, by name.

    Read are PyTorch's checkpoints, safetensors, NumPy's `.npz` and `.npy`, plain pickles of NumPy arrays (such as
    Paddle's `.pdparams`), MindSpore's `.ckpt`, frozen graphs of TensorFlow and Caffe's models, whatever the file is
    called. A checkpoint of TensorFlow is several files; any of them will do, and what their names have in common. In
    PyTorch's checkpoints and pickles the state dict is the dictionary with the most named tensors, at any key;
    everything else in them is left out and never built. Names stay as stored, a leading ``module.`` included; Caffe's
    blobs are ``<layer>.<number>``.

    Returns:
        Name -> array, writable, contiguous, in native byte order; types as stored, except bfloat16, which becomes
        float32 without loss. Its `origin` says where the arrays were and what lay beside them, and `load` reports it.

    Raises:
        WeightsError: the file, or one that belongs to it, is missing, truncated or damaged; it is of another kind,
            which is named; it has no tensors by name, or one that cannot be read.
    """
    with opened(path) as file:
        return read_all(file, Path(path))


def read_shapes(path: Path | str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the arrays that `read` gives, from the file's table of contents where its format has one.

    The arrays themselves are not read, so what is damaged in them is not seen. Raises WeightsError as `read` does.
    """
    with opened(path) as file:
        return {name: one.shape for name, one in file.arrays.items()}


def read_metadata(path: Path | str) -> dict[str, Plain]:
    """The plain values beside the weights: epoch, arch, best_prec1 and the like.

    Of a checkpoint: strings, numbers, None and tensors of one element (as Python numbers) at the top level of the
    dictionary, unless that is the state dict itself. Of safetensors: its texts. Other formats have none. Raises
    WeightsError as `read` does.
    """
    with opened(path) as file:
        return dict(file.metadata)


def read_torch(path: Path | str) -> Weights:
    """`read` for a file that must be a PyTorch checkpoint. Raises WeightsError for one of another kind, too."""
    with opened(path) as file:
        if file.origin.format != "PyTorch":
            raise WeightsError(
                f"{path}: a file of the kind {file.origin.format!r}, not one of PyTorch's; "
                "`actionbook.weights.read` reads it"
            )
        return read_all(file, Path(path))


@contextmanager
def opened(path: Path | str) -> Iterator[OpenFile]:
    """The table of contents of a weight file, whose arrays can be read until the block ends. Errors as of `read`."""
    path = Path(path)
    with ExitStack() as stack:
        try:
            path = index_of(path)
            file = stack.enter_context(path.open("rb"))
            kind = identify(file, path)
        except OSError as error:
            remedy = "Name a file in it." if path.is_dir() else "Fetch it as its manifest says."
            raise WeightsError(f"{path}: cannot be opened ({error.strerror}). {remedy}") from error
        if kind == "safetensors":
            yield open_safetensors(path, stack)
        elif kind == "npz":
            yield open_npz(file, path, stack)
        elif kind == "npy":
            yield open_npy(file, path)
        elif kind in _OPENERS:
            yield _OPENERS[kind](file, path, stack)
        else:
            yield open_torch(file, path, kind, stack)
