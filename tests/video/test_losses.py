"""Videos that lost frames, in containers whose header has no number of them: failures, notes, and what is no loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from actionbook.core.sections import Frames
from actionbook.video.parallel import Prepared
from actionbook.video.prepare import Job, already_prepared, prepare_video

Picture = Callable[[int, int, int], np.ndarray]
Write = Callable[..., Path]
SETTINGS = Frames(height=48)
KINDS = [("mkv", "mpeg4"), ("mkv", "libx264"), ("webm", "libvpx"), ("ts", "mpeg2video"), ("ts", "libx264")]
SOUND = {"mkv": "pcm_s16le", "webm": "libopus", "ts": "mp2"}
RATE = 48_000


@pytest.fixture
def write(tmp_path: Path, picture: Picture) -> Write:
    """A function that writes so many frames at 25 a second (or at these 1/25 s), less the packets that `drop` names."""

    def video(
        kind: str,
        codec: str,
        frames: int = 100,
        *,
        times: Sequence[int] | None = None,
        sound: float = 0.0,
        drop: range = range(0),
        gop: int = 12,
    ) -> Path:
        path, number = tmp_path / f"v.{kind}", 0
        # Small clusters, as long videos have many of: the parts that a Matroska file can lose.
        options = {"cluster_time_limit": "400"} if kind in ("mkv", "webm") else {}
        with av.open(str(path), "w", options=options) as container:
            audio = container.add_stream(SOUND[kind], rate=RATE, layout="mono") if sound else None
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", gop
            stream.codec_context.time_base = Fraction(1, 25)
            for index, pixels in enumerate([*picture(frames, 64, 48), None]):
                frame = None if pixels is None else av.VideoFrame.from_ndarray(pixels, format="rgb24")
                if frame is not None:
                    frame.pts, frame.time_base = times[index] if times else index, Fraction(1, 25)
                for packet in stream.encode(frame):
                    if number not in drop:
                        container.mux(packet)
                    number += 1
                if audio and index % 10 == 0:  # a part of the sound, so that both lie side by side
                    samples = int(RATE * sound * min(10, max(frames - index, 0)) / frames)
                    if samples:
                        part = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
                        part.sample_rate = RATE
                        container.mux(audio.encode(part))
            if audio:
                container.mux(audio.encode(None))
        return path

    return video


def prepared(path: Path, settings: Frames = SETTINGS) -> Prepared:
    return prepare_video(Job("v", path, path.parent / "store" / "v.zip"), settings)


def without(path: Path, start: float, stop: float, fill: bytes = b"") -> Path:
    """The file without the bytes from one share of it to another; or with them filled."""
    content = path.read_bytes()
    first, last = int(start * len(content)), int(stop * len(content))
    path.write_bytes(content[:first] + fill * (last - first) + content[last:])
    return path


def failure(path: Path, words: str) -> None:
    result = prepared(path)
    assert (result.frames, result.note) == (0, "")
    assert result.error.startswith(f"{path}: FFmpeg decoded ")
    assert f"({words}" in result.error or f"; {words}" in result.error
    assert "damaged, fetch it again (data.frames.min_decoded allows a share of 0.9)" in result.error
    assert not list((path.parent / "store").iterdir())


@pytest.mark.parametrize("sound", [0.0, 4.0])
@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_whole_videos_have_no_note(write: Write, kind: str, codec: str, sound: float) -> None:
    result = prepared(write(kind, codec, sound=sound))
    assert (result.frames, result.error, result.note) == (100, "", "")


@pytest.mark.parametrize("sound", [0.0, 4.0])
@pytest.mark.parametrize(("kind", "codec"), KINDS[1:3])
def test_a_file_that_was_cut_off_ends_before_its_header_says(write: Write, kind: str, codec: str, sound: float) -> None:
    failure(without(write(kind, codec, sound=sound), 0.4, 1), "its data end after ")


def test_a_transport_stream_that_was_cut_off_is_a_shorter_one(write: Write) -> None:
    """Nothing in it says how long it was."""
    result = prepared(without(write("ts", "mpeg2video"), 0.4, 1))
    assert (result.error, result.note) == ("", "")
    assert 20 < result.frames < 60


@pytest.mark.parametrize("fill", [b"", b"\0"], ids=["gone", "zeros"])
@pytest.mark.parametrize("sound", [0.0, 4.0])
@pytest.mark.parametrize(("kind", "codec"), KINDS[1:])
def test_a_hole_in_the_file(write: Write, kind: str, codec: str, sound: float, fill: bytes) -> None:
    error = prepared(without(write(kind, codec, sound=sound), 0.3, 0.7, fill)).error
    assert "s are missing in the middle" in error or "decoding failed (" in error  # H.264 may see it for itself


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_packets_that_are_gone(write: Write, kind: str, codec: str) -> None:
    path = write(kind, codec, drop=range(30, 70))
    failure(path, "1.6 s are missing in the middle")
    assert "FFmpeg decoded 60 frames without complaint, its time stamps speak of 100 (" in prepared(path).error


@pytest.mark.parametrize(("kind", "codec"), [("mkv", "libx264"), ("ts", "libx264"), ("ts", "mpeg2video")])
def test_a_stream_that_begins_before_its_first_key_frame(write: Write, kind: str, codec: str) -> None:
    path = write(kind, codec, gop=60, drop=range(1))
    failure(path, "")
    assert " of its packets gave no frame)" in prepared(path).error


def test_a_few_frames_are_a_note_unless_the_recipe_is_strict(write: Write) -> None:
    path = write("mkv", "mpeg4", drop=range(30, 35))
    result = prepared(path)
    assert (result.frames, result.error, result.note) == (95, "", "0.2 s are missing in the middle")
    job = Job("v", path, path.parent / "store" / "v.zip")
    assert already_prepared(job, SETTINGS) == result
    assert already_prepared(job, SETTINGS.model_copy(update={"min_decoded": 0.96})) is None


def test_the_limit_can_be_switched_off(write: Write) -> None:
    path = write("mkv", "mpeg4", drop=range(30, 70))
    result = prepared(path, SETTINGS.model_copy(update={"min_decoded": 0.0}))
    assert (result.frames, result.error, result.note) == (60, "", "1.6 s are missing in the middle")


@pytest.mark.parametrize(("kind", "codec"), KINDS)
def test_a_variable_rate_and_a_late_start_are_no_loss(write: Write, kind: str, codec: str) -> None:
    drawn = np.random.default_rng(1).integers(1, 9, 60).cumsum().tolist()
    still = [*range(4), *range(50, 54), *range(90, 94), *range(200, 204), *range(300, 304)]  # silent, and often still
    for times in (drawn, still, range(100, 160)):
        result = prepared(write(kind, codec, len(times), times=times))
        assert (result.frames, result.error, result.note) == (len(times), "", "")


@pytest.mark.parametrize("kind", ["mkv", "ts"])
def test_a_picture_that_stands_still_while_the_sound_goes_on_is_a_note(write: Write, kind: str) -> None:
    times = [*range(30), *range(70, 100)]
    result = prepared(write(kind, "mpeg2video", 60, times=times, sound=4.0))
    note = "its time stamps leave out 1.6 s, though the rate is constant otherwise"
    assert (result.frames, result.error, result.note) == (60, "", note)


TIMES = [*range(30), *range(1030, 1060)]


def test_a_clock_that_jumps_where_streams_are_joined_is_a_note(write: Write) -> None:
    result = prepared(write("ts", "mpeg2video", 60, times=TIMES))
    assert (result.frames, result.error) == (60, "")
    assert result.note == "its time stamps leave out 40.0 s, though the rate is constant otherwise"


def test_elsewhere_no_clock_jumps(write: Write) -> None:
    failure(write("mkv", "mpeg2video", 60, times=TIMES), "40.0 s are missing in the middle")


def test_a_stream_without_time_stamps_is_not_judged(write: Write, tmp_path: Path) -> None:
    with av.open(str(write("ts", "mpeg2video", drop=range(30, 70)))) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    raw = tmp_path / "v.m2v"
    raw.write_bytes(b"".join(packets))
    result = prepared(raw)
    assert (result.frames, result.error, result.note) == (60, "", "")
