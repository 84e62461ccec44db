"""Batches that the Ascend port of Efficient-3DCNNs has written itself."""

from __future__ import annotations

from pathlib import Path

from actionbook.core.files import sha256_file
from actionbook.inference.batches import BatchSet, check_files, parse_info
from actionbook.inference.errors import InferenceError


def read_port_batches(
    folder: Path | str, info_path: Path | str, clip_shape: tuple[int, ...], batch_size: int
) -> BatchSet:
    """Open the batches that the port's preprocessing wrote: ``<k>.bin`` in `folder`, and an info file anywhere.

    ``<k>.bin`` is raw float32 (batch_size, *clip_shape); line k of the info file has the video id of each of its clips,
    a space after each. The port drops an incomplete last batch, so clips of the last videos may be lacking: compare
    the ids with the index, which also has the labels (the info file has none). Raises InferenceError, naming the file,
    where one is missing, superfluous, of another size, or a line has another number of ids.
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
    batches = BatchSet(folder, ids, batch_size, tuple(clip_shape), sha256_file(info))
    check_files(batches, info)
    return batches
