"""Answers of an OM file from another machine, put where the notebooks look for them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actionbook.core.files import TEMPORARY, sha256_file, write_json_atomic
from actionbook.core.paths import shown
from actionbook.elsewhere.streams import RESULTS, Stream, converted_streams
from actionbook.inference import InferenceError, read_results
from actionbook.inference.runner import RECORD_NAME
from actionbook.inference.summaries import CONSOLE_NAME, SUMMARY_NAME

MACHINE_NAME = "machine.json"
_SAID = ("tool", "npu_smi", "cann", "machine")
_AGAIN = "Run run_om.py there to its end, and bring its folder again"


def bring(out: Path | str, workspace: Path | str) -> tuple[Path, ...]:
    """Take the answers in `out`, which `take` has made and run_om.py filled, into ``results/OM`` of every stream.

    Returns these folders; notebooks 04 and 05 read them. Nothing is put there before the answers of all streams are
    found to belong, by digest, to the batches and ONNX files of the workspace, to be the bytes that the other machine
    wrote, and to be finite numbers of the right size. Answers that were there before are replaced. Raises BookError as
    `converted_streams`, InferenceError naming the file that does not belong or is damaged.
    """
    streams = converted_streams(workspace)
    checked = [(stream, _checked(stream, Path(out) / stream.name)) for stream in streams]
    return tuple(_put(stream, Path(out) / stream.name, said) for stream, said in checked)


def _checked(stream: Stream, folder: Path) -> dict[str, Any]:
    """What run_om.py says of its answers in `folder`, once it holds."""
    source = folder / RESULTS / RECORD_NAME
    said = _read(source)
    here = {"batches_sha256": stream.batches.sha256, "onnx_sha256": sha256_file(stream.onnx)}
    for key, name in (("batches_sha256", "other batches"), ("onnx_sha256", "another network.onnx")):
        if said.get(key) != here[key]:
            raise InferenceError(
                f"{shown(source)}: answers of {name} ({str(said.get(key))[:12]}) than in {shown(stream.folder)} "
                f"({here[key][:12]}). Take these there, or bring the answers to the workspace that they came from"
            )
    read_results(folder / RESULTS, stream.batches)
    digest = hashlib.sha256()
    for number in range(len(stream.batches)):
        digest.update((folder / RESULTS / f"{number}_0.bin").read_bytes())
    if said.get("answers_sha256") != digest.hexdigest():
        raise InferenceError(f"{shown(folder / RESULTS)}: not the bytes that the other machine wrote. Copy them again")
    return said


def _put(stream: Stream, folder: Path, said: Mapping[str, Any]) -> Path:
    source, target = folder / RESULTS, stream.folder / RESULTS
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target.parent) as name:
        new = Path(name, "new")
        new.mkdir()
        for number in range(len(stream.batches)):
            shutil.copyfile(source / f"{number}_0.bin", new / f"{number}_0.bin")
        for one in (CONSOLE_NAME, SUMMARY_NAME):
            if (source / one).is_file():
                shutil.copyfile(source / one, new / one)
        machine = _read(source / MACHINE_NAME)
        write_json_atomic(new / MACHINE_NAME, {key: str(machine.get(key, "")) for key in _SAID})
        write_json_atomic(new / RECORD_NAME, dict(said))
        if target.exists():
            target.replace(Path(name, "old"))
        new.replace(target)
    if (folder / "atc.log").is_file():
        shutil.copyfile(folder / "atc.log", stream.folder / "export" / f"network_bs{stream.batches.batch_size}.atc.log")
    return target


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InferenceError(f"{shown(path)}: cannot be read ({error}). {_AGAIN}") from error
    if not isinstance(found, dict):
        raise InferenceError(f"{shown(path)}: expected what run_om.py writes. {_AGAIN}")
    return found
