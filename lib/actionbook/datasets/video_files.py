"""Which file is which listed video: the one rule for index, doctor and annotation files of all data sets.

A file at the place that the data set's layout says is the listed video of that name, and no other. Any other file is,
if its name and its folder's are spellings of the video's (`video.names`), with any known suffix, and if it lies no
further away than people's copies do: without class folder or with it twice, with or without a folder for training or
validation (under any of its names), and with the folder of all videos twice or in one more folder of any name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from actionbook.core.errors import BookError, some
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.video.names import (
    VIDEO_SUFFIXES,
    hidden,
    loose,
    nearest,
    video_key,
    without_suffix,
    youtube_id,
)

BY_SUBSET: Mapping[str, Mapping[str, str]] = {"kinetics400": {"train": "train", "test": "val"}}
"""Layouts whose class folders lie by subset, and the names of those folders."""
_SUBSET = re.compile(r"(videos)?(train|training|val|valid|validate|validation|test|testing)(\d+p?)?")
_DEEPEST = 4
"""How many folders below that of all videos a video may lie."""


class Listed(NamedTuple):
    """A video as the data set's lists name it."""

    label: str
    video: str
    subset: str


@dataclass(frozen=True)
class VideoFile:
    """A file that looks like a video."""

    path: str
    """Below the data root."""
    label: str
    """Class whose folder it lies in, empty if it lies in none."""
    stem: str
    """Its name without suffixes."""


@dataclass(frozen=True)
class Found:
    """What `VideoFiles.find` found."""

    paths: dict[Listed, str]
    """Below the data root; a video that is missing, or not told from others, has none."""
    unclear: tuple[str, ...]
    """Several files for one video, or one for several, in a few words each."""
    unlisted: tuple[VideoFile, ...]
    """Files that are no listed video by any spelling."""


