"""Frames by index, and clear words for everything that is not a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from actionbook.video.decode import VideoError, iterate, probe, read_frames

Picture = Callable[[int, int, int], np.ndarray]


def test_probe_reads_the_header(avi: Path) -> None:
    found = probe(avi)
    assert (found.codec, found.width, found.height, found.fps, found.frames) == ("mpeg4", 64, 48, 25.0, 9)
    assert found.seconds == pytest.approx(9 / 25)


def test_frames_are_the_ones_that_were_written(avi: Path, picture: Picture) -> None:
    frames = read_frames(avi, range(9))
    assert (frames.shape, frames.dtype) == ((9, 48, 64, 3), np.uint8)
    # Each is nearest to its own original, and near it.
    errors = np.abs(frames[:, None].astype(int) - picture(9, 64, 48)[None]).mean(axis=(2, 3, 4))
    assert errors.argmin(axis=1).tolist() == list(range(9))
    assert errors.diagonal().max() < 3


def test_frames_come_in_the_order_asked_for_with_repeats(avi: Path) -> None:
    every = read_frames(avi, range(9))
    indices = [7, 0, 3, 3, 0]
    np.testing.assert_array_equal(read_frames(avi, indices), every[indices])
    np.testing.assert_array_equal(read_frames(avi, iter([8])), every[[8]])


@pytest.mark.parametrize("indices", [[9], [0, 100]])
def test_a_frame_beyond_the_end(avi: Path, indices: list[int]) -> None:
    with pytest.raises(VideoError, match=rf"g01_c01\.avi: frame {max(indices)} was asked for, the video has 9 frames"):
        read_frames(avi, indices)


@pytest.mark.parametrize("indices", [[], [-1, 2]])
def test_indices_that_make_no_sense(avi: Path, indices: list[int]) -> None:
    with pytest.raises(ValueError, match="frame indices must be 0 or more, and at least one"):
        read_frames(avi, indices)


@pytest.mark.parametrize("content", [b"", b"this is a text", bytes(5000)])
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "视频 #1 (a;b)!.avi"
    path.write_bytes(content)
    for use in (probe, lambda p: read_frames(p, [0])):
        with pytest.raises(VideoError, match=r"cannot be opened as a video \(.+\)") as caught:
            use(path)
        assert str(caught.value).startswith(str(path))
    assert capfd.readouterr().err == ""  # FFmpeg's own complaints are in the exception


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"gone\.avi: cannot be opened as a video \(No such file"):
        probe(tmp_path / "gone.avi")


def test_a_file_without_a_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    for use in (probe, lambda p: list(iterate(p))):
        with pytest.raises(VideoError, match=r"sound\.wav: has no video stream"):
            use(path)


def test_a_cut_file_gives_an_error_or_fewer_frames_never_other_ones(avi: Path, tmp_path: Path) -> None:
    path, every, whole = tmp_path / "cut.avi", read_frames(avi, range(9)), avi.read_bytes()
    counts = []
    for share in (0.95, 0.7, 0.4):
        path.write_bytes(whole[: int(len(whole) * share)])
        found = []
        try:
            for frame in iterate(path):
                found.append(frame.to_ndarray(format="rgb24"))
        except VideoError as error:
            assert "cut.avi" in str(error)  # noqa: PT017
        # The last frame may be damaged by the cut, those before are whole.
        for index, pixels in enumerate(found[:-1]):
            np.testing.assert_array_equal(pixels, every[index])
        counts.append(len(found))
    assert counts[-1] < 9
