"""One run of the bench: how large and how long, and what its rows share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from actionbook.core.progress import progress_bar
from actionbook.core.recipe import Frames
from actionbook.core.runtime import default_workers
from actionbook.datasets.figures import render_frame, write_avi
from actionbook.datasets.miniature import GENERATOR_VERSION, MiniSpec, ucf101_scene
from actionbook.video.prepare import Job, prepare_video
from bench.errors import NotRun, PeerFailed
from bench.harness import TUNED_MALLOC, Peer, Slice
from bench.rounds import Pace, alternate
from bench.torch_env import torch_python

MODEL = "mobilenetv2_3d"  # of the rows that are about one network
SIZES = ((320, 240), (340, 256))  # UCF101's, and what the field stores Kinetics in


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that is measured. The defaults are what the targets are about."""

    batch: int = 8
    """At most; rows may take less."""
    clip: tuple[int, int, int, int] = (3, 16, 112, 112)
    width: float = 1.0
    num_classes: int = 101
    videos: int = 6
    video_frames: int = 250
    pace: Pace = field(default_factory=Pace)
    loader_pace: Pace = field(default_factory=lambda: Pace(slice_s=3.0, steps=3, limit_s=240.0))
    """A few per cent of a step show over several steps only."""
    family_pace: Pace = field(default_factory=lambda: Pace(limit_s=60.0))
    """Of each network of the family."""


_SHORT = Pace(0.1, 1, 1, 5.0)
QUICK = Scale(
    batch=4,
    clip=(3, 16, 64, 64),
    width=0.25,  # the smallest that all networks have
    videos=2,
    video_frames=30,
    pace=_SHORT,
    loader_pace=_SHORT,
    family_pace=_SHORT,
)


@dataclass(frozen=True)
class Case:
    """A network with weights and one batch of clips, in files that all contestants share.

    `network` holds the options that say how to build it: model (the book's name), num_classes, options.
    `parameters` is how many the book's has.
    """

    network: dict[str, Any]
    batch: int
    weights: str
    clips: str
    parameters: int

    @property
    def model(self) -> str:
        """The network's name."""
        return str(self.network["model"])

    @property
    def options(self) -> dict[str, Any]:
        """What a function of `bench.peers` takes to run the network on the batch."""
        return {**self.network, "weights": self.weights, "clips": self.clips}


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
    _cases: dict[tuple[str, int], Case] = field(default_factory=dict, init=False)

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

    def torch_peers(self, function: str, model: str = MODEL, batch: int | None = None, **options: Any) -> list[Peer]:
        """PyTorch eager twice: as a user runs it, and with glibc keeping its memory. Raises NotRun.

        Network and batch are those of `case`; `options` are those of the function beyond them.
        """
        python = self.torch  # before anything is made for it
        options = {"threads": self.threads, **self.case(model, batch).options, **options}
        target = f"bench.peers.pytorch:{function}"
        return [
            Peer("PyTorch", target, options, self.logs, python, ours=False),
            Peer("PyTorch, tuned malloc", target, options, self.logs, python, TUNED_MALLOC, ours=False),
        ]

    def peer(self, label: str, target: str, options: dict[str, Any], **settings: Any) -> Peer:
        """A contestant that runs in this interpreter."""
        return Peer(label, f"bench.peers.{target}", options, self.logs, **settings)

    @property
    def logs(self) -> Path:
        """Where contestants leave their standard error."""
        return self.cache / "logs"

    def case(self, model: str = MODEL, batch: int | None = None) -> Case:
        """A network of the book with drawn weights, and a batch of clips, as large as `scale` says or smaller."""
        batch = min(batch or self.scale.batch, self.scale.batch)
        if (model, batch) not in self._cases:
            options = {"width": self.scale.width}
            network = {"model": model, "num_classes": self.scale.num_classes, "options": options}
            files = {"weights": str(self.scratch / f"{model}.npz"), "clips": str(self.scratch / f"clips-{batch}.npy")}
            shape = (batch, *self.scale.clip)
            with self.peer("fixtures", "book:fixtures", {**files, "shape": shape, **network}) as maker:
                self._cases[model, batch] = Case(network, batch, **files, parameters=maker.facts["parameters"])
        return self._cases[model, batch]

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
