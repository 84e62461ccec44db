"""Frames in a folder, as the original scripts leave them: read where they are, without packing them again."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from actionbook.video.reader import COLOUR, FLOW, FrameReader, StoreError
from actionbook.video.store import FrameStore

_NAME = re.compile(r"image_(\d{5,})(x|y|)\.jpg")
COUNT_FILE = "n_frames"


class FrameFolder(FrameReader):
    """A folder of ``image_00001.jpg`` onwards, or of ``image_00001x.jpg`` and ``image_00001y.jpg`` onwards for flow.

    A text file ``n_frames`` with the highest number may lie beside them. Has all that a `FrameStore` has, but no
    `info`, since nobody wrote down where the frames came from.
    """

    def __init__(self, path: Path | str) -> None:
        """Read the names in the folder.

        Raises StoreError naming folder and frame if it has no frames, of both kinds, x without y, gaps in the
        numbers, or another number of frames than ``n_frames`` says.
        """
        self.path = Path(path)
        try:
            names = os.listdir(self.path)  # noqa: PTH208 (a Path for each of many names takes most of the time)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error}); run the data stage again") from error
        found: dict[str, dict[int, str]] = {"": {}, "x": {}, "y": {}}
        for match in filter(None, map(_NAME.fullmatch, names)):
            found[match[2]][int(match[1])] = match[0]
        self.components = _components(self.path, found)
        self._names = {
            component: [of_component[number] for number in range(1, len(of_component) + 1)]
            for component, of_component in found.items()
            if component in self.components
        }
        if COUNT_FILE in names:
            _check_count(self.path, len(self))

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
        """The JPEG of frame `index`, from 0 (file number index + 1); of flow, component x (or if so named y).

        Raises IndexError beyond the end, StoreError if the file cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)} (counted from 0)")
        path = self.path / self._names[component or self.components[0]][index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error}); make the frames again") from error


def open_frames(path: Path | str) -> FrameStore | FrameFolder:
    """The frames of a video: the store file at `path` (``<class>/<video>.zip``), or else the folder without ``.zip``.

    Where neither exists, class and video may be written with other capitals: UCF101's ``HandstandPushups`` has videos
    ``v_HandStandPushups_g01_c01``, and copies differ. Raises StoreError as both do.
    """
    found = frames_path(Path(path))
    return FrameFolder(found) if found.is_dir() else FrameStore(found)


def frames_path(path: Path) -> Path:
    """What `open_frames` opens: the store file or the folder; `path` itself where there is nothing."""
    folder = path.with_name(path.name.removesuffix(".zip"))
    if path.is_file() or folder.is_dir():
        return path if path.is_file() else folder
    root = folder.parent.parent
    others = spellings(root, f"{folder.parent.name}/{folder.name}")
    return root / others[0] if len(others) == 1 else path


def names_by_case(folder: Path) -> dict[str, list[str]]:
    """The names in a folder by what they are without regard to capitals; none if there is no such folder."""
    found: dict[str, list[str]] = {}
    try:
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 (as above)
            found.setdefault(name.casefold(), []).append(name)
    except OSError:
        pass
    return found


def spellings(root: Path, name: str, names: Callable[[Path], dict[str, list[str]]] = names_by_case) -> list[str]:
    """All folders below `root` that are named like `name` (such as ``<class>/<video>``) but for capitals.

    The exact one goes before all others. `names` lists a folder; one that remembers saves time where many are asked
    for.
    """
    found = [""]
    for part in name.split("/"):
        found = [f"{start}{own}/" for start in found for own in names(root / start).get(part.casefold(), [])]
    folders = [path.removesuffix("/") for path in found if (root / path).is_dir()]
    return [name] if name in folders else folders


def _components(path: Path, found: dict[str, dict[int, str]]) -> tuple[str, ...]:
    """What the frames are, once their numbers are complete."""
    if found[""] and (found["x"] or found["y"]):
        raise StoreError(f"{path}: holds frames in colour and of flow; give each a folder of its own")
    components = COLOUR if found[""] else FLOW
    numbers = sorted(set().union(*(found[component] for component in components)))
    if not numbers:
        raise StoreError(
            f"{path}: holds no image_00001.jpg or image_00001x.jpg (the original scripts leave an empty folder where "
            "FFmpeg fails); make the frames again"
        )
    for component in components:
        missing = next((n for n in range(1, numbers[-1] + 1) if n not in found[component]), None)
        if missing is not None:
            raise StoreError(
                f"{path}: image_{missing:05d}{component}.jpg is missing, the last frame is {numbers[-1]}; "
                "make the frames again"
            )
    return components


def _check_count(path: Path, frames: int) -> None:
    """`frames` are there without a gap; the file holds the highest number, which is then the same."""
    try:
        count = float((path / COUNT_FILE).read_text(encoding="utf-8"))  # read so by the original scripts
        if not count.is_integer():
            raise ValueError(f"found {count:g}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / COUNT_FILE}: expected a whole number ({error}); make it again") from error
    if count != frames:
        why = (
            f"image_{frames + 1:05d} is the first that is missing: make both again"
            if count > frames
            else "the highest number is meant: make it again"
        )
        raise StoreError(f"{path}: {COUNT_FILE} says {count:.0f}, the last frame is image_{frames:05d}; {why}")
