"""What others have prepared, as an index: annotation files instead of lists, folders of frames instead of videos."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from actionbook.core.errors import some
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.annotation_json import read_annotation_json
from actionbook.datasets.index import Index
from actionbook.datasets.lists import PARTIAL_COPY, MissingVideos, UnclearVideos, check_split, finish_index, split_of
from actionbook.datasets.video_files import contents
from actionbook.video.frames_in_place import find_folders

logger = logging.getLogger(__name__)


def annotated_index(path: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """The index of one split from an annotation file of the original scripts, with an empty ``path``.

    Raises BookError as `read_annotation_json`, and if training or test videos are not as many as the manifest says;
    with `allow_missing` only if there are more.
    """
    split_of(manifest, split)  # before the file is read
    index = read_annotation_json(path, manifest)
    found = [int((index.items.subset == subset).sum()) for subset in ("train", "test")]
    remedy = "set data.split to the one that the file describes, or data.allow_missing if it describes a part"
    check_split(f"{shown(path)}:", found, manifest, split, allow_missing=allow_missing, remedy=remedy)
    return index


def with_videos(index: Index, root: Path, manifest: DatasetManifest, allow_missing: bool = False) -> Index:
    """`index` with the path of each video below `root`, found as `video_files` says by its name up to the first dot.

    Raises BookError as `finish_index`.
    """
    rows = [{str(key): value for key, value in row.items()} for row in index.table.to_dict("records")]
    return finish_index(root, manifest, rows, allow_missing, to_dot=True)


def index_in_place(index: Index, folder: Path, allow_missing: bool = False) -> Index:
    """`index` with the folder of each video's frames, ``<class>/<video>`` below `folder`, as its path.

    Raises MissingVideos saying what is missing, a whole class in one line; with `allow_missing` only if all is. Raises
    UnclearVideos likewise where two folders may be of one video.
    """
    places = find_folders(index.videos, folder)
    paths = index.items.video.map(places.set_index("video").path)
    found = replace(index, items=index.items.assign(path=paths))
    reasons = places.error[places.error != ""].drop_duplicates().tolist()
    lacking = f"{shown(folder)}: the frames of {(places.error != '').sum()} of the {len(places)} videos are missing:"
    if not reasons:
        return found
    unclear = places.unclear.any()
    if allow_missing and (places.path != "").any() and not unclear:
        logger.warning("%s %s", lacking, some(reasons, 3))
        return found
    there = contents(folder)
    raise (UnclearVideos if unclear else MissingVideos)(
        f"{lacking}\n"
        + "\n".join(reasons[:20])
        + (f"\nand {len(reasons) - 20} more reasons" if len(reasons) > 20 else "")
        + f"\n{there[0].upper()}{there[1:]}. {PARTIAL_COPY}",
        found,
        f"{reasons[0]}; {there}",
    )
