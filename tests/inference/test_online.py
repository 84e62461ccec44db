"""The working set is the original's, keeps to its bounds, and is usable after whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice, pairwise

import numpy as np
import pytest

from actionbook.clips.transforms import tested_clip
from actionbook.core.transforms import Transforms
from actionbook.inference import InferenceError
from actionbook.inference.online import Online, Running, WorkingSet, quotas, working_sets
from actionbook.tasks.pooling import softmax

TRANSFORMS = Transforms(size=16)


class Network:
    """Logits of a clip: the mean of its frames' grey levels, times a hundredth, and nothing; keeps its clips."""

    def __init__(self) -> None:
        self.clips: list[np.ndarray] = []
        self.fails = False

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        if self.fails:
            raise RuntimeError("no memory")
        assert clip.dtype == np.float32
        self.clips.append(clip)
        return np.array([[clip.mean() / 100, 0]], np.float32)


def frame(number: int) -> np.ndarray:
    return np.full((24, 32, 3), number % 256, np.uint8)


def stream(frames: int) -> Iterator[np.ndarray]:
    return map(frame, range(frames))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (16, [[16], [8, 8], [4, 4, 8], [2, 2, 4, 8], [1, 1, 2, 4, 8], [1, 1, 2, 4, 8]]),  # the original's
        (4, [[4], [2, 2], [1, 1, 2], [1, 1, 2]]),
        (8, [[8], [4, 4], [2, 2, 4], [1, 1, 2, 4], [1, 1, 2, 4]]),
        (12, [[12], [6, 6], [3, 3, 6], [1, 2, 3, 6], [1, 2, 3, 6]]),
        (32, [[32], [16, 16], [8, 8, 16], [4, 4, 8, 16], [2, 2, 4, 8, 16], [2, 2, 4, 8, 16]]),
        (1, [[1], [1]]),
    ],
)
def test_quotas(frames: int, expected: list[list[int]]) -> None:
    assert [quotas(frames, slots + 1) for slots in range(len(expected))] == expected


@pytest.mark.parametrize("frames", range(1, 65))
def test_quotas_are_whole_and_a_slot_only_shrinks_as_it_ages(frames: int) -> None:
    found = [quotas(frames, slots) for slots in range(1, 8)]
    assert all(sum(one) == frames and min(one) >= 1 and len(one) <= 5 for one in found)
    for before, after in pairwise(found):
        assert all(new <= old for old, new in zip(before[::-1], after[-2::-1], strict=False))


def test_the_originals_choice_of_frames() -> None:
    eight = [0, 2, 4, 6, 9, 11, 13, 15]  # eight of sixteen, evenly spaced and rounded
    four, two = [0, 4, 11, 15], [0, 15]  # the second, third and fourth quarter of these fall on 2.33, 4.67, 7
    found = working_sets(112, 16)
    after = [lambda part, k=k: [16 * k + n for n in part] for k in range(7)]
    found = [list(numbers) for numbers in found]
    assert found[0] == list(range(16))
    assert found[1] == after[0](eight) + after[1](eight)
    assert found[2] == after[0](four) + after[1](four) + after[2](eight)
    assert found[3] == after[0](two) + after[1](two) + after[2](four) + after[3](eight)
    assert found[4] == [0, 16, *after[2](two), *after[3](four), *after[4](eight)]
    assert found[6] == [32, 48, *after[4](two), *after[5](four), *after[6](eight)]


@pytest.mark.parametrize(("frames", "slot"), [(4, 4), (4, 25), (8, 8), (8, 100), (16, 40), (12, 13)])
def test_a_set_has_different_frames_in_order_and_half_of_the_newest_slot(frames: int, slot: int) -> None:
    for k, numbers in enumerate(working_sets(9 * slot, frames, slot)):
        assert list(numbers) == sorted(set(numbers))
        assert len(numbers) == frames
        assert sum(number >= k * slot for number in numbers) == (frames if k == 0 else frames // 2)
        assert numbers[-1] == (k + 1) * slot - 1


def test_short_slots_repeat_frames() -> None:
    assert working_sets(4, 8, 2) == [(0, 0, 0, 0, 1, 1, 1, 1), (0, 0, 1, 1, 2, 2, 3, 3)]


def test_the_running_prediction_is_the_mean_with_the_one_before() -> None:
    network = Network()
    found = list(Online(network, TRANSFORMS, 4, rate=8).follow(stream(12)))
    newest = [softmax(np.array([clip.mean() / 100, 0], np.float32)) for clip in network.clips]
    running = [newest[0], (newest[0] + newest[1]) / 2]
    running.append((running[1] + newest[2]) / 2)
    assert [(one.frame, one.seconds) for one in found] == [(4, 0.5), (8, 1.0), (12, 1.5)]
    assert [one.numbers for one in found] == [(0, 1, 2, 3), (0, 3, 4, 7), (0, 4, 8, 11)]
    np.testing.assert_allclose([one.probabilities for one in found], running)
    np.testing.assert_allclose([one.newest for one in found], newest)


def test_the_network_sees_clips_of_the_tested_transform() -> None:
    network = Network()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 24, 32, 3), dtype=np.uint8)
    found = list(Online(network, TRANSFORMS, 4).follow(pixels))
    assert found[1].seconds is None
    for clip, one in zip(network.clips, found, strict=True):
        np.testing.assert_array_equal(clip[0], tested_clip([pixels[n] for n in one.numbers], TRANSFORMS))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (1, [(1, (0, 0, 0, 0))]),  # no slot is full, so what there is counts
        (3, [(3, (0, 0, 2, 2))]),
        (6, [(6, (0, 2, 2, 5))]),
        (8, [(8, (0, 2, 5, 7))]),
        (9, [(8, (0, 2, 5, 7))]),  # less than half of a slot
        (12, [(8, (0, 2, 5, 7)), (12, (0, 7, 8, 10))]),
        (15, [(8, (0, 2, 5, 7)), (15, (0, 7, 8, 13))]),
        (16, [(8, (0, 2, 5, 7)), (16, (0, 7, 8, 15))]),
        (0, []),
    ],
)
def test_a_stream_that_ends_within_a_slot(frames: int, expected: list[tuple[int, tuple[int, ...]]]) -> None:
    online = Online(Network(), TRANSFORMS, 4, slot=8)
    assert [(one.frame, one.numbers) for one in online.follow(stream(frames))] == expected
    assert working_sets(frames, 4, 8) == [numbers for _, numbers in expected]
    assert online.kept == 0


