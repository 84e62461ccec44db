"""A cut of a video at a constant rate: the pictures that two FFmpeg commands make of it, from one decoding.

The commands are those of AVA's users (facebookresearch/SlowFast, slowfast/datasets/DATASET.md)::

    ffmpeg -ss 900 -t 901 -i IN OUT
    ffmpeg -i OUT -r 30 -q:v 1 %06d.jpg

OUT is in the same container as IN. The first cuts, and sets each frame on a tick of the rate that FFmpeg guesses, at
most one on a tick. The second repeats and leaves out frames until the rate is constant. Which frame each picture shows
follows from time stamps and durations alone, so neither encoding is needed; `_Clock` holds the rules of both.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import av.container
import av.error
import numpy as np

from actionbook.core.keyframes import Cut
from actionbook.video.decode import VideoError, header, iterate, opened, shown_pixels

_EARLIER = 1.0
"""Seconds before the cut at which a key frame is looked for, so that no frame after it refers to one before."""
_GUESS = Fraction(25)
"""Frames a second where a file gives no hint: FFmpeg's own."""


@dataclass(frozen=True)
class _Shot:
    """A frame, and when and how long it is shown, in seconds from the start of the cut."""

    frame: av.VideoFrame
    time: Fraction
    seconds: Fraction


def cut_name(cut: Cut) -> str:
    """A cut in a word, fit for file names: ``900+901-r30``."""
    return f"{cut.start:.12g}+{cut.seconds:.12g}-r{cut.rate}"


def cut_frames(cut: Cut) -> int:
    """Frames of a video that is as long as the cut; some rates give one or two more."""
    return round(cut.seconds * cut.rate)


def cut_of(path: Path | str, cut: Cut) -> Cut:
    """The cut of one video: of a cut that may be longer than a video (``at_most``), the part that it has.

    By its header; raises VideoError as `header`.
    """
    if not cut.at_most:
        return cut
    found = header(path)
    there = max(found.file_seconds, found.seconds) - cut.start
    return cut.model_copy(update={"seconds": min(cut.seconds, max(there, 1 / cut.rate))})


def resampled(path: Path | str, cut: Cut) -> Iterator[av.VideoFrame]:
    """The frames of a cut, as coded, each as often as it is shown: the same object again where a picture repeats.

    Frames before the cut are decoded from the key frame before it and dropped, as ``-ss`` before ``-i`` does; time is
    counted from the start of the container, which may be that of the sound. Decoding stops at the end of the cut. A
    video that ends earlier gives fewer frames.

    Compared with FFmpeg 9.0.2 picture by picture, on videos of 8 s of which 5 s are cut, in MP4 and Matroska (H.264)
    and WebM (VP9), with sound and without: at 15, 23.976, 24, 25, 29.97, 30, 50, 59.94 and 60 frames a second, with a
    picture that starts up to half a second after the sound or the file, and at variable rates in Matroska and WebM,
    all are equal in number and content; so are the 27,032 and 27,031 pictures of AVA's own cut from half-hour files of
    23.976 (MP4) and 29.97 (Matroska) frames a second. Two kinds differ:

    - A variable rate in MP4, where OUT's durations depend on which frames its encoder makes B-frames. Of about 151
      pictures another frame than FFmpeg's is shown by 0 to 19 where one frame in fifty or fewer lacks of 24 or 25 a
      second, by 0 to 124 of 30 a second, and by 10 to 67 where no two distances are alike; that frame is at most two
      from FFmpeg's, and there are at most two pictures more or less. If one in five lacks, it is up to five.
    - A cut of a file with sound that begins before the picture does, by 0.1 to 0.5 s: FFmpeg drops some of the sound
      that nothing is shown to, and with it up to 10 repetitions of the first picture. Those of AVA begin at 900 s.

    Raises VideoError if the file cannot be decoded, or ends before the cut begins.
    """
    with opened(path) as (container, stream):
        begin = round(cut.start * av.time_base) + (container.start_time or 0)
        sound = _sound_starts(container, begin)
        clock = _Clock(Fraction(cut.rate), constant=True, alone=sound is None)
        start, last = Fraction(0), None
        for shot in _ticked(_cut(path, container, stream, cut, begin), stream, in_ms=_in_ms(container)):
            if last is None:  # of OUT
                start = shot.time if sound is None else min(shot.time, sound)
            before, times = clock.place(shot.time - start, shot.seconds)
            for number in range(times):
                yield shot.frame if last is None or number >= before else last
            last = shot.frame
        if last is not None:
            yield from [last] * clock.at_end()


def read_resampled(path: Path | str, cut: Cut, indices: Sequence[int]) -> np.ndarray:
    """Frames of a cut by index (from 0, in any order), uint8 RGB (T, H, W, 3), 0..255, as shown.

    Decoding goes up to the largest index. Raises VideoError as `resampled`, and if an index lies beyond the end.
    """
    wanted, kept, count = set(indices), {}, 0
    for count, frame in enumerate(islice(resampled(path, cut), max(wanted) + 1), 1):
        if count - 1 in wanted:
            kept[count - 1] = shown_pixels(frame)
    if len(kept) < len(wanted):
        raise VideoError(f"{path}: frame {max(wanted)} of the cut was asked for, it has {count} (counted from 0)")
    return np.stack([kept[index] for index in indices])


def _in_ms(container: av.container.InputContainer) -> bool:
    """Whether OUT has its times in whole milliseconds, as Matroska and WebM do."""
    return container.format.name.startswith("matroska")


