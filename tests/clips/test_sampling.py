"""Which frames make a clip, against examples computed with the original program."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.clips.sampling import (
    Sampler,
    centre_clip,
    keyframe_clip,
    loop,
    middle_segments,
    middle_superframes,
    random_clip,
    random_segments,
    random_superframes,
    window_clip,
    windows_of,
)
from actionbook.core.sampling import Centre, Keyframe, Segments, Superframes, Windows


@pytest.mark.parametrize(
    ("frames", "first_and_last"),
    [
        # Frames from 1, as the original's file names.
        (16, [(1, 16)]),
        (17, [(1, 16)]),
        (18, [(1, 16), (17, 18)]),
        (29, [(1, 16), (17, 29)]),
        (33, [(1, 16), (17, 32)]),
        (34, [(1, 16), (17, 32), (33, 34)]),
        (71, [(1, 16), (17, 32), (33, 48), (49, 64), (65, 71)]),
        (2, [(1, 2)]),
        (1, []),
        (0, []),
    ],
)
def test_windows_of_the_original(frames: int, first_and_last: list[tuple[int, int]]) -> None:
    windows = windows_of(frames, 16)
    assert [(window[0] + 1, window[-1] + 1) for window in windows] == first_and_last
    assert all(window.step == 1 for window in windows)


@given(st.integers(0, 2000), st.integers(1, 64))
def test_windows_are_consecutive_and_as_many_as_the_original_makes(frames: int, length: int) -> None:
    windows = windows_of(frames, length)
    assert len(windows) == math.ceil(max(frames - 1, 0) / length)
    together = [i for window in windows for i in window]
    assert together == list(range(len(together)))
    assert len(together) >= frames - 1 or frames == 0
    assert all(len(window) == length for window in windows[:-1])


def test_loop_repeats_from_the_start() -> None:
    assert loop(range(16, 18), 5).tolist() == [16, 17, 16, 17, 16]
    assert loop(np.array([4, 6, 8]), 7).tolist() == [4, 6, 8, 4, 6, 8, 4]
    assert loop(range(5), 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="without frames"):
        loop(range(0), 4)


@given(st.integers(1, 400), st.integers(1, 32), st.integers(1, 4), st.integers(0, 2**32))
def test_random_clips_stay_inside(frames: int, length: int, stride: int, seed: int) -> None:
    clip = random_clip(frames, length, stride, np.random.default_rng(seed))
    assert clip.shape == (length,)
    assert clip.min() >= 0
    assert clip.max() < frames
    span = length * stride
    if frames >= span:
        assert (np.diff(clip) == stride).all()
        # The original's last start is one short of what would fit, if there is a choice at all.
        assert clip[0] <= max(0, frames - span - 1)
    else:
        assert clip.tolist() == [(i * stride) % frames for i in range(length)]


@pytest.mark.parametrize(("frames", "starts"), [(16, {0}), (17, {0}), (18, {0, 1}), (21, {0, 1, 2, 3, 4})])
def test_random_clips_start_anywhere_the_original_does(frames: int, starts: set[int]) -> None:
    rng = np.random.default_rng(0)
    drawn = [int(random_clip(frames, 16, 1, rng)[0]) for _ in range(400)]
    assert set(drawn) == starts
    assert min(drawn.count(start) for start in starts) > 250 / len(starts)


@pytest.mark.parametrize(("frames", "stride"), [(10, 1), (16, 1), (17, 1), (21, 1), (35, 2)])
def test_with_the_last_start_clips_begin_at_every_frame_that_they_fit_from(frames: int, stride: int) -> None:
    """The range 0..n - T, both ends included, and each as likely as the others."""
    rng = np.random.default_rng(0)
    clips = [random_clip(frames, 16, stride, rng, last_start=True) for _ in range(400)]
    starts = set(range(max(1, frames - 16 * stride + 1)))
    drawn = [int(clip[0]) for clip in clips]
    assert set(drawn) == starts
    assert min(drawn.count(start) for start in starts) > 250 / len(starts)
    assert max(clip.max() for clip in clips) == (frames - 1 if frames < 16 * stride else frames - stride)


@given(st.integers(1, 200), st.integers(1, 32), st.integers(1, 3), st.integers(0, 2**32))
def test_the_last_start_is_the_only_difference(frames: int, length: int, stride: int, seed: int) -> None:
    """Where the original has no choice to lose (no or one start), both draw the same."""
    with_last, without = (
        random_clip(frames, length, stride, np.random.default_rng(seed), last_start=last) for last in (True, False)
    )
    if frames <= length * stride:
        assert with_last.tolist() == without.tolist()
    else:
        assert with_last[0] <= frames - length * stride
        assert without[0] <= frames - length * stride - 1


def test_window_clips() -> None:
    assert window_clip(range(16, 18), 16, 1).tolist() == [16, 17] * 8
    assert window_clip(range(16), 16, 1).tolist() == list(range(16))
    assert window_clip(range(32, 64), 16, 2).tolist() == list(range(32, 64, 2))
    assert window_clip(range(32), 8, 2).tolist() == list(range(0, 16, 2))
    assert window_clip(range(5), 4, 2).tolist() == [0, 2, 4, 1]


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [
        (40, 1, list(range(13, 29))),
        (100, 1, list(range(43, 59))),
        (19, 2, [*range(1, 20, 2), *range(2, 13, 2)]),
        (16, 1, list(range(1, 17))),
        (1, 1, [1] * 16),
        (3, 1, [1, 2, 3] * 5 + [1]),
    ],
)
def test_centre_clips_of_the_original(frames: int, stride: int, expected: list[int]) -> None:
    assert (centre_clip(frames, 16, stride) + 1).tolist() == expected


def test_centre_clips_of_odd_lengths_round_as_the_original() -> None:
    assert centre_clip(40, 15, 1).tolist() == list(range(13, 28))  # 40 // 2 - 15 // 2
    assert centre_clip(41, 16, 1).tolist() == list(range(12, 28))


@given(st.integers(1, 1000), st.integers(1, 300))
def test_centre_clips_lie_in_the_middle(frames: int, length: int) -> None:
    clip = centre_clip(frames, length, 1)
    assert clip.shape == (length,)
    window = clip[: min(frames, length)]
    assert (np.diff(window) == 1).all()
    before, after = window[0], frames - 1 - window[-1]
    assert before >= 0
    assert after >= 0
    assert abs(before - after) <= 1
    np.testing.assert_array_equal(clip, np.resize(window, length))


def video(frames: int, frame: int = -1) -> Any:
    """What a sampler has to know of an item."""
    return SimpleNamespace(frames=frames, frame=frame)


@given(st.integers(0, 99), st.integers(1, 100), st.integers(1, 40), st.integers(1, 4))
def test_keyframe_clips_are_those_of_slowfast(keyframe: int, more: int, length: int, stride: int) -> None:
    frames, half = keyframe + more, length * stride // 2
    expected = [
        min(max(number, 0), frames - 1) for number in range(keyframe - half, keyframe - half + length * stride, stride)
    ]
    assert keyframe_clip(keyframe, frames, length, stride).tolist() == expected


def test_keyframe_clips_at_the_ends_of_a_video() -> None:
    assert keyframe_clip(1, 20, 6, 1).tolist() == [0, 0, 0, 1, 2, 3]
    assert keyframe_clip(18, 20, 6, 1).tolist() == [15, 16, 17, 18, 19, 19]
    assert keyframe_clip(10, 20, 4, 3).tolist() == [4, 7, 10, 13]


@pytest.mark.parametrize("last_start", [False, True])
@pytest.mark.parametrize("settings", [Windows(frames=4, stride=2), Centre(name="centre", frames=4, stride=2)])
def test_training_clips_of_a_video_begin_anywhere(settings: Any, last_start: bool) -> None:
    sampler = Sampler(settings.model_copy(update={"last_start": last_start}))
    drawn = sampler.train(video(30), np.random.default_rng(3))
    expected = random_clip(30, 4, 2, np.random.default_rng(3), last_start=last_start)
    np.testing.assert_array_equal(drawn, expected)


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 3), st.none() | st.integers(1, 40))
def test_windows_are_tested_one_after_the_other(frames: int, window: int, stride: int, tested: int | None) -> None:
    settings = Windows(frames=6, stride=stride, window=window, test_frames=tested)
    found = Sampler(settings).test(video(frames))
    expected = [window_clip(one, tested or 6, stride) for one in windows_of(frames, window)]
    assert [clip.tolist() for clip in found] == [clip.tolist() for clip in expected]


@given(st.integers(1, 60), st.integers(1, 3), st.none() | st.integers(1, 40))
def test_the_centre_is_tested_once(frames: int, stride: int, tested: int | None) -> None:
    sampler = Sampler(Centre(name="centre", frames=6, stride=stride, test_frames=tested))
    (clip,) = sampler.test(video(frames))
    np.testing.assert_array_equal(clip, centre_clip(frames, tested or 6, stride))
    assert sampler.test(video(0)) == []


@pytest.mark.parametrize("frame", [0, 7, 59])
def test_a_keyframe_is_trained_on_where_it_is_tested(frame: int) -> None:
    sampler = Sampler(Keyframe(name="keyframe", frames=6, stride=1, test_frames=8))
    for seed in range(3):
        drawn = sampler.train(video(60, frame), np.random.default_rng(seed))
        np.testing.assert_array_equal(drawn, keyframe_clip(frame, 60, 6, 1))
    np.testing.assert_array_equal(sampler.test(video(60, frame)), [keyframe_clip(frame, 60, 8, 1)])


def test_the_clip_of_second_902_and_its_slow_path_are_those_of_slowfast() -> None:
    settings = Keyframe(name="keyframe", pathways={"slow": 4, "fast": 1})
    (clip,) = Sampler(settings).test(video(27030, 60))
    assert clip.tolist() == list(range(28, 91, 2))
    taken = settings.shared_out(settings.tested)
    assert taken["slow"].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert taken["fast"].tolist() == list(range(32))


def test_an_item_that_is_no_keyframe_is_seen_around_its_middle() -> None:
    (clip,) = Sampler(Keyframe(name="keyframe", frames=4, stride=3)).test(video(21))
    assert clip.tolist() == [4, 7, 10, 13]


@pytest.mark.parametrize("settings", [Windows(stride=2), Centre(name="centre", stride=2)])
def test_the_middle_has_as_many_frames_as_are_asked_for(settings: Any) -> None:
    np.testing.assert_array_equal(Sampler(settings).middle(video(40), 5), centre_clip(40, 5, 2))


SEGMENTS = Segments(name="segments", frames=4)


@pytest.mark.parametrize(
    ("frames", "count", "whole", "expected"),
    [
        # Frames from 1, as the original's file names.
        (100, 4, False, [13, 38, 63, 88]),
        (29, 4, False, [4, 11, 19, 26]),
        (18, 16, False, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18]),
        (300, 16, False, [10, 29, 47, 66, 85, 104, 122, 141, 160, 179, 197, 216, 235, 254, 272, 291]),
        (100, 4, True, [13, 38, 63, 88]),
        (29, 4, True, [4, 11, 18, 25]),
        (30, 4, True, [4, 11, 18, 25]),
        (35, 4, True, [5, 13, 21, 29]),
        (18, 16, True, list(range(1, 17))),
        # As many frames as parts, or fewer: each is taken, in order.
        (4, 4, False, [1, 2, 3, 4]),
        (4, 4, True, [1, 2, 3, 4]),
        (3, 4, False, [1, 2, 2, 3]),
        (3, 4, True, [1, 2, 2, 3]),
        (1, 4, True, [1, 1, 1, 1]),
        (2, 8, False, [1] * 4 + [2] * 4),
    ],
)
def test_segments_are_tested_in_their_middles(frames: int, count: int, whole: bool, expected: list[int]) -> None:
    assert (middle_segments(frames, count, whole=whole) + 1).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 16, 32])
def test_tested_segments_by_another_formula(count: int) -> None:
    """In fractions, part by part; with these counts floating point makes no difference (with 24 it would)."""
    for frames in range(1, 41):
        parts = [(Fraction(frames * i, count), Fraction(frames * (i + 1), count)) for i in range(count)]
        middles = [math.floor((first + end) / 2) for first, end in parts]
        assert middle_segments(frames, count).tolist() == middles
        assert set(middles) <= set(range(frames))
        if frames <= count:
            assert set(middles) == set(range(frames))
            assert middle_segments(frames, count, whole=True).tolist() == middles
            continue
        length = frames // count
        expected = [i * length + length // 2 for i in range(count)]
        assert middle_segments(frames, count, whole=True).tolist() == expected


def test_tested_segments_are_computed_as_the_original_does() -> None:
    """Floating point is exact for 4, 8, 16 and 32 parts, and off by one for some lengths with 20 and 24."""
    off: dict[int, set[int]] = {count: set() for count in (4, 8, 16, 20, 24, 32)}
    for count, lengths in off.items():
        for frames in range(1, 2001):
            exact = frames * (2 * np.arange(count) + 1) // (2 * count)
            short = exact - middle_segments(frames, count)
            assert set(short.tolist()) <= {0, 1}
            if short.any():
                lengths.add(frames)
    assert {count: len(lengths) for count, lengths in off.items()} == {4: 0, 8: 0, 16: 0, 20: 69, 24: 43, 32: 0}
    assert min(off[24]) == 16
    assert middle_segments(16, 24)[7] == 4


def test_a_video_without_frames_has_no_segments() -> None:
    for use in (middle_segments, lambda *sizes: random_segments(*sizes, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="without frames"):
            use(0, 4)


@given(st.integers(1, 400), st.integers(1, 32), st.integers(0, 2**32))
def test_every_drawn_frame_lies_in_its_own_segment(frames: int, count: int, seed: int) -> None:
    drawn = random_segments(frames, count, np.random.default_rng(seed))
    assert drawn.shape == (count,)
    length = frames // count
    if length:
        assert (drawn // length).tolist() == list(range(count))
    else:  # each frame of a video that is too short, in order
        assert set(drawn.tolist()) == set(range(frames))
        assert (np.diff(drawn) >= 0).all()
    if length == 1:
        assert drawn.tolist() == list(range(count))


def test_every_frame_of_a_segment_is_drawn_as_often_as_the_others() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_segments(31, 6, rng) for _ in range(2000)])
    for i, own in enumerate(drawn.T):
        found, counts = np.unique(own, return_counts=True)
        assert found.tolist() == list(range(5 * i, 5 * i + 5))  # frame 30 belongs to no part of 5
        assert counts.min() > 300
        assert counts.max() < 500
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.1  # each segment has a draw of its own


def test_the_sampler_of_segments() -> None:
    sampler = Sampler(SEGMENTS.model_copy(update={"test_frames": 8}))
    drawn = sampler.train(video(29), np.random.default_rng(3))
    np.testing.assert_array_equal(drawn, random_segments(29, 4, np.random.default_rng(3)))
    (clip,) = sampler.test(video(29))
    np.testing.assert_array_equal(clip, middle_segments(29, 8))
    assert sampler.test(video(0)) == []
    assert sampler.middle(video(29), 4).tolist() == [3, 10, 18, 25]  # what is validated is the test's rule
    whole = Sampler(SEGMENTS.model_copy(update={"test_parts": "whole"}))
    assert whole.test(video(29))[0].tolist() == whole.middle(video(29), 4).tolist() == [3, 10, 17, 24]


def port_clip(frames: int, segments: int, length: int, draw: Any = None) -> list[int]:
    """The rules of the port's loader, segment by segment; `draw` of the room in a segment says where it begins."""
    part, found = frames // segments, []
    for i in range(segments):
        if part >= length:
            start = i * part + (draw(part - length) if draw else (part - length) // 2)
        else:
            start = i * part if part else i
        found += [(start + k) % frames for k in range(length)]
    return found


@pytest.mark.parametrize(
    ("frames", "starts", "late"),
    [
        (300, [18, 60, 102, 144, 186, 228, 270], [20, 62, 104, 146, 188, 230, 272]),
        (35, [0, 5, 10, 15, 20, 25, 30], [2, 7, 12, 17, 22, 27, 32]),
        (34, [0, 4, 8, 12, 16, 20, 24], [0, 4, 8, 12, 16, 20, 24]),
        (7, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
        (6, [0, 1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 4, 5, 0]),
    ],
)
def test_superframes_lie_in_the_middle_of_their_segments(frames: int, starts: list[int], late: list[int]) -> None:
    clip = middle_superframes(frames, 7, 5).reshape(7, 5)
    assert clip[:, 0].tolist() == starts
    assert ((np.diff(clip) - 1) % frames == 0).all()
    assert middle_superframes(frames, 7, 5, late=True)[::5].tolist() == late


def test_superframes_of_short_videos_go_round() -> None:
    assert middle_superframes(3, 2, 5).tolist() == [0, 1, 2, 0, 1, 1, 2, 0, 1, 2]
    assert middle_superframes(2, 3, 2).tolist() == [0, 1, 1, 0, 0, 1]
    assert middle_superframes(1, 7, 5).tolist() == [0] * 35
    assert middle_superframes(5, 1, 5, late=True).tolist() == [2, 3, 4, 0, 1]  # beyond the end of the video


@given(st.integers(1, 400), st.integers(1, 25), st.integers(1, 9), st.integers(0, 2**32))
def test_superframes_are_those_of_the_port(frames: int, segments: int, length: int, seed: int) -> None:
    assert middle_superframes(frames, segments, length).tolist() == port_clip(frames, segments, length)
    drawn = random_superframes(frames, segments, length, np.random.default_rng(seed))
    part = frames // segments
    rooms = iter(drawn[::length] - np.arange(segments) * part)
    assert drawn.tolist() == port_clip(frames, segments, length, lambda room: min(max(next(rooms), 0), room))


def test_superframes_begin_anywhere_in_their_segment() -> None:
    rng = np.random.default_rng(0)
    starts = np.array([random_superframes(59, 7, 5, rng)[::5] for _ in range(2000)]) - 8 * np.arange(7)
    for own in starts.T:
        found, counts = np.unique(own, return_counts=True)
        assert found.tolist() == [0, 1, 2, 3]
        assert counts.min() > 400
    assert abs(np.corrcoef(starts[:, 0], starts[:, 1])[0, 1]) < 0.1


def test_a_video_without_frames_has_no_superframes() -> None:
    for use in (middle_superframes, lambda *sizes: random_superframes(*sizes, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="without frames"):
            use(0, 7, 5)


def test_the_sampler_of_superframes() -> None:
    settings = Superframes(name="superframes", frames=5, segments=7)
    sampler = Sampler(settings)
    drawn = sampler.train(video(300), np.random.default_rng(3))
    np.testing.assert_array_equal(drawn, random_superframes(300, 7, 5, np.random.default_rng(3)))
    (clip,) = sampler.test(video(300))
    np.testing.assert_array_equal(clip, middle_superframes(300, 7, 5))
    assert sampler.test(video(0)) == []
    longer = Sampler(settings.model_copy(update={"test_frames": 125, "test_start": "late"}))
    np.testing.assert_array_equal(longer.test(video(300))[0], middle_superframes(300, 25, 5, late=True))
    np.testing.assert_array_equal(longer.middle(video(300), 35), middle_superframes(300, 7, 5, late=True))
    np.testing.assert_array_equal(longer.train(video(300), np.random.default_rng(3)), drawn)
