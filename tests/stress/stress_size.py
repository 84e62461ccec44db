"""The second trial of ``stress.py``: a data set of UCF101's size, from its lists to the index and the frames."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from stress_common import PARENT, Failed, leftovers, processes, say, write_manifest

from actionbook.core.manifest import DatasetManifest, Split, load_dataset
from actionbook.core.sections import Data, Frames
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.index import write_index
from actionbook.datasets.obtain import obtain, read
from actionbook.datasets.preparation import complete, prepare_frames
from actionbook.video.prepare import Job, Prepared, prepare_video
from actionbook.video.store import unpacked

GROUPS = ((range(1, 8), 3783), (range(8, 15), 3734), (range(15, 22), 3696), (range(22, 26), 2107))
"""Groups of UCF101 that test in split 1, 2, 3 and in none, and their numbers of videos (its train/test lists)."""


def make_tree(root: Path, sources: list[Path], videos: int) -> tuple[DatasetManifest, dict[str, Path]]:
    """A tree in UCF101's classes, groups and lists: links to `sources`. Returns its manifest and each's source."""
    published = load_dataset("ucf101")
    counts = [round(videos * count / 13_320) for _, count in GROUPS]
    counts[-1] = videos - sum(counts[:-1])
    lines: list[list[tuple[str, int]]] = []
    files: dict[str, Path] = {}
    for (groups, _), count in zip(GROUPS, counts, strict=True):
        slots = [(label, group) for label in published.classes for group in groups]
        lines.append([])
        for number in range(count):
            # In even steps over the slots, so that few videos are of many classes.
            label, group = slots[number * len(slots) // count]
            clip = 1 + sum(1 for line in lines[-1][-99:] if line[0].startswith(f"{label}/v_{label}_g{group:02d}_"))
            video = f"v_{label}_g{group:02d}_c{clip:02d}"
            lines[-1].append((f"{label}/{video}.avi", published.classes.index(label) + 1))
            files[video] = sources[len(files) % len(sources)]
    for label in published.classes:
        (root / "UCF-101" / label).mkdir(parents=True)
    for video, source in files.items():
        (root / "UCF-101" / video.split("_")[1] / f"{video}.avi").symlink_to(source.resolve())
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{i} {n}\r\n" for i, n in enumerate(published.classes, 1)))
    splits = {}
    for split in (1, 2, 3):
        train = [line for part, found in enumerate(lines, 1) if part != split for line in found]
        (lists / f"trainlist{split:02d}.txt").write_text("".join(f"{path} {n}\r\n" for path, n in sorted(train)))
        (lists / f"testlist{split:02d}.txt").write_text("".join(f"{path}\r\n" for path, _ in sorted(lines[split - 1])))
        splits[str(split)] = Split(train=len(train), test=counts[split - 1])
    changes = {"name": "ucf101_links", "sources": (), "annotation_files": (), "videos": videos, "splits": splits}
    return published.model_copy(update=changes), files


@dataclass
class Meter:
    """Seconds of every step, and the peaks of resident memory: of this process and of its largest child, in bytes."""

    seconds: dict[str, float] = field(default_factory=dict)
    main: int = 0
    child: int = 0

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Measure the block as `what`."""
        say(f"{what} ...")
        start = time.monotonic()
        yield
        self.seconds[what] = time.monotonic() - start

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the peaks, which the kernel keeps, every half second."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.5):
                self.main = _peak(os.getpid())
                self.child = max([self.child, *map(_peak, processes(PARENT, os.getpid()))])

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _peak(process: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0


def scale(clips: Path, videos: int, height: int, folder: Path, workers: int) -> None:
    """The second trial; see the module. Raises Failed where a number is not the expected one, or the disk is full."""
    sources = sorted(path for path in clips.iterdir() if path.suffix in {".avi", ".mp4", ".mkv", ".webm"})
    if not sources:
        raise Failed(f"{clips}: holds no videos (.avi, .mp4, .mkv, .webm)")
    meter, root = Meter(), folder / "data"
    with meter.watching():
        with meter("tree"):
            manifest, files = make_tree(root, sources, videos)
        file = write_manifest(manifest, folder)

        def dataset_of(**data: object) -> Dataset:
            settings = Data.model_validate({"manifest": file, "frames": {"height": height}, **data})
            return Dataset(settings, root, folder / "work" / "frames", folder / "work")

        dataset = dataset_of()
        once = _once(sources, files, folder, dataset.data.frames)
        with meter("index"):
            obtain(dataset)
            index = read(dataset)
        with meter("index, splits 2 and 3"):
            others = [read(dataset_of(split=split)) for split in (2, 3)]
        with meter("preparation"):
            table = prepare_frames(dataset, index, workers=workers, report=folder / "failures.csv")
        with meter("preparation again"):
            again = prepare_frames(dataset, index, workers=workers, report=folder / "failures.csv")
        index = complete(index, table)
        with meter("index written and read"):
            write_index(index, dataset.index_file)
            same = dataset.index().sha256 == index.sha256
        with meter("digest of the frames"):
            named = dataset.frames_sha256(index, "rgb")
        given, placed = _in_place(meter, dataset_of, folder, sources, files)
        looks = []
        for what in ("digest of the frames in place", "digest of the frames in place again"):
            with meter(what):
                looks.append(given.frames_sha256(index, "rgb"))
    stores = list(dataset.colour_store.rglob("*.zip"))
    splits = [{name: int((one.items.subset == name).sum()) for name in ("train", "test")} for one in (index, *others)]
    counts = [{"train": split.train, "test": split.test} for split in manifest.splits.values()]
    frames = pd.Series({video: once[source].frames for video, source in files.items()}).sort_index().tolist()
    checks: dict[str, tuple[object, object]] = {
        "videos": (len(index), videos),
        "train and test of the splits": (splits, counts),
        "classes": (index.labels.label.nunique(), len({video.split("_")[1] for video in files})),
        "stores": (
            {*stores}, {store_path(dataset.colour_store, f"{video.split('_')[1]}/{video}") for video in files},
        ),
        "failed": (int((table.error != "").sum()), 0),
        "frames of every video": (index.items.set_index("video").frames.sort_index().tolist(), frames),
        "the second run": (again.equals(table), True),
        "the index read again": (same, True),
        "bytes on disk": (sum(path.stat().st_size for path in stores), int(table.bytes.sum())),
        "frames in place": (placed.set_index("video").frames.sort_index().tolist(), frames),
        "the index in place": (placed.video.tolist(), index.items.video.tolist()),
        "digests of the frames": ({named, *looks}, {named}),
        "temporary files": (leftovers(folder / "work"), []),
    }  # fmt: skip
    facts = {
        "videos": f"{len(index)} in {index.labels.label.nunique()} classes, links to {len(sources)}",
        "train + test of the splits": ", ".join(f"{split['train']} + {split['test']}" for split in splits),
        "frames": f"{table.frames.sum()}",
        "clips/s": f"{len(table) / meter.seconds['preparation']:.1f} on {workers} workers",
        "frames/s": f"{table.frames.sum() / meter.seconds['preparation']:.0f}",
        "store, GB": f"{table.bytes.sum() / 1e9:.2f}",
    }
    _report(meter, facts, checks)


def _once(sources: list[Path], files: dict[str, Path], folder: Path, settings: Frames) -> dict[Path, Prepared]:
    """Every source prepared once, which tells the frames to expect. Raises Failed where all would not fit the disk."""
    jobs = [Job(path.stem, path, folder / "once" / f"{number}.zip") for number, path in enumerate(sources)]
    once = {job.source: prepare_video(job, settings) for job in jobs}
    if failed := [made.error for made in once.values() if made.error]:
        raise Failed("\n".join(failed))
    needed, free = sum(once[source].bytes for source in files.values()), shutil.disk_usage(folder).free
    if needed * 1.05 + 1e9 > free:
        why = f"{needed / 1e9:.1f} GB of frames are expected and {free / 1e9:.1f} GB are free"
        raise Failed(f"{folder}: {why}, of which one shall stay free; take less --videos or --height, or --work")
    return once


def _report(meter: Meter, facts: dict[str, str], checks: dict[str, tuple[object, object]]) -> None:
    """Print the table. Raises Failed with the checks whose two values differ."""
    wrong = {what: pair for what, pair in checks.items() if pair[0] != pair[1]}
    rows = {f"{what}, s": f"{seconds:.1f}" for what, seconds in meter.seconds.items()} | facts
    rows["peak memory, MB"] = f"{meter.main / 1e6:.0f} main process, {meter.child / 1e6:.0f} largest worker"
    rows["as expected"] = f"{len(checks) - len(wrong)} of {len(checks)} checks"
    sys.stdout.write("".join(f"{what:28} {value}\n" for what, value in rows.items()))
    if wrong:
        lines = [f"{what}: {_short(ours)}, expected {_short(theirs)}" for what, (ours, theirs) in wrong.items()]
        raise Failed("\n".join(lines))


def _in_place(
    meter: Meter, dataset_of: Callable[..., Dataset], folder: Path, sources: list[Path], files: dict[str, Path]
) -> tuple[Dataset, pd.DataFrame]:
    """The same data set as folders of frames that others have made, and what looking at them finds."""
    for number in range(len(sources)):
        (folder / "once" / str(number)).mkdir()
        for name, jpeg in unpacked(folder / "once" / f"{number}.zip").items():
            (folder / "once" / str(number) / name).write_bytes(jpeg)
    numbers = {source: number for number, source in enumerate(sources)}
    for video, source in files.items():
        link = folder / "jpg" / video.split("_")[1] / video
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder / "once" / str(numbers[source]))
    given = dataset_of(frames_folder=str(folder / "jpg"))
    with meter("index, frames in place"):
        index = read(given)
    with meter("a look at frames in place"):
        return given, prepare_frames(given, index)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 200 else f"{text[:200]} ..."