def _sound_starts(container: av.container.InputContainer, begin: int) -> Fraction | None:
    """Seconds from the start of the cut to that of the sound in it; None where there is no sound."""
    if not container.streams.audio:
        return None
    audio = container.streams.audio[0]
    start = Fraction(audio.start_time or 0) * (audio.time_base or 0)
    return max(Fraction(0), start - Fraction(begin, av.time_base))


def _ticked(shots: Iterator[_Shot], stream: av.VideoStream, *, in_ms: bool) -> Iterator[_Shot]:
    """What a reader of OUT finds: the first command's variable rate, by the guessed one's ticks."""
    clock = _Clock(stream.guessed_rate or _GUESS, constant=False)
    tick = 1 / clock.rate
    for shot in shots:
        if clock.place(shot.time, shot.seconds)[1]:
            time = (clock.next - 1) * tick
            if in_ms:
                yield _Shot(shot.frame, Fraction(_nearest(time * 1000), 1000), Fraction(int(tick * 1000), 1000))
            else:
                yield _Shot(shot.frame, time, tick)


def _cut(
    path: Path | str, container: av.container.InputContainer, stream: av.VideoStream, cut: Cut, begin: int
) -> Iterator[_Shot]:
    """The frames that begin within the cut, whose length counts from the first of them (FFmpeg's filter trim)."""
    base = stream.time_base or Fraction(1, av.time_base)
    usual = 1 / (stream.guessed_rate or _GUESS)
    offset = _nearest(Fraction(begin, av.time_base) / base)
    length = _nearest(Fraction(round(cut.seconds * av.time_base), av.time_base) / base)
    first: int | None = None
    latest = None
    for frame in _from_key_frame(path, container, stream, begin):
        pts = frame.pts if frame.pts is not None else (0 if latest is None else latest + _nearest(usual / base))
        latest = pts
        if pts < offset:
            continue
        first = pts if first is None else first
        if pts - first >= length:
            return
        yield _Shot(frame, (pts - offset) * base, (frame.duration or 0) * base or usual)
    if first is None:
        end = "it has no frames" if latest is None else f"the last frame is at {float(latest * base):.1f} s"
        raise VideoError(
            f"{path}: expected {cut.seconds:g} s from {cut.start:g} s on, but {end}: the file is cut off or another "
            "video, fetch it again"
        )


def _from_key_frame(
    path: Path | str, container: av.container.InputContainer, stream: av.VideoStream, begin: int
) -> Iterator[av.VideoFrame]:
    """Decoded frames from a key frame before `begin` (microseconds) on; all of them where none can be sought."""
    base = stream.time_base or Fraction(1, av.time_base)
    earlier = Fraction(begin, av.time_base) - Fraction(_EARLIER)
    frames = None
    if earlier > (stream.start_time or 0) * base:
        with suppress(av.error.FFmpegError, StopIteration):  # without an index, some cannot, and some land behind
            container.seek(_nearest(earlier / base), stream=stream)
            following = container.decode(stream)
            first = next(following)
            if first.pts is not None and first.pts * base <= earlier:
                frames = chain([first], following)
    try:
        yield from iterate(path) if frames is None else frames
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: decoding failed ({error.strerror or error})") from error


@dataclass
class _Clock:
    """FFmpeg's rules for frames at a rate (``video_sync_process`` in fftools/ffmpeg_filter.c, FFmpeg 7 to 9)."""

    rate: Fraction
    """Ticks a second."""
    constant: bool
    """Every tick gets a frame; else each frame gets one tick, unless another has it."""
    alone: bool = False
    """Of a constant rate: the first frame comes at the first tick however late it is. So if OUT has no sound."""
    next: int = 0
    """The first tick without a frame."""
    placed: int = 0
    repeats: deque[int] = field(default_factory=lambda: deque([0, 0, 0], 3))
    """How often a frame was shown again after the fact, of the latest ones."""

    def place(self, time: Fraction, seconds: Fraction) -> tuple[int, int]:
        """Ticks for the frame at `time` that lasts `seconds`: (those that the one before it gets, all of them)."""
        at, length = self._ticks(time), float(seconds * self.rate)
        late = at - self.next
        ends = late + length
        if late < 0 < ends:
            at, late = float(self.next), 0.0
        before, times = 0, 1
        if self.constant:
            if self.alone and not self.placed and late >= 0.5:
                ends, late, self.next = length, 0.0, round(at)
            if ends < -1.1:
                times = 0
            elif ends > 1.1:
                times = round(ends)
                before = round(late - 0.6) if late > 1.1 else 0
        elif ends <= -0.6:
            times = 0
        elif ends > 0.6:
            self.next = round(at)
        self.repeats.append(before)
        self.placed += 1
        self.next += times
        return before, times

    def at_end(self) -> int:
        """How often the last frame is shown again."""
        return sorted(self.repeats)[1]

    def _ticks(self, time: Fraction) -> float:
        """`time` in ticks as FFmpeg rounds it, a little away from 0, so that no frame lies half-way between two."""
        bits = min(max(29 - int(math.log2(self.rate.numerator)), 0), 16)
        ticks = _nearest(time * self.rate * (1 << bits)) / (1 << bits)
        return ticks if ticks == round(ticks) else ticks + math.copysign(1 / (1 << 17), ticks)


def _nearest(value: Fraction) -> int:
    """The nearest whole number, of two the one further from 0, as FFmpeg's av_rescale_q."""
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole
