"""Batches that the Ascend port of Efficient-3DCNNs has written itself."""

from __future__ import annotations

from pathlib import Path

from actionbook.core.files import sha256_file, sha256_json
from actionbook.core.spec import Shape, Spec
from actionbook.inference.batches import BatchSet, check_files, parse_info
from actionbook.inference.errors import InferenceError


def read_port_batches(folder: Path | str, info_path: Path | str, spec: Spec | Shape, batch_size: int) -> BatchSet:
    """Open the batches that the port's preprocessing wrote: ``<k>.bin`` in `folder`, and an info file anywhere.

    ``<k>.bin`` is raw float32 (batch_size, C, T, H, W); `spec` says the clip's shape. Line k of the info file has the
    video id of each of its clips, a space after each. The port drops an incomplete last batch, so clips of the last
    videos may be lacking: compare the ids with the index, which also has the labels (the info file has none). Raises
    InferenceError, naming the file, where one is missing, superfluous, of another size, or a line has another number
    of ids.
    """
    folder, info = Path(folder), Path(info_path)
    if not info.is_file():
        raise InferenceError(f"{info} is missing: the info file that the port's preprocessing writes (--info_path)")
    try:
        ids = parse_info(info.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InferenceError(f"{info}: not text; expected a line of video ids for each batch") from error
    if not ids:
        raise InferenceError(f"{info}: empty; expected a line of video ids for each batch")
    found = Spec.of(spec)
    files = [path for number in range(len(ids)) if (path := folder / f"{number}.bin").is_file()]
    # Tens of gigabytes: told apart by names, sizes and times, not by their bytes.
    listing = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    content = sha256_json([sha256_file(info), listing])
    batches = BatchSet(folder, ids, batch_size, found, content, {found.single: folder})
    check_files(batches, info)
    return batches
