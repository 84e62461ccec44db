"""The files of ports that keep one raw tensor for each video, a file of labels, and one file of logits each.

ECO's, Ascend/ModelZoo-TensorFlow, TensorFlow/contrib/cv/econet/ECONet_tf_paper99: scripts/convert_data2bin.py writes
``bin/<dataset>/<clip>.bin``, little-endian float32 (T, H, W, C) without a header, and ``bin/<dataset>_label.pkl``, the
class numbers by clip; msame answers with ``<clip>_output_0.bin``, which scripts/get_offline_acc.py counts. A clip is
called by the base name of its video, so these must differ between classes, too.

StNet's, mindspore-ai/models, research/cv/stnet (eab643f5): preprocess.py writes ``data/stnet_data_bs1_<k>.bin``, k = 0,
1, 2, ..., the same of super-images (T, 3N, H, W), and ``label_ids.npy``, int32 (videos, 1); the program for the 310,
ascend310_infer, answers with ``result_Files/stnet_data_bs1_<k>_0.bin`` and ``time_Result/test_perform_static.txt``, and
postprocess.py counts. It is all for batch 1: so is the exported network, and postprocess.py knows no other names.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.errors import some
from actionbook.core.files import TEMPORARY, atomic_path, sha256_json, write_json_atomic
from actionbook.core.pickle_reader import MAX_STREAM_BYTES, PickleError, read_pickle
from actionbook.core.progress import tracked
from actionbook.core.spec import Arrays, Shape, Spec
from actionbook.inference.batches import DTYPE, BatchSet
from actionbook.inference.errors import InferenceError
from actionbook.weights.numpy_pickles import NUMPY_GLOBALS


@dataclass(frozen=True)
class PortLayout:
    """What a port calls its files, and how a clip (C, T, H, W) lies in one."""

    input: str
    """Name of the port's input."""
    axes: tuple[int, int, int, int]
    """The file's axes, outermost first, as numbers of the clip's."""
    result: str
    """What comes behind the name of an input file for the output that belongs to it."""
    numbered: str = ""
    """What comes before a video's number; empty: files are called by their clips."""
    frames: int = 1
    """So many entries of the file's first axis are one of the port's, with their second axes in a row."""

    def stem(self, number: int, item: str) -> str:
        """The name, without suffix, of the file of an item that is the `number`-th, from 0."""
        return f"{self.numbered}{number}" if self.numbered else item.rpartition("/")[2]

    def shape(self, clip: Shape) -> Shape:
        """The port's shape of a clip (C, T, H, W). Raises InferenceError where T is no multiple of `frames`."""
        first, second, *rest = (clip[axis] for axis in self.axes)
        if first % self.frames:
            raise InferenceError(f"a clip {clip}: {first} frames, expected a multiple of {self.frames}")
        return (first // self.frames, self.frames * second, *rest)


ECO = PortLayout("clip_holder", (1, 2, 3, 0), "_output_0.bin")
STNET = PortLayout("data", (1, 0, 2, 3), "_0.bin", "stnet_data_bs1_", frames=5)
"""Of the port's first network, which it published weights for: see the chapter for what later versions write."""
_TIME = re.compile(r"average time:\s*([0-9.eE+-]+)\s*ms of infer_count\s+(\d+)")
"""In what the program for the 310 writes of its times."""


@dataclass(frozen=True)
class PortVideos(BatchSet):
    """A folder of a port's input files, one video in each, by the ids of their items.

    Its spec is that of the files, such as ``clip_holder`` (T, H, W, C). An engine of the port's OM, opened with this
    spec and batch size 1, runs it as it is. Networks of this library take (C, T, H, W): `samples` has them so.
    """

    layout: PortLayout = ECO

    def path(self, number: int, name: str | None = None) -> Path:
        """The file of video `number`."""
        return self.folder / f"{self.layout.stem(number, self.ids[number][0])}.bin"

    def samples(self) -> Iterator[tuple[str, np.ndarray]]:
        """(id, clip float32 (C, T, H, W)) of every video, as `write_batches` takes them."""
        axes = self.layout.axes
        for number, (item,) in enumerate(self.ids):
            (whole,) = self.load(number).values()
            first, second, *rest = whole.shape[1:]
            clip = whole.reshape(first * self.layout.frames, second // self.layout.frames, *rest)
            yield item, np.ascontiguousarray(clip.transpose(np.argsort(axes)))


def write_port_videos(
    samples: Iterable[tuple[str, Arrays | np.ndarray]],
    folder: Path | str,
    spec: Spec | Shape,
    layout: PortLayout = ECO,
    *,
    progress: bool = True,
) -> PortVideos:
    """Write samples, pairs of (id, clip float32 (C, T, H, W)), as a port's input files into `folder`.

    `spec` says the clip's shape; for (3, 4, 224, 224) a file has 2,408,448 bytes. Files of these names are replaced,
    and others are an error, since the port's tool would run them as well. Raises InferenceError for no sample, for two
    of one clip name, and for an input of another shape or dtype.
    """
    folder, shape = Path(folder), Spec.of(spec)
    layout.shape(shape.inputs[shape.single])  # before a file is written
    written: dict[str, str] = {}
    for number, (item, arrays) in enumerate(tracked(samples, "clips to files", "clips", progress=progress)):
        named = {key: array[np.newaxis] for key, array in shape.named(arrays).items()}
        clip = shape.check(named, f"sample {item!r}")[shape.single][0]
        _note(written, layout.stem(number, item), item)
        with atomic_path(folder / f"{layout.stem(number, item)}.bin") as temporary:
            np.ascontiguousarray(clip.transpose(layout.axes), DTYPE).tofile(temporary)
    return read_port_videos(folder, list(written.values()), shape, layout)


def read_port_videos(
    folder: Path | str, items: Sequence[str], spec: Spec | Shape, layout: PortLayout = ECO
) -> PortVideos:
    """Open a port's input files of these items (ids, or names of the files), in their order.

    `spec` says the clip's shape as of `write_port_videos`. Raises InferenceError, naming the files, where some are
    missing, of another size, or of no item, and where two items have one clip name.
    """
    folder, own = Path(folder), Spec.of(spec)
    found = Spec({layout.input: layout.shape(own.inputs[own.single])}, own.output)
    # Whatever lies there: msame and the program for the 310 run files of any name.
    there = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith(TEMPORARY)]
    files = {path.name: path for path in there}
    match_files(folder, files, _names(folder, items, layout, ".bin"), "Write the files again, into an empty folder")
    remedy = "Write the files for the network's shape"
    check_sizes(files.values(), found.inputs[layout.input], remedy)
    # Gigabytes: told apart by names, sizes and times, not by their bytes.
    listing = [[name, path.stat().st_size, path.stat().st_mtime_ns] for name, path in sorted(files.items())]
    digest = sha256_json([list(items), listing])
    return PortVideos(folder, tuple((item,) for item in items), 1, found, digest, {layout.input: folder}, layout)


def read_port_results(
    folder: Path | str, items: Sequence[str], classes: int, layout: PortLayout = ECO
) -> tuple[list[str], np.ndarray]:
    """What was computed from a port's files: the items in their order, and their logits float32 (N, classes).

    Files, such as ``<clip>_output_0.bin``, may lie in `folder` or below it, for msame makes a folder of its own for
    every call. Raises InferenceError, naming the files, where some are missing, twice there, of another size than
    float32 (classes,), of no item, or hold something that is not a finite number.
    """
    folder = Path(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.bin")):
        if path.name in files:
            raise InferenceError(
                f"{path}: {files[path.name]} is of the same clip; name the folder of one call of the tool"
            )
        files[path.name] = path
    wanted = _names(folder, items, layout, layout.result)
    match_files(folder, files, wanted, "Run the tool on exactly these clips, and name the folder of that run")
    remedy = "Compile an OM with --output_type=FP32 for float32 logits, or name the data set's classes"
    check_sizes(files.values(), (classes,), remedy)
    rows = []
    for name in wanted:
        rows.append(np.fromfile(files[name], DTYPE))
        if not np.isfinite(rows[-1]).all():
            raise InferenceError(f"{files[name]}: values that are not finite numbers; run it again")
    return list(items), np.stack(rows).astype(np.float32, copy=False)


def read_port_time(path: Path | str, runs: int) -> float:
    """Milliseconds for each of so many runs, the first included, by the program of a port for the 310.

    A run is of a video in StNet's, of a batch in SlowFast's. It times the call that computes, not reading and writing
    the files. Raises InferenceError where there is no such file, no such line in it, or another number of runs.
    """
    path = Path(path)
    if not path.is_file():
        raise InferenceError(f"{path} does not exist: the program writes it once it has run all files. Run it again")
    text = path.read_text(encoding="utf-8", errors="replace")
    match = _TIME.search(text)
    try:
        mean, found = (float(match[1]), int(match[2])) if match else (math.nan, 0)
    except ValueError:
        mean, found = math.nan, 0
    if not 0 < mean < math.inf:
        expected = "'NN inference cost average time: ... ms of infer_count ...'"
        raise InferenceError(f"{path}: found {text[:80]!r}, expected {expected}. Run the program again")
    if found != runs:
        raise InferenceError(f"{path}: of {found} runs, expected {runs}. It is of other files; run the program again")
    return mean


def write_port_labels(labels: Mapping[str, int], path: Path | str) -> Path:
    """Write class numbers by item, for StNet's port as ``.npy`` in the order of its videos, int32 (videos, 1).

    For any other suffix as JSON, by clip name: what ECO's port pickles. Raises as `write_port_videos`.
    """
    path = Path(path)
    if path.suffix == ".npy":
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(list(labels.values()), "<i4")[:, np.newaxis])
        return path
    written: dict[str, str] = {}
    for number, item in enumerate(labels):
        _note(written, ECO.stem(number, item), item)
    write_json_atomic(path, {clip: int(labels[item]) for clip, item in written.items()})
    return path


def read_port_labels(path: Path | str) -> dict[str, int]:
    """Class number by the name of a video's file, in the file's order.

    Of ``.json``, or of the ports' own ``.pkl`` (ECO) and ``.npy`` (StNet), read as data. Raises InferenceError for a
    missing file, another suffix or other content; nothing in the file is executed.
    """
    path = Path(path)
    if not path.is_file():
        raise InferenceError(f"{path} does not exist: the file of labels lies beside the folder of clips")
    if path.suffix not in _LABELS:
        raise InferenceError(f"{path}: expected a name that ends in {', '.join(_LABELS)}")
    try:
        found = _LABELS[path.suffix](path)
    except (ValueError, RecursionError, PickleError) as error:
        raise InferenceError(f"{path}: cannot be read as labels ({error})") from error
    if not isinstance(found, dict) or not found:
        raise InferenceError(f"{path}: holds no labels; expected a class number for each clip name")
    for clip, number in found.items():
        if not isinstance(clip, str) or not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise InferenceError(f"{path}: found {clip!r}: {number!r}, expected a clip name and a class number from 0")
    return found


def _read_pickle(path: Path) -> Any:
    def refuse(_: Any) -> Any:
        raise ValueError("a reference to something outside the file")

    if path.stat().st_size > MAX_STREAM_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes, no labels need so many")
    return read_pickle(io.BytesIO(path.read_bytes()), NUMPY_GLOBALS, refuse, str(path))


def _read_array(path: Path) -> dict[str, int]:
    found = np.lib.format.open_memmap(path, mode="r")  # refuses objects, and a header that says more than is there
    if found.ndim != 2 or found.shape[1] != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"{found.dtype} {found.shape}, expected whole numbers (videos, 1); its preprocess.py writes them so with "
            "--batch_size=1, the only size that the port's other programs take"
        )
    return {STNET.stem(number, ""): int(label) for number, (label,) in enumerate(found)}


