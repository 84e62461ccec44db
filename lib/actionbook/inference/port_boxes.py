"""The files of SlowFast's port for the Ascend 310: a folder for each array, in it a file for each batch of keyframes.

mindspore-ai/models, research/cv/slowfast (c8218e6): preprocess.py writes ``<array>/ava_val_<k>.bin``, k = 0, 1, 2, ...,
little-endian in C order without a header: what the network takes, ``slowpath`` and ``fastpath`` (B, 3, T, H, W) as
float16 and ``boxes`` (B, M, 4) in pixels as float32, and what the score needs, ``labels`` (B, M, classes) and
``ori_boxes`` (B, M, 4), shares of the frame, as float32, ``metadata`` (B, M, 2), number of the video and second, and
``mask`` (B, M), 1 for real boxes, as int32. There B is 8 and M is 28. The program for the 310 (ascend_310_infer) hands
the first three to the network as they are and answers with ``result_Files/ava_val_<k>_0.bin``, float32 (B * M,
classes), scores after the sigmoid, and ``time_Result/test_perform_static.txt``; postprocess.py scores.

The program counts all files below the folder, divides by 7, and runs one batch less. preprocess.py does not fill up
its last batch, which is lost so; where that batch is a full one, it is lost as well. Here the last batch is filled up,
and behind it come seven empty files, which are counted and never opened: nothing is lost.

The programs of the port for batch 1 and float32 (infer/, MindX SDK and mxBase) keep no files; what they hand to the
network is a batch of these with `batch_size` 1 and `dtype` float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.clips.samples import Sample
from actionbook.clips.targets import BoxTable, boxes_of
from actionbook.core.files import TEMPORARY, atomic_path
from actionbook.core.keyframes import Cut
from actionbook.core.progress import tracked
from actionbook.core.spec import Arrays, Shape, Spec
from actionbook.datasets.index import BOX, Index
from actionbook.inference.batches import DTYPE
from actionbook.inference.errors import InferenceError
from actionbook.inference.port_videos import check_sizes, match_files
from actionbook.tasks.pooling import sigmoid

ARRAYS = ("slowpath", "fastpath", "boxes", "labels", "ori_boxes", "metadata", "mask")
"""The folders. The first three are the network's inputs, in its order."""
_WHOLE = np.dtype("<i4")
_AGAIN = "Write the files again, with write_port_boxes, into an empty folder"


def stem(number: int) -> str:
    """The name, without suffix, of the files of a batch; its result is called ``<stem>_0.bin``."""
    return f"ava_val_{number}"


@dataclass(frozen=True)
class _Kind:
    dtype: np.dtype
    shape: Shape
    """Of one keyframe."""


