"""Odd files: each gives the right frames, with a note where that is due, or FFmpeg's words and the file's name."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from av.stream import Disposition

from actionbook.core.sections import Frames
from actionbook.datasets.figures import write_avi
from actionbook.video.decode import VideoError, header, probe, read_frames
from actionbook.video.frames import jpegs
from actionbook.video.orientation import Orientation
from actionbook.video.parallel import Prepared
from actionbook.video.prepare import Job, prepare_video
from actionbook.video.store import FrameStore

Picture = Callable[[int, int, int], np.ndarray]
SETTINGS = Frames(height=48)


def prepared(source: Path, settings: Frames = SETTINGS) -> tuple[Prepared, np.ndarray]:
    """The result, and the stored frames (T, H, W, 3)."""
    job = Job(source.stem, source, source.parent / "store" / "store.zip")
    result = prepare_video(job, settings)
    if result.error:
        assert not job.store.parent.exists() or not list(job.store.parent.iterdir())
        return result, np.empty(0)
    with FrameStore(job.store) as store:
        return result, np.stack(store.read(range(len(store)))).astype(int)


def failure(source: Path) -> str:
    """Why it cannot be prepared: a message with the name of the file."""
    result, _ = prepared(source)
    assert (result.video, result.frames, result.bytes, result.note) == (source.stem, 0, 0, "")
    assert str(source) in result.error
    return result.error


def write_video(
    path: Path, pictures: np.ndarray, *, codec: str = "mpeg4", times: Sequence[int] | None = None, **options: str
) -> Path:
    """Pictures, uint8 RGB (T, H, W, 3), as a video at 25 frames a second, or at these 1/25 s."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.options = {"qmin": "2", "qmax": "2"}
        for index, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = times[index] if times else index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path, a: int, b: int, c: int, d: int, *, one: int = 1 << 16) -> Path:
    """The MP4 file with another display matrix: (x, y) goes to (ax + cy, bx + dy)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", content, start)[:5] == (1 << 16, 0, 0, 0, 1 << 16)
    struct.pack_into(">9i", content, start, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


MATRICES = {
    (0, 1, -1, 0): ("turned by 90 degrees clockwise by its rotation flag", lambda x: np.rot90(x, -1)),
    (-1, 0, 0, -1): ("turned by 180 degrees by its rotation flag", lambda x: np.rot90(x, 2)),
    (0, -1, 1, 0): ("turned by 90 degrees anticlockwise by its rotation flag", np.rot90),
    (-1, 0, 0, 1): ("mirrored by its display matrix", np.fliplr),
    (1, 0, 0, -1): ("turned upside down by its display matrix", np.flipud),
    (0, 1, 1, 0): ("turned and mirrored by its display matrix", lambda x: x.swapaxes(0, 1)),
    (0, -1, -1, 0): ("turned and mirrored by its display matrix", lambda x: np.rot90(x, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_frames_are_shown_the_right_way_up(tmp_path: Path, picture: Picture, matrix: tuple[int, int, int, int]) -> None:
    """As FFmpeg's command line shows them."""
    note, turn = MATRICES[matrix]
    pictures = picture(3, 64, 48)
    expected = np.stack([turn(pixels) for pixels in pictures])
    height, width = expected.shape[1:3]
    path = turned(write_video(tmp_path / "v.mp4", pictures), *matrix)
    found = probe(path)
    assert (found.width, found.height) == (width, height)
    assert (header(path).width, header(path).height) == (64, 48)
    result, frames = prepared(path, Frames(height=height))  # no scaling: the turn loses nothing
    assert (result.frames, result.note) == (3, note)
    assert np.abs(frames - expected).mean() < 4
    assert np.abs(read_frames(path, [2])[0].astype(int) - expected[2]).mean() < 4


def test_turned_planes_are_those_of_the_coded_frame(tmp_path: Path, picture: Picture) -> None:
    path = write_video(tmp_path / "v.mp4", picture(1, 64, 48), codec="mjpeg")
    coded = simplejpeg.decode_jpeg(next(jpegs(path, 48, 100)))
    shown = simplejpeg.decode_jpeg(next(jpegs(turned(path, 0, 1, -1, 0), 64, 100)))
    assert np.abs(shown.astype(int) - np.rot90(coded, -1)).mean() < 1


