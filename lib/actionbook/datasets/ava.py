"""AVA on disk: videos side by side, and lists of the boxes and classes that are seen at their keyframes.

Gu et al., "AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions", CVPR 2018. The rules are those
of facebookresearch/SlowFast (slowfast/datasets/ava_helper.py) without its oddities: a second without boxes and a video
without detections break nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.core.keyframes import Keyframes
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.core.sections import Data
from actionbook.datasets.ava_files import read_boxes, read_class_list, read_excluded
from actionbook.datasets.ava_frame_lists import read_frame_list
from actionbook.datasets.index import BOX, BOXES, ITEMS, LABELS, NO_CLASS, Index, check
from actionbook.datasets.lists import PARTIAL_COPY, MissingVideos, UnclearVideos, check_split
from actionbook.datasets.video_files import contents

logger = logging.getLogger(__name__)

_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov"}


def keyframe_id(video: str, second: float) -> str:
    """The id of a keyframe: ``<video>@0902``, or ``<video>@12.5`` where its second is no whole one."""
    return f"{video}@{second:04.0f}" if second % 1 == 0 else f"{video}@{second:g}"


def ava_index(
    root: Path, manifest: DatasetManifest, data: Data, *, allow_missing: bool = False, videos: bool = True
) -> Index:
    """The keyframes of both subsets with their labels, and the boxes of a detector that the test asks about.

    Training learns from the boxes that people have drawn and, if the recipe wants so, from those of the detector whose
    score is high enough; boxes of a keyframe with the same corners are one box with all of their classes. Test items
    are the keyframes of both lists that are not left out; classes that no score counts are no labels of them. Checked:
    every row of every list, the class list against the manifest, the numbers of videos, and that every video exists
    (unless `videos` is not set). Raises BookError saying what is wrong, MissingVideos as the other readers.
    """
    keyframes, folder, boxes = keyframes_of(manifest), root / manifest.layout.annotations, data.boxes
    _check_classes(folder, manifest)
    learned = _rows(folder, manifest, "train", keyframes.truth.train, scored=False)
    if boxes.learn_detected and keyframes.detected.train:
        found = _rows(folder, manifest, "train", keyframes.detected.train, scored=True)
        learned = pd.concat([learned, found[found["last"] >= boxes.min_score]], ignore_index=True)
    tested = _rows(folder, manifest, "test", keyframes.truth.test, scored=False)
    counts = learned.video.nunique(), tested.video.nunique()
    check_split(
        f"{shown(folder)}:", counts, manifest, data.split, allow_missing=allow_missing, remedy="fetch the lists again"
    )
    asked = None
    if boxes.test == "detected" and keyframes.detected.test:
        asked = _rows(folder, manifest, "test", keyframes.detected.test, scored=True)
        asked = _once(asked[asked["last"] >= boxes.min_score], folder / keyframes.detected.test)
    every = pd.concat([learned, tested, *([] if asked is None else [asked])])
    items = every[["item", "video", "second", "subset"]].drop_duplicates("item", ignore_index=True)
    order = pd.Series({video: number for number, video in enumerate(items.video.unique())})
    items = items.assign(order=order[items.video].to_numpy()).sort_values(["order", "second"], ignore_index=True)
    if both := set(items.video[items.subset == "train"]) & set(items.video[items.subset == "test"]):
        raise BookError(f"{shown(folder)}: {some(sorted(both))} are in the lists of training and of validation")
    paths = _paths(root, manifest, order.index) if videos else dict.fromkeys(order.index, "")
    items = items.assign(
        frame=np.rint((items.second - keyframes.cut.start) * keyframes.cut.rate).astype("int64"),
        path=items.video.map(paths),
        store=items.video,
        frames=0,
    )
    labels = _labels(pd.concat([learned, tested]), manifest, items["item"])
    index = Index(
        items[list(ITEMS)].astype(ITEMS),
        labels,
        None if asked is None else asked.rename(columns={"last": "score"})[list(BOXES)].astype(BOXES),
    )
    check(index)
    return _with_missing(index, root, manifest, allow_missing) if videos else index


def at_every(index: Index, manifest: DatasetManifest, seconds: int) -> Index:
    """`index` without test items whose second is no multiple of `seconds`: what PySlowFast scores while it trains."""
    second = keyframes_of(manifest).cut.moments(index.items.frame.to_numpy())
    kept = (index.items.subset == "train") | ((second % seconds).round(6) % seconds == 0)
    return index.with_items(index.items[kept].reset_index(drop=True))


def with_frame_lists(index: Index, root: Path, manifest: DatasetManifest) -> Index:
    """`index` with the folder and the number of the frames of each video, where the data set has frame lists.

    Without a list, or for a video that none names, the folder is called as the video. Raises BookError as
    `read_frame_list`.
    """
    names = [keyframes_of(manifest).frame_lists.of(subset) for subset in ("train", "test")]
    paths = [root / manifest.layout.annotations / name for name in dict.fromkeys(names) if name]
    lists = [read_frame_list(path) for path in paths if path.is_file()]
    if not lists:
        return index
    listed = pd.concat(lists).drop_duplicates("video").set_index("video")
    folders, counts = (index.items.video.map(listed[name]) for name in ("folder", "frames"))
    items = index.items.assign(store=folders.fillna(index.items.video), frames=counts.fillna(0).astype("int64"))
    return replace(index, items=items)


def keyframes_of(manifest: DatasetManifest) -> Keyframes:
    """What the manifest says of keyframes. Raises BookError for a data set of videos."""
    if manifest.keyframes is None:
        raise BookError(f"{manifest.name}: expected a data set of keyframes, as mini_ava is")
    return manifest.keyframes


def _rows(folder: Path, manifest: DatasetManifest, subset: str, name: str | None, *, scored: bool) -> pd.DataFrame:
    """The rows of one list, without keyframes that are left out, with the columns item and subset."""
    keyframes = keyframes_of(manifest)
    if name is None:
        raise BookError(f"{manifest.name}: its manifest names no list of boxes for {subset} (keyframes.truth.{subset})")
    rows = read_boxes(folder / name, keyframes, len(manifest.classes), scored=scored)
    pairs = rows[["video", "second"]].drop_duplicates()
    ids = {pair: keyframe_id(*pair) for pair in pairs.itertuples(index=False, name=None)}
    rows = rows.assign(item=[ids[pair] for pair in zip(rows.video, rows.second, strict=True)], subset=subset)
    if left_out := keyframes.excluded.of(subset):
        excluded = read_excluded(folder / left_out)
        names = {keyframe_id(video, second) for video, second in excluded.itertuples(index=False, name=None)}
        rows = rows[~rows["item"].isin(names)]
    return rows.reset_index(drop=True)


def _once(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Each box of a keyframe once: the original keeps them by the text of their corners."""
    twice = rows.duplicated(["item", *BOX])
    if twice.any():
        logger.warning(
            "%s: %d boxes occur twice in their keyframe, such as one of %s; each is asked about once",
            shown(path),
            int(twice.sum()),
            rows["item"][twice].iloc[0],
        )
    return rows[~twice].reset_index(drop=True)


