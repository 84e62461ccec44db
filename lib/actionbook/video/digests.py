"""What the frames of a video are, as a digest of their bytes: the same in a store file and in a folder."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from actionbook.core.files import sha256_json, write_json_atomic
from actionbook.video.frame_folder import FrameFolder, Frames, frames_path, open_frames
from actionbook.video.parallel import in_threads
from actionbook.video.reader import StoreError
from actionbook.video.store import CHECKSUM, FrameStore

Memory = dict[str, tuple[str, str]]
"""Of every store file, folder and pack, by its path: digest of the listing, digest of the frames."""


def frames_sha256(paths: Sequence[Path], memory: Path) -> str:
    """Digest of the frames of some videos, in order, each as `digests` gives it.

    Raises StoreError naming the first video whose frames cannot be read.
    """
    found = digests(paths, memory)
    if "" in found:
        path = paths[found.index("")]
        raise StoreError(
            f"{path}: its frames cannot be read, with those of {found.count('')} videos; run 01_data again"
        )
    return sha256_json(found)


def digests(paths: Sequence[Path], memory: Path | None = None) -> list[str]:
    """Digest of each video's frames, see `digest_of`; empty where they cannot be read (paths as for `open_frames`).

    They are remembered in the file `memory`, if there is one, as long as size and times of a store file or a pack, or
    names, sizes and times of all files in a folder, stay the same: a second look opens none of them.
    """
    known = _read(memory)
    before = dict(known)

    def look(path: Path) -> str:
        place = frames_path(path)
        try:
            folder = None if place.is_file() else FrameFolder(place)
            listing = _listing([str(place)] if folder is None else [f"{place}/{name}" for name in folder.names()])
            key = str(place.resolve())
            if known.get(key, ("", ""))[0] != listing:
                with folder or open_frames(place) as frames:
                    known[key] = (listing, digest_of(frames))
        except (StoreError, OSError):
            return ""
        return known[key][1]

    found = in_threads(look, paths, "naming frames")
    if memory is not None and known != before:
        write_json_atomic(memory, known)
    return found


def digest_of(frames: Frames) -> str:
    """Digest of name, size and CRC-32 of every JPEG, frame by frame.

    Of a store file the archive's directory has them; whether its frames fit them is not looked at, which is what the
    decoder and `unpacked` do. Of a folder or a pack every frame is read.
    """
    if isinstance(frames, FrameStore):
        checksums = frames.checksums()
    else:
        members = [(index, component) for index in range(len(frames)) for component in frames.components]
        files = zip(frames.names(), (frames.jpeg(*member) for member in members), strict=True)
        checksums = np.array([(name, len(data), zlib.crc32(data)) for name, data in files], CHECKSUM)
    return hashlib.sha256(checksums.tobytes()).hexdigest()


def _listing(files: Sequence[str]) -> str:
    """Digest of names, sizes and times: of a file that is written anew at least one differs."""
    listing = hashlib.sha256()
    for file in files:
        status = os.stat(file)  # noqa: PTH116 (a Path for each of many names takes most of the time)
        name = file.rpartition("/")[2]
        listing.update(f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return listing.hexdigest()


def _read(memory: Path | None) -> Memory:
    """What was remembered; nothing where the file is missing or damaged, so that it is made anew."""
    try:
        return TypeAdapter(Memory).validate_json(memory.read_bytes(), strict=True) if memory else {}
    except (OSError, ValidationError):
        return {}
