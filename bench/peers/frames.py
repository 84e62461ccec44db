"""From video files to JPEG frames of 240 rows: the book's preparation, and one `ffmpeg` process for each video."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.sections import Frames
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore
from bench.worker import Contestant


def ours(videos: list[str], folder: str) -> Contestant:
    """Every video into the frame store. Facts: frames and bytes of JPEG, all videos together."""
    jobs = [Job(Path(video).stem, Path(video), Path(folder) / f"{i}.zip") for i, video in enumerate(videos)]

    def step() -> None:
        for job in jobs:
            result = prepare_video(job, Frames())
            if result.error:
                raise BookError(result.error)

    step()
    sizes = []
    for job in jobs:
        with FrameStore(job.store) as store:
            sizes += [len(store.jpeg(i)) for i in range(len(store))]
    return Contestant(step, {"frames": len(sizes), "bytes": sum(sizes)}, lambda: _emptied(Path(folder)))


def ffmpeg(videos: list[str], folder: str, program: str) -> Contestant:
    """Every video into a folder of JPEGs, as the original's script does it, but for `-q:v 2`.

    Facts: those of `ours`, and version.
    """
    root = Path(folder)

    def before() -> None:
        _emptied(root)
        for i in range(len(videos)):
            (root / str(i)).mkdir()

    def step() -> None:
        for i, video in enumerate(videos):
            command = [program, "-nostdin", "-loglevel", "error", "-threads", "1", "-i", video, "-vf", "scale=-1:240"]
            output = ["-q:v", "2", "-threads", "1", str(root / str(i) / "image_%05d.jpg")]
            subprocess.run([*command, *output], check=True)

    before()
    step()
    banner = subprocess.run([program, "-version"], check=True, capture_output=True, text=True).stdout
    version = " ".join(banner.split()[:3])
    sizes = [path.stat().st_size for path in root.glob("*/*.jpg")]
    return Contestant(step, {"frames": len(sizes), "bytes": sum(sizes), "version": version}, before)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
