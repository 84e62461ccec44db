"""The files of the Ascend port of ECO: one raw tensor for each video, a file of labels, one file of logits each.

Ascend/ModelZoo-TensorFlow, TensorFlow/contrib/cv/econet/ECONet_tf_paper99: scripts/convert_data2bin.py writes
``bin/<dataset>/<clip>.bin``, little-endian float32 (T, H, W, C) without a header, and ``bin/<dataset>_label.pkl``, the
class numbers by clip; msame answers with ``<clip>_output_0.bin``, which scripts/get_offline_acc.py counts. A clip is
called by the base name of its video, so these must differ between classes, too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

INPUT = "clip_holder"
"""Name of the port's input."""
RESULT = "_output_0.bin"
"""What msame puts behind the name of an input file for its first output."""


class PortVideos(BatchSet):
    """A folder of the port's input files, one video in each, by the ids of their items.

    Its spec is that of the files: ``clip_holder`` (T, H, W, C). An engine of the port's OM, opened with this spec and
    batch size 1, runs it as it is. Networks of this library take (C, T, H, W): `samples` has them so.
    """

    def path(self, number: int, name: str | None = None) -> Path:
        """The file of video `number`."""
        return self.folder / f"{_clip(self.ids[number][0])}.bin"

    def samples(self) -> Iterator[tuple[str, np.ndarray]]:
        """(id, clip float32 (C, T, H, W)) of every video, as `write_batches` takes them."""
        for number, (item,) in enumerate(self.ids):
            (frames,) = self.load(number).values()
            yield item, np.ascontiguousarray(frames[0].transpose(3, 0, 1, 2))


def write_port_videos(
    samples: Iterable[tuple[str, Arrays | np.ndarray]], folder: Path | str, spec: Spec | Shape, *, progress: bool = True
) -> PortVideos:
    """Write samples, pairs of (id, clip float32 (C, T, H, W)), as the port's input files into `folder`.

    `spec` says the clip's shape; for (3, 4, 224, 224) a file has 2,408,448 bytes. Files of these names are replaced,
    and others are an error, since msame would run them as well. Raises InferenceError for no sample, for two of one
    clip name, and for an input of another shape or dtype.
    """
    folder, shape = Path(folder), Spec.of(spec)
    written: dict[str, str] = {}
    for item, arrays in tracked(samples, "clips to files", "clips", progress=progress):
        named = {key: array[np.newaxis] for key, array in shape.named(arrays).items()}
        clip = shape.check(named, f"sample {item!r}")[shape.single][0]
        _note(written, item)
        with atomic_path(folder / f"{_clip(item)}.bin") as temporary:
            np.ascontiguousarray(clip.transpose(1, 2, 3, 0), DTYPE).tofile(temporary)
    return read_port_videos(folder, list(written.values()), shape)


def read_port_videos(folder: Path | str, items: Sequence[str], spec: Spec | Shape) -> PortVideos:
    """Open the port's input files of these items (ids, or clip names), in their order.

    `spec` says the clip's shape as of `write_port_videos`. Raises InferenceError, naming the files, where some are
    missing, of another size, or of no item, and where two items have one clip name.
    """
    folder, (channels, *rest) = Path(folder), Spec.of(spec).inputs[Spec.of(spec).single]
    files = {path.name: path for path in folder.glob("*.bin") if not path.name.startswith(TEMPORARY)}
    _match(folder, files, items, ".bin")
    found = Spec({INPUT: (*rest, channels)}, Spec.of(spec).output)
    _check_sizes(files.values(), found.bytes(INPUT), found.inputs[INPUT], "Write the files for the network's shape")
    # Gigabytes: told apart by names, sizes and times, not by their bytes.
    listing = [[name, path.stat().st_size, path.stat().st_mtime_ns] for name, path in sorted(files.items())]
    digest = sha256_json([list(items), listing])
    return PortVideos(folder, tuple((item,) for item in items), 1, found, digest, {INPUT: folder})


