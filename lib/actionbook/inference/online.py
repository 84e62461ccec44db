"""A prediction while the video runs: a few frames of all that was seen, half of them from its newest part.

Zolfaghari, Singh and Brox, "ECO: Efficient Convolutional Network for Online Video Understanding" (arXiv 1804.09066),
Algorithm 1, and scripts/online_recognition of mzolfaghari/ECO-efficient-video-understanding, whose choice of frames
this is. A stream is cut into slots of equal length. Whenever one is full, half of the network's frames come from it, a
quarter from the slot before, and so on, always evenly spaced; what is older than the oldest slot is forgotten. Nothing
is drawn at random (the original imports `random` and does not use it), so a stream gives the same answers every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from actionbook.clips.transforms import tested_clip
from actionbook.core.transforms import Transforms
from actionbook.inference.errors import InferenceError
from actionbook.tasks.pooling import softmax

MOST_SLOTS = 5
"""Slots that the frames come from at most, as in the original."""


def quotas(frames: int, slots: int) -> list[int]:
    """How many of `frames` frames each of so many slots gives, the oldest first.

    Each takes half of what the newer ones leave, rounded up, and the oldest all of the rest. For 16 frames these are
    the original's: [16], [8, 8], [4, 4, 8], [2, 2, 4, 8], [1, 1, 2, 4, 8]. More slots than `MOST_SLOTS`, or than have a
    frame each, count as the most that are possible: 4 frames have three, [1, 1, 2]. Both numbers are 1 or more.
    """
    found: list[int] = []
    left = frames
    while len(found) < min(slots, MOST_SLOTS) - 1 and left > 1:
        found.append((left + 1) // 2)
        left -= found[-1]
    return [left, *reversed(found)]


class WorkingSet:
    """The numbers of the frames that the network gets to see, while a stream of frames is counted.

    Of the slot that is not full yet it keeps at most `frames` numbers, evenly spaced, so it never knows more than twice
    that many, however long the stream is.
    """

    def __init__(self, frames: int, slot: int | None = None) -> None:
        """`frames`: of the network (T); `slot`: frames of the stream in a slot, None: as many (as the original).

        A slot of fewer frames than are wanted of it repeats some. Raises InferenceError for numbers below 1.
        """
        self.frames, self.slot = frames, frames if slot is None else slot
        if frames < 1 or self.slot < 1:
            raise InferenceError(f"{frames} frames from slots of {self.slot}: expected 1 or more of both")
        self._places = frozenset(_spread(range(self.slot), frames))
        self.reset()

    def reset(self) -> None:
        """Forget all: the next frame is the first of another stream."""
        self.seen = 0
        self._slots: list[list[int]] = []  # oldest first
        self._open: list[int] = []  # of the slot that is not full yet, those that may be taken

    @property
    def wanted(self) -> bool:
        """Whether the next frame can come into the set."""
        return self.seen % self.slot in self._places

    @property
    def numbers(self) -> list[int]:
        """Of the set as it was when the last slot was full: `frames` of them, from 0, in order of time; or none."""
        return [number for slot in self._slots for number in slot]

    def push(self) -> bool:
        """Count the next frame; whether a slot is full with it, and `numbers` are new."""
        wanted = self.wanted
        self.seen += 1
        if wanted:
            self._open.append(self.seen - 1)
        full = self.seen % self.slot == 0
        if full:
            self._close()
        return full

    def finish(self) -> bool:
        """The stream has ended: whether its unfinished slot gives new `numbers`; then `reset` is next.

        It counts as a slot where at least half of it was seen, or where there is no other. A stream that is shorter
        than a slot, and perhaps than `frames`, repeats frames.
        """
        rest = self.seen % self.slot
        counts = bool(rest) and (2 * rest >= self.slot or not self._slots)
        if counts:
            self._close()
        return counts

    def _close(self) -> None:
        wanted = quotas(self.frames, len(self._slots) + 1)
        kept = [*self._slots, self._open][-len(wanted) :]
        self._slots = [_spread(slot, quota) for slot, quota in zip(kept, wanted, strict=True)]
        self._open = []


def _spread(numbers: list[int] | range, count: int) -> list[int]:
    """`count` of them, evenly spaced from the first to the last, rounded to even as NumPy does; one: the first."""
    return [numbers[place] for place in np.rint(np.linspace(0, len(numbers) - 1, count)).astype(int)]


def working_sets(stream: int, frames: int, slot: int | None = None) -> list[tuple[int, ...]]:
    """All sets of a stream of so many frames, in order of time; the last one is that of `WorkingSet.finish`, if any.

    Raises as `WorkingSet`.
    """
    working = WorkingSet(frames, slot)
    found = [tuple(working.numbers) for _ in range(stream) if working.push()]
    return [*found, tuple(working.numbers)] if working.finish() else found


def running_mean(newest: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """The running prediction (classes,): the mean of the newest one and the running one before, None where none was."""
    return newest if before is None else (newest + before) / 2


@dataclass(frozen=True)
class Running:
    """What a network says of a stream so far."""

    frame: int
    """Frames seen."""
    seconds: float | None
    """Of the stream, where its rate is known."""
    probabilities: np.ndarray
    """float64 (classes,): mean of the newest ones and of the running ones before."""
    newest: np.ndarray
    """float64 (classes,): of this working set alone."""
    numbers: tuple[int, ...]
    """Of the frames that the network saw, from 0."""


class Online:
    """Takes frames one by one and says what a network makes of them, each time that a slot is full.

    The running prediction is the mean of the newest one and the running one before, as in the paper's Algorithm 1, so
    what was said k slots ago weighs 2^-(k+1). (In the original's program the mean over a wrong axis leaves the newest
    prediction and adds a number that is the same for every class; that is `Running.newest`.) Frames that cannot come
    into the set are not transformed. Where a frame, the network or the source of frames raises an error, the prediction
    and all earlier frames stay as they are: go on with the next frame, or `reset`.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        transforms: Transforms,
        frames: int,
        *,
        slot: int | None = None,
        rate: float | None = None,
    ) -> None:
        """A network, how a frame becomes a part of its clip, and how many frames a clip has.

        `run` takes clips float32 (1, C, T, H, W) and gives logits (1, classes), as `Engine.run` does; `slot` as of
        `WorkingSet`; `rate`: frames of the stream in a second. Raises InferenceError for numbers that are not positive.
        """
        if rate is not None and not rate > 0:
            raise InferenceError(f"{rate} frames a second: expected more than 0, or None where it is not known")
        self._run, self._transforms, self._rate = run, transforms, rate
        self._set = WorkingSet(frames, slot)
        self.reset()

    def reset(self) -> None:
        """Forget all: the next frame is the first of another video."""
        self._set.reset()
        self._parts: dict[int, np.ndarray] = {}  # of a clip, (C, H, W), by frame number
        self._probabilities: np.ndarray | None = None

    @property
    def kept(self) -> int:
        """Frames in memory: at most twice the network's."""
        return len(self._parts)

    def push(self, frame: np.ndarray) -> Running | None:
        """Take the next frame, uint8 (H, W, 3) RGB or (H, W, 2) flow; the prediction, where a slot is full with it.

        Raises InferenceError for something else, which does not count. (OpenCV's cameras give BGR: turn it round.)
        """
        channels = self._transforms.channels
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels or not frame.size:
            found = f"{frame.dtype} {frame.shape}"
            raise InferenceError(f"frame {self._set.seen}: {found}, expected uint8 (H, W, {channels})")
        if self._set.wanted:
            self._parts[self._set.seen] = tested_clip([frame], self._transforms)[:, 0]
        return self._predicted() if self._set.push() else None

    def finish(self) -> Running | None:
        """The video has ended: a last prediction, where its unfinished slot counts (`WorkingSet.finish`); `reset`."""
        try:
            return self._predicted() if self._set.finish() else None
        finally:
            self.reset()

    def follow(self, frames: Iterable[np.ndarray]) -> Iterator[Running]:
        """The predictions of one whole video, from its first frame to its last: `reset`, `push` each, `finish`.

        Frames as `video.decode.iterate` and `shown_pixels` give them of a file; a stream need not end.
        """
        self.reset()
        for frame in frames:
            if (found := self.push(frame)) is not None:
                yield found
        if (found := self.finish()) is not None:
            yield found

    def _predicted(self) -> Running:
        numbers, seen = self._set.numbers, self._set.seen
        self._parts = {number: self._parts[number] for number in numbers}
        clip = np.stack([self._parts[number] for number in numbers], axis=1)
        newest = softmax(self._run(clip[None])[0])
        self._probabilities = running_mean(newest, self._probabilities)
        seconds = None if self._rate is None else seen / self._rate
        return Running(seen, seconds, self._probabilities, newest, tuple(numbers))
