"""What the frames of a video are, as a digest of their bytes: the same in a store file and in a folder."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.files import sha256_json, write_json_atomic
from actionbook.video.frame_folder import FrameFolder, open_frames
from actionbook.video.parallel import in_threads
from actionbook.video.store import FrameStore

Remembered = dict[str, list[int]]


def frames_sha256(paths: Sequence[Path], memory: Path) -> str:
    """Digest of the frames of some videos, in order: names, sizes and CRC-32 of all their JPEGs.

    Of a store file the archive's directory has them; that its frames still fit is not looked at. Those of a folder
    are computed once and remembered in the file `memory`, as long as size and time of each file stay the same.
    Raises StoreError, as `open_frames`, for frames that cannot be read.
    """
    known = _read(memory)
    before = dict(known)
    digests = in_threads(lambda path: _video(path, known), list(paths), "naming frames by content")
    if known != before:
        write_json_atomic(memory, known)
    return sha256_json(digests)


def store_sha256(frames: FrameStore | FrameFolder) -> str:
    """Digest of one video's frames; of a folder by names and sizes alone, without reading them."""
    return sha256_json(frames.checksums() if isinstance(frames, FrameStore) else sorted(frames.sizes().items()))


def _video(path: Path, known: dict[str, Remembered]) -> str:
    with open_frames(path) as frames:
        if isinstance(frames, FrameStore):
            return sha256_json(frames.checksums())
        return sha256_json(_folder(frames, known))


def _folder(frames: FrameFolder, known: dict[str, Remembered]) -> list[tuple[str, int, int]]:
    """As `FrameStore.checksums`, frame by frame with its components."""
    earlier = known.get(str(frames.path), {})
    found: Remembered = {}
    rows = []
    for name in frames.names():
        path = f"{frames.path}/{name}"
        status = os.stat(path)  # noqa: PTH116 (a Path for each of many names takes most of the time)
        seen = earlier.get(name)
        if seen is None or seen[:2] != [status.st_size, status.st_mtime_ns]:
            seen = [status.st_size, status.st_mtime_ns, zlib.crc32(Path(path).read_bytes())]
        found[name] = seen
        rows.append((name, seen[0], seen[2]))
    if found != earlier:
        known[str(frames.path)] = found
    return rows


def _read(memory: Path) -> dict[str, Remembered]:
    """What was remembered; nothing where that cannot be read, so that it is computed anew."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        rows = [row for names in known.values() for row in names.values()]
        whole = all(isinstance(row, list) and len(row) == 3 and all(isinstance(n, int) for n in row) for row in rows)
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(known) if whole else {}