def test_a_turned_video_is_scaled_as_shown(tmp_path: Path, picture: Picture) -> None:
    path = turned(write_video(tmp_path / "v.mp4", picture(1, 64, 48)), 0, 1, -1, 0)
    for side, shape in (("height", (32, 24)), ("short", (43, 32))):
        _, frames = prepared(path, Frames(height=32, side=side))
        assert frames.shape[1:3] == shape


def test_a_turn_by_less_than_a_quarter_is_left(tmp_path: Path, picture: Picture) -> None:
    path = turned(write_video(tmp_path / "v.mp4", picture(1, 64, 48)), 1, 1, -1, 1, one=46341)
    result, frames = prepared(path)
    assert result.note == "its display matrix asks for more than quarter turns, left as coded"
    assert frames.shape == (1, 48, 64, 3)
    assert Orientation(skew=True).size(64, 48) == (64, 48)


def test_of_a_variable_rate_every_frame_comes_once(tmp_path: Path, picture: Picture) -> None:
    pictures = picture(6, 64, 48)
    path = write_video(tmp_path / "v.mkv", pictures, times=[0, 1, 2, 30, 31, 90])
    result, frames = prepared(path)
    assert (result.frames, result.error) == (6, "")
    errors = np.abs(frames[:, None] - pictures[None].astype(int)).mean(axis=(2, 3, 4))
    assert errors.argmin(axis=1).tolist() == list(range(6))


def test_one_frame(tmp_path: Path, picture: Picture) -> None:
    result, frames = prepared(write_video(tmp_path / "v.mp4", picture(1, 64, 48)))
    assert (result.frames, result.note) == (1, "")
    assert np.abs(frames - picture(1, 64, 48)).mean() < 4


@pytest.mark.parametrize(
    ("kind", "words"), [("avi", "no frame could be decoded"), ("mkv", "cannot be opened as a video (End of file)")]
)
def test_a_header_without_frames(tmp_path: Path, kind: str, words: str) -> None:
    path = tmp_path / f"v.{kind}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert words in failure(path)


def test_an_mp4_without_its_end_says_what_ffmpeg_misses(tmp_path: Path, picture: Picture) -> None:
    path = write_video(tmp_path / "v.mp4", picture(9, 64, 48))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    assert "cannot be opened as a video (Invalid data found when processing input: moov atom not found)" in failure(
        path
    )


def test_an_mp4_whose_data_stop_early(tmp_path: Path, picture: Picture) -> None:
    path = write_video(tmp_path / "v.mp4", picture(60, 64, 48), movflags="faststart")
    content = path.read_bytes()
    path.write_bytes(content[: (content.index(b"mdat") + len(content)) // 2])
    error = failure(path)
    assert "the header says 60: the file is cut off" in error or "decoding failed (" in error


def test_the_size_of_the_first_frame_is_kept(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "v.avi"
    sizes = [(64, 48)] * 2 + [(80, 48)] * 2 + [(64, 48)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index, size in enumerate(sizes):
            packet = av.Packet(simplejpeg.encode_jpeg(picture(1, *size)[0], quality=95, colorsubsampling="420"))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
            packet.is_keyframe = True
            container.mux(packet)
    result, frames = prepared(path)
    assert frames.shape == (5, 48, 64, 3)
    assert read_frames(path, [0, 4]).shape == (2, 48, 64, 3)
    with pytest.raises(VideoError, match=r"v\.avi: the size changes between the frames asked for"):
        read_frames(path, [0, 3])
    assert np.abs(frames - picture(1, 64, 48)).mean() < 4  # squeezed, the wider frames show the same
    assert result.note == (
        "the size changes from 64x48 to 80x48 at frame 2, stored at one size; "
        "the size changes from 80x48 to 64x48 at frame 4, stored at one size"
    )


def sound(seconds: float) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * seconds)), np.int16), format="s16", layout="mono")
    frame.sample_rate = 8000
    return frame


@pytest.mark.parametrize(
    ("seconds", "note"), [(0.4, ""), (3.0, "the picture ends after 0.4 s, the file (or its audio) after 3.0 s")]
)
def test_a_picture_with_audio(tmp_path: Path, picture: Picture, seconds: float, note: str) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")  # before the picture
        video = container.add_stream("mpeg4", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for pixels in picture(10, 64, 48):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for stream, last in ((audio, sound(seconds)), (audio, None), (video, None)):
            container.mux(stream.encode(last))
    result, _ = prepared(path)
    assert (result.frames, result.note) == (10, note)


def cover(container: av.container.OutputContainer, pixels: np.ndarray) -> tuple[av.VideoStream, av.Packet]:
    stream = container.add_stream("mjpeg", rate=1)
    assert isinstance(stream, av.VideoStream)
    stream.height, stream.width = pixels.shape[:2]
    stream.pix_fmt, stream.disposition = "yuvj420p", Disposition.attached_pic
    packet = av.Packet(simplejpeg.encode_jpeg(pixels, quality=90, colorsubsampling="420"))
    packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 1)
    packet.is_keyframe = True
    return stream, packet


