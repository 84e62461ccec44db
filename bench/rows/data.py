"""From video file to training step: preparing frames, reading clips, feeding the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bench.cases import MOBILENET
from bench.errors import PeerFailed
from bench.report import Result, duration, timed
from bench.rounds import compare
from bench.rows.network import SGD
from bench.session import Session, ffmpeg_program

CLIP_TOLERANCE = 8.0  # mean difference of two pixels, of 255: other filters, same picture; wrong crops give 30 and more


def frames(session: Session) -> Iterator[Result]:
    """CPU time to turn videos into JPEGs, on one core each. Target: 1.8 times one `ffmpeg` process per video."""
    program = ffmpeg_program()
    videos = [str(path.resolve()) for path in session.videos]
    options = {"videos": videos, "folder": str(session.scratch / "ours")}
    ours = session.peer("frames", "frames:ours", options, one_core=True)
    options = {"videos": videos, "folder": str(session.scratch / "ffmpeg"), "program": program}
    rival = session.peer("ffmpeg", "frames:ffmpeg", options, one_core=True)
    with session.running([ours, rival]):
        rounds = session.rounds("frames", [ours, rival], session.scale.pace)
    found = compare(rounds, ours.label, rival.label, "cpu")
    count, theirs = ours.facts["frames"], rival.facts["frames"]
    version = rival.facts["version"]
    sizes = (ours.facts["bytes"] / count / 1024, rival.facts["bytes"] / theirs / 1024)
    note = (
        f"{len(videos)} videos, {version}; {count} frames ({theirs} of ffmpeg); "
        f"{count / found.ours_s:.0f} and {theirs / found.peer_s:.0f} frames per CPU second; "
        f"{sizes[0]:.1f} and {sizes[1]:.1f} KiB a frame"
    )
    yield timed("frames", "preparing frames vs one ffmpeg per video, CPU time", found, 1.8, note)


def clips(session: Session) -> Iterator[Result]:
    """CPU time to read and augment a clip, on one core each. Target: 4 times Pillow and NumPy on a JPEG folder.

    At the network's own size, and at twice that, the 224 pixels of most other networks.
    """
    stores = [str(session.scratch / "stores" / "bench" / f"{name}.zip") for name in session.stores]
    _, length, side, _ = session.scale.fitted(MOBILENET).clip
    checked = [session.scratch / "clips-ours.npy", session.scratch / "clips-pillow.npy"]
    for size in (side, 2 * side):
        options = {"stores": stores, "clips": {"frames": length, "size": size}}
        ours = session.peer("clips", "clips:ours", {**options, "checked": str(checked[0])}, one_core=True)
        folder = str(session.scratch / f"jpegs-{size}")
        options = {**options, "folder": folder, "checked": str(checked[1])}
        rival = session.peer("pillow", "clips:pillow", options, one_core=True)
        with session.running([ours, rival]):
            difference = float(np.abs(np.load(checked[0]) - np.load(checked[1])).mean())
            if not difference <= CLIP_TOLERANCE:
                raise PeerFailed(f"the clips of both sides differ by {difference:.1f} of 255 on average")
            rounds = session.rounds("clips", [ours, rival], replace(session.scale.pace, steps=20))
        note = f"same frames, crops and flips; pixels differ by {difference:.2f} of 255 on average (other filters)"
        what = f"read + augment a clip, {length} x {size} x {size}, vs Pillow + NumPy, CPU time"
        yield timed("clips", what, compare(rounds, ours.label, rival.label, "cpu"), 4.0, note)


def loader(session: Session) -> Iterator[Result]:
    """What feeding real clips adds to a training step on a batch that is there already. Target: at most 3 %."""
    case = session.case()
    shared = {**case.network, "weights": case.weights, "sgd": SGD}
    fed = session.peer(
        "fed step",
        "book:fed_train",
        {
            **shared,
            "store": str(session.scratch / "stores"),
            "frames": session.stores,
            "shape": case.workload.shape,
            "workers": session.threads,
        },
        pause=0.3,  # its loader fills up what the turn has used
    )
    constant = session.peer("constant step", "book:train", {**shared, "clips": case.clips})
    with session.running([fed, constant]):
        rounds = session.rounds("loader", [fed, constant], session.scale.loader_pace)
    found = compare(rounds, constant.label, fed.label)
    yield Result(
        "loader",
        f"training step: the loader's share, batch {case.workload.batch}",
        value=found.ratio - 1,
        target=0.03,
        at_most=True,
        percent=True,
        ours=duration(found.peer_s),
        peer=duration(found.ours_s),
        spread=(found.low - 1, found.high - 1),
        clean=found.clean,
        rounds=found.rounds,
        note="ours: fed by the loader; peer: the same batch again and again",
    )
