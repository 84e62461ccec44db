"""Videos and boxes of one's own, brought to the form of AVA: lists, class list and a manifest for the recipe.

The table of boxes has a row for each label of each box: `video` (a file's name, with suffix or without), `second`,
`x1`, `y1`, `x2`, `y2`, `label`, and, where known, `person` (a whole number, the same for a person all through a video)
and `subset` ("train" or "test", the same for a whole video). Boxes of a detector, for testing as AVA does, are a second
table with `score` (0 to 1) in place of the label.

Command line: ``python -m actionbook.datasets.own_keyframes VIDEOS BOXES --out FOLDER`` (``--help`` says the rest).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from actionbook.core.console import print_any_text
from actionbook.core.errors import BookError, some
from actionbook.core.files import write_text_atomic
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import expanded, shown
from actionbook.core.schema import validate
from actionbook.datasets.ava_boxes import with_labels
from actionbook.datasets.ava_writing import CORNERS, write_boxes, write_class_list
from actionbook.datasets.own_boxes import (
    NEEDED,
    WHERE,
    OwnVideo,
    checked_boxes,
    checked_labels,
    own_videos,
    read_table,
    refuse_rows,
)

ANNOTATIONS = "annotations"
VIDEOS = "trainval"
CLASS_LIST = "action_list.pbtxt"
TESTED = 4
"""Where the table names no subsets, every so manieth video, in the order of their names, is for testing."""
_SUBSETS = ("train", "test")


@dataclass(frozen=True)
class Written:
    """What `own_keyframes` has written, and what it left aside, in sentences."""

    manifest: Path
    remarks: tuple[str, ...]


def own_keyframes(
    videos: Path,
    boxes: Path | pd.DataFrame,
    out: Path,
    *,
    detections: Path | pd.DataFrame | None = None,
    pixels: bool = False,
    rate: int = 30,
    digits: int = 3,
) -> Written:
    """Write ``<out>/annotations/`` and the manifest ``<out>/<name of out>.yaml``, whose data root is `out`.

    Videos that do not lie below `out` are linked, not copied, into ``<out>/trainval``. Corners are shares of the frame
    or, with `pixels`, pixels of it; they are written with `digits` decimals. Classes are numbered from 1 in the order
    of the alphabet. The manifest's cut is from 0 s over the longest video, at `rate` frames a second. Remarks say what
    is in folder or tables and not in what was written.
    Raises BookError naming file and line, as `read_table`, `checked_boxes` and `checked_labels` do, and for a `score`,
    `person` or `subset` that is none; nothing has been written then.
    """
    files = own_videos(videos)
    truth = checked_labels(checked_boxes(read_table(boxes), files, pixels=pixels))
    classes = sorted(set(truth["label"]))
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    truth["label"] = truth["label"].map(numbers)
    truth["last"] = _persons(truth)
    subsets = _subsets(truth)
    found = None if detections is None else _detected(detections, files, subsets, pixels=pixels)
    truths, detected = _lists(truth, found, subsets)
    used = {stem: files[stem] for stem in subsets}
    inside = videos.resolve().is_relative_to(out.resolve())
    entries = _entries(out, used, subsets, classes)
    entries["layout"]["videos"] = videos.resolve().relative_to(out.resolve()).as_posix() if inside else VIDEOS
    seconds = truth["second"] if found is None else pd.concat([truth["second"], found["second"]])
    longest = max(video.header.seconds for video in used.values())
    entries["keyframes"] = {  # whole minutes: the frames of a cut of another length are others
        "cut": {"start": 0, "seconds": 60 * ceil(longest / 60), "rate": rate, "at_most": True},
        "first": float(seconds.min()),
        "last": float(seconds.max()),
        "truth": {subset: f"{subset}_boxes.csv" for subset in truths},
        "detected": {subset: f"{subset}_detections.csv" for subset in detected},
        "class_list": CLASS_LIST,
    }
    path = out / f"{entries['name']}.yaml"
    validate(DatasetManifest, entries, shown(path))
    if not inside:
        _link(used, out / VIDEOS)
    for names, tables in ((entries["keyframes"]["truth"], truths), (entries["keyframes"]["detected"], detected)):
        for subset, rows in tables.items():
            write_boxes(out / ANNOTATIONS / names[subset], rows, digits)
    write_class_list(out / ANNOTATIONS / CLASS_LIST, {number: (name, "") for name, number in numbers.items()})
    write_text_atomic(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
    return Written(path, tuple(_remarks(truth, found, files, subsets)))


def _lists(
    truth: pd.DataFrame, found: pd.DataFrame | None, subsets: dict[str, str]
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Boxes of the truth and of the detector, of each subset that has some; the detector's for training with labels."""
    truths = dict(iter(truth.groupby(truth["video"].map(subsets))))
    detected = {} if found is None else dict(iter(found.groupby(found["video"].map(subsets))))
    if "train" in detected:
        detected["train"] = with_labels(detected["train"], truths["train"])
    return truths, detected


def _persons(truth: pd.DataFrame) -> pd.Series:
    """Numbers of the people; where the table has none, of the boxes of each keyframe, from 0."""
    if "person" not in truth.columns:
        places = truth.groupby(["video", "second", *CORNERS], sort=False).ngroup()
        return places - places.groupby([truth["video"], truth["second"]]).transform("min")
    numbers = pd.to_numeric(truth["person"], errors="coerce")
    wrong = ~(numbers % 1 == 0)
    refuse_rows(truth, wrong, lambda at: f"person: expected a whole number, found {truth['person'][at]!r}")
    return numbers.astype(int)