def test_videos_do_not_hear_of_each_other() -> None:
    online = Online(Network(), TRANSFORMS, 4, slot=5)
    first, second = [*online.follow(stream(17))], [*online.follow(stream(17))]
    assert [one.numbers for one in first] == [one.numbers for one in second]
    np.testing.assert_array_equal([one.probabilities for one in first], [one.probabilities for one in second])
    begun = online.follow(stream(17))
    next(begun)  # left in the middle
    np.testing.assert_array_equal([one.newest for one in online.follow(stream(17))], [one.newest for one in first])


def test_an_endless_stream_keeps_few_frames() -> None:
    network = Network()
    online = Online(network, TRANSFORMS, 8, slot=10)
    most = 0
    for number in range(1000):
        online.push(frame(number))
        most = max(most, online.kept)
    assert most == 15  # eight of the set, and of the open slot all of its eight places but the last
    endless = online.follow(map(frame, count()))
    assert [one.frame for one in islice(endless, 3)] == [10, 20, 30]
    assert len(network.clips) == 103


def fails_at(place: int, frames: int) -> Iterator[np.ndarray]:
    for number in range(frames):
        if number == place:
            raise OSError("the camera is gone")
        yield frame(number)


def shown(found: Running | None) -> tuple[int, ...] | None:
    return None if found is None else found.numbers


def test_a_source_that_fails_leaves_what_was_seen() -> None:
    online, whole = Online(Network(), TRANSFORMS, 4), Online(Network(), TRANSFORMS, 4)
    *_, expected = whole.follow(stream(12))
    with pytest.raises(OSError, match="camera"):
        list(online.follow(fails_at(6, 12)))
    found = [online.push(frame(number)) for number in range(6, 12)]
    assert [shown(one) for one in found] == [None, (0, 3, 4, 7), None, None, None, expected.numbers]
    np.testing.assert_array_equal(found[-1].probabilities, expected.probabilities)


@pytest.mark.parametrize("wrong", [np.zeros((24, 32), np.uint8), np.zeros((24, 32, 3)), np.zeros((0, 32, 3), np.uint8)])
def test_what_is_no_frame_does_not_count(wrong: np.ndarray) -> None:
    online = Online(Network(), TRANSFORMS, 4)
    online.push(frame(0))
    with pytest.raises(InferenceError, match=r"frame 1: .*, expected uint8 \(H, W, 3\)"):
        online.push(wrong)
    assert [shown(online.push(frame(number))) for number in (1, 2, 3)] == [None, None, (0, 1, 2, 3)]


def test_a_network_that_fails_leaves_its_last_answer() -> None:
    network = Network()
    online = Online(network, TRANSFORMS, 4)
    for number in range(4):
        first = online.push(frame(number))
    network.fails = True
    with pytest.raises(RuntimeError, match="no memory"):
        [online.push(frame(number)) for number in range(4, 8)]
    network.fails = False
    *_, last = [online.push(frame(number)) for number in range(8, 12)]
    assert first is not None
    assert last is not None
    assert last.numbers == (0, 4, 8, 11)
    np.testing.assert_allclose(last.probabilities, (first.probabilities + last.newest) / 2)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(InferenceError, match="0 frames from slots of 0"):
        WorkingSet(0)
    with pytest.raises(InferenceError, match="4 frames from slots of 0"):
        WorkingSet(4, 0)
    with pytest.raises(InferenceError, match="0 frames a second"):
        Online(Network(), TRANSFORMS, 4, rate=0)
