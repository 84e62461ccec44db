"""A cut of a video at a constant rate: which frame each picture shows, against two commands of a real FFmpeg."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from actionbook.core.keyframes import Cut
from actionbook.video import resample as module
from actionbook.video.decode import VideoError
from actionbook.video.resample import cut_frames, cut_name, resampled

BLOCK, BITS = 16, 16
MS = Fraction(1, 1000)
CUT = Cut(start=2, seconds=5, rate=30)
CODECS = {".mp4": ("libx264", "aac"), ".mkv": ("libx264", "aac"), ".webm": ("libvpx-vp9", "libopus")}


def numbered(number: int) -> np.ndarray:
    """A picture of light and dark blocks, the binary digits of its number, that survives any encoder."""
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8).reshape(2, 8) * 200 + 28
    return np.repeat(bits.repeat(BLOCK, 0).repeat(BLOCK, 1)[..., None], 3, axis=2)


def number_of(grey: np.ndarray) -> int:
    light = cv2.resize(grey, (8, 2), interpolation=cv2.INTER_AREA).ravel() > 128
    return sum(1 << bit for bit in range(BITS) if light[bit])


def write(path: Path, times: Sequence[Fraction], step: Fraction, sound: float | None = None) -> None:
    """A video whose frames are shown at `times`, multiples of `step`, with sound from a second on, or without."""
    video, audio = CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(video, rate=round(1 / step) if step > MS else 25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 8 * BLOCK, 2 * BLOCK, "yuv420p"
        stream.codec_context.time_base, stream.codec_context.gop_size = step, 30
        heard = container.add_stream(audio, rate=48_000, layout="mono") if sound is not None else None
        packets = []
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = round(time / step), step
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if heard is not None:
            assert isinstance(heard, av.AudioStream)
            assert sound is not None
            for start in range(round(sound * 48_000), round(times[-1] * 48_000), 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts, silence.time_base = 48_000, start, Fraction(1, 48_000)
                packets += heard.encode(silence)
            packets += heard.encode(None)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            container.mux(packet)


def by_ffmpeg(path: Path, cut: Cut) -> list[int]:
    """The numbers of the frames that the pictures of the two commands show."""
    folder = path.parent / "pictures"
    folder.mkdir()
    ffmpeg, out = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"], folder / f"out{path.suffix}"
    subprocess.run([*ffmpeg, "-ss", f"{cut.start}", "-t", f"{cut.seconds}", "-i", path, out], check=True)
    subprocess.run([*ffmpeg, "-i", out, "-r", f"{cut.rate}", "-q:v", "1", folder / "%06d.jpg"], check=True)
    pictures = [cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE) for picture in sorted(folder.glob("*.jpg"))]
    return [number_of(picture) for picture in pictures if picture is not None]


def by_us(path: Path, cut: Cut) -> list[int]:
    return [number_of(frame.to_ndarray(format="gray")) for frame in resampled(path, cut)]


def regular(rate: Fraction | int, seconds: float = 8, late: Fraction = Fraction(0)) -> list[Fraction]:
    return [late + number / Fraction(rate) for number in range(int(seconds * rate))]


def irregular(seed: int) -> list[Fraction]:
    """Pauses of 20 to 60 ms, each another."""
    draw, times = random.Random(seed), [0]
    while times[-1] < 8000:
        times.append(times[-1] + draw.randint(20, 60))
    return [time * MS for time in times]


@pytest.mark.parametrize("rate", [Fraction(24_000, 1001), 24, 25, Fraction(30_000, 1001), 30, 50, 60, 15], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_constant_rate_gives_ffmpegs_pictures(tmp_path: Path, suffix: str, rate: Fraction | int) -> None:
    path = tmp_path / f"v{suffix}"
    write(path, regular(rate), 1 / Fraction(rate), sound=0)
    found = by_us(path, CUT)
    assert found == by_ffmpeg(path, CUT)
    assert found[0] == np.ceil(2 * rate)
    assert cut_frames(CUT) == 150 <= len(found)


@pytest.mark.parametrize(
    ("suffix", "times", "sound", "cut"),
    [
        (".webm", regular(Fraction(24_000, 1001)), None, CUT),
        (".webm", irregular(1), 0, CUT),
        (".mkv", irregular(2), None, CUT),
        (".mp4", regular(25), None, CUT),
        (".mp4", regular(25, late=Fraction(1, 10)), 0.05, CUT),
        (".mp4", regular(25, late=Fraction(1, 10)), None, CUT),
        (".mkv", regular(25, late=Fraction(1, 2)), 0, CUT),
        (".mkv", regular(25, 4), 0, CUT),
        (".mp4", regular(25), 0, Cut(start=1.33, seconds=2.17, rate=12)),
        (".mp4", regular(25, 3, late=Fraction(1, 10)), None, Cut(start=0, seconds=2, rate=30)),
    ],
    ids=["webm", "webm irregular", "irregular", "mute", "late", "late mute", "very late", "short", "12 fps", "from 0"],
)
def test_other_videos_and_cuts_give_ffmpegs_pictures(
    tmp_path: Path, suffix: str, times: list[Fraction], sound: float | None, cut: Cut
) -> None:
    path = tmp_path / f"v{suffix}"
    write(path, times, MS, sound)
    assert by_us(path, cut) == by_ffmpeg(path, cut)


def test_an_irregular_rate_in_mp4_is_two_frames_off_at_most(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", irregular(3), MS)
    ours, theirs = by_us(tmp_path / "v.mp4", CUT), by_ffmpeg(tmp_path / "v.mp4", CUT)
    assert abs(len(ours) - len(theirs)) <= 1
    gaps = [abs(one - other) for one, other in zip(ours, theirs, strict=False)]
    assert max(gaps) <= 2
    assert gaps.count(0) > 0.7 * len(gaps)


def test_a_repeated_picture_is_the_same_object(tmp_path: Path) -> None:
    write(tmp_path / "v.mkv", regular(15), Fraction(1, 15))
    frames = list(resampled(tmp_path / "v.mkv", CUT))
    assert len(frames) == 150
    assert len(set(map(id, frames))) == 75
    assert all(frames[number] is frames[number + 1] for number in range(0, 150, 2))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds at which every frame is shown that is decoded from here on."""
    times: list[float] = []
    real = module._from_key_frame

    def counted(*arguments: Any) -> Iterator[av.VideoFrame]:
        for frame in real(*arguments):
            times.append(frame.time or 0.0)
            yield frame

    monkeypatch.setattr(module, "_from_key_frame", counted)
    return times


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_little_more_than_the_cut_is_decoded(tmp_path: Path, decoded: list[float], suffix: str) -> None:
    write(tmp_path / f"v{suffix}", regular(25, 40), Fraction(1, 25))
    assert by_us(tmp_path / f"v{suffix}", Cut(start=30, seconds=2, rate=25)) == list(range(750, 800))
    assert 27 < decoded[0] <= 29
    assert decoded[-1] == 32


