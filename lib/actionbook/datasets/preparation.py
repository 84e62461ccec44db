"""Frames and flow of a data set: prepared from its videos, or looked at where others have prepared them."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.files import sha256_json
from actionbook.core.stage_results import MOST_NAMES, DatasetRow
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.index import Index, write_index
from actionbook.video.decode import probe, read_frames
from actionbook.video.estimate import Estimate, estimate
from actionbook.video.failures import check_failures
from actionbook.video.frame_folder import Frames, open_frames
from actionbook.video.frame_pack import FramePack
from actionbook.video.frames_in_place import frames_in_place
from actionbook.video.parallel import in_threads
from actionbook.video.prepare import Job, already_prepared
from actionbook.video.prepare import prepare as prepare_videos
from actionbook.video.prepare_flow import FlowJob
from actionbook.video.prepare_flow import prepare_flow as compute_flow
from actionbook.video.reader import FLOW
from actionbook.video.resample import read_resampled
from actionbook.video.store import FrameStore

_UNUSABLE = "have frames that cannot be used"


@dataclass(frozen=True)
class Prepared:
    """A data set whose frames are ready."""

    dataset: Dataset
    index: Index
    """With the numbers of frames."""
    frames: pd.DataFrame
    """One row a video: video, frames, bytes, error, note."""
    flow: pd.DataFrame | None
    """The same of optical flow; None where none is needed."""
    seconds: float
    """That it took, a look at what was there already included."""

    @property
    def failed(self) -> int:
        """Videos that could not be prepared."""
        return int((self.frames.error != "").sum())

    @property
    def rate(self) -> float:
        """Frames a second, of colour and flow together; those that were there already count too."""
        flow = 0 if self.flow is None else self.flow.frames.sum()
        return float(self.frames.frames.sum() + flow) / max(self.seconds, 1e-3)

    @property
    def remarks(self) -> pd.DataFrame:
        """What failed or was odd: video, error, note."""
        every = self.frames if self.flow is None else pd.concat([self.frames, self.flow])
        odd = (every.error != "") | (every.note != "")
        return every.loc[odd, ["video", "error", "note"]].reset_index(drop=True)

    @property
    def row(self) -> DatasetRow:
        """What a record says of it. Of a split that leaves videos out, those of the split are expected."""
        manifest, videos = self.dataset.manifest, self.index.videos
        missing = videos.video[videos.frames == 0].tolist()
        return DatasetRow(
            manifest=manifest.name,
            manifest_sha256=sha256_json(manifest.model_dump(mode="json")),
            generated=manifest.generator is not None,
            split=self.dataset.data.split,
            videos_expected=len(videos),
            videos_found=len(videos) - len(missing),
            missing=tuple(missing[:MOST_NAMES]),
            missing_sha256=sha256_json(sorted(missing)) if missing else None,
            lacks=self.index.lacks(),
            frames=int(videos.frames.sum()),
            store_bytes=int(self.frames.bytes.sum()),
            flow_bytes=0 if self.flow is None else int(self.flow.bytes.sum()),
            index_sha256=self.index.sha256,
        )


def prepare(
    dataset: Dataset,
    index: Index,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    report_folder: Path | None = None,
    flow: bool = False,
) -> Prepared:
    """Frames of all videos of `index`, with `flow` the optical flow between them, and the index that later stages read.

    What an earlier run has made from the same files is kept. Failures are written to
    ``<report_folder>/failures-<name>.csv``. Raises BookError if more than ``data.frames.max_failed`` of the videos
    failed, or any flow.
    """
    start, name = time.perf_counter(), dataset.manifest.name
    reports = {what: report_folder / f"failures-{name}{what}.csv" if report_folder else None for what in ("", "-flow")}
    frames = prepare_frames(dataset, index, workers=workers, scheduler=scheduler, report=reports[""])
    done = complete(index, frames)
    write_index(done, dataset.index_file)
    flows = None
    if flow:
        flows = prepare_flow(dataset, done, workers=workers, scheduler=scheduler, report=reports["-flow"])
    return Prepared(dataset, done, frames, flows, time.perf_counter() - start)


def complete(index: Index, frames: pd.DataFrame) -> Index:
    """`index` with the numbers of frames of a table of preparation; 0 for videos that are not in it."""
    counts = index.items.video.map(frames.set_index("video").frames).fillna(0).astype("int64")
    return replace(index, items=index.items.assign(frames=counts))


def prepare_frames(
    dataset: Dataset, index: Index, *, workers: int = 1, scheduler: str | None = None, report: Path | None = None
) -> pd.DataFrame:
    """Frames in colour of all videos of `index` that have a path; one row each: video, frames, bytes, error, note.

    Decodes the videos, or the cut of them that the manifest's keyframes lie in, into the frame store with
    `video.prepare.prepare`, on `scheduler` if one is named; where the
    recipe names a folder of frames, these are looked at and left alone. Failures are written to `report`.
    Raises BookError if more than ``data.frames.max_failed`` of them failed.
    """
    found = index.videos[index.videos.path != ""].reset_index(drop=True)
    settings, folder = dataset.data.frames, dataset.frames_folder
    if folder:
        folders = {video: folder / path for video, path in zip(found.video, found.path, strict=True)}
        return check_failures(
            frames_in_place(found, folder),
            folders,
            what=_UNUSABLE,
            max_failed=settings.max_failed,
            setting="the recipe (data.frames.max_failed)",
            report=report,
        )
    return prepare_videos(_jobs(dataset, found), settings, workers=workers, scheduler=scheduler, report=report)


def estimate_frames(dataset: Dataset, index: Index) -> Estimate | None:
    """What `prepare_frames` will take for the videos that are not prepared yet; None where it cannot be told.

    It can for a data set of which a cut is prepared, see `video.estimate`; of other sets only decoding tells how long
    the videos are. Raises BookError as `estimate`.
    """
    if dataset.cut is None or dataset.frames_folder:
        return None
    jobs = _jobs(dataset, index.videos[index.videos.path != ""])
    done = in_threads(lambda job: already_prepared(job, dataset.data.frames), jobs, "looking")
    return estimate([job for job, result in zip(jobs, done, strict=True) if result is None], dataset.data.frames)


def _jobs(dataset: Dataset, videos: pd.DataFrame) -> list[Job]:
    return [
        Job(video, dataset.root / path, store_path(dataset.colour_store, store), dataset.cut)
        for video, path, store in zip(videos.video, videos.path, videos.store, strict=True)
    ]


def prepare_flow(
    dataset: Dataset, index: Index, *, workers: int = 1, scheduler: str | None = None, report: Path | None = None
) -> pd.DataFrame:
    """Optical flow between the frames of all videos of `index` that have some, as `prepare_frames` does for colour.

    Where the recipe names a folder of flow, that is looked at; there must be as much flow as there are frames.
    Raises BookError if the flow of any video failed.
    """
    found = index.videos[index.videos.frames > 0].reset_index(drop=True)
    if dataset.flow_folder:
        folders = {v: dataset.flow_folder / store for v, store in zip(found.video, found.store, strict=True)}
        table = frames_in_place(found, dataset.flow_folder, FLOW)
        unequal = (table.error == "") & (table.frames != found.frames.to_numpy())
        reasons = [f"{folders[video]}: not as much flow as frames" for video in table.video[unequal]]
        table.loc[unequal, "error"] = reasons
        return check_failures(table, folders, what=_UNUSABLE, max_failed=0.0, setting="flow", report=report)
    jobs = [
        FlowJob(video, store_path(dataset.colour_store, store), store_path(dataset.flow_store, store))
        for video, store in zip(found.video, found.store, strict=True)
    ]
    return compute_flow(
        jobs, dataset.data.flow, workers=workers, scheduler=scheduler, report=report, memory=dataset.memory
    )


def unprepared_frames(dataset: Dataset, path: str, indices: Sequence[int]) -> np.ndarray:
    """Frames by index (from 0), uint8 RGB (T, H, W, 3), from a path of the index: a video, or what was made of it.

    Where a cut is prepared, they are frames of the cut. Raises VideoError and StoreError.
    """
    if dataset.frames_folder:
        with open_frames(dataset.frames_folder / path) as frames:
            return np.stack(frames.read(indices))
    if dataset.cut:
        return read_resampled(dataset.root / path, dataset.cut, indices)
    return read_frames(dataset.root / path, indices)


def source_table(dataset: Dataset, items: pd.DataFrame) -> pd.DataFrame:
    """What the videos of some items (or the folders of their frames) say of themselves, one row each, by video."""
    if dataset.frames_folder:
        rows = []
        for path in items.path:
            with open_frames(dataset.frames_folder / path) as frames:
                width, height = frames.frame_size
                rows.append({"width": width, "height": height, "frames": len(frames)})
    else:
        rows = [vars(probe(dataset.root / path)) for path in items.path]
    return pd.DataFrame(rows, index=items.video).drop(columns="file_seconds", errors="ignore")


def stored_names(frames: Frames) -> list[str]:
    """Names of the JPEGs of one video, in order: by the standard library's ZIP reader, or as they have them."""
    if isinstance(frames, FrameStore):
        with zipfile.ZipFile(frames.path) as archive:
            return archive.namelist()
    return frames.names()


def made_from(frames: Frames) -> str:
    """Where the frames of one video came from, as far as it was written down."""
    if not isinstance(frames, FrameStore):
        return f"a {'pack' if isinstance(frames, FramePack) else 'folder'} of others, made elsewhere"
    info = frames.info
    return info.flow.split(";")[0] or f"{info.source}, {info.fps:g} frames a second"
