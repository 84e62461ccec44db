"""How many frames a video has lost, told from its time stamps, where the container's header has no number of frames.

Matroska, WebM, MPEG transport streams, FLV and others say how long they are, or not even that. What is missing shows in
three places: packets that gave no frame (before the first key frame, after a hole), stretches without packets, and an
end before the one that the header names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np

from actionbook.video.decode import VideoError, opened

_NO_TIMESTAMPS, _JOINED = 0x80, 0x200
"""Formats whose time stamps are made up, and formats whose clock may jump: FFmpeg's AVFMT_NOTIMESTAMPS and
AVFMT_TS_DISCONT (libavformat/avformat.h)."""
_GAP = 1.5
"""A distance of so many usual ones is a gap; less is the rounding of time stamps, or a camera that is not exact."""
_TAIL = 2.0
"""As many frames may lie between the last packet and the header's end: durations are rounded, sound is padded."""
_JUMP_SECONDS = 10.0
"""In streams made to be joined, a longer gap is another recording's clock (FFmpeg's own -dts_delta_threshold)."""
_GAPS_OF, _HOLES_OF, _MOST_HOLES = 10, 20, 3
"""A rate counts as constant if at most one distance in ten is a gap, and at most three and one in twenty (but always
one) are gaps of several frames. A picture that now and then stands still has more of them: a variable rate."""


@dataclass(frozen=True)
class Losses:
    """What a video has lost."""

    frames: int = 0
    """As many of the usual distance fill the places where something is missing."""
    words: tuple[str, ...] = ()
    """The places."""


@dataclass(frozen=True)
class _Packets:
    """Times of a file's packets, in seconds."""

    video: np.ndarray
    """When each packet of the video is shown, ascending."""
    sound: np.ndarray
    """Of all audio, ascending."""
    end: float
    """Of the last packet of any stream."""
    stated_end: float
    """By the header; 0 where it does not say."""
    joined: bool
    """Whether clocks may jump in this container."""


def losses(path: Path | str, times: list[float], fps: float) -> Losses:
    """What a video whose decoded frames are shown at `times` (seconds) has lost; `fps` is the header's rate, or 0.

    A variable rate is no loss, nor is a late start. A stretch without pictures is one if the sound is gone as well, or
    if there is none and the rate is constant otherwise. A container without time stamps gives no answer, and nor does
    a file that was cut off and says nowhere how long it was. Raises VideoError if the file cannot be read.
    """
    packets = _packets(path)
    shown = np.sort(np.asarray(times))
    if packets is None or not len(packets.video) or not len(shown):
        return Losses()
    frame = _usual(shown) or _usual(packets.video) or (1 / fps if fps else 0.0)
    if not frame:
        return Losses()
    undecoded = _undecoded(packets.video, shown, frame)
    holes, odd = _holes(packets)
    inside = sum(_room(gap, frame) for gap in holes)
    tail = packets.stated_end - packets.end
    late = round(tail / frame) if tail > _TAIL * frame else 0
    words = [
        *([f"{undecoded} of its packets gave no frame"] if undecoded else []),
        *([f"{_seconds(holes)} are missing in the middle"] if holes else []),
        *([f"its data end after {packets.end:.1f} s, its header says {packets.stated_end:.1f} s"] if late else []),
        *([f"its time stamps leave out {_seconds(odd)}, though the rate is constant otherwise"] if odd else []),
    ]
    return Losses(undecoded + inside + late, tuple(words))


def _packets(path: Path | str) -> _Packets | None:
    """None where the container has no time stamps."""
    video: list[float] = []
    sound: list[float] = []
    end = 0.0
    with opened(path) as (container, stream):
        flags = container.format.flags
        if flags & _NO_TIMESTAMPS:
            return None
        joined = bool(flags & _JOINED)
        try:
            for packet in container.demux():
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None or not packet.size or packet.time_base is None:
                    continue
                time = float(stamp * packet.time_base)
                end = max(end, time + float((packet.duration or 0) * packet.time_base))
                if packet.stream.index == stream.index:
                    video.append(time)
                elif packet.stream.type == "audio":
                    sound.append(time)
        except av.error.FFmpegError as error:
            raise VideoError(f"{path}: its packets cannot be read ({error.strerror or error})") from error
        # Where clocks may jump, FFmpeg takes the duration from the packets: it says nothing of what there should be.
        stated = 0.0 if joined else (container.duration or 0) / av.time_base
    return _Packets(np.sort(video), np.sort(sound), end, stated, joined)


def _usual(times: np.ndarray) -> float:
    """The median distance, in seconds; 0 where there is none."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _room(gap: float, frame: float) -> int:
    """Frames that fit between two that lie `gap` apart."""
    return max(0, round(gap / frame) - 1)


def _undecoded(video: np.ndarray, shown: np.ndarray, frame: float) -> int:
    """Packets that gave no frame. A field, or a frame that is never shown, lies close to another and is not counted."""
    edges = np.concatenate([[min(video[0], shown[0]) - frame], shown, [max(video[-1], shown[-1]) + frame]])
    count = 0
    for start, stop in pairwise(edges):
        if stop - start > _GAP * frame:
            first, last = np.searchsorted(video, [start + frame / 4, stop - frame / 4])
            count += min(int(last - first), _room(stop - start, frame))
    return count


def _holes(packets: _Packets) -> tuple[list[float], list[float]]:
    """Lengths of the gaps between the video's packets that something is missing in, and of those that are only odd.

    Gaps of a single frame are neither: those of whole MPEG program streams may have one.
    """
    video, usual = packets.video, _usual(packets.video)
    distances = np.diff(video)
    gaps = np.flatnonzero(distances > _GAP * usual) if usual else np.empty(0, int)
    long = [number for number in gaps if _room(distances[number], usual) > 1]
    most = max(1, min(_MOST_HOLES, len(distances) // _HOLES_OF))
    regular = len(gaps) <= len(distances) // _GAPS_OF and len(long) <= most
    pause = _GAP * _usual(packets.sound)
    holes: list[float] = []
    odd: list[float] = []
    for number in long:
        gap = float(distances[number])
        silent = _is_silent(packets.sound, float(video[number]) + gap / 2, max(pause, gap / 2))
        jump = packets.joined and gap > _JUMP_SECONDS
        if not jump and (regular if silent is None else silent):
            holes.append(gap)
        elif regular:
            odd.append(gap)
    return holes, odd


def _is_silent(sound: np.ndarray, middle: float, pause: float) -> bool | None:
    """Whether the packets of sound around `middle` lie further apart than `pause`; None: there are none around it."""
    after = int(np.searchsorted(sound, middle))
    if not 0 < after < len(sound):
        return None
    return bool(sound[after] - sound[after - 1] > pause)


def _seconds(gaps: list[float]) -> str:
    return ", ".join(f"{gap:.1f} s" for gap in gaps)
