"""A look at all frames that the original scripts have prepared, before anything relies on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pandas as pd
import simplejpeg

from actionbook.video.frame_folder import FrameFolder, names_by_case, spellings
from actionbook.video.parallel import COLUMNS, Prepared, in_threads
from actionbook.video.reader import COLOUR, FLOW, StoreError

_KIND = {COLOUR: "frames in colour", FLOW: "optical flow"}


def find_folders(items: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Where the frames of each of some items (columns video, store and frames) lie: one row each, in order.

    Columns: video; path, ``<class>/<video>`` below `folder` and empty if there is none; error, why there is none;
    note, if the folder's capitals are other ones. A missing class folder is one and the same error for all its videos.
    Raises StoreError if `folder` does not exist.
    """
    if not folder.is_dir():
        raise StoreError(f"{folder} does not exist; it is named as a folder of prepared frames, see the recipe's data")
    names = cache(names_by_case)
    expected, exact = Counter(own.rpartition("/")[0] for own in items.store), set(items.store)
    rows = []
    for own, video in zip(items.store, items.video, strict=True):
        label = own.rpartition("/")[0]
        # A folder that is another video's by its exact name is not this one's.
        found = [path for path in spellings(folder, own, names) if path == own or path not in exact]
        path = error = note = ""
        if len(found) == 1:
            path = found[0]
            note = "" if path == own else f"lies in {path}, with other capitals"
        elif found:
            error = f"{folder}: {' and '.join(found)} differ in capitals alone; remove or rename one"
        elif label and not spellings(folder, label, names):
            error = f"{folder / label} does not exist; the frames of {expected[label]} videos are missing"
        else:
            error = f"{folder / own} does not exist"
        rows.append((video, path, error, note))
    return pd.DataFrame(rows, columns=["video", "path", "error", "note"])


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
        if found.frames and known not in (0, found.frames):
            note = "; ".join(filter(None, [note, f"{known} frames expected, {found.frames} found"]))
        return replace(found, note=note)

    places = find_folders(items, folder)
    rows = zip(places.video, places.path, places.error, places.note, items.frames, strict=True)
    return pd.DataFrame(map(asdict, in_threads(look, list(rows), "looking at frames")), columns=COLUMNS)


def _look(video: str, path: Path, components: tuple[str, ...]) -> Prepared:
    try:
        with FrameFolder(path) as frames:
            if frames.components != components:
                raise StoreError(f"{path}: holds {_KIND[frames.components]}, expected {_KIND[components]}")
            sizes = frames.sizes()
            if empty := [name for name, size in sizes.items() if not size]:
                others = f", and {len(empty) - 1} more of them" if len(empty) > 1 else ""
                raise StoreError(f"{path / empty[0]}: is an empty file{others}; make the frames again")
            _check_ends(frames)
            return Prepared(video, len(frames), sum(sizes.values()))
    except (StoreError, OSError) as error:
        return Prepared(video, 0, 0, str(error))


def _check_ends(frames: FrameFolder) -> None:
    """Decode the first frame and the last, between which a stopped program leaves its traces."""
    found = set()
    for index in sorted({0, len(frames) - 1}):
        for component in frames.components:
            name = f"{frames.path}/image_{index + 1:05d}{component}.jpg"
            try:
                found.add(simplejpeg.decode_jpeg(frames.jpeg(index, component), colorspace="GRAY").shape[:2])
            except ValueError as error:
                raise StoreError(f"{name}: is damaged ({error}); make the frames again") from error
    if len(found) > 1:
        sizes = " and ".join(f"{width} x {height}" for height, width in sorted(found))
        raise StoreError(f"{frames.path}: the first and the last frame differ in size ({sizes}); make the frames again")