class VideoFiles:
    """All files of a data set's root that may be its videos, from one look into each folder that may hold some."""

    def __init__(self, root: Path, manifest: DatasetManifest, *, to_dot: bool = False) -> None:
        """List the folders. With `to_dot` names count up to their first dot, where the original scripts cut them.

        Raises BookError as `videos_folder`.
        """
        self.root, self.manifest, self.folder = root, manifest, videos_folder(root, manifest)
        self.files: list[VideoFile] = []
        self.others: list[str] = []
        """Folders whose names do not say that they hold videos of the data set."""
        self.unreadable: list[str] = []
        """Folders that could not be listed, with the reason."""
        self._to_dot = to_dot
        self._suffixes = tuple({*VIDEO_SUFFIXES, manifest.layout.suffix.lower()})
        self._classes = {loose(name): name for name in manifest.classes}
        self._seen: set[tuple[int, int]] = set()
        self._base = "" if self.folder == root else self.folder.relative_to(root).as_posix()
        self._look(self._base, "", 0)
        if not self.files:  # all of it may lie in one folder more
            for path in list(self.others):
                self._look(path, "", 1)

    def _look(self, folder: str, label: str, depth: int) -> None:
        """Add the videos of a folder, and of those in it whose names are a class's, a subset's or its own."""
        inner: list[str] = []
        try:
            status = os.stat(self.root / folder)  # noqa: PTH116 (a Path for each of many names takes most of the time)
            if (status.st_dev, status.st_ino) in self._seen:  # links may lead in circles
                return
            self._seen.add((status.st_dev, status.st_ino))
            with os.scandir(self.root / folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    stem = without_suffix(entry.name, self._suffixes)
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if hidden(entry.name):
                        continue
                    if stem is not None and not entry.is_dir(follow_symlinks=False):
                        self.files.append(VideoFile(path, label, stem.partition(".")[0] if self._to_dot else stem))
                    elif entry.is_dir():
                        inner.append(entry.name)
        except OSError as error:
            self.unreadable.append(f"{folder or self.root} ({error.strerror})")
            return
        for name in sorted(inner, key=lambda name: (name not in self.manifest.classes, name)):
            own = self._classes.get(loose(name), "")
            path = f"{folder}/{name}" if folder else name
            if depth < _DEEPEST and own and label in ("", own):
                self._look(path, own, depth + 1)
            elif depth < _DEEPEST and not label and (loose(name) == loose(self.folder.name) or is_subset(name)):
                self._look(path, "", depth + 1)
            else:
                self.others.append(path)

    def find(self, listed: Sequence[Listed]) -> Found:
        """The file of each listed video."""
        by_key: dict[str, list[VideoFile]] = {}
        for file in self.files:
            by_key.setdefault(video_key(file.stem), []).append(file)
        there = {file.path for file in self.files}
        exact = {one: next((place for place in self._places(one) if place in there), "") for one in listed}
        taken = set(exact.values())
        owners: dict[str, list[Listed]] = {}
        unclear, alike = [], set(taken)
        for one in listed:
            found = [exact[one]] if exact[one] else []
            for key in _keys(one):
                same = [file.path for file in by_key.get(key, ()) if file.label in ("", one.label)]
                alike.update(same)
                found = found or [path for path in same if path not in taken]
            if len(found) > 1:
                unclear.append(f"{one.label}/{one.video} may be {' or '.join(sorted(found))}")
            elif found:
                owners.setdefault(found[0], []).append(one)
        unclear += [
            f"{path} may be {' or '.join(f'{one.label}/{one.video}' for one in several)}"
            for path, several in owners.items()
            if len(several) > 1
        ]
        paths = {several[0]: path for path, several in owners.items() if len(several) == 1}
        return Found(paths, tuple(unclear), tuple(file for file in self.files if file.path not in alike))

    def _places(self, one: Listed) -> Iterator[str]:
        """Where the layout says that a video lies; of Kinetics also by its YouTube id alone."""
        parts = [self._base, BY_SUBSET.get(self.manifest.dataset, {}).get(one.subset, ""), one.label]
        folder = "/".join(filter(None, parts))
        for name in filter(None, (one.video, youtube_id(one.video))):
            yield f"{folder}/{name}{self.manifest.layout.suffix}"

    def what_is_there(self, found: Found, missing: Listed) -> str:
        """In a sentence: how many files there are, which of them are not listed, and what is most like `missing`."""
        if not self.folder.is_dir():
            return f"{shown(self.folder)} does not exist; {contents(self.root)}."
        kinds = {"folders of no class": self.others, "folders that cannot be read": self.unreadable}
        others = "".join(f"; {kind}: {some(names)}" for kind, names in kinds.items() if names)
        if not self.files:
            return f"No video file lies there{others}."
        unlisted, which = found.unlisted, "none of them unlisted"
        if unlisted:
            stems = {file.stem: file.path for file in sorted(unlisted, key=lambda file: file.label != missing.label)}
            close = nearest(missing.video, stems)
            which = f"{len(unlisted)} of them match no listed video, such as {some([f.path for f in unlisted], 3)}"
            which += f"; the nearest to {missing.video} is {stems[close]}" if close else ""
        return f"{len(self.files)} video files lie there, {which}{others}."


def videos_folder(root: Path, manifest: DatasetManifest) -> Path:
    """The folder of all videos below `root`: as the layout names it, or by another spelling of that name.

    `root` itself where there is none, but folders of classes (or of subsets, where the layout has them). Raises
    BookError naming two other spellings.
    """
    exact = root / manifest.layout.videos
    if exact.is_dir():
        return exact
    wanted, classes = loose(manifest.layout.videos).replace("-", ""), {loose(name) for name in manifest.classes}
    names = sorted(path.name for path in root.glob("*") if path.is_dir() and not hidden(path.name))
    same = [name for name in names if loose(name).replace("-", "") == wanted]
    if len(same) > 1:
        raise BookError(f"{shown(root)}: {' and '.join(same)} may both be {manifest.layout.videos}; rename one of them")
    if same:
        return root / same[0]
    by_subset = manifest.dataset in BY_SUBSET
    return root if any(loose(name) in classes or (by_subset and is_subset(name)) for name in names) else exact


def is_subset(name: str) -> bool:
    """Whether a folder's name says that it holds the videos of a subset: ``train``, ``val_256``, ``validation``, ..."""
    return _SUBSET.fullmatch(loose(name)) is not None


def contents(folder: Path) -> str:
    """What lies in a folder, in a few words."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not hidden(path.name))
    except OSError:
        return f"there is no folder {shown(folder)}"
    return f"{shown(folder)} holds {some(names) or 'nothing'}"


def _keys(one: Listed) -> list[str]:
    return [video_key(name) for name in (one.video, youtube_id(one.video)) if name]
