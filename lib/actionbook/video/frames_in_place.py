"""A look at all frames that the original programs have prepared, before anything relies on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

import pandas as pd
import simplejpeg

from actionbook.video.frame_folder import FrameFolder, names_by_key, spellings
from actionbook.video.frame_pack import SUFFIX, FramePack
from actionbook.video.names import nearest
from actionbook.video.parallel import COLUMNS, Prepared, in_threads
from actionbook.video.reader import COLOUR, FLOW, StoreError

MOST_LIKE = 20
"""Missing folders for which a name like theirs is looked for."""
_KIND = {COLOUR: "frames in colour", FLOW: "optical flow"}


def find_folders(items: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Where the frames of each of some items (columns video, store and frames) lie: one row each, in order.

    Columns: video; path below `folder`, ``<class>/<video>`` in any of its `spellings`, else the pack of exactly that
    name (``<class>/<video>.pkl``), and empty if there is none; error, why there is none; unclear, if that is because
    there are several; note, if it is not the exact one. A missing class folder is one and the same error for all its
    videos. Raises StoreError if `folder` does not exist.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} does not exist; it is named as a folder of prepared frames, see the recipe's data")
    names = cache(names_by_key)
    expected, exact = Counter(own.rpartition("/")[0] for own in items.store), set(items.store)
    # A folder that is another video's by its exact name is not this one's.
    every = [
        [path for path in spellings(folder, own, names) if path == own or path not in exact] or _pack(folder, own)
        for own in items.store
    ]
    owners = Counter(found[0] for found in every if len(found) == 1)
    like, alike, rows = cache(partial(_like, names, frozenset(folder / path for path in owners))), 0, []
    for own, video, found in zip(items.store, items.video, every, strict=True):
        label = own.rpartition("/")[0]
        path = error = note = ""
        if len(found) == 1 and owners[found[0]] == 1:
            path = found[0]
            note = "" if path in (own, f"{own}{SUFFIX}") else f"lies in {path}, in another spelling"
        elif len(found) == 1:
            error = f"{folder / found[0]}: may be the frames of {owners[found[0]]} videos, {own} among them; rename it"
        elif found:
            error = f"{folder}: {' and '.join(found)} are both {own} in another spelling; remove or rename one"
        elif label and not spellings(folder, label, names):
            close = like(folder, label)
            error = f"{folder / label} does not exist{close}; the frames of {expected[label]} videos are missing"
        else:
            alike += 1
            error = f"{folder / own} does not exist" + (like(folder / label, video) if alike <= MOST_LIKE else "")
        rows.append((video, path, error, bool(found and error), note))
    return pd.DataFrame(rows, columns=["video", "path", "error", "unclear", "note"])


def _pack(folder: Path, own: str) -> list[str]:
    return [f"{own}{SUFFIX}"] if (folder / f"{own}{SUFFIX}").is_file() else []


def _like(names: Callable[[Path], dict[str, list[str]]], taken: frozenset[Path], folder: Path, name: str) -> str:
    """What is there, and not `taken`, that is most like `name`, in brackets; empty if nothing is."""
    close = nearest(name, [own for same in names(folder).values() for own in same if folder / own not in taken])
    return f" (the nearest there is {close})" if close and (folder / close).is_dir() else ""


def frames_in_place(items: pd.DataFrame, folder: Path, components: tuple[str, ...] = COLOUR) -> pd.DataFrame:
    """Look at the frames of all `items` in `folder`; one row each: video, frames, bytes, error, note.

    These are the columns of `video.prepare.prepare`. Looked at, without decoding everything: that the numbers have no
    gap and agree with ``n_frames`` where there is one, that no file is empty, that the first and the last frame are
    whole and of one size, and that they are in colour (`components` ``("",)``) or flow (``("x", "y")``). Where the
    items know a number of frames already, as from an annotation file, a different one is noted.
    Raises StoreError if `folder` does not exist; what is wrong with a video is in its row.
    """

    def look(row: tuple[str, str, str, str, int]) -> Prepared:
        video, path, error, note, known = row
        if error:
            return Prepared(video, 0, 0, error, note)
        found = _look(video, folder / path, components)
        other = found.frames and known not in (0, found.frames)
        notes = [note, found.note, f"{known} frames expected, {found.frames} found" if other else ""]
        return replace(found, note="; ".join(filter(None, notes)))

    places = find_folders(items, folder)
    rows = zip(places.video, places.path, places.error, places.note, items.frames, strict=True)
    return pd.DataFrame(map(asdict, in_threads(look, list(rows), "looking at frames")), columns=COLUMNS)


def _look(video: str, path: Path, components: tuple[str, ...]) -> Prepared:
    try:
        with FramePack(path) if path.is_file() else FrameFolder(path) as frames:
            if frames.components != components:
                raise StoreError(f"{path}: holds {_KIND[frames.components]}, expected {_KIND[components]}")
            sizes = frames.sizes()
            if empty := [name for name, size in sizes.items() if not size]:
                others = f", and {len(empty) - 1} more of them" if len(empty) > 1 else ""
                raise StoreError(f"{path / empty[0]}: is an empty file{others}; make the frames again")
            _check_ends(frames)
            note = "" if frames.first else "its names count from 0: frame 0 is image 0"
            return Prepared(video, len(frames), sum(sizes.values()), note=note)
    except (StoreError, OSError) as error:
        return Prepared(video, 0, 0, str(error))


def _check_ends(frames: FrameFolder | FramePack) -> None:
    """Decode the first frame and the last, between which a stopped program leaves its traces."""
    found = set()
    for index in sorted({0, len(frames) - 1}):
        for number, component in enumerate(frames.components):
            try:
                found.add(simplejpeg.decode_jpeg(frames.jpeg(index, component), colorspace="GRAY").shape[:2])
            except ValueError as error:
                name = frames.path / frames.names()[index * len(frames.components) + number]
                raise StoreError(f"{name}: is damaged ({error}); make the frames again") from error
    if len(found) > 1:
        sizes = " and ".join(f"{width} x {height}" for height, width in sorted(found))
        raise StoreError(f"{frames.path}: the first and the last frame differ in size ({sizes}); make the frames again")