def _labels(rows: pd.DataFrame, manifest: DatasetManifest, items: pd.Series) -> pd.DataFrame:
    """Labels in the items' order. Of test items, classes that no score counts are left out."""
    names = dict(enumerate(manifest.classes, 1)) | {NO_CLASS: ""}
    unscored = {number for number, name in names.items() if name in keyframes_of(manifest).unscored}
    rows = rows[(rows.subset == "train") | ~rows.label.isin(unscored)]
    order = pd.Series(np.arange(len(items)), index=items.to_numpy())
    rows = rows.assign(
        order=order[rows["item"]].to_numpy(),
        target=np.where(rows.label == NO_CLASS, NO_CLASS, rows.label - 1),
        label=rows.label.map(names),
    )
    return rows.sort_values("order", kind="stable")[list(LABELS)].astype(LABELS).reset_index(drop=True)


def _check_classes(folder: Path, manifest: DatasetManifest) -> None:
    """The class list names the scored classes of the manifest by the same numbers."""
    keyframes = keyframes_of(manifest)
    if keyframes.class_list is None:
        return
    path = folder / keyframes.class_list
    found, known = read_class_list(path), dict(enumerate(manifest.classes, 1))
    wanted = {number: name for number, name in known.items() if name not in keyframes.unscored}
    wrong = [f"{number}: {name!r}" for number, name in found.items() if known.get(number) != name]
    lacking = [f"{number}: {name!r}" for number, name in wanted.items() if number not in found]
    if wrong or lacking:
        said = "; ".join(f"{what} {some(names, 5)}" for what, names in (("names", wrong), ("lacks", lacking)) if names)
        raise BookError(f"{shown(path)}: {said}, unlike the manifest {manifest.name}; use the list of its version")


def _paths(root: Path, manifest: DatasetManifest, videos: Iterable[str]) -> dict[str, str]:
    """The file of each video below the root; empty for one that is missing. Case matters in YouTube's ids."""
    folder = root / manifest.layout.videos
    found: dict[str, list[str]] = {}
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _SUFFIXES and path.is_file():
                found.setdefault(path.stem, []).append(path.relative_to(root).as_posix())
    return {video: " and ".join(found.get(video, [])) for video in videos}


def _with_missing(index: Index, root: Path, manifest: DatasetManifest, allow_missing: bool) -> Index:
    folder, every = root / manifest.layout.videos, index.videos
    unclear = every.path[every.path.str.contains(" and ")].tolist()
    missing = every.video[every.path == ""].tolist()
    if unclear:
        there = f"several files have the name of one video: {some(unclear, 3)}"
        raise UnclearVideos(f"{shown(folder)}: {there}; remove what is not meant", index, there)
    if missing and (not allow_missing or len(missing) == len(every)):
        there = contents(folder)
        raise MissingVideos(
            f"{shown(folder)}: {len(missing)} of the {len(every)} videos of {manifest.name} are missing: "
            f"{some(missing, 10)}. {there[0].upper()}{there[1:]}. {PARTIAL_COPY}",
            index,
            there,
        )
    return index
