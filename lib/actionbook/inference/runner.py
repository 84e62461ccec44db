"""Batches through an engine, results on disk, and back."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TypeGuard

import numpy as np

from actionbook.core.files import TEMPORARY, atomic_path, sweep_temporary, write_json_atomic, write_text_atomic
from actionbook.core.progress import progress_bar
from actionbook.inference.batches import DTYPE, BatchSet, link
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import IN_NAME, Batches, Engine, FolderEngine
from actionbook.inference.om import RESULT_NAME
from actionbook.inference.summaries import CONSOLE_NAME, SUMMARY_NAME

RECORD_NAME = "results.json"
_WORK = f"{TEMPORARY}run-"
_AT_ONCE = 8 << 30
"""Bytes of the files that a tool is given at once where batches are not on disk: it loads the model for every call."""


def run_batches(
    engine: Engine, batches: Batches, folder: Path | str, *, rank: int = 0, count: int = 1, progress: bool = True
) -> Path:
    """Run every batch and write its output, float32 (B, ...), as ``<k>_0.bin`` into `folder`; returns it.

    The files are laid out as ais_bench's: whole batches, padding rows included (`read_results` leaves them out). A
    folder that holds results of the same model on the same batches is carried on: files of the right size stay. Results
    of another model or of batches with other content are removed first; results that no run here has written are left
    alone, with an error. An OM engine's tool is called once for all batches that are on disk, and else again and again
    for a few gigabytes of files that are made for it; what it prints is kept as ``console.log``, and ais_bench's times
    as ``summary.json``, both of the last call. One run at a time may write to a folder, of one process or of `count`
    that share it: each makes the batches from number `rank` on, every `count`-th. Processes that share a folder remove
    no results: those of others are an error. Raises InferenceError where the engine takes another batch size than the
    batches have, where a tool fails, and where one is to run a share of the batches.
    """
    folder = Path(folder)
    if isinstance(engine, FolderEngine):
        if count > 1:
            raise InferenceError(f"{engine.name} runs batches in one process, not in {count}")
        engine.check_files(batches.batch_size)
    elif engine.batch_size is not None and engine.batch_size < batches.batch_size:
        raise InferenceError(
            f"{engine.name} takes batches of {engine.batch_size} clips, {batches} has {batches.batch_size}. "
            "Export the network for this batch size, or write the batches for the engine's"
        )
    done = _completed(engine, batches, folder, alone=count == 1)
    share = range(rank, len(batches.ids), count)
    todo = [number for number in share if number not in done]
    if not todo:
        return folder
    if isinstance(engine, FolderEngine):
        for numbers in _calls(batches, todo):
            _run_at_once(engine, batches, numbers, folder, progress)
        return folder
    shape = batches.spec.output
    total, left = (sum(len(batches.ids[number]) for number in numbers) for numbers in (share, todo))
    with progress_bar(total, engine.name, "clips", initial=total - left) if progress else nullcontext() as bar:
        for number, batch in zip(todo, batches.ready(todo), strict=True):
            output = engine.run(batch)
            shape = shape or output.shape[1:]
            if output.shape != (batches.batch_size, *shape):
                raise InferenceError(
                    f"{engine.name}, batch {number}: output {output.shape}, expected {(batches.batch_size, *shape)}"
                )
            with atomic_path(folder / f"{number}_0.bin") as temporary:
                np.ascontiguousarray(output, DTYPE).tofile(temporary)
            if bar is not None:
                bar.update(len(batches.ids[number]))
    return folder


def read_results(folder: Path | str, batches: Batches) -> tuple[list[str], np.ndarray]:
    """The id of every sample and its output, float32 (N, ...), in the batches' order.

    The shape of an output is that of the batches' spec; where that does not say it, (classes,).

    Takes results of `run_batches`, ais_bench (``<k>_0.bin``) and msame (``<k>_output_0.bin``); batch and result belong
    together by the number k, never by the order of the folder. Rows that belong to padding are left out. Raises
    InferenceError, naming the file, where one is missing, superfluous, double, not of the size that the output must
    have (not known: that of the largest), holds something that is not a finite number, or was made by `run_batches`
    from batches of other content.
    """
    folder = Path(folder)
    found = _result_files(folder)
    count = len(batches.ids)
    if not found:
        other = next((path for pattern in ("*_0.txt", "*_0.npy") for path in sorted(folder.glob(pattern))), None)
        hint = "" if other is None else f", not {other.name}: run the tool with the output format BIN"
        raise InferenceError(f"{folder}: no results; expected 0_0.bin to {count - 1}_0.bin{hint}")
    missing = [number for number in range(count) if number not in found]
    if missing:
        others = f" ({len(missing)} of {count} are)" if len(missing) > 1 else ""
        raise InferenceError(f"{folder / f'{missing[0]}_0.bin'} is missing{others}. Run again")
    extra = sorted(set(found) - set(range(count)))
    if extra:
        raise InferenceError(f"{found[extra[0]]}: there are only {count} batches in {batches}")
    record = _read_record(folder)
    if record is not None and record.get("batches_sha256") != batches.sha256:
        raise InferenceError(f"{folder}: results of other batches than those of {batches}. Run again")
    shape = batches.spec.output
    _check_sizes(found, batches.batch_size, None if shape is None else int(np.prod(shape)))
    rows = []
    for number, ids in enumerate(batches.ids):
        output = np.fromfile(found[number], DTYPE).reshape(batches.batch_size, *(shape or (-1,)))[: len(ids)]
        if not np.isfinite(output).all():
            raise InferenceError(f"{found[number]}: values that are not finite numbers")
        rows.append(output)
    return [name for ids in batches.ids for name in ids], np.concatenate(rows).astype(np.float32, copy=False)


def _check_sizes(found: dict[int, Path], clips: int, classes: int | None) -> None:
    sizes = {number: path.stat().st_size for number, path in found.items()}
    row = clips * DTYPE.itemsize
    usual = max(sizes.values()) if classes is None else row * classes
    for number, size in sorted(sizes.items()):
        if size == usual and size and size % row == 0:
            continue
        remedy = "Run this batch again"
        if size * 2 == usual or (size == usual and size and size % (row // 2) == 0):
            remedy = "float16? Compile the OM with --output_type=FP32 and run again"
        elif size == usual * 2:
            remedy = "float64, or twice the clips? Export float32 logits and run again"
        elif len(set(sizes.values())) == 1:
            remedy = "All files have this size: results of another network, or of batches of another size?"
        raise InferenceError(
            f"{found[number]}: {size} bytes, expected {usual}, a multiple of {row} "
            f"(float32 logits of {clips} clips{'' if classes is None else f' and {classes} classes'}). {remedy}"
        )


def _result_files(folder: Path) -> dict[int, Path]:
    """Batch number -> result file. Files that are not ``.bin`` (the tools' summaries) are passed over."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("*.bin")):
        if path.name.startswith(TEMPORARY):
            continue
        match = RESULT_NAME.fullmatch(path.name)
        if match is None:
            raise InferenceError(f"{path}: expected names like 12_0.bin (ais_bench) or 12_output_0.bin (msame)")
        number = int(match[1])
        if number in found:
            raise InferenceError(f"{path}: batch {number} has a result already, {found[number].name}")
        found[number] = path
    return found


def _read_record(folder: Path) -> dict[str, object] | None:
    """What `run_batches` has noted of the results in `folder`; None where it has not."""
    try:
        record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _completed(engine: Engine, batches: Batches, folder: Path, *, alone: bool) -> set[int]:
    """Numbers of batches whose results in `folder` can stay; everything else there that a run made is removed.

    Of processes that are not alone none removes anything, since the results may be another's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    record = {
        "engine": engine.name,
        "model_sha256": engine.sha256,
        "batches_sha256": batches.sha256,
        "batch_size": batches.batch_size,
        "batches": len(batches.ids),
    }
    path = folder / RECORD_NAME
    # Results first: whoever writes some has written the record before, so none can be seen here without it.
    found = _result_files(folder)
    same = _read_record(folder) == record
    if found and not path.is_file():
        raise InferenceError(
            f"{folder}: results that were not written here ({next(iter(found.values())).name}; no {RECORD_NAME}). "
            "Read them with read_results, or choose another folder"
        )
    if found and not same:
        if not alone:
            raise InferenceError(f"{folder}: results of another model or of other batches; remove this folder")
        for result in found.values():
            result.unlink()
    for work in folder.glob(f"{_WORK}*") if alone else ():  # of a run that was killed
        if same and isinstance(engine, FolderEngine):
            _keep(engine.finished(work), folder)
        shutil.rmtree(work)
    if same:  # a file cut off by something else than this library is run again
        sizes = {number: result.stat().st_size for number, result in _result_files(folder).items()}
        shape = batches.spec.output
        row = batches.batch_size * DTYPE.itemsize
        usual = max(sizes.values(), default=0) if shape is None else row * int(np.prod(shape))
        return {number for number, size in sizes.items() if 0 < size == usual}
    for name in (CONSOLE_NAME, SUMMARY_NAME):
        (folder / name).unlink(missing_ok=True)
    write_json_atomic(path, record)
    return set()


def _on_disk(batches: Batches) -> TypeGuard[BatchSet]:
    return isinstance(batches, BatchSet) and batches.kept


def _calls(batches: Batches, todo: list[int]) -> Iterator[list[int]]:
    """The numbers of `todo` that a tool is given in each of its calls."""
    most = len(todo) if _on_disk(batches) else max(1, _AT_ONCE // (batches.batch_size * batches.spec.bytes()))
    return (todo[first : first + most] for first in range(0, len(todo), most))


def _lay_out(batches: Batches, todo: list[int], work: Path, progress: bool) -> None:
    """The files of `FolderEngine.run_folder`: links to those on disk, else made for this call."""
    inputs = work / IN_NAME
    for key in batches.spec.inputs:
        (inputs / key).mkdir(parents=True)
    if _on_disk(batches):
        for number in todo:
            batches.load(number)  # checks its size
            for key in batches.spec.inputs:
                link(batches.path(number, key), inputs / key / f"{number}.bin")
        return
    with progress_bar(len(todo), "batches to files", "batches") if progress else nullcontext() as bar:
        for number, arrays in zip(todo, batches.ready(todo), strict=True):
            for key, array in arrays.items():
                np.ascontiguousarray(array, DTYPE).tofile(inputs / key / f"{number}.bin")
            if bar is not None:
                bar.update()


def _run_at_once(engine: FolderEngine, batches: Batches, todo: list[int], folder: Path, progress: bool) -> None:
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=folder) as name:
        work = Path(name)
        _lay_out(batches, todo, work, progress)
        try:
            done = engine.run_folder(work, progress=progress)
        except BaseException:
            _keep(engine.finished(work), folder)
            raise
        write_text_atomic(folder / CONSOLE_NAME, done.console)
        if done.summary is not None:
            done.summary.replace(folder / SUMMARY_NAME)
        _keep(done.results, folder)


def _keep(results: dict[int, Path], folder: Path) -> None:
    for number, path in results.items():
        path.replace(folder / f"{number}_0.bin")
