"""Random access: what a training that wants random clips pays for each way to keep its videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.sections import Frames
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore
from bench.errors import PeerFailed
from bench.harness import TUNED_MALLOC, Peer
from bench.peers.access import CONSECUTIVE, SPARSE, unpack
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import Session
from bench.textures import HEIGHT, VERSION, WIDTH, write_textured

TOLERANCE = 8.0  # mean difference of two pixels, of 255: once more through JPEG and colours; other frames differ more
STEPS = 24  # clips of a turn at least: what one costs to decode hangs on where it begins
STORE, BASE = "frame store", "JPEG folder + Pillow"
TARGET = 1.6  # of the frame store


@dataclass(frozen=True)
class Video:
    """A video in every form that the contestants read."""

    source: str
    store: str
    folder: str
    """Of its JPEGs, as files."""
    size: tuple[int, int]
    """(width, height) of the stored frames."""
    frames: int


def access(session: Session) -> Iterator[Result]:
    """CPU time to get the frames of a random clip, on one core each, against a folder of JPEGs read by Pillow.

    On generated videos, whose frames hold as much detail as filmed ones, or on those that were given. A contestant
    that finds other frames than ours is reported as such and not timed.
    """
    videos = [_prepared(session, path) for path in (session.videos if session.videos_folder else _textured(session))]
    for sparse in (False, True):
        yield from _compared(session, sparse, _peers(session, videos, sparse))


def _textured(session: Session) -> Iterator[Path]:
    """Generated videos, kept for the next run."""
    length = session.scale.video_frames
    for number in range(session.scale.videos):
        path = session.cache / f"textured-{VERSION}" / f"{WIDTH}x{HEIGHT}-{length}-{number}.mp4"
        if not path.exists():
            write_textured(path, length, number)
        yield path


def _prepared(session: Session, path: Path) -> Video:
    """Prepare a video. The contestant with the pickles makes its own. Raises PeerFailed where that does not work."""
    folder = session.scratch / "access"
    store, jpegs = folder / f"{path.stem}.zip", folder / "jpegs" / path.stem
    result = prepare_video(Job(path.stem, path, store), Frames(height=HEIGHT))
    if result.error:
        raise PeerFailed(result.error)
    unpack(store, jpegs)
    with FrameStore(store) as frames:
        return Video(str(path.resolve()), str(store), str(jpegs), frames.frame_size, len(frames))


def _peers(session: Session, videos: Sequence[Video], sparse: bool) -> list[Peer]:
    """All contestants, ours first, then the one that all are compared with.

    In all of them glibc keeps its memory, as it does by itself once a process has freed a batch of clips. Until then,
    chance decides whether it gives back that of each clip's frames, which makes Pillow up to 1.4 times as slow.
    """
    stores, folders = [video.store for video in videos], [video.folder for video in videos]
    pixels = {"videos": [video.source for video in videos], "sizes": [video.size for video in videos]}
    scratch = session.scratch / "access"
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (STORE, "book", {"paths": stores}),
        (BASE, "pillow", {"paths": folders}),
        ("JPEG folder read by the book", "book", {"paths": folders}),
        ("pickles of JPEGs + Pillow", "pickles", {"stores": stores, "folder": str(scratch / "pickles")}),
        ("video, PyAV from its start", "decoding", pixels),
        ("video, OpenCV's seek", "seeking", pixels),
    )
    peers = []
    for number, (label, function, options) in enumerate(kinds):
        checked = str(scratch / f"checked-{number}.npz")
        shared = {"counts": [video.frames for video in videos], "sparse": sparse, "checked": checked}
        settings: dict[str, Any] = {"one_core": True, "environment": TUNED_MALLOC}
        peers.append(session.peer(label, f"access:{function}", {**options, **shared}, **settings))
    return peers


def _compared(session: Session, sparse: bool, peers: Sequence[Peer]) -> Iterator[Result]:
    """Every contestant that finds our frames against Pillow on a folder of JPEGs; first those that do not."""
    clip = f"{SPARSE} sparse frames" if sparse else f"{CONSECUTIVE} consecutive frames"
    with session.running(peers):
        gaps = {peer.label: difference(peers[0], peer) for peer in peers[1:]}
        strayed = [label for label, gap in gaps.items() if not gap <= TOLERANCE]
        for label in strayed:
            note = f"its frames differ from the {STORE}'s by up to {gaps[label]:.1f} of 255, a video's average"
            yield Result("access", f"{clip}: {label}", state="crashed", note=note)
        if BASE in strayed:
            return
        timing = [peer for peer in peers if peer.label not in strayed]
        rounds = session.rounds(f"access, {clip}", timing, replace(session.scale.pace, steps=STEPS))
    for peer in timing:
        if peer.label != BASE:
            found = compare(rounds, peer.label, BASE, "cpu")
            note = f"{1 / found.ours_s:.3g} and {1 / found.peer_s:.3g} clips per second of one core"
            if peer.label in gaps:
                note += f"; pixels differ from the {STORE}'s by up to {gaps[peer.label]:.2f} of 255, a video's average"
            what = f"{clip}: {peer.label} vs {BASE}, CPU time"
            yield timed("access", what, found, TARGET if peer.label == STORE else None, note)


def difference(ours: Peer, other: Peer) -> float:
    """Mean difference of two contestants' clips of a video in grey levels, of all videos the largest.

    Infinite where one lacks frames.
    """
    gaps = []
    with np.load(ours.options["checked"]) as expected, np.load(other.options["checked"]) as actual:
        for name in expected.files:
            if expected[name].shape != actual[name].shape:
                return float("inf")
            gaps.append(np.abs(expected[name].astype(int) - actual[name]).mean())
    return float(max(gaps))
