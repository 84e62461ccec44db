"""HMDB51 on disk: class folders of .avi files and a list for each class and split.

Kuehne, Jhuang, Garrote, Poggio, Serre, "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011; the
lists as their split_readme.txt describes them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Split
from actionbook.core.paths import shown
from actionbook.datasets.index import Index
from actionbook.datasets.lists import finish_index, read_lines, split_of
from actionbook.datasets.video_files import Listed, contents
from actionbook.video.names import hidden

_SUBSETS = {"1": "train", "2": "test"}


def hmdb51_index(root: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """Read one split: the index in the order of the class names and lists, train then test.

    There is one list for each class, ``<class>_test_split<k>.txt``, whose lines are ``<clip>.avi <flag>``: 1 train,
    2 test, 0 not used in this split (no row in the index). Everything is checked against the manifest: that there is a
    list for every class and no other, the number of videos of each kind in every class and in all, the digest of the
    lists where the manifest has one, and that every video of the index exists (as `video_files` finds it). Line ends
    may be CR LF or LF.
    Raises BookError saying what is wrong; with `allow_missing` videos that do not exist have an empty path.
    """
    expected = split_of(manifest, split)
    lists = root / manifest.layout.annotations
    _check_classes(lists, manifest, split)
    per_class = {kind: getattr(expected, kind) // len(manifest.classes) for kind in _SUBSETS.values()}
    found = {name: _read_list(lists, name, split, manifest.layout.suffix, per_class) for name in manifest.classes}
    _check_whole(lists, manifest, split, expected, found)
    rows = [
        {"video": file.removesuffix(manifest.layout.suffix), "label": label, "target": target, "subset": subset}
        for flag, subset in (*_SUBSETS.items(), ("0", ""))
        for target, (label, files) in enumerate(found.items())
        for file, own in files
        if own == flag
    ]
    used = [row for row in rows if row["subset"]]
    unused = [Listed(str(row["label"]), str(row["video"]), "") for row in rows if not row["subset"]]
    return finish_index(root, manifest, used, allow_missing, unused=unused)


def _check_classes(lists: Path, manifest: DatasetManifest, split: int) -> None:
    """The classes are the file names without their last two parts; sorted, they are the class order."""
    suffix = f"_test_split{split}.txt"
    there = {path.name.removesuffix(suffix) for path in lists.glob(f"*{suffix}") if not hidden(path.name)}
    if tuple(sorted(manifest.classes)) != manifest.classes:
        raise BookError(f"{manifest.name}: the classes of HMDB51's layout are numbered in the order of their names")
    for wrong, what in ((set(manifest.classes) - there, "no list of"), (there - set(manifest.classes), "a list of")):
        if wrong:
            names = ", ".join(sorted(wrong)[:5]) + (" ..." if len(wrong) > 5 else "")
            raise BookError(
                f"{shown(lists)}: {len(manifest.classes)} files *{suffix} expected, one for each class of "
                f"{manifest.name}; there is {what} {names}; unpack the train/test lists there ({contents(lists)})"
            )


def _read_list(lists: Path, label: str, split: int, suffix: str, per_class: dict[str, int]) -> list[tuple[str, str]]:
    """(file name, flag) of every line of one class's list."""
    path = lists / f"{label}_test_split{split}.txt"
    pattern = re.compile(rf"(?P<file>[^/\\]+{re.escape(suffix)})\s+(?P<flag>[012])")
    found: list[tuple[str, str]] = []
    for number, line in enumerate(read_lines(path), start=1):
        match = pattern.fullmatch(line)
        if not match:
            raise BookError(
                f"{shown(path)}, line {number}: expected a file name that ends in {suffix} and a flag "
                f"(1 train, 2 test, 0 unused), found {line!r}; fetch the lists again"
            )
        found.append((match["file"], match["flag"]))
    flags = Counter(flag for _, flag in found)
    for flag, subset in _SUBSETS.items():
        if flags[flag] != per_class[subset]:
            raise BookError(
                f"{shown(path)}: {flags[flag]} videos have the flag {flag} ({subset}), {per_class[subset]} expected "
                "in every class; fetch the lists again"
            )
    return found


def _check_whole(
    lists: Path, manifest: DatasetManifest, split: int, expected: Split, found: dict[str, list[tuple[str, str]]]
) -> None:
    """The lists of all classes together: every video once, their number, and their digest."""
    entries = [(file, flag) for files in found.values() for file, flag in files]
    where = f"{shown(lists)}, the lists of split {split}"
    twice = [file for file, count in Counter(file for file, _ in entries).items() if count > 1]
    if twice:
        raise BookError(
            f"{where}: {len(twice)} videos are listed twice: {', '.join(twice[:10])}; fetch the lists again"
        )
    flags = Counter(flag for _, flag in entries)
    counted = (flags["1"], flags["2"], flags["0"])
    if counted != (expected.train, expected.test, expected.unused):
        raise BookError(
            f"{where}: {counted[0]} train, {counted[1]} test and {counted[2]} unused videos, the manifest says "
            f"{expected.train}, {expected.test} and {expected.unused}; fetch the lists again"
        )
    digest = hashlib.sha256("".join(f"{file} {flag}\n" for file, flag in entries).encode()).hexdigest()
    if expected.lists_sha256 not in (None, digest):
        raise BookError(
            f"{where}: are not the published ones (sha256 {digest} in class order with LF line ends, the manifest says "
            f"{expected.lists_sha256}); fetch the lists again"
        )