@dataclass(frozen=True)
class PortBoxes:
    """A folder of a port's input files, complete and of the right sizes."""

    folder: Path
    spec: Spec
    """Of the network: its three inputs, and its output (M, classes)."""
    videos: tuple[str, ...]
    """By the number that ``metadata`` has of them."""
    dtype: np.dtype
    """Of the clips."""
    sizes: tuple[int, ...]
    """Keyframes of each batch, those that fill it up included."""
    runs: int
    """Batches that the port's program runs."""

    def __len__(self) -> int:
        return len(self.sizes)

    def path(self, number: int, name: str) -> Path:
        """The file of batch `number` and one of `ARRAYS`."""
        return self.folder / name / f"{stem(number)}.bin"

    def array(self, number: int, name: str) -> np.ndarray:
        """One of `ARRAYS` of batch `number`, as it lies in the file: a read-only memory map (B, ...)."""
        kind = _kinds(self.spec, self.dtype)[name]
        return np.memmap(self.path(number, name), kind.dtype, "r", shape=(self.sizes[number], *kind.shape))

    def load(self, number: int) -> dict[str, np.ndarray]:
        """The inputs of batch `number` as an engine of this library takes them, float32 (B, ...)."""
        names = zip(self.spec.inputs, ARRAYS, strict=False)
        return {name: np.asarray(self.array(number, of), np.float32) for name, of in names}

    @cached_property
    def keyframes(self) -> tuple[int, ...]:
        """Of each batch the number of real keyframes, those with a box."""
        return tuple(int(self._mask(number).any(axis=1).sum()) for number in range(len(self)))

    @property
    def left_out(self) -> int:
        """Keyframes in batches that the port's program does not run."""
        return sum(self.keyframes[self.runs :])

    @cached_property
    def table(self) -> pd.DataFrame:
        """The real boxes of all batches, in order: video, second, x1, y1, x2, y2 (shares of the frame, float32).

        Raises InferenceError, naming the file, for a video that has no name.
        """
        rows: list[tuple[np.ndarray, np.ndarray]] = []
        for number in range(len(self)):
            mask = self._mask(number)
            metadata = self.array(number, "metadata")[mask]
            strange = metadata[(metadata[:, 0] < 0) | (metadata[:, 0] >= len(self.videos)), 0]
            if len(strange):
                raise InferenceError(
                    f"{self.path(number, 'metadata')}: a box of video {strange[0]}, expected 0 to "
                    f"{len(self.videos) - 1}: name all videos of the port's list, in its order"
                )
            rows.append((metadata, self.array(number, "ori_boxes")[mask]))
        metadata, corners = (np.concatenate(part) for part in zip(*rows, strict=True))
        table = pd.DataFrame(corners, columns=list(BOX))
        table.insert(0, "video", np.array(self.videos, object)[metadata[:, 0]])
        table.insert(1, "second", metadata[:, 1].astype(np.float64))
        return table

    def real(self, number: int) -> np.ndarray:
        """(B * M,) bool: which rows of a result of batch `number` are of real boxes. Raises as `table`."""
        return self._mask(number).ravel()

    def _mask(self, number: int) -> np.ndarray:
        mask = self.array(number, "mask")
        if not np.isin(mask, (0, 1)).all():
            raise InferenceError(f"{self.path(number, 'mask')}: values beside 0 and 1, expected int32 masks. {_AGAIN}")
        return np.asarray(mask, bool)


def write_port_boxes(
    samples: Iterable[Sample],
    folder: Path | str,
    spec: Spec,
    index: Index,
    cut: Cut,
    *,
    videos: Sequence[str] | None = None,
    batch_size: int = 8,
    dtype: np.dtype | type = np.float16,
    progress: bool = True,
) -> PortBoxes:
    """Write tested samples of keyframes of `index` as the port's input files into `folder`, none left out.

    `spec` is that of the network, inputs of two pathways and boxes; `cut` says at which second a frame is shown.
    `videos` are the names that the port knows by number, for its postprocess.py those of its frame list in that order
    (`read_frame_list`); None: those of the index. Batches that are there are replaced. An unfinished folder has no
    masks. Raises InferenceError for no sample, an input of another shape or dtype, boxes that are not those of the
    index, a keyframe at no whole second, which these files have no place for, and a video without a name.
    """
    folder, kinds, named = Path(folder), _kinds(spec, np.dtype(dtype)), videos or index.videos.video.tolist()
    if batch_size < 1:
        raise InferenceError(f"batch size {batch_size}: expected 1 or more")
    for name in ARRAYS:
        for path in (folder / name).glob("ava_val_*.bin"):
            path.unlink()
    moments, places = _moments(index, cut, named), boxes_of(index, kinds["labels"].shape[1])
    masks: list[np.ndarray] = []
    batch: list[Arrays] = []

    def flush() -> None:
        for name, kind in kinds.items():
            whole = np.zeros((batch_size, *kind.shape), kind.dtype)
            for row, arrays in enumerate(batch):
                whole[row] = arrays[name]
            if name == "mask":
                masks.append(whole)
            else:
                _write(folder / name / f"{stem(len(masks))}.bin", whole)
        batch.clear()

    for sample in tracked(samples, "keyframes to files", "keyframes", progress=progress):
        batch.append(_arrays(sample, spec, places, moments))
        if len(batch) == batch_size:
            flush()
    if batch:
        flush()
    if not masks:
        raise InferenceError(f"{folder}: no keyframes to write")
    for name in ARRAYS:  # what the program's loop stops before
        _write(folder / name / f"{stem(len(masks))}.bin", np.zeros(0, np.uint8))
    for number, mask in enumerate(masks):
        _write(folder / "mask" / f"{stem(number)}.bin", mask)
    return read_port_boxes(folder, spec, named, batch_size=batch_size, dtype=dtype)


