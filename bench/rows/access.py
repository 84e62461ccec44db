"""Random access: what a training that wants random clips pays for each way to keep its videos."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.sections import Frames
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore
from bench.errors import PeerFailed
from bench.harness import TUNED_MALLOC, Peer
from bench.peers.access import CONSECUTIVE, IN_A_ROW, SPARSE, SUPER_IMAGES, Kind, pack, unpack
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import Session
from bench.textures import HEIGHT, VERSION, WIDTH, write_textured

TOLERANCE = 8.0  # mean difference of two pixels, of 255: once more through JPEG and colours; other frames differ more
STEPS = 24  # clips of a turn at least: what one costs to decode hangs on where it begins
STORE, BASE = "frame store", "JPEG folder + Pillow"
PACK = "pack read by the book"
# A pack is decoded as fast as a store. But it has no directory, so all of its frames are walked past, and those that
# are wanted are text that becomes bytes: together no more than two thirds of a clip. Unpickled whole it would be 0.2.
TARGETS = {STORE: 1.6, PACK: 0.6}
CLIPS: Mapping[Kind, str] = {
    "consecutive": f"{CONSECUTIVE} consecutive frames",
    "sparse": f"{SPARSE} sparse frames",
    "super-images": f"{SUPER_IMAGES} x {IN_A_ROW} frames",
}


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
    videos = _videos(session)
    kinds: tuple[Kind, ...] = ("consecutive", "sparse")
    for kind in kinds:
        yield from _compared(session, "access", kind, _peers(session, videos, kind), BASE)


def packs(session: Session) -> Iterator[Result]:
    """CPU time to get the frames of a training clip of StNet's out of one video, on one core, against a frame store.

    The videos and the JPEGs are those of `access`, once in stores and once in the packs that StNet's port makes of
    them with Python 3. The book reads both; how the port reads its packs is shown as well.
    """
    videos, folder = _videos(session), session.scratch / "access" / "packs"
    paths = [str(folder / f"{number}.pkl") for number in range(len(videos))]
    for video, path in zip(videos, paths, strict=True):
        pack(Path(video.store), Path(path), protocol=2)
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (STORE, "book", {"paths": [video.store for video in videos]}),
        (PACK, "book", {"paths": paths}),
        ("pack unpickled + Pillow", "pickles", {"paths": paths}),
    )
    peers = _contestants(session, videos, "super-images", kinds)
    yield from _compared(session, "packs", "super-images", peers, STORE)


def _videos(session: Session) -> list[Video]:
    return [_prepared(session, path) for path in (session.videos if session.videos_folder else _textured(session))]


def _textured(session: Session) -> Iterator[Path]:
    """Generated videos, kept for the next run."""
    length = session.scale.video_frames
    for number in range(session.scale.videos):
        path = session.cache / f"textured-{VERSION}" / f"{WIDTH}x{HEIGHT}-{length}-{number}.mp4"
        if not path.exists():
            write_textured(path, length, number)
        yield path


def _prepared(session: Session, path: Path) -> Video:
    """Prepare a video. Raises PeerFailed where that does not work."""
    folder = session.scratch / "access"
    store, jpegs = folder / f"{path.stem}.zip", folder / "jpegs" / path.stem
    result = prepare_video(Job(path.stem, path, store), Frames(height=HEIGHT))
    if result.error:
        raise PeerFailed(result.error)
    unpack(store, jpegs)
    with FrameStore(store) as frames:
        return Video(str(path.resolve()), str(store), str(jpegs), frames.frame_size, len(frames))


def _peers(session: Session, videos: Sequence[Video], kind: Kind) -> list[Peer]:
    """All contestants of `access`, ours first, then the one that all are compared with."""
    stores, folders = [video.store for video in videos], [video.folder for video in videos]
    pixels = {"videos": [video.source for video in videos], "sizes": [video.size for video in videos]}
    pickled = [str(session.scratch / "access" / "pickles" / f"{number}.pkl") for number in range(len(videos))]
    for store, path in zip(stores, pickled, strict=True):
        pack(Path(store), Path(path), pickle.DEFAULT_PROTOCOL)  # Python's present one, which is the kinder
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (STORE, "book", {"paths": stores}),
        (BASE, "pillow", {"paths": folders}),
        ("JPEG folder read by the book", "book", {"paths": folders}),
        ("pickles of JPEGs + Pillow", "pickles", {"paths": pickled}),
        ("video, PyAV from its start", "decoding", pixels),
        ("video, OpenCV's seek", "seeking", pixels),
    )
    return _contestants(session, videos, kind, kinds)


def _contestants(
    session: Session, videos: Sequence[Video], kind: Kind, kinds: Sequence[tuple[str, str, dict[str, Any]]]
) -> list[Peer]:
    """Contestants by label, function and options.

    In all of them glibc keeps its memory, as it does by itself once a process has freed a batch of clips. Until then,
    chance decides whether it gives back that of each clip's frames, which makes Pillow up to 1.4 times as slow.
    """
    peers = []
    for number, (label, function, options) in enumerate(kinds):
        checked = str(session.scratch / "access" / f"checked-{number}.npz")
        shared = {"counts": [video.frames for video in videos], "kind": kind, "checked": checked}
        settings: dict[str, Any] = {"one_core": True, "environment": TUNED_MALLOC}
        peers.append(session.peer(label, f"access:{function}", {**options, **shared}, **settings))
    return peers


def _compared(session: Session, row: str, kind: Kind, peers: Sequence[Peer], base: str) -> Iterator[Result]:
    """Every contestant that finds the frames of the first against the one called `base`; first those that do not."""
    clip = CLIPS[kind]
    with session.running(peers):
        gaps = {peer.label: difference(peers[0], peer) for peer in peers[1:]}
        strayed = [label for label, gap in gaps.items() if not gap <= TOLERANCE]
        for label in strayed:
            note = f"its frames differ from the {STORE}'s by up to {gaps[label]:.1f} of 255, a video's average"
            yield Result(row, f"{clip}: {label}", state="crashed", note=note)
        if base in strayed:
            return
        timing = [peer for peer in peers if peer.label not in strayed]
        rounds = session.rounds(f"{row}, {clip}", timing, replace(session.scale.pace, steps=STEPS))
    for peer in timing:
        if peer.label != base:
            found = compare(rounds, peer.label, base, "cpu")
            note = f"{1 / found.ours_s:.3g} and {1 / found.peer_s:.3g} clips per second of one core"
            if peer.label in gaps:
                note += f"; pixels differ from the {STORE}'s by up to {gaps[peer.label]:.2f} of 255, a video's average"
            what = f"{clip}: {peer.label} vs {base}, CPU time"
            yield timed(row, what, found, TARGETS.get(peer.label), note)


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
