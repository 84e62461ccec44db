"""TV-L1 optical flow: the book's and OpenCV's, alone and with all that turns a video's frames into stored flow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from distributed import Client, LocalCluster

from actionbook.core.errors import BookError
from actionbook.core.sections import Flow
from actionbook.video.prepare_flow import FlowJob, prepare_flow, prepare_video_flow
from actionbook.video.store import FrameStore, unpacked
from actionbook.video.tvl1 import tvl1
from bench.worker import Contestant

BOUND = 20.0  # pixels to either side, brought to 0..255: the original's convert_rgb_to_flow.py


def book(pairs: str, checked: str) -> Contestant:
    """The book's kernel on pairs of grey frames, a file (P, 2, H, W). Writes its flow in 8 bits to `checked`."""
    return _on_pairs(tvl1, pairs, checked)


def opencv(pairs: str, checked: str) -> Contestant:
    """OpenCV's on the same, with its defaults."""
    program = cv2.optflow.DualTVL1OpticalFlow_create()
    return _on_pairs(lambda first, second: program.calc(first, second, None), pairs, checked)


def _on_pairs(flow: Callable[[np.ndarray, np.ndarray], np.ndarray], pairs: str, checked: str) -> Contestant:
    cv2.setNumThreads(1)
    images = np.load(pairs)

    def step() -> list[np.ndarray]:
        return [flow(first, second) for first, second in images]

    np.save(checked, eight_bits(np.stack(step())))
    return Contestant(step)


def eight_bits(flow: np.ndarray) -> np.ndarray:
    """Displacements in pixels as grey levels; none is 127.5, rounded to 128."""
    return np.clip(np.rint((flow + BOUND) * 255 / (2 * BOUND)), 0, 255).astype(np.uint8)


def prepared(stores: list[str], folder: str, checked: str) -> Contestant:
    """From frame stores to flow stores, in this process. Writes all of the flow to `checked`. Facts: frames."""
    cv2.setNumThreads(1)
    jobs = _jobs(stores, folder)

    def step() -> None:
        for job in jobs:
            result = prepare_video_flow(job, Flow())
            if result.error:
                raise BookError(result.error)

    _emptied(folder)
    step()
    planes = []
    for job in jobs:
        with FrameStore(job.store) as store:
            planes += store.read(range(len(store)))
    np.savez(checked, *planes)
    return Contestant(step, {"frames": len(planes)}, lambda: _emptied(folder))


def original(stores: list[str], folder: str, checked: str) -> Contestant:
    """The same frames as the original's script takes them, one after the other, with OpenCV.

    JPEG files in, grey, the flow from the frame before (for the first frame from itself), two JPEG files out.
    """
    cv2.setNumThreads(1)
    program = cv2.optflow.DualTVL1OpticalFlow_create()
    videos = [_unpack(Path(store), Path(f"{folder}-jpegs") / str(i)) for i, store in enumerate(stores)]

    def step() -> None:
        for number, frames in enumerate(videos):
            target = Path(folder) / str(number)
            target.mkdir()
            before = None
            for path in frames:
                grey = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY)
                flow = eight_bits(program.calc(grey if before is None else before, grey, None))
                cv2.imwrite(str(target / f"{path.stem}x.jpg"), flow[..., 0])
                cv2.imwrite(str(target / f"{path.stem}y.jpg"), flow[..., 1])
                before = grey

    _emptied(folder)
    step()
    written = [Path(folder) / str(i) / frame.stem for i, frames in enumerate(videos) for frame in frames]
    planes = [np.stack([cv2.imread(f"{path}{axis}.jpg", 0) for axis in "xy"], axis=-1) for path in written]
    np.savez(checked, *planes)
    return Contestant(step, {"frames": len(planes)}, lambda: _emptied(folder))


def cluster(stores: list[str], folder: str, workers: int) -> Contestant:
    """The book's preparation on so many worker processes, which are there beforehand. Facts: frames.

    A step connects to their scheduler, hands the videos out and waits until all flow is stored.
    """
    settings = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    running = LocalCluster(n_workers=workers, local_directory=f"{folder}-workers", **settings)
    jobs = _jobs(stores, folder)

    def step() -> int:
        return int(prepare_flow(jobs, Flow(), scheduler=running.scheduler_address).frames.sum())

    with Client(running) as client:
        helpers = tuple(client.run(os.getpid).values())
    _emptied(folder)
    return Contestant(step, {"frames": step()}, lambda: _emptied(folder), helpers)


def _jobs(stores: list[str], folder: str) -> list[FlowJob]:
    return [FlowJob(Path(store).stem, Path(store), Path(folder) / f"{i}.zip") for i, store in enumerate(stores)]


def _unpack(store: Path, folder: Path) -> list[Path]:
    """The JPEGs of a frame store as files, in order."""
    folder.mkdir(parents=True)
    for name, data in unpacked(store).items():
        (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


def _emptied(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