def _subsets(truth: pd.DataFrame) -> dict[str, str]:
    """The subset of each video that has boxes."""
    stems = sorted(set(truth["video"]))
    if "subset" not in truth.columns:
        return {stem: "test" if place % TESTED == TESTED - 1 else "train" for place, stem in enumerate(stems)}
    given = truth["subset"]
    refuse_rows(truth, ~given.isin(_SUBSETS), lambda at: f"subset: expected train or test, found {given[at]!r}")
    first = truth.groupby("video")["subset"].transform("first")
    refuse_rows(truth, given != first, lambda at: f"subset {given[at]}: other boxes of this video are {first[at]}")
    return dict(zip(truth["video"], given, strict=True))


def _detected(
    source: Path | pd.DataFrame, files: dict[str, OwnVideo], subsets: dict[str, str], *, pixels: bool
) -> pd.DataFrame:
    found = checked_boxes(read_table(source), files, pixels=pixels)
    scores = (
        pd.to_numeric(found["score"], errors="coerce") if "score" in found.columns else pd.Series(np.nan, found.index)
    )
    refuse_rows(found, ~scores.between(0, 1), lambda _: "score: expected a number from 0 to 1")
    strange = ~found["video"].isin(subsets)
    refuse_rows(found, strange, lambda at: f"video {found['video'][at]} has no box in the table of labels")
    return found.assign(last=scores.astype(float), label=np.nan)


def _remarks(
    truth: pd.DataFrame, found: pd.DataFrame | None, files: dict[str, OwnVideo], subsets: dict[str, str]
) -> list[str]:
    remarks = []
    if empty := sorted(set(files) - set(subsets)):
        remarks.append(f"{len(empty)} videos have no box in the table and are left out: {some(empty)}")
    used = {*NEEDED, "label", "person", "subset", "last", WHERE}
    if more := [name for name in truth.columns if name not in used]:
        remarks.append(f"columns of the table of labels that are not used: {some(more)}")
    if found is None:
        remarks.append(
            "no boxes of a detector: tests as of AVA take them, and to take those of the labels instead is easier"
        )
    for subset in sorted(set(_SUBSETS) - set(subsets.values())):
        remarks.append(f"no video is in the subset {subset}; a column subset of the table of labels says which are")
    return remarks


def _link(used: dict[str, OwnVideo], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for video in used.values():
        link, target = folder / video.path.name, video.path.resolve()
        if link.is_symlink() and link.resolve() == target:
            continue
        if link.is_symlink() or link.exists():
            raise BookError(
                f"{shown(link)}: is in the way of a link to {shown(target)}; delete it, or name another folder"
            )
        try:
            link.symlink_to(target)
        except OSError as error:
            raise BookError(
                f"{shown(link)}: cannot be made a link ({error}); put the videos below {shown(folder.parent)}"
            ) from error


def _entries(out: Path, used: dict[str, OwnVideo], subsets: dict[str, str], classes: list[str]) -> dict[str, Any]:
    """What the manifest says beside its keyframes and where the videos are."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", out.resolve().name).lstrip("_.-") or "own"
    counts = Counter(subsets.values())
    ((suffix, _),) = Counter(video.path.suffix for video in used.values()).most_common(1)
    return {
        "kind": "dataset",
        "name": name,
        "dataset": "ava",
        "title": f"Own videos with boxes: {name}",
        "licence": "not stated",
        "citation": "none; own data",
        "layout": {"annotations": ANNOTATIONS, "suffix": suffix},
        "videos": len(used),
        "splits": {"1": {subset: counts[subset] for subset in _SUBSETS}},
        "classes": classes,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m actionbook.datasets.own_keyframes",
        description="Bring videos and a table of boxes to the form of AVA: lists, class list and a manifest whose path "
        "a recipe takes as data.manifest. Nothing is written unless every row of the table is right.",
    )
    parser.add_argument("videos", metavar="VIDEOS", help="the folder that holds the videos")
    parser.add_argument(
        "boxes",
        metavar="BOXES",
        help="a .csv with the columns video, second, x1, y1, x2, y2, label, and person and subset (train, test) if "
        "there are any; a row for each label of each box",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the data root to write")
    parser.add_argument(
        "--detections",
        metavar="FILE",
        help="boxes of a detector, with score and without label, such as those of actionbook.datasets.people_detector",
    )
    parser.add_argument("--pixels", action="store_true", help="corners are pixels, not shares of the frame (0 to 1)")
    parser.add_argument("--rate", type=int, default=30, help="frames a second that the videos are brought to (30)")
    parser.add_argument("--digits", type=int, default=3, help="decimals of the corners as written (3, as AVA's)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0 if all is written, 1 with the reasons on standard error."""
    print_any_text()
    options = _parser().parse_args(arguments)
    try:
        written = own_keyframes(
            expanded(options.videos),
            expanded(options.boxes),
            expanded(options.out),
            detections=expanded(options.detections) if options.detections else None,
            pixels=options.pixels,
            rate=options.rate,
            digits=options.digits,
        )
        for remark in written.remarks:
            sys.stdout.write(f"{remark}\n")
        sys.stdout.write(f"{shown(written.manifest)}: written; in a recipe it is data.manifest\n")
    except BookError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
