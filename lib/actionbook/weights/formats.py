"""What a weight file is, by its content: its name may say anything."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Literal

from actionbook.weights.errors import FETCH_AGAIN, WeightsError
from actionbook.weights.table import MAGIC
from actionbook.weights.torch_files import ZIP_ERRORS
from actionbook.weights.wire import varint

Format = Literal[
    "archive", "pickle", "safetensors", "npz", "npy", "mindspore", "tensorflow", "graph", "caffe"
]  # fmt: skip
"""What can be read: PyTorch's zip archive, a file of pickles (PyTorch's older format or plain), and the others;
"tensorflow" is the index of a checkpoint."""

_CONVERT: Final = "Load it with the program that made it, and save its arrays with `safetensors` or `numpy.savez`"
_HDF5: Final = f"an HDF5 file (Keras, MATLAB and others). {_CONVERT}: `h5py` reads it."
_TEXT: Final = rb"(?s)(\s|#[^\n]*\n)*"
_ONNX: Final = (
    "an ONNX model. Take the checkpoint that it was exported from, or its initializers: "
    "`onnx.numpy_helper.to_array` of each, saved with `numpy.savez`."
)
_OLD_PICKLE: Final = "a pickle of protocol 0 or 1. Load it where it was made and save it with protocol 2."
_VARIABLE: Final = (
    "one variable of PaddlePaddle, whose first versions write a folder of them. Where it is installed, read the folder "
    "with `paddle.static.load_program_state` and save what that returns with `pickle.dump` and protocol 2."
)
_BEGINNINGS: Final = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the weights themselves. Run `git lfs pull` there."),
    (rb"\x89HDF\r\n\x1a\n", _HDF5),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!", "compressed. Unpack it first."),
    (rb"(?s).{4}TFL3", f"a TensorFlow Lite model. {_CONVERT}."),
    (rb"IMOD", "an Ascend OM model: compiled, not trained further. Take the checkpoint that it was made from."),
    (rb"MATLAB 5", f"a MATLAB file. {_CONVERT}: `scipy.io.loadmat` reads it."),
    (rb"model_checkpoint_path:", "the list of TensorFlow checkpoints beside it. Take one of those that it names."),
    (rb"\x08\x01\x12", "the graph of a TensorFlow SavedModel. Take variables/variables.index beside it."),
    (_TEXT + rb"node\s*\{", "a TensorFlow graph in text. Take the checkpoint, or the frozen graph in binary (.pb)."),
    (_TEXT + rb"((name|input)\s*:\s*[\"']|(layers?|input_shape)\s*\{)",
     "a Caffe network in text (prototxt): its layers without numbers. Take the .caffemodel that belongs to it."),
    (rb"\x08[\x03-\x14][\x12\x1a\x22\x2a\x3a\x42]", _ONNX),
    (rb"(?s)\n.{1,40}\x12\x09MindSpore", "a MINDIR model. Take the checkpoint that it was exported from."),
    (rb"(?s)\0{16}.{4}\x08", _VARIABLE),
    (rb"\(dp?\d*\n|\}q|\(lp?\d*\n|c[\w.]+\n[\w.]+\n", _OLD_PICKLE),
)  # fmt: skip
_MEMBERS: Final = (
    (r".*\.onnx", "a zip archive with an ONNX model in it. Take the checkpoint that it was exported from."),
    (r".*\.(h5|keras)", f"a zip archive of Keras. {_CONVERT}."),
    (r".*\.(mp4|avi|mkv|webm|jpe?g|png)", "a zip archive of videos or pictures, not weights. Take another file."),
    (r".*\.(pth|pt|tar|pkl|ckpt|npz|safetensors)", "a zip archive that holds files of weights. Unpack it first."),
)
# A message that begins with a message that begins with a name: which letters follow tells one from the other.
_NAMED: Final = rb"(?s)\n.{1,5}?\n[\x01-\xff][\x01-\x7f]?[ -~]+\x12"
_FORMATS: Final[tuple[tuple[bytes, Format], ...]] = (
    (rb"\x80", "pickle"),
    (rb"\x93NUMPY", "npy"),
    (rb"(?s).{5}\0\0\0\{", "safetensors"),  # the length of its header, which is JSON
    (_NAMED + rb".[A-Z][A-Za-z]", "graph"),
    (_NAMED + rb".{1,5}?(\x08|\n|\x12)", "mindspore"),
)
_NAME, _OLD_LAYERS, _INPUT, _LAYERS = 1, 2, 3, 100  # in Caffe's NetParameter


def identify(file: IO[bytes], path: Path) -> Format:
    """The format of an open file; it is left at its beginning.

    Raises WeightsError for a file that cannot be read as weights: what it is, and what to do.
    """
    start = file.read(512)
    file.seek(0)
    if not start:
        raise WeightsError(f"{path}: the file is empty. {FETCH_AGAIN}")
    file.seek(-min(len(MAGIC), path.stat().st_size), 2)
    end = file.read(len(MAGIC))
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _archive(file, path)
    if end == MAGIC:
        return "tensorflow"
    for pattern, found in _FORMATS:
        if re.match(pattern, start):
            return found
    if _is_caffe(start):
        return "caffe"
    raise WeightsError(f"{path}: {_what_else(start)}")


def _is_caffe(start: bytes) -> bool:
    """Whether a file that begins so is a Caffe model: name and inputs of the network if any, then its layers."""
    place = 0
    with suppress(ValueError):
        while place < len(start):
            key, place = varint(start, place, len(start))
            if key == _LAYERS << 3 | 2:
                return True
            if key not in (_NAME << 3 | 2, _OLD_LAYERS << 3 | 2, _INPUT << 3 | 2):
                return False
            size, place = varint(start, place, len(start))
            if key == _OLD_LAYERS << 3 | 2:
                return start[place : place + 1] in (b"\x12", b"\x1a", b"\x22")  # bottom, top or name of a layer
            if not re.fullmatch(rb"[ -~]*", start[place : place + size]):
                return False
            place += size
    return False


def _archive(file: IO[bytes], path: Path) -> Format:
    """What a zip archive is, by the names in it."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except ZIP_ERRORS as error:
        raise WeightsError(f"{path}: damaged or truncated zip archive: {error}. {FETCH_AGAIN}") from error
    finally:
        file.seek(0)
    if any(re.fullmatch(r"[^/]+/(constants\.pkl|code/.*)", name) for name in names):
        raise WeightsError(
            f"{path}: a TorchScript program, not a checkpoint. Where PyTorch is installed, "
            "`torch.save(torch.jit.load(file).state_dict(), other)` makes one of it."
        )
    if any(re.fullmatch(r"[^/]+/data\.pkl", name) for name in names):
        return "archive"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    for pattern, what in _MEMBERS:
        if any(re.fullmatch(pattern, name.lower()) for name in names):
            raise WeightsError(f"{path}: {what}")
    held = ", ".join(repr(name)[:60] for name in names[:5]) or "nothing"
    raise WeightsError(
        f"{path}: a zip archive without data.pkl is no PyTorch checkpoint, and no other weights are known in it; "
        f"it holds {held}. Take the file of the weights themselves."
    )


def _what_else(start: bytes) -> str:
    """What a file that is none of the formats may be, by its first 512 bytes, and what to do."""
    for pattern, what in _BEGINNINGS:
        if re.match(pattern, start):
            return what
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            "a web page, not weights: the server asked for a confirmation or the address is gone. "
            "Download it in a browser and put it here."
        )
    if start[257:262] == b"ustar":
        return (
            "a tar archive. If it holds a checkpoint, unpack it; the tar format of PyTorch before 0.2 is not read: "
            "load and save it once with a PyTorch of version 1."
        )
    if start.lstrip().startswith((b"{", b"[")):
        return "text in JSON, not weights. Take the file that it describes."
    return (
        f"no weight file of a known kind (begins with {start[:8]!r}); PyTorch, safetensors, NumPy, MindSpore, "
        f"TensorFlow and Caffe files and pickles of arrays are read. {FETCH_AGAIN}"
    )