def test_a_file_without_an_index_is_cut_at_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    write(path, regular(25, 20), Fraction(1, 25))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 9 // 10])
    assert by_us(path, Cut(start=9, seconds=1, rate=25)) == list(range(225, 250))


def test_a_file_that_cannot_be_sought_is_read_from_its_start(tmp_path: Path) -> None:
    path, raw = tmp_path / "v.mkv", tmp_path / "v.h264"
    write(path, regular(25), Fraction(1, 25))
    with av.open(str(path)) as container, raw.open("wb") as file:
        stream = container.streams.video[0]
        convert = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in container.demux(stream):
            for converted in convert.filter(packet):
                file.write(bytes(converted))
    assert len(by_us(raw, Cut(start=2, seconds=1, rate=25))) == 25


def test_a_video_that_ends_before_the_cut_is_named(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", regular(25, 3), Fraction(1, 25))
    with pytest.raises(VideoError, match=r"v\.mp4: expected 5 s from 10 s on, but the last frame is at 3\.0 s"):
        list(resampled(tmp_path / "v.mp4", Cut(start=10, seconds=5)))


def test_a_cut_has_one_name() -> None:
    assert cut_name(Cut()) == "900+901-r30"
    assert cut_name(Cut(start=0.5, seconds=15_000.25, rate=12)) == "0.5+15000.25-r12"
