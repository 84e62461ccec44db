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
from actionbook.core.pickle_reader import Function, PickleError, read_pickle
from actionbook.core.pickle_spans import Span
from actionbook.core.placeholders import Placeholder
from actionbook.video.reader import FrameReader, StoreError

SUFFIX = ".pkl"
MAX_PACK_BYTES = 1 << 30
"""Of the longest pack that is read; ten seconds in full high definition take a third of it."""
_HEAD = 4096
"""Bytes in which a class number is looked for that comes before the frames."""
_INTEGERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1"})


Frame = Span | Latin | str | bytes
"""What stands for a JPEG; of text, also that in a span, each character is one of its bytes."""


def _encoded(text: Any, encoding: Any = None) -> Span | Latin:
    """`_codecs.encode`, also of what was passed over."""
    if isinstance(text, Span) and text.text and encoding == "latin1":
        return text
    latin: Latin = BYTES_GLOBALS["_codecs", "encode"].call(text, encoding)
    return latin


_GLOBALS = {**BYTES_GLOBALS, ("_codecs", "encode"): Function("_codecs.encode", _encoded)}


class FramePack(FrameReader):
    """The frames of one pack, in colour. Thread-safe; use as a context manager or let it be collected.

    Its structure is walked through when it is opened, since a pickle has no directory; only frames that are asked for
    are read.
    """

    label: int
    """Number of the video's class, from 0, by the list of classes that the packing program had."""
    first = 1
    """As of `FrameFolder`, whose names these frames have."""

    def __init__(self, path: Path | str) -> None:
        """Read the pack. Raises StoreError naming it for any other content, and for a pack without frames."""
        self.path = Path(path)
        self._map = _mapped(self.path)
        self.label, self._frames = _contents(self.path, self._map)
        if not self._frames:
            raise StoreError(
                f"{self.path}: holds no frames. The program that packs videos (video2pkl.py) calls FFmpeg through a "
                "shell without quotes and so loses every video that has a space in its path, as most classes of "
                "Kinetics do; pack it again from a path without spaces"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def names(self) -> list[str]:
        """Names that the frames would have in a store or a folder."""
        return [f"image_{number + 1:05d}.jpg" for number in range(len(self))]

    def sizes(self) -> dict[str, int]:
        """Bytes of every frame, by its name."""
        return {name: len(self.jpeg(index)) for index, name in enumerate(self.names())}

    @property
    def stored_bytes(self) -> int:
        """Size of all frames."""
        return sum(self.sizes().values())

    def jpeg(self, index: int, component: str = "") -> bytes:
        """See `FrameReader`. Raises StoreError also for text that is no bytes."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        frame = self._frames[index]
        try:
            if isinstance(frame, Span):
                data = self._map[frame.start : frame.stop]
                return data.decode().encode("latin-1") if frame.text else data
            text = frame.text if isinstance(frame, Latin) else frame
            return text if isinstance(text, bytes) else text.encode("latin-1")
        except UnicodeError as error:
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
    with _mapped(path) as data:
        return _contents(path, data)[0]


def _operations(head: bytes) -> Iterator[tuple[str, Any]]:
    """The first operations of a pickle; fewer where it is cut off, or none."""
    try:
        for operation, argument, _ in islice(pickletools.genops(io.BytesIO(head)), 8):
            yield operation.name, argument
    except Exception:  # the decoder documents no closed set; what is wrong, `_contents` says
        pass


def _mapped(path: Path) -> mmap.mmap:
    try:
        size = path.stat().st_size
        if size > MAX_PACK_BYTES:
            raise StoreError(f"{path}: {size} bytes, more than the {MAX_PACK_BYTES} of any pack; cut the video")
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _contents(path: Path, data: mmap.mmap) -> tuple[int, list[Frame]]:
    """Class number and frames of a pack."""

    def refuse(_: Any) -> None:
        raise StoreError(f"{path}: refers to something outside of it, which no pack does; make it again")

    try:
        found = read_pickle(data, _GLOBALS, refuse, str(path), MAX_PACK_BYTES, spans=True)  # type: ignore[arg-type]
    except PickleError as error:
        raise StoreError(f"{error}; make it again") from error
    if not isinstance(found, tuple) or len(found) != 3:
        raise StoreError(f"{path}: expected the tuple of an id, a class number and frames, found {_what(found)}")
    video, *rest = found
    label, frames = rest if isinstance(rest[1], list) else reversed(rest)
    if not isinstance(video, Frame) or not isinstance(frames, list):
        raise StoreError(
            f"{path}: expected an id, a class number and a list of frames, found {', '.join(map(_what, found))}"
        )
    for number, frame in enumerate(frames):
        if not isinstance(frame, Frame):
            raise StoreError(f"{path}: frame {number} is {_what(frame)}, expected the bytes of a JPEG; pack it again")
    return _number(path, label), frames


def _number(path: Path, label: Any) -> int:
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 1 << 31:
        raise StoreError(f"{path}: the class is {_what(label)}, expected a number from 0; pack it again")
    return label


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
