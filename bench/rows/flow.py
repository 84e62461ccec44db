"""Optical flow: the book's TV-L1 beside OpenCV's, the whole preparation beside the original's script, two cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from actionbook.core.sections import Frames
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore, write_store
from bench.errors import PeerFailed
from bench.report import Result, timed
from bench.rounds import compare
from bench.rows.inference import guarded
from bench.session import Session

DIFFERENCE = 0.1  # grey levels of 255 between the book's flow and OpenCV's, on average
STORED = 1.0  # the same once both went through JPEG
PIECES = 8  # of each video: enough to share out evenly, and that connecting to the workers hardly weighs
ALONE = 2  # pieces that are prepared on one core: OpenCV takes a second for each frame


def flow(session: Session) -> Iterator[Result]:
    """All on pieces of the drawn videos, whose flat colours leave TV-L1 little to do, or of those that were given."""
    pieces = list(_pieces(session))
    yield from guarded("flow", "TV-L1", kernel(session, pieces[: len(session.videos)]))
    yield from guarded("flow", "preparing flow, one core", preparation(session, pieces[:ALONE]))
    yield from guarded("flow", "preparing flow, two workers", scaling(session, pieces))


def kernel(session: Session, pieces: Sequence[Path]) -> Iterator[Result]:
    """CPU time of the flow between two grey frames, on one core each. Target: 10 times OpenCV."""
    height = session.scale.flow_height
    width = height * 340 // 256
    files = {name: str(session.scratch / f"flow-{name}.npy") for name in ("pairs", "book", "opencv")}
    np.save(files["pairs"], np.stack([_pair(piece, (width, height)) for piece in pieces]))
    ours, rival = (
        session.peer(label, f"flow:{name}", {"pairs": files["pairs"], "checked": files[name]}, one_core=True)
        for label, name in (("TV-L1", "book"), ("OpenCV", "opencv"))
    )
    with session.running([ours, rival]):
        difference = _difference([np.load(files["book"])], [np.load(files["opencv"])])
        if not difference <= DIFFERENCE:
            raise PeerFailed(f"the flow of both sides differs by {difference:.3f} of 255 on average")
        rounds = session.rounds("flow, TV-L1", [ours, rival], session.scale.pace)
    found, count = compare(rounds, ours.label, rival.label, "cpu"), len(pieces)
    note = (
        f"{count} pairs, one of each video; {count / found.ours_s:.3g} and {count / found.peer_s:.3g} flows per second "
        f"of one core; OpenCV {cv2.__version__} with its defaults and one thread"
    )
    what = f"TV-L1, {width} x {height}"
    yield timed("flow", f"{what}, vs OpenCV's, CPU time", found, 10.0, note)
    note = "mean, of both flows in 8 bits: 255 grey levels for -20 to 20 pixels"
    yield Result("flow", f"{what}: difference from OpenCV's", difference, DIFFERENCE, at_most=True, note=note)


def preparation(session: Session, pieces: Sequence[Path]) -> Iterator[Result]:
    """CPU time from stored frames to stored flow, on one core, beside the original's script."""
    files = {name: str(session.scratch / f"flow-{name}.npz") for name in ("prepared", "original")}
    shared = {"stores": [str(piece) for piece in pieces]}
    ours, rival = (
        session.peer(
            label,
            f"flow:{name}",
            {**shared, "folder": str(session.scratch / f"flow-{name}"), "checked": files[name]},
            one_core=True,
        )
        for label, name in (("flow", "prepared"), ("script", "original"))
    )
    with session.running([ours, rival]):
        with np.load(files["prepared"]) as book, np.load(files["original"]) as script:
            difference = _difference(list(book.values()), list(script.values()))
        if not difference <= STORED:
            raise PeerFailed(f"the stored flow of both sides differs by {difference:.2f} of 255 on average")
        rounds = session.rounds("flow, preparation", [ours, rival], session.scale.pace)
    found, count = compare(rounds, ours.label, rival.label, "cpu"), ours.facts["frames"]
    note = (
        f"{len(pieces)} pieces of video with {count} frames of {session.scale.flow_height} rows; "
        f"{count / found.ours_s:.3g} and {count / found.peer_s:.3g} frames per second of one core; the script reads "
        "JPEGs, turns them grey, takes OpenCV's TV-L1 and writes two JPEGs, one after the other; stored flow differs "
        f"by {difference:.2f} of 255 on average"
    )
    yield timed("flow", "preparing flow vs the original's script, CPU time", found, note=note)


def scaling(session: Session, pieces: Sequence[Path]) -> Iterator[Result]:
    """Time to prepare flow with two worker processes beside one. Target: 1.8 times as fast."""
    stores = [str(piece) for piece in pieces]
    two, one = (
        session.peer(
            label,
            "flow:cluster",
            {"stores": stores, "folder": str(session.scratch / f"flow-{workers}"), "workers": workers},
        )
        for label, workers in (("two workers", 2), ("one worker", 1))
    )
    pace = session.scale.pace
    with session.running([two, one]):
        rounds = session.rounds("flow, two workers", [two, one], replace(pace, rounds=min(3, pace.rounds)))
    found, count = compare(rounds, two.label, one.label), two.facts["frames"]
    note = (
        f"{len(stores)} pieces of video with {count} frames; {count / found.ours_s:.3g} and "
        f"{count / found.peer_s:.3g} frames a second; inside: connecting to the workers, which are there already, "
        "sharing out, reading, computing, storing"
    )
    target = 1.8 if session.threads > 1 else None
    yield timed("flow", "preparing flow with two workers vs one", found, target, note)


def _pieces(session: Session) -> Iterator[Path]:
    """Short frame stores cut from the videos: the first piece of every video, then the second of every video..."""
    settings, length = Frames(height=session.scale.flow_height, side="short"), session.scale.flow_frames
    folder = session.scratch / "flow-stores"
    for video in session.videos:
        result = prepare_video(Job(video.stem, video, folder / f"{video.stem}.zip"), settings)
        if result.error:
            raise PeerFailed(result.error)
    for number in range(PIECES):
        for video in session.videos:
            with FrameStore(folder / f"{video.stem}.zip") as store:
                start = number * len(store) // PIECES
                jpegs = [store.jpeg(i) for i in range(start, min(start + length, len(store)))]
                piece = folder / f"{video.stem}-{number}.zip"
                write_store(piece, jpegs, store.info)
            yield piece


def _pair(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Two frames from the middle of a store, grey, uint8 (2, H, W) of `size` (width, height)."""
    with FrameStore(path) as store:
        middle = (len(store) - 1) // 2
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in store.read([middle, middle + 1])]
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in grey])


def _difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Mean difference, in grey levels, of flow in 8 bits that may be of several sizes."""
    gaps = [np.abs(a.astype(int) - b.astype(int)) for a, b in zip(ours, theirs, strict=True)]
    return float(sum(gap.sum() for gap in gaps) / sum(gap.size for gap in gaps))
