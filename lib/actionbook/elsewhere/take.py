"""What a machine with a card, and without the book, needs to answer a recipe's samples with its OM files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from actionbook.conversion import om_command
from actionbook.conversion.check import computes_in_half
from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path, sha256_file, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.sections import KEEP_BATCHES
from actionbook.elsewhere.streams import Stream, converted_streams
from actionbook.inference import InferenceError, ais_bench_command, msame_command
from actionbook.inference.batches import INFO_NAME

SCRIPT = "run_om.py"
JOB = "job.json"


def take(workspace: Path | str, out: Path | str, soc_version: str | None = None) -> int:
    """Make the folder `out` of all streams of ``work/<chapter>/<recipe>``; returns its size in bytes.

    In it are ``run_om.py``, which needs neither this library nor NumPy, and for each stream a folder with the ONNX
    file, the batches and ``job.json``: the commands, and by size and digest what belongs to them. Files are hard links
    where the file system has them, else copies. `soc_version` is the chip to compile for (None: the recipe's). Called
    again it goes on, and leaves answers alone. Raises BookError as `converted_streams`, and for a folder that holds
    another network or other batches, or where the files of batches were not kept; ConversionError for a chip that ATC
    does not know.
    """
    out, size, streams = Path(out), 0, converted_streams(workspace)
    if bare := [stream.batches for stream in streams if not stream.batches.kept]:
        raise BookError(
            f"{shown(bare[0].folder)}: the files of the batches, {bare[0].total_bytes / 1e9:,.3g} GB, were not kept. "
            f'Run notebook 04 again with -y "overrides: {KEEP_BATCHES}"'
        )
    for stream in streams:
        job, folder = _job(stream, soc_version or stream.soc_version), out / stream.name
        if (folder / JOB).is_file() and json.loads((folder / JOB).read_text(encoding="utf-8")) != job:
            raise BookError(f"{shown(folder)}: holds another network, chip or other batches; choose an empty folder")
        for source, target in _files(stream):
            _place(source, folder / target)
            size += source.stat().st_size
        write_json_atomic(folder / JOB, job)
    _place(Path(__file__).with_name(SCRIPT), out / SCRIPT)
    return size


def _job(stream: Stream, soc_version: str) -> dict[str, Any]:
    batches, spec = stream.batches, stream.batches.spec
    if spec.output is None:
        raise InferenceError(f"{batches}: does not say what the network gives. Write the batches again")
    command = om_command(batches.batch_size, spec, soc_version, half=computes_in_half(onnx.load(stream.onnx)))
    om = f"network_bs{batches.batch_size}.om"
    inputs = [f"in/{name}" for name in spec.inputs]
    return {
        "om": om,
        "atc": command,
        "ais_bench": ais_bench_command(om, inputs, "out"),
        "msame": msame_command(om, inputs, "out"),
        "batches": len(batches),
        "batch_size": batches.batch_size,
        "inputs": {
            name: [batches.batch_size * spec.bytes(name), [batches.batch_size, *shape]]
            for name, shape in spec.inputs.items()
        },
        "answer_bytes": batches.batch_size * int(np.prod(spec.output)) * 4,
        "batches_sha256": batches.sha256,
        "onnx_sha256": sha256_file(stream.onnx),
    }


def _files(stream: Stream) -> Iterator[tuple[Path, str]]:
    """Files of a stream, and where they go."""
    yield stream.onnx, "network.onnx"
    yield stream.batches.folder / INFO_NAME, f"batches/{INFO_NAME}"
    for number in range(len(stream.batches)):
        for name in stream.batches.spec.inputs:
            yield stream.batches.path(number, name), f"batches/{name}/{number}.bin"


def _place(source: Path, target: Path) -> None:
    """Make `target` the file `source`, which another file system gets as a copy: a symbolic link would lead nowhere."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            temporary.hardlink_to(source.resolve())
        except OSError:
            shutil.copyfile(source, temporary)
