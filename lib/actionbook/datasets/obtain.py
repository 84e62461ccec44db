"""From a manifest to checked files: procedural data sets are drawn, the others must be where the user says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Source
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.core.workspace import Stage
from actionbook.datasets.given import annotated_index, index_in_place, with_videos
from actionbook.datasets.hmdb51 import hmdb51_index
from actionbook.datasets.kinetics400 import kinetics400_index
from actionbook.datasets.lists import MissingVideos
from actionbook.datasets.miniature import HMDB51, KINETICS400, UCF101, MiniSpec, write_miniature
from actionbook.datasets.ucf101 import ucf101_index

READERS = {"hmdb51": hmdb51_index, "kinetics400": kinetics400_index, "ucf101": ucf101_index}
MINIATURES = {miniature.name: miniature for miniature in (HMDB51, KINETICS400, UCF101)}


def obtain_stage(stage: Stage) -> str:
    """`obtain` for the data set of a stage, with the folder and the file that its recipe names, if it names any."""
    return obtain(
        stage.manifest, stage.data_root, stage.workers, frames=stage.frames_folder, annotations=stage.annotation_json
    )


def read_stage(stage: Stage) -> pd.DataFrame:
    """`read_split` for the data set and split of a stage, likewise."""
    data = stage.recipe.data
    return read_split(
        stage.manifest,
        stage.data_root,
        data.split,
        data.allow_missing,
        frames=stage.frames_folder,
        annotations=stage.annotation_json,
    )


def obtain(
    manifest: DatasetManifest,
    root: Path,
    workers: int = 1,
    *,
    frames: Path | None = None,
    annotations: Path | None = None,
) -> str:
    """Make sure that the data set lies at `root`, and say in one sentence where it came from.

    A data set with a generator is drawn (about half a minute; a finished one is left alone). Any other must be there
    already: with a folder of prepared `frames` without its videos, with a file of `annotations` without its lists.
    Raises BookError naming the sources if it is not, or if a list file is not the published one.
    """
    if frames and annotations:
        return f"{manifest.title}: frames in {shown(frames)}, videos of the split as {shown(annotations)} names them"
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
    videos = root / manifest.layout.videos
    if not frames and not videos.is_dir():
        where = "".join(f"\n  {source.name}: {source.url}" for source in manifest.sources)
        raise BookError(
            f"{shown(videos)} does not exist. Fetch {manifest.title}, checked and unpacked, with `python -m "
            f"actionbook.datasets.fetch {manifest.name} --root {shown(root)}`, or set data_root to the folder that "
            f"holds {manifest.layout.videos}/ and {manifest.layout.annotations}/. Published as:{where}"
        )
    found = f"{manifest.title}: found at {shown(frames or root)}"
    if annotations:
        return f"{found}, videos of the split as {shown(annotations)} names them"
    for source in manifest.annotation_files:
        _check_text(root / manifest.layout.annotations / source.name, source)
    checked = len(manifest.annotation_files)
    lists = f"{checked} list files verified by sha256" if checked else "its lists are checked as a split is read"
    return f"{found}, {lists}"


def read_split(
    manifest: DatasetManifest,
    root: Path,
    split: int,
    allow_missing: bool = False,
    *,
    frames: Path | None = None,
    annotations: Path | None = None,
) -> pd.DataFrame:
    """The index of one split, through the reader of the data set's layout or from a file of `annotations`.

    With a folder of prepared `frames` the column ``path`` holds folders below it (``<class>/<video>``), else videos
    below `root`. Raises BookError as the readers do, and where frames or videos are missing; with `allow_missing` only
    if all are.
    """
    if annotations:
        index = annotated_index(annotations, manifest, split, allow_missing)
        return (
            index_in_place(index, frames, allow_missing)
            if frames
            else with_videos(index, root, manifest, allow_missing)
        )
    try:
        index = READERS[manifest.dataset](root, manifest, split, allow_missing)
    except MissingVideos as missing:
        if not frames:
            raise
        index = missing.index
    return index_in_place(index, frames, allow_missing) if frames else index


def _check_text(path: Path, source: Source) -> None:
    """Compare a text file with its manifest entry, whatever its line ends (UCF101's as published are CR LF)."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BookError(
            f"{shown(path)}: cannot be read ({error.strerror}); unpack the train/test lists there"
        ) from error
    digest = hashlib.sha256(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).hexdigest()
    if source.sha256 is not None and digest != source.sha256:
        raise BookError(
            f"{shown(path)}: is not the published list (sha256 {digest} with CR LF line ends, "
            f"the manifest says {source.sha256}); fetch the lists again"
        )
