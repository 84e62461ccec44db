"""The frame store: one ZIP file of JPEG frames per video, read by index without touching the rest.

The container is a plain ZIP archive (entries stored, not compressed) whose members are named as the original
scripts name them: ``image_00001.jpg`` onwards for frames in colour, ``image_00001x.jpg`` and ``image_00001y.jpg``
onwards for optical flow. Any tool can list or unpack it, and unpacking gives the folder that those scripts expect.
Because all names have one length and no entry has extra fields, the archive's directory is a table of fixed-size rows,
which NumPy reads in one step; frames are then slices of the memory-mapped file.
The archive's comment is a JSON object that says where the frames came from.
"""

from __future__ import annotations

import io
import json
import mmap
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from actionbook.core.files import atomic_path
from actionbook.video.reader import COLOUR, FLOW, FrameReader, StoreError

MAX_FRAMES = 65_535
"""JPEGs of a ZIP archive without the 64-bit extension, which would make rows unequal; a frame of flow has two."""
CHECKSUM = np.dtype([("name", "S24"), ("size", "<u4"), ("crc", "<u4")])
"""What tells one JPEG from another: name, bytes and CRC-32."""
_NAME = "image_{:05d}{}.jpg"
_END = 22  # bytes of the end record before its comment


def _row(components: tuple[str, ...]) -> np.dtype:
    """One row of the central directory (PKWARE APPNOTE 4.3.12), with a name of fixed length and no extra field."""
    fields = [
        ("signature", "S4"),
        ("versions", "<u4"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u4"),
        ("crc", "<u4"),
        ("packed", "<u4"),
        ("size", "<u4"),
        ("name_length", "<u2"),
        ("extra_length", "<u2"),
        ("comment_length", "<u2"),
        ("disk", "<u2"),
        ("attributes", "V6"),
        ("offset", "<u4"),
        ("name", f"S{len(_NAME.format(1, components[0]))}"),
    ]
    return np.dtype(fields)


@dataclass(frozen=True)
class StoreInfo:
    """Where the frames of a store file came from."""

    source: str
    """File name of the video; of flow, of the frame store."""
    source_bytes: int
    fps: float
    height: int | None
    """Pixels that the recipe's side of the frames (the height, or the shorter one) was scaled to; None: not scaled."""
    quality: int
    """JPEG quality, 1..100."""
    ffmpeg: str
    """Libraries that decoded the video."""
    flow: str = ""
    """Algorithm, parameters and libraries of optical flow; empty for frames in colour."""
    bound: float | None = None
    """Pixels of displacement that the flow's 0 and 255 stand for, to either side."""
    declared: int = 0
    """Frames by the video's header, or by the cut, where that says another number than were decoded; else 0."""
    note: str = ""
    """What was odd about the video."""
    source_sha256: str = ""
    """Of the video's bytes; of flow, of the frames (see `digests.digest_of`)."""
    source_ends: str = ""
    """Digest of the video's first and last bytes, which is quick to compare; of flow empty."""
    cut: str = ""
    """The part of the video that is stored, and its rate (`resample.cut_name`); empty: every frame of all of it."""

    def as_comment(self) -> bytes:
        """As JSON; what only flow has is left out of the frames in colour, what is odd where nothing is."""
        fields = asdict(self)
        if not self.flow:
            del fields["flow"], fields["bound"]
        for name in ("declared", "note", "source_sha256", "source_ends", "cut"):
            if not fields[name]:
                del fields[name]
        return json.dumps(fields).encode()


def write_store(
    path: Path | str,
    frames: Iterable[bytes | tuple[bytes, bytes]],
    info: StoreInfo,
    *,
    finish: Callable[[int, StoreInfo], StoreInfo] | None = None,
) -> int:
    """Write frames to `path` in one step and return their number. The same input gives the same bytes.

    A frame is a JPEG, or two grey ones of flow: to the right (x) and down (y). `finish` gets the number of frames and
    `info` once all are written, and returns what is to be stored instead of `info`; what it raises leaves no file.
    Raises StoreError if there are no frames, or more than 65,535 JPEGs.
    """
    count = 0
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for frame in frames:
            count += 1
            named = [("", frame)] if isinstance(frame, bytes) else list(zip(FLOW, frame, strict=True))
            if count * len(named) > MAX_FRAMES:
                limit = MAX_FRAMES // len(named)
                raise StoreError(f"{info.source}: more than {limit} frames; cut the video into parts")
            for component, jpeg in named:  # ZipInfo's default date is 1980
                archive.writestr(zipfile.ZipInfo(_NAME.format(count, component)), jpeg)
        if not count:
            raise StoreError(f"{info.source}: no frame could be decoded")
        archive.comment = (finish(count, info) if finish else info).as_comment()
    return count


class FrameStore(FrameReader):
    """Random access to the frames of one store file. Thread-safe; use as a context manager or let it be collected."""

    def __init__(self, path: Path | str, *, glance: bool = False) -> None:
        """Map the file and read its directory. Raises StoreError if it is missing or not a whole store file.

        With `glance` only what is asked for comes from the disk, without what lies around it: for looking at directory
        and comment, of which a store of 800 kB then costs 20. One of 27,030 frames opens in about a millisecond.
        """
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                if glance:
                    self._map.madvise(mmap.MADV_RANDOM)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path}: cannot be read ({error}); run the data stage again") from error
        self.components, rows, self._comment = _directory(self.path, self._map)
        self._rows = rows
        self._starts = rows["offset"].astype(np.int64) + 30 + rows.dtype["name"].itemsize
        self._ends = self._starts + rows["size"]

    def __len__(self) -> int:
        return len(self._starts) // len(self.components)

    def __exit__(self, *_: object) -> None:
        self._map.close()

    @property
    def info(self) -> StoreInfo:
        """Where the frames came from. Raises StoreError if the comment was altered."""
        try:
            return StoreInfo(**json.loads(self._comment))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: its comment is not the book's; run the data stage again") from error

    @property
    def stored_bytes(self) -> int:
        """Size of the file."""
        return len(self._map)

    def checksums(self) -> np.ndarray:
        """One row of `CHECKSUM` for each JPEG in order, from the archive's directory: no frame is read."""
        return self._rows[list(CHECKSUM.names or ())].astype(CHECKSUM)

    def jpeg(self, index: int, component: str = "") -> bytes:
        """See `FrameReader`."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        member = index * len(self.components) + (component == FLOW[1])
        return self._map[self._starts[member] : self._ends[member]]


def _directory(path: Path, data: mmap.mmap) -> tuple[tuple[str, ...], np.ndarray, bytes]:
    """What a frame consists of, the rows of the archive's directory, and its comment."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - _END - 65_535))
    damaged = StoreError(f"{path}: is not a whole frame store file; delete it and run the data stage again")
    if end < 0 or len(data) < end + _END:
        raise damaged
    record = np.frombuffer(data[end + 4 : end + _END], "<u2")
    count, start = int(record[3]), int(record[6]) + (int(record[7]) << 16)
    if len(data) != end + _END + int(record[8]) or not count or not 0 <= start < end:
        raise damaged
    for components in (COLOUR, FLOW):
        row = _row(components)
        if start + count * row.itemsize == end and count % len(components) == 0:
            break
    else:
        raise damaged
    rows = np.frombuffer(data[start:end], row)
    names = [_NAME.format(1, components[0]).encode(), _NAME.format(count // len(components), components[-1]).encode()]
    good = (
        (rows["signature"] == b"PK\x01\x02").all()
        and not rows["method"].any()
        and (rows["offset"].astype(np.int64) + 30 + row["name"].itemsize + rows["size"] <= start).all()
        and [rows["name"][0], rows["name"][-1]] == names
    )
    if not good:
        raise damaged
    return components, rows, bytes(data[end + _END :])


def unpacked(path: Path | str) -> dict[str, bytes]:
    """All members by name through the standard ZIP reader, checksums verified: the slow, independent way to read."""
    with zipfile.ZipFile(io.BytesIO(Path(path).read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
