"""From a manifest to checked files: procedural data sets are drawn, the others must be where the user says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.core.sources import Source
from actionbook.datasets.ava import ava_index, with_frame_lists
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.given import annotated_index, index_in_place, with_videos
from actionbook.datasets.hmdb51 import hmdb51_index
from actionbook.datasets.index import Index
from actionbook.datasets.kinetics400 import kinetics400_index
from actionbook.datasets.lists import MissingVideos, read_text
from actionbook.datasets.miniature import AVA, HMDB51, KINETICS400, UCF101, MiniSpec, write_miniature
from actionbook.datasets.packs import holds_packs, packed_index
from actionbook.datasets.ucf101 import ucf101_index
from actionbook.datasets.video_files import contents, videos_folder

READERS = {"hmdb51": hmdb51_index, "kinetics400": kinetics400_index, "ucf101": ucf101_index}
MINIATURES = {miniature.name: miniature for miniature in (AVA, HMDB51, KINETICS400, UCF101)}


def obtain(dataset: Dataset, workers: int = 1) -> str:
    """Make sure that the data set lies at its root, and say in one sentence where it came from.

    A data set with a generator is drawn (about half a minute; a finished one is left alone). Any other must be there
    already: with a folder of prepared frames without its videos, with an annotation file (or packs, which have lists of
    their own) without its lists.
    Raises BookError naming the sources if it is not, or if a list file is not the published one.
    """
    manifest, root = dataset.manifest, dataset.root
    frames_folder, annotations = dataset.frames_folder, dataset.annotation_json
    if frames_folder and holds_packs(frames_folder):
        return f"{manifest.title}: packed videos in {shown(frames_folder)}, as train.json and val.json there name them"
    if frames_folder and annotations:
        found = f"frames in {shown(frames_folder)}, videos of the split as {shown(annotations)} names them"
        return f"{manifest.title}: {found}"
    if manifest.generator is not None:
        settings = manifest.generator.model_dump()
        spec = MiniSpec(**settings, classes=manifest.classes)
        with progress_bar(manifest.videos, "drawing", "videos") as bar:
            write_miniature(
                MINIATURES[manifest.dataset],
                root,
                spec,
                workers=workers,
                progress=lambda done, _: (bar.update(done - bar.n), None)[1],
            )
        return f"{manifest.title}: {manifest.videos} videos drawn from seed {spec.seed}"
    videos = videos_folder(root, manifest)
    if not frames_folder and not videos.is_dir():
        where = "".join(f"\n  {source.name}: {source.url}" for source in manifest.sources)
        raise BookError(
            f"{shown(videos)} does not exist; {contents(root)}. Fetch {manifest.title}, checked and unpacked, with "
            f"`python -m actionbook.datasets.fetch {manifest.name} --root {shown(root)}`, or set data_root to the "
            f"folder that holds {manifest.layout.videos}/ and {manifest.layout.annotations}/. Published as:{where}"
        )
    found = f"{manifest.title}: found at {shown(frames_folder or root)}"
    if annotations:
        return f"{found}, videos of the split as {shown(annotations)} names them"
    for source in manifest.annotation_files:
        _check_text(root / manifest.layout.annotations / source.name, source)
    checked = len(manifest.annotation_files)
    lists = f"{checked} list files verified by sha256" if checked else "its lists are checked as a split is read"
    return f"{found}, {lists}"


def read(dataset: Dataset, *, strict: bool = False) -> Index:
    """The index of the data set's split, through the reader of its layout or from its annotation file.

    With a folder of prepared frames the column ``path`` holds folders below it (``<class>/<video>``), else videos
    below the root. Raises BookError as the readers do, and MissingVideos where frames or videos are missing; with
    ``allow_missing`` only if all are, unless `strict`. Of packed videos, see `packed_index`.
    """
    manifest, root, data = dataset.manifest, dataset.root, dataset.data
    frames_folder, annotations = dataset.frames_folder, dataset.annotation_json
    allow_missing = data.allow_missing and not strict
    if frames_folder and holds_packs(frames_folder):
        if annotations:
            raise BookError(
                f"data.annotation_json: the packs in {shown(frames_folder)} have lists and classes of their own; leave "
                "it out"
            )
        return packed_index(frames_folder, manifest, data.split, data.allow_missing)
    if annotations:
        index = annotated_index(annotations, manifest, data.split, data.allow_missing)
        if not frames_folder:
            return with_videos(index, root, manifest, allow_missing)
        return index_in_place(index, frames_folder, allow_missing)
    try:
        if manifest.keyframes is not None:
            index = ava_index(root, manifest, data, allow_missing=allow_missing, videos=not frames_folder)
            index = with_frame_lists(index, root, manifest) if frames_folder else index
        else:
            index = READERS[manifest.dataset](root, manifest, data.split, allow_missing and not frames_folder)
    except MissingVideos as missing:
        if not frames_folder:
            raise
        index = missing.index
    return index_in_place(index, frames_folder, allow_missing) if frames_folder else index


def _check_text(path: Path, source: Source) -> None:
    """Compare a text file with its manifest entry, whatever its line ends (UCF101's as published are CR LF)."""
    digest = hashlib.sha256(read_text(path).replace("\n", "\r\n").encode()).hexdigest()
    if source.sha256 is not None and digest != source.sha256:
        raise BookError(
            f"{shown(path)}: is not the published list (sha256 {digest} with CR LF line ends, "
            f"the manifest says {source.sha256}); fetch the lists again"
        )
