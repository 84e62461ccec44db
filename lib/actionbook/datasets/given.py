"""What others have prepared, as an index: annotation files instead of lists, folders of frames instead of videos."""

from __future__ import annotations

from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest
from actionbook.core.paths import shown
from actionbook.datasets.annotation_json import read_annotation_json
from actionbook.datasets.index import Index
from actionbook.datasets.lists import finish_index, split_of, video_files
from actionbook.video.frames_in_place import find_folders


def annotated_index(path: Path, manifest: DatasetManifest, split: int, allow_missing: bool = False) -> Index:
    """The index of one split from an annotation file of the original scripts, with an empty ``path``.

    Raises BookError as `read_annotation_json`, and if training or test videos are not as many as the manifest says;
    with `allow_missing` only if there are more.
    """
    expected = split_of(manifest, split)
    index = read_annotation_json(path, manifest)
    found = [int((index.items.subset == subset).sum()) for subset in ("train", "test")]
    if [expected.train, expected.test] != found:
        fewer = found[0] <= expected.train and found[1] <= expected.test
        if not (allow_missing and fewer):
            raise BookError(
                f"{shown(path)}: {found[0]} training and {found[1]} validation videos, split {split} of "
                f"{manifest.name} has {expected.train} and {expected.test}: set data.split to the one that the file "
                "describes, or data.allow_missing if it describes a part"
            )
    return index


def with_videos(index: Index, root: Path, manifest: DatasetManifest, allow_missing: bool = False) -> Index:
    """`index` with the path of each video below `root`, found by class and name up to the first dot.

    Capitals of the name do not matter. Raises BookError listing videos that are missing; with `allow_missing` only if
    all are.
    """
    videos = manifest.layout.videos
    files = {
        (label, name.partition(".")[0].lower()): path
        for folder in (videos, f"{videos}/train", f"{videos}/val")  # those of Kinetics lie by subset
        for (label, name), path in video_files(root, folder, manifest).items()
    }
    table = index.table
    paths = [files.get((label, video.lower()), "") for label, video in zip(table.label, table.video, strict=True)]
    rows = [{str(key): value for key, value in row.items()} for row in table.assign(path=paths).to_dict("records")]
    return finish_index(root, manifest, rows, allow_missing)


def index_in_place(index: Index, folder: Path, allow_missing: bool = False) -> Index:
    """`index` with the folder of each video's frames, ``<class>/<video>`` below `folder`, as its path.

    Raises BookError saying what is missing, a whole class in one line; with `allow_missing` only if all is.
    """
    places = find_folders(index.items, folder)
    wrong = places[places.error != ""]
    if len(wrong) and (not allow_missing or len(wrong) == len(places)):
        reasons = wrong.error.drop_duplicates().tolist()
        raise BookError(
            f"{shown(folder)}: the frames of {len(wrong)} of the {len(places)} videos are missing:\n"
            + "\n".join(reasons[:20])
            + (f"\nand {len(reasons) - 20} more reasons" if len(reasons) > 20 else "")
            + "\nTo work with a partial copy, set data.allow_missing; every result then says how many videos it lacks."
        )
    return Index(index.items.assign(path=places.path.to_numpy()), index.labels)
