"""Frames in a folder, as the original scripts leave them: read where they are, without packing them again."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from actionbook.core.errors import some
from actionbook.video.frame_pack import SUFFIX, FramePack
from actionbook.video.names import hidden, video_key, without_suffix
from actionbook.video.reader import COLOUR, FLOW, FrameReader, StoreError
from actionbook.video.store import FrameStore

_NAME = r"(?:(?i:image|img)|{own})_(\d+)((?i:x|y|))\.(?i:jpe?g)"
_OTHER = re.compile(r".+_\d{6}\.jpe?g")
"""A frame of some video, as AVA's are named."""
COUNT_FILE = "n_frames"
_SETTLED_SECONDS = 2.0
"""A folder that was changed so long ago shows any later change by its time, however coarse the file system's clock."""


@dataclass(frozen=True)
class _Numbered:
    """Names that differ in their number alone, which go up by one: a few words for as many names as there are."""

    start: str
    digits: int
    end: str
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> str:
        return f"{self.start}{self.numbers[index]:0{self.digits}d}{self.end}"

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


class FrameFolder(FrameReader):
    """A folder of ``image_00001.jpg`` onwards, or of ``image_00001x.jpg`` and ``image_00001y.jpg`` onwards for flow.

    ``img_00001.jpg``, as the scripts of TSN and ECO and MMAction2 name them, serves as well, and so does
    ``<folder>_000001.jpg``, as those of AVA do; the folder's name with all its capitals.
    Numbers may have any count of digits, and may begin with 0 (see `first`). A text file ``n_frames`` with the highest
    number may lie beside them. Has all that a `FrameStore` has, but no `info`, since nobody wrote down where the frames
    came from.
    """

    first: int
    """Number in the name of frame 0: 1 as the original scripts count, or 0."""

    def __init__(self, path: Path | str) -> None:
        """Read the names in the folder.

        Raises StoreError naming folder and frame if it has no frames, of both kinds, x without y, gaps in the
        numbers, a number twice, frames of other videos, or another number of frames than ``n_frames`` says.
        """
        self.path = Path(path)
        try:
            names = os.listdir(self.path)  # noqa: PTH208 (a Path for each of many names takes most of the time)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error}); run the data stage again") from error
        found: dict[str, dict[int, str]] = {"": {}, "x": {}, "y": {}}
        own = self.path.absolute().name
        for match in filter(None, map(re.compile(_NAME.format(own=re.escape(own))).fullmatch, names)):
            other = found[match[2].lower()].setdefault(int(match[1]), match[0])
            if other != match[0]:
                raise StoreError(f"{self.path}: {' and '.join(sorted([other, match[0]]))} are one frame; remove one")
        used = set().union(*(frames.values() for frames in found.values()))
        if any(name.startswith(f"{own}_") for name in used) or not used:
            _check_strangers(self.path, names, used)
        self.components = _components(self.path, found, names)
        self._names = {component: _in_order(found[component]) for component in self.components}
        self.first = min(found[self.components[0]])
        if COUNT_FILE in names:
            _check_count(self.path, len(self), self._names[self.components[0]][-1], self.first)

    def __len__(self) -> int:
        return len(self._names[self.components[0]])

    def __exit__(self, *_: object) -> None:
        pass

    def names(self) -> list[str]:
        """Names of all files in the order of a store: frame by frame, of flow x before y."""
        return [name for frame in zip(*self._names.values(), strict=True) for name in frame]

    def sizes(self) -> dict[str, int]:
        """Bytes of every frame's file, by its name. Raises OSError if one cannot be looked at."""
        return {name: os.stat(f"{self.path}/{name}").st_size for name in self.names()}  # noqa: PTH116 (as above)

    @property
    def stored_bytes(self) -> int:
        """Size of all frames."""
        return sum(self.sizes().values())

    def jpeg(self, index: int, component: str = "") -> bytes:
        """The JPEG of frame `index`, from 0 (file number index + `first`); of flow, component x (or if so named y).

        Raises IndexError beyond the end, StoreError if the file cannot be read.
        """
        path = self.file(index, component)
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error}); make the frames again") from error

    def file(self, index: int, component: str = "") -> Path:
        """The file of frame `index`, as `jpeg` takes it. Raises IndexError beyond the end."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        return self.path / self._names[component or self.components[0]][index]


Frames = FrameStore | FrameFolder | FramePack
"""The frames of one video, whatever holds them."""


def open_frames(path: Path | str) -> Frames:
    """The frames of a video: the store file at `path` (``<class>/<video>.zip``), or else the folder, or the pack.

    The folder is named so without ``.zip``, the pack has ``.pkl`` instead; `path` may also be that of a pack itself.
    Where none of them exists, a folder may be found by another spelling of class and video (see `spellings`): UCF101's
    ``HandstandPushups`` has videos ``v_HandStandPushups_g01_c01``, and copies differ. The names in a folder are read
    once by a process, and again once it was changed. Raises StoreError as they do.
    """
    found = frames_path(Path(path))
    if found.is_dir():
        status = found.stat()
        settled = time.time() - status.st_mtime > _SETTLED_SECONDS
        return _known_folder(found, status.st_ino, status.st_mtime_ns) if settled else FrameFolder(found)
    return FramePack(found) if found.suffix == SUFFIX else FrameStore(found)


@lru_cache(maxsize=4096)
def _known_folder(path: Path, inode: int, changed_ns: int) -> FrameFolder:
    """A folder as it is since `changed_ns`; of 27,030 names it keeps one, so that those of many videos are kept."""
    return FrameFolder(path)


def frames_path(path: Path) -> Path:
    """What `open_frames` opens: the store file, the folder or the pack; `path` itself where there is nothing."""
    folder = path.with_name(path.name.removesuffix(".zip"))
    if path.is_file() or folder.is_dir():
        return path if path.is_file() else folder
    pack = folder.with_name(f"{folder.name}{SUFFIX}")
    if pack.is_file():
        return pack
    root = folder.parent.parent
    others = spellings(root, f"{folder.parent.name}/{folder.name}")
    return root / others[0] if len(others) == 1 else path


def names_by_key(folder: Path) -> dict[str, list[str]]:
    """The names in a folder by what their spellings have in common; none if there is no such folder."""
    found: dict[str, list[str]] = {}
    try:
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 (as above)
            if not hidden(name):
                found.setdefault(_key(name), []).append(name)
    except OSError:
        pass
    return found


def spellings(root: Path, name: str, names: Callable[[Path], dict[str, list[str]]] = names_by_key) -> list[str]:
    """All folders below `root` that are named like `name`, ``<class>/<video>``, as the videos of `datasets` are.

    That is, by any spelling of class and video (`video.names`), with the suffix of the video or without; where there is
    none, ``<class>/<class>/<video>`` or ``<video>`` alone. The exact one goes before all others. `names` lists a
    folder; one that remembers saves time where many are asked for.
    """
    label, _, video = name.rpartition("/")
    twice = f"{label}/{label.rpartition('/')[2]}/{video}" if label else name
    for way in dict.fromkeys((name, twice, video)):
        found = [""]
        for part in way.split("/"):
            found = [f"{start}{own}/" for start in found for own in names(root / start).get(_key(part), [])]
        if folders := [path.removesuffix("/") for path in found if (root / path).is_dir()]:
            return [name] if name in folders else folders
    return []


def _key(name: str) -> str:
    return video_key(without_suffix(name) or name)


def _in_order(names: dict[int, str]) -> Sequence[str] | _Numbered:
    """Names by their numbers."""
    ordered = [names[number] for number in sorted(names)]
    start, digits, end = _parts(ordered[0])
    regular = _Numbered(start, len(digits), end, range(int(digits), int(digits) + len(ordered)))
    return regular if all(map(str.__eq__, regular, ordered)) else ordered


def _check_strangers(path: Path, names: Iterable[str], used: set[str]) -> None:
    """Raise StoreError if frames of other videos lie in the folder, or nothing else does."""
    others = sorted(name for name in names if name not in used and _OTHER.fullmatch(name) and not hidden(name))
    if others:
        own = f"{len(used)} of its own" if used else f"none named {path.absolute().name}_000001.jpg"
        raise StoreError(
            f"{path}: holds {len(others)} frames of other videos, such as {others[0]}, and {own}; move them into "
            "folders of their names"
        )


def _parts(name: str) -> tuple[str, str, str]:
    """The name of a frame: before its number, the digits, and behind them."""
    stem, _, rest = name.rpartition("_")
    digits = re.split(r"[xXyY.]", rest, maxsplit=1)[0]
    return f"{stem}_", digits, rest[len(digits) :]


def _components(path: Path, found: dict[str, dict[int, str]], names: list[str]) -> tuple[str, ...]:
    """What the frames are, once their numbers are complete; `names` are those of all that lies in the folder."""
    if found[""] and (found["x"] or found["y"]):
        raise StoreError(f"{path}: holds frames in colour and of flow; give each a folder of its own")
    components = COLOUR if found[""] else FLOW
    numbers = sorted(set().union(*(found[component] for component in components)))
    if not numbers:
        others = sorted(name for name in names if name != COUNT_FILE and not hidden(name))
        there = f", but {some(others, 3)}" if others else ""
        raise StoreError(
            f"{path}: holds no image_00001.jpg or image_00001x.jpg (the original scripts leave an empty folder where "
            f"FFmpeg fails; those of AVA would write {path.absolute().name}_000001.jpg){there}; make the frames again"
        )
    last = next(found[component][numbers[-1]] for component in components if numbers[-1] in found[component])
    for component in components:
        missing = next((n for n in range(min(numbers[0], 1), numbers[-1] + 1) if n not in found[component]), None)
        if missing is not None:
            raise StoreError(
                f"{path}: {_like(last, missing, component)} is missing, the last frame is {numbers[-1]}; "
                "make the frames again"
            )
    return components


def _like(name: str, number: int, component: str) -> str:
    """The name of another frame, with the digits and suffix of `name`."""
    start, digits, end = _parts(name)
    return f"{start}{number:0{len(digits)}d}{component}.{end.rpartition('.')[2]}"


def _check_count(path: Path, frames: int, last: str, first: int) -> None:
    """`frames` are there without a gap; the file holds the highest number, or how many there are, if not the same."""
    try:
        count = float((path / COUNT_FILE).read_text(encoding="utf-8-sig"))  # read so by the original scripts
        if not count.is_integer():
            raise ValueError(f"found {count:g}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / COUNT_FILE}: expected a whole number ({error}); make it again") from error
    if count not in (frames, frames + first - 1):
        following = _like(last, frames + first, "").rpartition(".")[0]
        why = (
            f"{following} is the first that is missing: make both again"
            if count > frames
            else "the highest number is meant: make it again"
        )
        stem = last.rpartition(".")[0].rstrip("xXyY")
        raise StoreError(f"{path}: {COUNT_FILE} says {count:.0f}, the last frame is {stem}; {why}")
