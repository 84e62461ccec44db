"""What the readers of all data sets share: text lists, the splits of a manifest, and videos that are missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from actionbook.core.errors import BookError, some
from actionbook.core.files import read_text_file
from actionbook.core.manifest import DatasetManifest, Split
from actionbook.core.paths import shown
from actionbook.datasets.index import Index, make_index
from actionbook.datasets.video_files import Listed, VideoFiles, contents

logger = logging.getLogger(__name__)

PARTIAL_COPY = "To work with a partial copy, set data.allow_missing; every result then says how many videos it lacks."
"""The remedy where videos or their frames are missing."""


class MissingVideos(BookError):
    """Videos of the lists do not exist.

    `index` holds all the same a row for each, with an empty path; `there` says in a sentence what was found instead.
    """

    def __init__(self, message: str, index: Index, there: str) -> None:
        super().__init__(message)
        self.index, self.there = index, there


class UnclearVideos(MissingVideos):
    """Several files may be one video of the lists, or one file several: never allowed."""


def split_of(manifest: DatasetManifest, split: int) -> Split:
    """The numbers of one split. Raises BookError listing the splits that exist, and as `check_class_folders`."""
    if str(split) not in manifest.splits:
        raise BookError(f"{manifest.name}: there is no split {split}, only {', '.join(manifest.splits)}")
    if manifest.keyframes is None:
        check_class_folders(manifest)
    return manifest.splits[str(split)]


def check_split(
    start: str, found: Sequence[int], manifest: DatasetManifest, split: int, *, allow_missing: bool, remedy: str
) -> None:
    """Raise BookError unless a split of the manifest has as many training and test videos as were `found`.

    With `allow_missing` fewer will do. The message begins with `start`, such as the name of a file, and ends with
    `remedy`.
    """
    expected = split_of(manifest, split)
    fewer = found[0] <= expected.train and found[1] <= expected.test
    if [expected.train, expected.test] != list(found) and not (allow_missing and fewer):
        raise BookError(
            f"{start} {found[0]} training and {found[1]} validation videos, split {split} of {manifest.name} has "
            f"{expected.train} and {expected.test}: {remedy}"
        )


def read_text(path: Path) -> str:
    """The text of a list file, see `read_text_file`. Raises BookError with the remedy if it cannot be read."""
    try:
        return read_text_file(path)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        there = "" if path.exists() else f"; {contents(path.parent)}"
        raise BookError(f"{shown(path)}: cannot be read ({why}){there}; unpack the train/test lists there") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a list file without empty ones and spaces around them; line ends may be CR LF or LF."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def check_class_folders(manifest: DatasetManifest) -> None:
    """Raise BookError where the classes of a layout that has a folder for each cannot be names of folders."""
    unfit = [name for name in manifest.classes if "/" in name or name in (".", "..")]
    if unfit:
        raise BookError(
            f"{manifest.name}: every class is a folder in the layout of {manifest.dataset}, which "
            f"{', '.join(unfit[:5])} cannot be; rename them"
        )


def finish_index(
    root: Path,
    manifest: DatasetManifest,
    rows: Sequence[dict[str, object]],
    allow_missing: bool,
    *,
    unused: Sequence[Listed] = (),
    to_dot: bool = False,
) -> Index:
    """The index of `rows` (video, label, target, subset), with the ``path`` of each video: empty where there is none.

    Videos are found as `video_files` says; those of `unused` are listed, too, but stand in no row. `to_dot` is that of
    `VideoFiles`. Raises MissingVideos listing videos that are missing, with `allow_missing` only if all are; and
    UnclearVideos.
    """
    files = VideoFiles(root, manifest, to_dot=to_dot)
    listed = [Listed(str(row["label"]), str(row["video"]), str(row["subset"])) for row in rows]
    found = files.find([*listed, *unused])
    index = make_index(
        [
            {"store": f"{one.label}/{one.video}", **row, "path": found.paths.get(one, "")}
            for one, row in zip(listed, rows, strict=True)
        ]
    )
    folder, missing = shown(files.folder), index.items["item"][index.items.path == ""].tolist()
    if found.unclear:
        there = f"it cannot be told which file is which video: {'; '.join(found.unclear[:5])}"
        there += f" and {len(found.unclear) - 5} more" if len(found.unclear) > 5 else ""
        raise UnclearVideos(f"{folder}: {there}; remove or rename what is not meant", index, there)
    if not missing:
        return index
    there = files.what_is_there(found, next(one for one in listed if one not in found.paths))
    if not allow_missing or len(missing) == len(index):
        sources = "; ".join(f"{source.name} from {source.url}" for source in manifest.sources if source.url)
        raise MissingVideos(
            f"{folder}: {len(missing)} of the {len(index)} videos of {manifest.name} are missing: {some(missing, 10)}. "
            f"{there} " + (f"The data set is published as {sources}. " if sources else "") + PARTIAL_COPY,
            index,
            there,
        )
    if found.unlisted:
        logger.warning("%s: %d videos are missing. %s", folder, len(missing), there)
    return index