def read_port_boxes(
    folder: Path | str,
    spec: Spec,
    videos: Sequence[str],
    *,
    batch_size: int = 8,
    dtype: np.dtype | type = np.float16,
) -> PortBoxes:
    """Open input files of `write_port_boxes` or of the port's own preprocess.py, whose last batch may be shorter.

    `spec`, `videos`, `batch_size` and `dtype` as there. Raises InferenceError, naming the files, where some are
    missing, of another size, or of no batch.
    """
    folder, kinds = Path(folder), _kinds(spec, np.dtype(dtype))
    files = {name: {path.name: path for path in _files(folder / name)} for name in ARRAYS}
    count = sum(path.stat().st_size > 0 for path in files["mask"].values())
    spare = f"{stem(count)}.bin"
    if not count:
        raise InferenceError(f"{folder / 'mask'}: no files, expected {stem(0)}.bin and so on. {_AGAIN}")
    names = [f"{stem(number)}.bin" for number in range(count)]
    final = files["mask"].get(names[-1])
    last = min(final.stat().st_size // (_WHOLE.itemsize * kinds["mask"].shape[0]), batch_size) if final else batch_size
    for name, kind in kinds.items():
        own = files[name]
        if spare in own and not own[spare].stat().st_size:
            del own[spare]
        match_files(folder / name, own, names, _AGAIN)
        remedy = "Name the network's own shape, the batch size and the type of the clips, or write the files again"
        check_sizes((own[each] for each in names[:-1]), (batch_size, *kind.shape), remedy, kind.dtype)
        check_sizes([own[names[-1]]], (last, *kind.shape), remedy, kind.dtype)
    # Of any name, in this folder and one below, links and deeper ones not: as the program counts.
    below = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    counted = sum(len(_files(place)) for place in (folder, *below))
    runs = min(max(counted // len(ARRAYS) - 1, 0), count)
    return PortBoxes(folder, spec, tuple(videos), np.dtype(dtype), (*[batch_size] * (count - 1), last), runs)


def read_port_scores(folder: Path | str, files: PortBoxes, *, logits: bool = False) -> tuple[pd.DataFrame, np.ndarray]:
    """What was computed from a port's files: their real boxes, as `PortBoxes.table`, and the scores (boxes, classes).

    float64, 0..1. ``evaluation.ava.every_class`` makes the table of detections of both. `logits`: the network gave
    logits, as those of this library do, and the sigmoid is still to be taken. Raises InferenceError, naming the files,
    where a batch has no result or a result no batch, and for one of another size than float32 (B * M, classes), or
    with values that no score has.
    """
    folder = Path(folder)
    found = {path.name: path for path in _files(folder)}
    wanted = [f"{stem(number)}_0.bin" for number in range(len(files))]
    remedy = "Run the program on exactly these files, into an empty folder"
    if sorted(set(wanted) - set(found)) == sorted(wanted[files.runs :]) and files.left_out:
        remedy = (
            f"The port's program leaves out its last batch, here of {files.left_out} of {sum(files.keyframes)} "
            "keyframes: write the files with write_port_boxes and run it again"
        )
    match_files(folder, found, wanted, remedy)
    boxes, classes = files.spec.output or ()
    rows = []
    for number, name in enumerate(wanted):
        shape = (files.sizes[number] * boxes, classes)
        check_sizes([found[name]], shape, "Run it with a network of float32 output and these classes")
        whole = np.fromfile(found[name], DTYPE).reshape(shape)[files.real(number)].astype(np.float64)
        if not np.isfinite(whole).all():
            raise InferenceError(f"{found[name]}: values that are not finite numbers; run it again")
        if not logits and not ((whole >= 0) & (whole <= 1)).all():
            raise InferenceError(
                f"{found[name]}: from {whole.min():.3g} to {whole.max():.3g}, expected scores of 0 to 1: of a network "
                "that gives logits, read them with logits=True"
            )
        rows.append(sigmoid(whole) if logits else whole)
    return files.table, np.concatenate(rows)


def _kinds(spec: Spec, dtype: np.dtype) -> dict[str, _Kind]:
    """Of each of `ARRAYS` what lies in its files. Raises InferenceError for another network."""
    shapes, output = list(spec.inputs.values()), spec.output or ()
    if len(shapes) != 3 or len(output) != 2 or shapes[2] != (output[0], 4):
        raise InferenceError(
            f"a network of {spec}, output {spec.output}: expected two pathways and boxes (M, 4), and an output "
            "(M, classes)"
        )
    if dtype not in (np.float16, np.float32):
        raise InferenceError(f"clips as {dtype}: expected float16 or float32")
    boxes, classes = output
    return {
        "slowpath": _Kind(dtype, shapes[0]),
        "fastpath": _Kind(dtype, shapes[1]),
        "boxes": _Kind(DTYPE, (boxes, 4)),
        "labels": _Kind(DTYPE, (boxes, classes)),
        "ori_boxes": _Kind(DTYPE, (boxes, 4)),
        "metadata": _Kind(_WHOLE, (boxes, 2)),
        "mask": _Kind(_WHOLE, (boxes,)),
    }


def _moments(index: Index, cut: Cut, videos: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Number of the video and second of every item that these files have a place for."""
    numbers = {video: number for number, video in enumerate(videos)}
    items = index.items
    rows = zip(items["item"], items.video.map(numbers), cut.moments(items.frame.to_numpy()), strict=True)
    return {item: (int(video), int(second)) for item, video, second in rows if video >= 0 and second % 1 == 0}


def _arrays(sample: Sample, spec: Spec, places: BoxTable, moments: Mapping[str, tuple[int, int]]) -> Arrays:
    """One sample as the files have it, each of `ARRAYS` without the batch's axis."""
    given = {name: array[np.newaxis] for name, array in sample.inputs.items()}
    inputs = spec.check(given, f"sample {sample.item!r}")
    mask = np.zeros(0) if sample.mask is None else sample.mask
    count = int(mask.sum())
    known = len(places[sample.item].places) if sample.item in places else 0
    if len(mask) != (spec.output or (0,))[0] or count != known:
        raise InferenceError(
            f"sample {sample.item!r}: {count} of {len(mask)} boxes, the index has {known} of it: name the index that "
            "the samples are of"
        )
    if sample.item not in moments:
        raise InferenceError(
            f"sample {sample.item!r}: expected a video among those named, and a keyframe at a whole second; the port's "
            "files have no place for others. Use write_batches"
        )
    ori_boxes, metadata = np.zeros((len(mask), 4)), np.zeros((len(mask), 2))
    ori_boxes[:count], metadata[:count] = places[sample.item].places, moments[sample.item]
    arrays = (*(array[0] for array in inputs.values()), sample.target, ori_boxes, metadata, mask)
    return dict(zip(ARRAYS, arrays, strict=True))


def _files(folder: Path) -> list[Path]:
    """What the port's program finds in a folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if path.is_file() and not path.is_symlink() and not path.name.startswith(TEMPORARY)]


def _write(path: Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        array.tofile(temporary)
