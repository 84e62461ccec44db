"""One run of the bench: how large and how long, and what its rows share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from actionbook.core.progress import progress_bar
from actionbook.core.runtime import default_workers
from actionbook.core.sections import Frames
from actionbook.datasets.figures import render_frame, write_avi
from actionbook.datasets.miniature import GENERATOR_VERSION, MiniSpec, ucf101_scene
from actionbook.video.prepare import Job, prepare_video
from bench.cases import MOBILENET, Case, Workload
from bench.errors import NotRun, PeerFailed
from bench.harness import TUNED_MALLOC, Peer, Slice
from bench.rounds import Pace, alternate
from bench.torch_env import torch_python

PYTORCH, CHANNELS_LAST = "PyTorch", "PyTorch, channels last"  # labels of PyTorch as a user runs it, in either layout
SIZES = ((320, 240), (340, 256))  # UCF101's, and what the field stores Kinetics in


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that is measured. The defaults are what the targets are about."""

    batch: int = 8
    frames: int = 64
    size: int = 224
    """Height and width of clips in pixels."""
    num_classes: int = 400
    """These four at most; rows may take less."""
    width: float = 1.0
    videos: int = 6
    video_frames: int = 250
    flow_height: int = 256
    """Of the frames whose optical flow is computed."""
    flow_frames: int = 6
    """Frames of each piece of video whose optical flow is computed."""
    keyframes: int = 1435
    """Whose boxes are scored: a fortieth of AVA's validation set."""
    pace: Pace = field(default_factory=Pace)
    loader_pace: Pace = field(default_factory=lambda: Pace(slice_s=3.0, steps=3, limit_s=240.0))
    """A few per cent of a step show over several steps only."""
    family_pace: Pace = field(default_factory=lambda: Pace(limit_s=60.0))
    """Of each network's ONNX files."""

    def fitted(self, workload: Workload) -> Workload:
        """The workload in the sizes that are allowed."""
        channels, frames, height, width = workload.clip
        frames = max(workload.every, min(frames, self.frames) // workload.every * workload.every)
        clip = (channels, frames, min(height, self.size), min(width, self.size))
        classes = min(workload.num_classes, self.num_classes)
        return replace(workload, batch=min(workload.batch, self.batch), clip=clip, num_classes=classes)


_SHORT = Pace(0.1, 1, 1, 5.0)
QUICK = Scale(
    batch=4,
    frames=16,
    size=64,
    num_classes=101,
    width=0.25,  # the smallest that all networks have
    videos=2,
    video_frames=30,
    flow_height=64,
    flow_frames=3,
    keyframes=60,
    pace=_SHORT,
    loader_pace=_SHORT,
    family_pace=_SHORT,
)


@dataclass
class Session:
    """What the rows work with. `scratch` is for this run alone, `cache` outlives it."""

    scratch: Path
    cache: Path
    scale: Scale = Scale()
    videos_folder: Path | None = None
    use_torch: bool = True
    models: Sequence[str] = ()
    """Networks that the family's row is about; all of them where there are none."""
    _cases: dict[Workload, Case] = field(default_factory=dict, init=False)

    @property
    def threads(self) -> int:
        """Threads of every contestant: all cores that this process may use."""
        return default_workers()

    @cached_property
    def torch(self) -> str:
        """The interpreter that has PyTorch. Raises NotRun."""
        if not self.use_torch:
            raise NotRun("PyTorch was left out (--no-torch)")
        return torch_python()

    @cached_property
    def torch_missing(self) -> str:
        """Why there is no PyTorch, or nothing. Asked for once: an installation that fails takes its time."""
        try:
            _ = self.torch
        except NotRun as reason:
            return str(reason)
        return ""

    def torch_peers(
        self, function: str, workload: Workload = MOBILENET, *, layouts: bool = False, **options: Any
    ) -> list[Peer]:
        """PyTorch eager twice: as a user runs it, and with glibc keeping its memory. Raises NotRun.

        With `layouts` both once more with tensors in the order (N, T, H, W, C), PyTorch's "channels last".
        `options` are those of the function beyond those of the workload's `case`.
        """
        python = self.torch  # before anything is made for it
        shared = {"threads": self.threads, **self.case(workload).options, **options}
        kinds: dict[str, dict[str, Any]] = {
            PYTORCH: {},
            **({CHANNELS_LAST: {"channels_last": True}} if layouts else {}),
        }
        target = f"bench.peers.pytorch:{function}"
        return [
            Peer(label + ending, target, {**shared, **kind}, self.logs, python, variables, ours=False)
            for label, kind in kinds.items()
            for ending, variables in (("", {}), (", tuned malloc", TUNED_MALLOC))
        ]

    def peer(self, label: str, target: str, options: dict[str, Any], **settings: Any) -> Peer:
        """A contestant that runs in this interpreter."""
        return Peer(label, f"bench.peers.{target}", options, self.logs, **settings)

    @property
    def logs(self) -> Path:
        """Where contestants leave their standard error."""
        return self.cache / "logs"

    def case(self, workload: Workload = MOBILENET) -> Case:
        """A network of the book with drawn weights, and a batch for it, as large as `scale` allows."""
        fitted = self.scale.fitted(workload)
        if fitted not in self._cases:
            name = f"{fitted.model}-{fitted.clip[0]}-{fitted.num_classes}.npz"
            files = {"weights": str(self.scratch / name), "clips": str(self.scratch / f"clips-{fitted}.npz")}
            case = Case(fitted, self.scale.width, **files, parameters=0)
            with self.peer("fixtures", "book:fixtures", {**case.options, "inputs": fitted.inputs}) as maker:
                self._cases[fitted] = replace(case, parameters=maker.facts["parameters"])
        return self._cases[fitted]

    @cached_property
    def videos(self) -> list[Path]:
        """The folder of videos that was given, or drawn ones of `SIZES`, kept for the next run."""
        if self.videos_folder is not None:
            found = sorted(
                p for p in self.videos_folder.iterdir() if p.suffix.lower() in {".avi", ".mp4", ".mkv", ".webm"}
            )
            if not found:
                raise PeerFailed(f"{self.videos_folder}: holds no .avi, .mp4, .mkv or .webm file")
            return found
        paths = []
        with progress_bar(self.scale.videos, "drawing videos", "videos") as bar:
            for i in range(self.scale.videos):
                width, height = SIZES[i % len(SIZES)]
                length = self.scale.video_frames
                path = self.cache / f"videos-{GENERATOR_VERSION}" / f"{width}x{height}-{length}-{i}.avi"
                if not path.exists():
                    spec = MiniSpec(min_frames=length, max_frames=length, width=width, height=height)
                    scene = ucf101_scene(spec.classes[i % len(spec.classes)], i + 1, 1, spec)
                    write_avi(path, (render_frame(scene, t) for t in range(length)), width=width, height=height)
                paths.append(path)
                bar.update()
        return paths

    @cached_property
    def stores(self) -> dict[str, int]:
        """The videos prepared, in ``<scratch>/stores/bench/<name>.zip``: name -> frames."""
        frames = {}
        for path in self.videos:
            result = prepare_video(
                Job(path.stem, path, self.scratch / "stores" / "bench" / f"{path.stem}.zip"), Frames()
            )
            if result.error:
                raise PeerFailed(result.error)
            frames[path.stem] = result.frames
        return frames

    @contextmanager
    def running(self, peers: Sequence[Peer]) -> Iterator[None]:
        """Start the contestants one after the other; end them all afterwards."""
        with ExitStack() as stack:
            for peer in peers:
                stack.enter_context(peer)
            yield

    def rounds(self, row: str, peers: Sequence[Peer], pace: Pace) -> list[dict[str, Slice]]:
        """Let running contestants take turns, with a progress bar over clean rounds."""
        with progress_bar(pace.rounds, f"row {row}", "clean rounds") as bar:
            return alternate(peers, pace, bar.update)


def ffmpeg_program() -> str:
    """The `ffmpeg` on the search path. Raises NotRun."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise NotRun("ffmpeg is not on the search path: apt-get install ffmpeg")
    return program
