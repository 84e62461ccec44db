"""Frames and flow of a stage's videos: prepared from the videos, or looked at where others have prepared them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.clips.pipeline import Frames, store_path
from actionbook.core.workspace import Stage
from actionbook.video.decode import probe, read_frames
from actionbook.video.failures import check_failures
from actionbook.video.frame_folder import FrameFolder
from actionbook.video.frames_in_place import frames_in_place
from actionbook.video.prepare import Job, prepare
from actionbook.video.prepare_flow import FlowJob, prepare_flow
from actionbook.video.reader import FLOW
from actionbook.video.store import FrameStore


def prepare_frames(
    stage: Stage, index: pd.DataFrame, *, scheduler: str | None = None, report: Path | None = None
) -> pd.DataFrame:
    """Frames in colour of all videos of `index` that have a path; one row each: video, frames, bytes, error, note.

    Decodes the videos into the stage's frame store with `video.prepare.prepare`, on `scheduler` if one is named; where
    the recipe names a folder of frames, these are looked at and left alone. Failures are written to `report`.
    Raises BookError if more than ``data.frames.max_failed`` of them failed.
    """
    found = index[index.path != ""]
    settings = stage.recipe.data.frames
    if stage.frames_folder:
        folders = {video: stage.frames_folder / path for video, path in zip(found.video, found.path, strict=True)}
        table = frames_in_place(found, stage.frames_folder)
        return _judged(table, folders, settings.max_failed, "the recipe (data.frames.max_failed)", report)
    jobs = [
        Job(video, stage.data_root / path, store_path(stage.colour_store, label, video))
        for video, path, label in zip(found.video, found.path, found.label, strict=True)
    ]
    return prepare(jobs, settings, workers=stage.workers, scheduler=scheduler, report=report)


def prepare_stage_flow(
    stage: Stage, index: pd.DataFrame, *, scheduler: str | None = None, report: Path | None = None
) -> pd.DataFrame:
    """Optical flow between the frames of all videos of `index` that have some, as `prepare_frames` does for colour.

    Where the recipe names a folder of flow, that is looked at; there must be as much flow as there are frames.
    Raises BookError if the flow of any video failed.
    """
    found = index[index.frames > 0]
    if stage.flow_folder:
        folders = {
            video: stage.flow_folder / label / video for video, label in zip(found.video, found.label, strict=True)
        }
        table = frames_in_place(found, stage.flow_folder, FLOW)
        unequal = (table.error == "") & (table.frames != found.frames.to_numpy())
        reasons = [f"{folders[video]}: not as much flow as frames" for video in table.video[unequal]]
        table.loc[unequal, "error"] = reasons
        return _judged(table, folders, 0.0, "flow", report)
    jobs = [
        FlowJob(video, store_path(stage.colour_store, label, video), store_path(stage.flow_store, label, video))
        for video, label in zip(found.video, found.label, strict=True)
    ]
    return prepare_flow(jobs, stage.recipe.data.flow, workers=stage.workers, scheduler=scheduler, report=report)


def _judged(
    table: pd.DataFrame, folders: dict[str, Path], max_failed: float, setting: str, report: Path | None
) -> pd.DataFrame:
    what = "have frames that cannot be used"
    check_failures(table, folders, what=what, max_failed=max_failed, setting=setting, report=report)
    return table


def unprepared_frames(stage: Stage, path: str, indices: Sequence[int]) -> np.ndarray:
    """Frames by index (from 0), uint8 RGB (T, H, W, 3), from a path of the index: a video, or a folder of frames."""
    if stage.frames_folder:
        with FrameFolder(stage.frames_folder / path) as frames:
            return np.stack(frames.read(indices))
    return read_frames(stage.data_root / path, indices)


def source_table(stage: Stage, index: pd.DataFrame) -> pd.DataFrame:
    """What the videos of `index` (or the folders of their frames) say of themselves, one row each, by video."""
    if stage.frames_folder:
        rows = []
        for path in index.path:
            with FrameFolder(stage.frames_folder / path) as frames:
                width, height = frames.frame_size
                rows.append({"width": width, "height": height, "frames": len(frames)})
    else:
        rows = [vars(probe(stage.data_root / path)) for path in index.path]
    return pd.DataFrame(rows, index=index.video)


def stored_names(frames: Frames) -> list[str]:
    """Names of the JPEGs of one video, in order: by the standard library's ZIP reader, or of the folder's files."""
    if isinstance(frames, FrameStore):
        with zipfile.ZipFile(frames.path) as archive:
            return archive.namelist()
    return sorted(frames.sizes())


def made_from(frames: Frames) -> str:
    """Where the frames of one video came from, as far as it was written down."""
    if not isinstance(frames, FrameStore):
        return "a folder of others, made elsewhere"
    info = frames.info
    return info.flow.split(";")[0] or f"{info.source}, {info.fps:g} frames a second"