def read_port_results(folder: Path | str, items: Sequence[str], classes: int) -> tuple[list[str], np.ndarray]:
    """What msame has written for the port's files: the items in their order, and their logits float32 (N, classes).

    Files ``<clip>_output_0.bin`` may lie in `folder` or below it, for msame makes a folder of its own for every call.
    Raises InferenceError, naming the files, where some are missing, twice there, of another size than float32
    (classes,), of no item, or hold something that is not a finite number.
    """
    folder = Path(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.bin")):
        if path.name in files:
            raise InferenceError(
                f"{path}: {files[path.name]} is of the same clip; name the folder of one call of the tool"
            )
        files[path.name] = path
    _match(folder, files, items, RESULT)
    remedy = "Compile the OM with --output_type=FP32 for float32 logits, or name the data set's classes"
    _check_sizes(files.values(), DTYPE.itemsize * classes, (classes,), remedy)
    rows = []
    for item in items:
        rows.append(np.fromfile(files[_clip(item) + RESULT], DTYPE))
        if not np.isfinite(rows[-1]).all():
            raise InferenceError(f"{files[_clip(item) + RESULT]}: values that are not finite numbers; run it again")
    return list(items), np.stack(rows).astype(np.float32, copy=False)


def write_port_labels(labels: Mapping[str, int], path: Path | str) -> Path:
    """Write class numbers by item as JSON, by clip name: what the port pickles. Raises as `write_port_videos`."""
    written: dict[str, str] = {}
    for item in labels:
        _note(written, item)
    write_json_atomic(path, {clip: int(labels[item]) for clip, item in written.items()})
    return Path(path)


def read_port_labels(path: Path | str) -> dict[str, int]:
    """Class number by clip name, in the file's order: of ``.json``, or of the port's own ``.pkl``, read as data.

    Raises InferenceError for a missing file, another suffix or other content; nothing in the file is executed.
    """
    path = Path(path)
    if not path.is_file():
        raise InferenceError(f"{path} does not exist: the file of labels lies beside the folder of clips")
    if path.suffix not in (".json", ".pkl"):
        raise InferenceError(f"{path}: expected a name that ends in .json or .pkl")
    try:
        found = json.loads(path.read_bytes()) if path.suffix == ".json" else _read_pickle(path)
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


def _clip(item: str) -> str:
    return item.rpartition("/")[2]


def _note(written: dict[str, str], item: str) -> None:
    """Add an item to those that have a clip name already."""
    other = written.setdefault(_clip(item), item)
    if other != item:
        raise InferenceError(
            f"{other} and {item} have one clip name, {_clip(item)}; the port's files know no classes. Use write_batches"
        )


def _match(folder: Path, files: Mapping[str, Path], items: Sequence[str], suffix: str) -> None:
    """Raise InferenceError unless the files are those of the items, one each."""
    written: dict[str, str] = {}
    for item in items:
        _note(written, item)
    if not written:
        raise InferenceError(f"{folder}: no clips were asked for")
    if len(written) != len(items):
        raise InferenceError(f"{folder}: {len(items) - len(written)} of {len(items)} clips are asked for twice")
    wanted = [clip + suffix for clip in written]
    if missing := [name for name in wanted if name not in files]:
        raise InferenceError(f"{folder}: {len(missing)} of {len(items)} files are missing: {some(missing)}")
    if extra := sorted(set(files).difference(wanted)):
        raise InferenceError(f"{folder}: {len(extra)} files are of no clip that was asked for: {some(extra)}")


def _check_sizes(files: Iterable[Path], size: int, shape: Shape, remedy: str) -> None:
    for path in sorted(files):
        if path.stat().st_size != size:
            found = path.stat().st_size
            raise InferenceError(f"{path}: {found} bytes, expected {size} for float32 {tuple(shape)}. {remedy}")
