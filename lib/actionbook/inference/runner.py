"""Batches through an engine, results on disk, and back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from actionbook.core.files import atomic_path, write_json_atomic
from actionbook.core.progress import tracked
from actionbook.inference.batches import DTYPE, BatchSet
from actionbook.inference.engines import Engine
from actionbook.inference.errors import InferenceError

RECORD_NAME = "results.json"
# <k>_0.bin is ais_bench's name for output 0 of input <k>.bin, and ours; <k>_output_0.bin is msame's.
RESULT_NAME = re.compile(r"(0|[1-9]\d*)(?:_output)?_0\.bin")


def run_batches(engine: Engine, batches: BatchSet, folder: Path | str, *, progress: bool = True) -> Path:
    """Run every batch and write its logits, float32 (B, num_classes), as ``<k>_0.bin`` into `folder`; returns it.

    The files are laid out as ais_bench's: whole batches, padding rows included (`read_results` leaves them out). A
    folder that holds results of the same model on the same batches is carried on: files of the right size stay. Results
    of another model or other batches are removed first. Raises InferenceError where the engine takes another batch size
    than the batches have.
    """
    folder = Path(folder)
    if engine.batch_size is not None and engine.batch_size < batches.batch_size:
        raise InferenceError(
            f"{engine.name} takes batches of {engine.batch_size} clips, {batches.folder} has {batches.batch_size}. "
            "Export the network for this batch size, or write the batches for the engine's"
        )
    done = _completed(engine, batches, folder)
    classes: int | None = None
    for number in tracked(range(len(batches)), engine.name, "batches", progress=progress):
        if number in done:
            continue
        logits = engine.run(batches.load(number))
        if (
            logits.ndim != 2
            or len(logits) != batches.batch_size
            or (classes is not None and logits.shape[1] != classes)
        ):
            raise InferenceError(
                f"{engine.name}, batch {number}: logits {logits.shape}, expected ({batches.batch_size}, num_classes)"
            )
        classes = logits.shape[1]
        with atomic_path(folder / f"{number}_0.bin") as temporary:
            np.ascontiguousarray(logits, DTYPE).tofile(temporary)
    return folder


def read_results(
    folder: Path | str, batches: BatchSet, *, num_classes: int | None = None
) -> tuple[list[str], np.ndarray]:
    """The video id of every clip and its logits, float32 (N, num_classes), N = `batches.clips`, in the batches' order.

    Takes results of `run_batches`, ais_bench (``<k>_0.bin``) and msame (``<k>_output_0.bin``); batch and result belong
    together by the number k, never by the order of the folder. Rows that belong to padding are left out. Raises
    InferenceError, naming the file, where one is missing, superfluous, double, not of the size that `num_classes` asks
    for (None: that of the largest), or holds something that is not a finite number.
    """
    folder = Path(folder)
    found = _result_files(folder)
    if not found:
        raise InferenceError(f"{folder}: no results; expected 0_0.bin to {len(batches) - 1}_0.bin")
    missing = [number for number in range(len(batches)) if number not in found]
    if missing:
        raise InferenceError(
            f"{folder / f'{missing[0]}_0.bin'} is missing, as are {len(missing) - 1} others. Run again"
        )
    extra = sorted(set(found) - set(range(len(batches))))
    if extra:
        raise InferenceError(f"{found[extra[0]]}: there are only {len(batches)} batches in {batches.folder}")
    sizes = {number: path.stat().st_size for number, path in found.items()}
    row = batches.batch_size * DTYPE.itemsize
    usual = max(sizes.values()) if num_classes is None else row * num_classes
    for number, size in sorted(sizes.items()):
        if size != usual or size == 0 or size % row:
            raise InferenceError(
                f"{found[number]}: {size} bytes, expected {usual}, a multiple of {row} "
                f"(float32 logits of {batches.batch_size} clips, as in the other files). Run this batch again"
            )
    rows = []
    for number, ids in enumerate(batches.ids):
        logits = np.fromfile(found[number], DTYPE).reshape(batches.batch_size, -1)[: len(ids)]
        if not np.isfinite(logits).all():
            raise InferenceError(f"{found[number]}: logits that are not finite numbers")
        rows.append(logits)
    return batches.flat_ids, np.concatenate(rows).astype(np.float32, copy=False)


def _result_files(folder: Path) -> dict[int, Path]:
    """Batch number -> result file. Files that are not ``.bin`` (the tools' summaries) are passed over."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.bin")):
        match = RESULT_NAME.fullmatch(path.name)
        if match is None:
            raise InferenceError(f"{path}: expected names like 12_0.bin (ais_bench) or 12_output_0.bin (msame)")
        number = int(match[1])
        if number in found:
            raise InferenceError(f"{path}: batch {number} has a result already, {found[number].name}")
        found[number] = path
    return found


def _completed(engine: Engine, batches: BatchSet, folder: Path) -> set[int]:
    """Numbers of batches whose results in `folder` can stay; everything else there is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "engine": engine.name,
        "model_sha256": engine.sha256,
        "info_sha256": batches.info_sha256,
        "batch_size": batches.batch_size,
        "batches": len(batches),
    }
    path = folder / RECORD_NAME
    try:
        same = json.loads(path.read_text(encoding="utf-8")) == record
    except (OSError, ValueError):
        same = False
    found = _result_files(folder)
    if same:  # a file cut off by something else than this library is run again
        usual = max((result.stat().st_size for result in found.values()), default=0)
        return {number for number, result in found.items() if 0 < result.stat().st_size == usual}
    path.unlink(missing_ok=True)
    for result in found.values():
        result.unlink()
    write_json_atomic(path, record)
    return set()
