"""From a manifest to checked files: procedural data sets are drawn, the others must be where the user says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Source
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.datasets.hmdb51 import hmdb51_index
from actionbook.datasets.kinetics400 import kinetics400_index
from actionbook.datasets.miniature import HMDB51, KINETICS400, UCF101, MiniSpec, write_miniature
from actionbook.datasets.ucf101 import ucf101_index

READERS = {"hmdb51": hmdb51_index, "kinetics400": kinetics400_index, "ucf101": ucf101_index}
MINIATURES = {miniature.name: miniature for miniature in (HMDB51, KINETICS400, UCF101)}


def obtain(manifest: DatasetManifest, root: Path, workers: int = 1) -> str:
    """Make sure that the data set lies at `root`, and say in one sentence where it came from.

    A data set with a generator is drawn (about half a minute; a finished one is left alone). Any other must be there
    already. Raises BookError naming the sources if it is not, or if a list file is not the published one.
    """
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
    if not videos.is_dir():
        where = "".join(f"\n  {source.name}: {source.url}" for source in manifest.sources)
        raise BookError(
            f"{shown(videos)} does not exist. Unpack {manifest.title} there, or set data_root to the folder that "
            f"holds {manifest.layout.videos}/ and {manifest.layout.annotations}/. Published as:{where}"
        )
    for source in manifest.annotation_files:
        _check_text(root / manifest.layout.annotations / source.name, source)
    checked = len(manifest.annotation_files)
    lists = f"{checked} list files verified by sha256" if checked else "its lists are checked as a split is read"
    return f"{manifest.title}: found at {shown(root)}, {lists}"


def read_split(manifest: DatasetManifest, root: Path, split: int, allow_missing: bool = False) -> pd.DataFrame:
    """The index of one split, through the reader of the data set's layout."""
    return READERS[manifest.dataset](root, manifest, split, allow_missing)


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