_LABELS = {".json": lambda path: json.loads(path.read_bytes()), ".pkl": _read_pickle, ".npy": _read_array}
"""How labels are read, by suffix."""


def _note(written: dict[str, str], stem: str, item: str) -> None:
    """Add an item to those that have a file already."""
    other = written.setdefault(stem, item)
    if other != item:
        raise InferenceError(
            f"{other} and {item} have one clip name, {stem}; the port's files know no classes. Use write_batches"
        )


def _names(folder: Path, items: Sequence[str], layout: PortLayout, suffix: str) -> list[str]:
    """The names of the items' files in `folder`. Raises InferenceError for none, and for one twice."""
    written: dict[str, str] = {}
    for number, item in enumerate(items):
        _note(written, layout.stem(number, item), item)
    if not written:
        raise InferenceError(f"{folder}: no clips were asked for")
    if twice := len(items) - len(set(items)):
        raise InferenceError(f"{folder}: {twice} of {len(items)} clips are asked for twice")
    return [stem + suffix for stem in written]


def match_files(folder: Path, files: Mapping[str, Path], wanted: Sequence[str], remedy: str) -> None:
    """Raise InferenceError unless the files in `folder` are those that are wanted."""
    if missing := [name for name in wanted if name not in files]:
        raise InferenceError(f"{folder}: {len(missing)} of {len(wanted)} files are missing: {some(missing)}. {remedy}")
    if extra := sorted(set(files).difference(wanted)):
        raise InferenceError(f"{folder}: {len(extra)} files are of no clip that was asked for: {some(extra)}. {remedy}")


def check_sizes(files: Iterable[Path], shape: Shape, remedy: str, dtype: np.dtype = DTYPE) -> None:
    """Raise InferenceError, naming the first file that does not hold so many numbers."""
    size = dtype.itemsize * math.prod(shape)
    for path in sorted(files):
        if path.stat().st_size != size:
            found = path.stat().st_size
            raise InferenceError(f"{path}: {found} bytes, expected {size} for {dtype.name} {tuple(shape)}. {remedy}")
