"""PySlowFast's frame lists of AVA: which file holds which frame of which video.

One line a frame, five fields with a space between them: video, its number, the frame's number, path, labels (two
quotation marks). PySlowFast and its port to MindSpore use the video and the path alone, and take the frames of a video
in the order of the lines (facebookresearch/SlowFast, slowfast/datasets/ava_helper.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown
from actionbook.datasets.video_files import contents

HEADER = "original_vido_id video_id frame_id path labels"
"""Of the published lists, "vido" included."""
COLUMNS = ["video", "frames", "folder", "first"]
_PATH = re.compile(r"(.*?)(\d+)(\.\w+)")


@dataclass
class _Run:
    """The frames of a video, as far as its lines were read."""

    start: str
    """Of each path, up to the number."""
    width: int
    """Digits of the number, at least."""
    end: str
    first: int
    """Number of the first frame."""
    count: int = 0

    def path(self, index: int) -> str:
        """Of the frame `index`, from 0."""
        return f"{self.start}{self.first + index:0{self.width}d}{self.end}"


def read_frame_list(path: Path) -> pd.DataFrame:
    """One row a video, in order of appearance: video, frames (how many), folder, first (path of its first frame).

    Both are as in the list, below the folder of all frames. A million lines take one to two seconds. Raises BookError
    naming file and line for a file that cannot be read, a line that has not five fields, and a path that is not the
    next one of its video: of the same folder and name, its number one higher.
    """
    runs: dict[str, _Run] = {}
    for line, (video, _, _, place, _) in _lines(path):
        run = runs.get(video)
        if run is None:
            run = runs[video] = _begun(place, f"{shown(path)}, line {line}")
        expected = run.path(run.count)
        if place != expected:
            raise BookError(
                f"{shown(path)}, line {line}: expected {expected}, the next frame of {video}, found {place}; "
                "make the list again"
            )
        run.count += 1
    rows = [(video, run.count, run.start.rpartition("/")[0], run.path(0)) for video, run in runs.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def write_frame_list(path: Path, videos: pd.DataFrame) -> None:
    """Write the list of all frames of some videos, a table as `read_frame_list` gives; the same table comes back.

    Raises BookError for a path that ends in no number, or a name with a space in it, which no reader could tell apart.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{HEADER}\n")
        rows = zip(videos.video, videos.frames, videos["first"], strict=True)
        for number, (video, frames, first) in enumerate(rows):
            if len(f"{video} {first}".split()) != 2:
                found = f"found {video!r} and {first!r}"
                raise BookError(f"{shown(path)}: expected names without spaces, {found}; rename the folder")
            run = _begun(first, f"{shown(path)}, {video}")
            file.writelines(f'{video} {number} {index} {run.path(index)} ""\n' for index in range(frames))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(Number from 1, fields) of every line but the header."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                fields = text.split()
                if len(fields) != 5 or (line == 1) != (fields[3] == "path"):
                    raise BookError(
                        f"{shown(path)}, line {line}: expected {HEADER!r}"
                        + ("" if line == 1 else " as fields, such as '-a 0 0 -a/-a_000001.jpg \"\"'")
                        + f", found {text.rstrip()[:80]!r}; make the list again"
                    )
                if line > 1:
                    yield line, fields
    except (OSError, UnicodeError) as error:
        there = "" if path.exists() else f"; {contents(path.parent)}"
        raise BookError(f"{shown(path)}: cannot be read ({error}){there}; unpack the frame lists there") from error


def _begun(place: str, where: str) -> _Run:
    """The run that begins with the frame at `place`."""
    match = _PATH.fullmatch(place)
    if match is None:
        raise BookError(f"{where}: expected <video>/<video>_000001.jpg, found {place!r}; make the list again")
    return _Run(match[1], len(match[2]), match[3], int(match[2]))
