"""The frame store: one ZIP file of JPEG frames per video, read by index without touching the rest.

The container is a plain ZIP archive (entries stored, not compressed) whose members are named as the original
scripts name them, ``image_00001.jpg`` onwards: any tool can list or unpack it, and unpacking gives the folder that
those scripts expect. Because all names have one length and no entry has extra fields, the archive's directory is a
table of fixed-size rows, which NumPy reads in one step; frames are then slices of the memory-mapped file.
The archive's comment is a JSON object that says where the frames came from.
"""

from __future__ import annotations

import io
import json
import mmap
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path

MAX_FRAMES = 65_535  # of a ZIP archive without the 64-bit extension, which would make rows unequal
_NAME = "image_{:05d}.jpg"
_NAME_LENGTH = len(_NAME.format(1))
_END = 22  # bytes of the end record before its comment
# One row of the central directory (PKWARE APPNOTE 4.3.12), with a 15-byte name and no extra field.
_ROW = np.dtype(
    [
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
        ("name", f"S{_NAME_LENGTH}"),
    ]
)


class StoreError(BookError):
    """A frame store file is missing or damaged."""


@dataclass(frozen=True)
class StoreInfo:
    """Where the frames of a store file came from."""

    source: str
    """File name of the video."""
    source_bytes: int
    fps: float
    height: int
    """Height that frames were scaled to, in pixels."""
    quality: int
    """JPEG quality, 1..100."""
    ffmpeg: str
    """Libraries that decoded the video."""


def write_store(path: Path | str, frames: Iterable[bytes], info: StoreInfo) -> int:
    """Write JPEG frames to `path` in one step and return their number. The same input gives the same bytes.

    Raises StoreError if there are no frames or more than 65,535.
    """
    count = 0
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for jpeg in frames:
                count += 1
                if count > MAX_FRAMES:
                    raise StoreError(f"{info.source}: more than {MAX_FRAMES} frames; cut the video into parts")
                archive.writestr(zipfile.ZipInfo(_NAME.format(count)), jpeg)  # ZipInfo's default date is 1980
            archive.comment = json.dumps(asdict(info)).encode()
        if not count:
            raise StoreError(f"{info.source}: no frame could be decoded")
    return count


class FrameStore:
    """Random access to the frames of one store file. Thread-safe; use as a context manager or let it be collected."""

    def __init__(self, path: Path | str) -> None:
        """Map the file and read its directory. Raises StoreError if it is missing or not a whole store file."""
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path}: cannot be read ({error}); run the data stage again") from error
        rows, self._comment = _directory(self.path, self._map)
        self._starts = rows["offset"].astype(np.int64) + 30 + _NAME_LENGTH
        self._ends = self._starts + rows["size"]

    def __len__(self) -> int:
        return len(self._starts)

    def __enter__(self) -> FrameStore:
        return self

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
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the first frame, in pixels."""
        height, width, _, _ = simplejpeg.decode_jpeg_header(self.jpeg(0))
        return width, height

    def jpeg(self, index: int) -> bytes:
        """The stored JPEG of frame `index`, from 0. Raises IndexError beyond the end."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        return self._map[self._starts[index] : self._ends[index]]

    def frames(self, indices: Sequence[int], *, min_size: int = 0, fast: bool = False) -> Iterator[np.ndarray]:
        """Frames by index, each uint8 RGB (H, W, 3), 0..255, in a buffer that the next one overwrites.

        One buffer for all frames of a clip: fetching fresh memory for each costs a third of the time. `fast` takes
        libjpeg's quicker transform (one grey level off on average). With `min_size`, libjpeg may return the frames at
        1/2, 3/8, 1/4 or 1/8 of their size as long as the shorter side keeps at least that many pixels, which is
        several times faster. Raises StoreError for a damaged JPEG.
        """
        width, height = self.frame_size
        buffer = np.empty(width * height * 3, np.uint8)
        scale = {"min_height": min_size, "min_width": min_size, "min_factor": 2} if min_size else {}
        for index in indices:
            data = self.jpeg(index)
            try:
                yield simplejpeg.decode_jpeg(data, fastdct=fast, fastupsample=fast, buffer=buffer, **scale)
            except ValueError as error:
                why = f"frame {index} is damaged ({error}); delete the file and prepare again"
                raise StoreError(f"{self.path}: {why}") from error

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames by index, each uint8 RGB (H, W, 3), 0..255, to keep. Raises StoreError for a damaged JPEG."""
        return [frame.copy() for frame in self.frames(indices)]


def _directory(path: Path, data: mmap.mmap) -> tuple[np.ndarray, bytes]:
    """Rows of the archive's directory, and its comment."""
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - _END - 65_535))
    damaged = StoreError(f"{path}: is not a whole frame store file; delete it and run the data stage again")
    if end < 0 or len(data) < end + _END:
        raise damaged
    record = np.frombuffer(data[end + 4 : end + _END], "<u2")
    count, start = int(record[3]), int(record[6]) + (int(record[7]) << 16)
    if len(data) != end + _END + int(record[8]) or start + count * _ROW.itemsize != end or not count:
        raise damaged
    rows = np.frombuffer(data[start:end], _ROW)
    names = [_NAME.format(i + 1).encode() for i in (0, count - 1)]
    good = (
        (rows["signature"] == b"PK\x01\x02").all()
        and not rows["method"].any()
        and (rows["offset"].astype(np.int64) + 30 + _NAME_LENGTH + rows["size"] <= start).all()
        and [rows["name"][0], rows["name"][-1]] == names
    )
    if not good:
        raise damaged
    return rows, bytes(data[end + _END :])


def unpacked(path: Path | str) -> dict[str, bytes]:
    """All members by name through the standard ZIP reader, checksums verified: the slow, independent way to read."""
    with zipfile.ZipFile(io.BytesIO(Path(path).read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
