"""Frames in a folder, as the original scripts leave them: read where they are, without packing them again."""

from __future__ import annotations

import os
import re
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

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def stored_bytes(self) -> int:
        """Size of all frames."""
        return sum((self.path / name).stat().st_size for names in self._names.values() for name in names)

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
    """The frames of a video: the store file at `path` (``….zip``), or else the folder of that name without ``.zip``.

    Raises StoreError as both do.
    """
    path = Path(path)
    folder = path.with_name(path.name.removesuffix(".zip"))
    return FrameFolder(folder) if not path.is_file() and folder.is_dir() else FrameStore(path)


def _components(path: Path, found: dict[str, dict[int, str]]) -> tuple[str, ...]:
    """What the frames are, once their numbers are complete."""
    if found[""] and (found["x"] or found["y"]):
        raise StoreError(f"{path}: holds frames in colour and of flow; give each a folder of its own")
    components = COLOUR if found[""] else FLOW
    numbers = sorted(set().union(*(found[component] for component in components)))
    if not numbers:
        raise StoreError(f"{path}: holds no image_00001.jpg or image_00001x.jpg; make the frames again")
    for component in components:
        missing = next((n for n in range(1, numbers[-1] + 1) if n not in found[component]), None)
        if missing is not None:
            raise StoreError(
                f"{path}: image_{missing:05d}{component}.jpg is missing, the last frame is {numbers[-1]}; "
                "make the frames again"
            )
    return components


def _check_count(path: Path, frames: int) -> None:
    try:
        count = int((path / COUNT_FILE).read_text())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / COUNT_FILE}: expected a whole number ({error}); make it again") from error
    if count != frames:
        raise StoreError(
            f"{path}: {COUNT_FILE} says {count}, the last frame is image_{frames:05d}; a part is missing, "
            f"or {COUNT_FILE} is old: make both again"
        )
