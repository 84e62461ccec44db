"""Frames packed into one pickle for each video, as StNet's programs leave them (video2pkl.py): read where they are.

A pack is a tuple of the video's id, the number of its class and a list of JPEGs; in some the list comes second. It is
read as data (`core.pickle_reader`): nothing in it is executed, and whatever is no tuple, text, number or bytes is
refused. Packs of Python 2 hold their JPEGs as strings, those of Python 3, which wrote protocol 2 as well, as the text
of their bytes.
"""

from __future__ import annotations

import io
import mmap
import pickletools
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from actionbook.core.pickle_bytes import BYTES_GLOBALS, Latin
from actionbook.core.pickle_reader import PickleError, read_pickle
from actionbook.core.placeholders import Placeholder
from actionbook.video.reader import FrameReader, StoreError

SUFFIX = ".pkl"
MAX_PACK_BYTES = 1 << 30
"""Of the longest pack that is read; ten seconds in full high definition take a third of it."""
_HEAD = 4096
"""Bytes in which a class number is looked for that comes before the frames."""
_INTEGERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1"})


class FramePack(FrameReader):
    """The frames of one pack, in colour. All of it is read at once, since a pickle has no directory."""

    label: int
    """Number of the video's class, from 0, by the list of classes that the packing program had."""
    first = 1
    """As of `FrameFolder`, whose names these frames have."""

    def __init__(self, path: Path | str) -> None:
        """Read the pack. Raises StoreError naming it for any other content, and for a pack without frames."""
        self.path = Path(path)
        self.label, self._frames = _contents(self.path)
        if not self._frames:
            raise StoreError(
                f"{self.path}: holds no frames. The program that packs videos (video2pkl.py) calls FFmpeg through a "
                "shell without quotes and so loses every video that has a space in its path, as most classes of "
                "Kinetics do; pack it again from a path without spaces"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def __exit__(self, *_: object) -> None:
        pass

    def names(self) -> list[str]:
        """Names that the frames would have in a store or a folder."""
        return [f"image_{number + 1:05d}.jpg" for number in range(len(self))]

    def sizes(self) -> dict[str, int]:
        """Bytes of every frame, by its name."""
        return {name: len(_text_or_bytes(frame)) for name, frame in zip(self.names(), self._frames, strict=True)}

    @property
    def stored_bytes(self) -> int:
        """Size of all frames."""
        return sum(self.sizes().values())

    def jpeg(self, index: int, component: str = "") -> bytes:
        """See `FrameReader`."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        frame = _text_or_bytes(self._frames[index])
        try:
            return frame if isinstance(frame, bytes) else frame.encode("latin-1")
        except UnicodeEncodeError as error:
            raise self._damaged(index, error) from error


def label_of(path: Path) -> int:
    """The class number in a pack, also of one without frames; usually its first bytes tell. Raises as `FramePack`."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise _unreadable(path, error) from error
    for name, argument in _operations(head):
        if name in _INTEGERS:
            return _number(path, argument)
        if name == "EMPTY_LIST":  # the frames come first
            break
    return _contents(path)[0]


def _operations(head: bytes) -> Iterator[tuple[str, Any]]:
    """The first operations of a pickle; fewer where it is cut off, or none."""
    try:
        for operation, argument, _ in islice(pickletools.genops(io.BytesIO(head)), 8):
            yield operation.name, argument
    except Exception:  # the decoder documents no closed set; what is wrong, `_contents` says
        pass


def _contents(path: Path) -> tuple[int, list[Any]]:
    """Class number and frames of a pack, each frame bytes, a `Latin`, or a string of characters up to 255."""

    def refuse(_: Any) -> None:
        raise StoreError(f"{path}: refers to something outside of it, which no pack does; make it again")

    try:
        size = path.stat().st_size
        if size > MAX_PACK_BYTES:
            raise StoreError(f"{path}: {size} bytes, more than the {MAX_PACK_BYTES} of any pack; cut the video")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = read_pickle(data, BYTES_GLOBALS, refuse, str(path), MAX_PACK_BYTES)  # type: ignore[arg-type]
    except PickleError as error:
        raise StoreError(f"{error}; make it again") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(found, tuple) or len(found) != 3:
        raise StoreError(f"{path}: expected the tuple of an id, a class number and frames, found {_what(found)}")
    video, *rest = found
    label, frames = rest if isinstance(rest[1], list) else reversed(rest)
    if not isinstance(video, str | bytes | Latin) or not isinstance(frames, list):
        raise StoreError(
            f"{path}: expected an id, a class number and a list of frames, found {', '.join(map(_what, found))}"
        )
    for number, frame in enumerate(frames):
        if not isinstance(frame, str | bytes | Latin):
            raise StoreError(f"{path}: frame {number} is {_what(frame)}, expected the bytes of a JPEG; pack it again")
    return _number(path, label), frames


def _number(path: Path, label: Any) -> int:
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 1 << 31:
        raise StoreError(f"{path}: the class is {_what(label)}, expected a number from 0; pack it again")
    return label


def _text_or_bytes(frame: str | bytes | Latin) -> str | bytes:
    """What was read of a frame; as text, one character stands for each byte."""
    return frame.text if isinstance(frame, Latin) else frame


def _what(found: Any) -> str:
    """A value in an error: numbers and short texts themselves, all else by the name of its type."""
    if isinstance(found, Placeholder):
        return found.name
    if isinstance(found, int) and found.bit_length() > 64:  # its digits may be more than Python writes
        return "a long number"
    text = repr(found) if isinstance(found, int | float | str | None) else ""
    return (
        text
        if 0 < len(text) <= 40
        else f"{type(found).__name__}" + (f" of {len(found)}" if isinstance(found, list | tuple) else "")
    )


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: cannot be read ({error}); make it again")