def test_a_cover_picture_is_no_video(tmp_path: Path, picture: Picture) -> None:
    path, pictures = tmp_path / "v.mp4", picture(5, 64, 48)
    with av.open(str(path), "w") as container:
        _, packet = cover(container, picture(1, 32, 32)[0])
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(packet)
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as read:
        assert len(read.streams.video) == 2
    result, frames = prepared(path)
    assert (result.frames, frames.shape[1:3]) == (5, (48, 64))


def test_only_a_cover_picture(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000, layout="mono")
        _, packet = cover(container, picture(1, 32, 32)[0])
        container.mux(audio.encode(sound(0.5)))
        container.mux(audio.encode(None))
        container.mux(packet)
    assert "has no video stream, only a cover picture" in failure(path)


NAMES = [
    "a b #&;(') \"$(x)` !.avi",
    "new\nline.avi",
    "image_%05d.avi",
    "a%d*[0-9]?.avi",
    "c:d.avi",
    "-i.avi",
    "http:host.avi",
    "pipe:0",
    "concat:a|b.avi",
    "视频.avi",
    "a" * 251 + ".avi",
    os.fsdecode(b"\xff\xfe.avi"),
    "picture.png",
    "no extension",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_that_of_a_local_file(
    avi: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (Path(name), tmp_path / name):  # relative, the name is all there is
        path.write_bytes(avi.read_bytes())
        result, frames = prepared(path)
        assert (result.frames, result.error, frames.shape) == (9, "", (9, 48, 64, 3))


def test_the_content_counts_not_the_extension(tmp_path: Path, picture: Picture) -> None:
    path = write_video(tmp_path / "v.mp4", picture(4, 64, 48)).rename(tmp_path / "v.avi")
    assert prepared(path)[0].frames == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be opened as a video (Invalid data found"),
        ("<!doctype html><html><body>404</body></html>", "cannot be opened as a video (Invalid data found"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.avi\n#EXT-X-ENDLIST\n", "cannot be opened as a video"),
        ("ffconcat version 1.0\nfile other.avi\n", "is a list of other files (concat), expected a video"),
        ("1\n00:00:00,000 --> 00:00:01,000\nhello\n", "has no video stream"),
    ],
    ids=["empty", "page", "playlist", "list", "subtitles"],
)
def test_text_is_no_video_and_names_no_other(avi: Path, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "other.avi").write_bytes(avi.read_bytes())
    path = tmp_path / "v.avi"
    path.write_text(content)
    assert words in failure(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    folder, link, pipe = tmp_path / "folder.avi", tmp_path / "link.avi", tmp_path / "pipe.avi"
    folder.mkdir()
    link.symlink_to("gone.avi")
    os.mkfifo(pipe)
    assert "cannot be opened as a video (Is a directory)" in failure(folder)
    assert "(No such file or directory; it is a link to gone.avi)" in failure(link)
    assert "is not a file" in failure(pipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(avi: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    path.write_bytes(avi.read_bytes())
    path.chmod(0)
    assert "cannot be opened as a video (Permission denied)" in failure(path)


def test_a_complaint_is_not_carried_over_to_the_next_file(tmp_path: Path, picture: Picture) -> None:
    whole = write_video(tmp_path / "v.mp4", picture(9, 64, 48)).read_bytes()
    messages = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(whole[: whole.index(b"moov") - 4])
        with pytest.raises(VideoError) as caught:
            probe(path)
        messages.append(str(caught.value).replace(str(path), ""))
    assert messages[0] == messages[1]


def test_notes_do_not_change_the_bytes_of_ordinary_videos(tmp_path: Path, picture: Picture) -> None:
    path = tmp_path / "v.avi"
    write_avi(path, picture(3, 64, 48), width=64, height=48)
    assert prepared(path)[0].note == ""
    stored = (tmp_path / "store" / "store.zip").read_bytes()
    assert b'"note"' not in stored
    assert b'"declared"' not in stored
