"""The frame store: what goes in comes out, the same bytes every time, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from actionbook.video.store import MAX_FRAMES, FrameStore, StoreError, StoreInfo, unpacked, write_store

INFO = StoreInfo(source="v_视频 #1.avi", source_bytes=123, fps=25.0, height=48, quality=95, ffmpeg="libavcodec 1")


def jpeg_of(level: int, width: int = 64, height: int = 48) -> bytes:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, level)], axis=-1).astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=95))


JPEGS = [jpeg_of(level) for level in range(0, 250, 50)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store" / "video.zip"
    assert write_store(path, iter(JPEGS), INFO) == 5
    return path


def refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"video\.zip: (is not a whole frame store|cannot be read)"):
        FrameStore(path)


def test_round_trip(path: Path) -> None:
    with FrameStore(path) as store:
        assert len(store) == 5
        assert [store.jpeg(i) for i in range(5)] == JPEGS
        assert store.info == INFO
        assert store.frame_size == (64, 48)


def test_any_zip_reader_finds_the_same_frames_under_the_original_names(path: Path) -> None:
    assert unpacked(path) == {f"image_{i:05d}.jpg": jpeg for i, jpeg in enumerate(JPEGS, start=1)}
    with zipfile.ZipFile(path) as archive:
        assert StoreInfo(**json.loads(archive.comment)) == INFO
        assert archive.testzip() is None


def test_colour_stores_say_nothing_of_flow(path: Path) -> None:
    """So that they are, byte by byte, what they were before there was flow."""
    with zipfile.ZipFile(path) as archive:
        assert list(json.loads(archive.comment)) == ["source", "source_bytes", "fps", "height", "quality", "ffmpeg"]


def test_read_decodes_in_the_order_asked_for(path: Path) -> None:
    with FrameStore(path) as store:
        frames = store.read([3, 0, 3])
    for frame, index in zip(frames, (3, 0, 3), strict=True):
        np.testing.assert_array_equal(frame, simplejpeg.decode_jpeg(JPEGS[index]))
    assert frames[0].shape == (48, 64, 3)
    assert frames[0][24, 0, 2] == pytest.approx(150, abs=6)  # blue is the level: the order is RGB
    assert frames[0][24, 60, 0] > 200


def test_same_input_same_bytes(path: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "again.zip", JPEGS, INFO)
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("index", [-1, 5, 10**9])
def test_frames_beyond_the_end(path: Path, index: int) -> None:
    with FrameStore(path) as store, pytest.raises(IndexError, match=rf"frame {index} of 5"):
        store.read([index])


@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 320), (341, 256), (100, 100)])
@pytest.mark.parametrize("min_size", [1, 25, 57, 61, 100, 112, 121, 240])
def test_min_size_keeps_the_shorter_side_above_it(tmp_path: Path, width: int, height: int, min_size: int) -> None:
    write_store(tmp_path / "a.zip", [jpeg_of(9, width, height)], INFO)
    with FrameStore(tmp_path / "a.zip") as store:
        found = next(store.frames([0], min_size=min_size))
    # libjpeg decodes at eighths of the size, rounded up; the smallest that is large enough is taken.
    sizes = [(-(-height * eighths // 8), -(-width * eighths // 8)) for eighths in (1, 2, 3, 4, 8)]
    assert found.shape[:2] == next(size for size in sizes if min(size) >= min(min_size, width, height))


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"v_视频 #1\.avi: no frame could be decoded"):
        write_store(tmp_path / "a.zip", [], INFO)
    assert list(tmp_path.iterdir()) == []


def test_too_many_frames(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="more than 65535 frames"):
        write_store(tmp_path / "a.zip", (b"" for _ in range(MAX_FRAMES + 1)), INFO)
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_source_leaves_nothing(tmp_path: Path) -> None:
    def frames() -> Iterator[bytes]:
        yield JPEGS[0]
        raise StoreError("decoding broke")

    with pytest.raises(StoreError, match="decoding broke"):
        write_store(tmp_path / "a.zip", frames(), INFO)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [JPEGS, list(zip(JPEGS[:2], JPEGS[2:4], strict=True))], ids=["colour", "flow"])
def test_checksums_come_from_the_directory(frames: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "v.zip"
    write_store(path, frames, INFO)
    expected = [(name.encode(), len(data), zlib.crc32(data)) for name, data in unpacked(path).items()]
    with FrameStore(path, glance=True) as store:
        assert store.checksums().tolist() == expected


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.zip: cannot be read .*run the data stage again"):
        FrameStore(tmp_path / "gone.zip")


def test_no_truncated_file_is_taken(path: Path) -> None:
    whole = path.read_bytes()
    for length in [0, 1, 21, 22, len(whole) // 2, *range(len(whole) - 420, len(whole), 7), len(whole) - 1]:
        refused(path, whole[:length])
    refused(path, whole + b"\0")


def test_altered_directories_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    refused(path, whole.replace(b"PK\x01\x02", b"PK\x01\x03", 1))
    refused(path, whole[:start] + whole[start:].replace(b"image_00005.jpg", b"image_00006.jpg"))
    row = bytearray(whole)
    row[start + 24 : start + 28] = (10**8).to_bytes(4, "little")  # the first frame's size
    refused(path, bytes(row))
    row = bytearray(whole)
    row[start + 10] = 8  # the first frame's compression method
    refused(path, bytes(row))


def other_zip(names: list[str], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in names:
            archive.writestr(name, JPEGS[0] * 3)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        other_zip([]),
        other_zip(["readme.txt"]),
        other_zip(["image_00001.jpg", "image_00003.jpg"]),
        other_zip(["image_00002.jpg", "image_00001.jpg"]),
        other_zip(["image_00001.jpg", "image_00002.jpg"], zipfile.ZIP_DEFLATED),
        b"x" * 5000,
    ],
    ids=["empty", "foreign name", "gap", "order", "compressed", "no zip"],
)
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    refused(path, content)


def test_a_store_without_our_comment_is_readable_but_has_no_info(path: Path) -> None:
    path.write_bytes(other_zip(["image_00001.jpg"]))
    with FrameStore(path) as store:
        assert len(store) == 1
        with pytest.raises(StoreError, match="its comment is not the book's"):
            _ = store.info


def test_a_damaged_jpeg_is_named(path: Path) -> None:
    write_store(path, [JPEGS[0], b"no jpeg at all"], INFO)
    with FrameStore(path) as store:
        store.read([0])
        with pytest.raises(StoreError, match=r"video\.zip: frame 1 is damaged"):
            store.read([0, 1])


def test_frames_share_a_buffer_and_read_ones_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    grey = [np.full((48, 64, 3), value, np.uint8) for value in (40, 200)]
    write_store(path, [simplejpeg.encode_jpeg(frame, quality=95) for frame in grey], INFO)
    with FrameStore(path) as store:
        first, second = store.frames([0, 1])
        assert first.mean() == second.mean() == pytest.approx(200, abs=2)
        kept = store.read([0, 1])
        assert [round(frame.mean(), -1) for frame in kept] == [40, 200]
        quick = next(store.frames([0], fast=True))
        assert np.abs(quick.astype(int) - grey[0]).mean() <= 2


# Optical flow: two grey JPEGs for each frame.

FLOW_INFO = replace(INFO, source="v.zip", flow="tvl1: tau 0.25; OpenCV 4", bound=20.0)


def plane(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A slope to the right whose mean is near `level`, uint8 (H, W)."""
    return np.broadcast_to(np.linspace(level - 10, level + 10, width).astype(np.uint8), (height, width))


def grey_jpeg(pixels: np.ndarray) -> bytes:
    jpeg = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels[..., None]), quality=95, colorspace="GRAY", colorsubsampling="Gray"
    )
    return bytes(jpeg)


PLANES = [(plane(60 + 20 * i), plane(200 - 20 * i).T.reshape(48, 64)) for i in range(4)]
FLOW_JPEGS = [(grey_jpeg(x), grey_jpeg(y)) for x, y in PLANES]


@pytest.fixture
def flow_path(tmp_path: Path) -> Path:
    path = tmp_path / "flow" / "video.zip"
    assert write_store(path, iter(FLOW_JPEGS), FLOW_INFO) == 4
    return path


def test_flow_round_trip(flow_path: Path) -> None:
    with FrameStore(flow_path) as store:
        assert len(store) == 4
        assert store.components == ("x", "y")
        assert store.info == FLOW_INFO
        assert store.frame_size == (64, 48)
        assert [(store.jpeg(i), store.jpeg(i, "x"), store.jpeg(i, "y")) for i in range(4)] == [
            (x, x, y) for x, y in FLOW_JPEGS
        ]
        frames = store.read([2, 0, 2])
        with pytest.raises(IndexError, match="frame 4 of 4"):
            store.jpeg(4)
    assert [frame.shape for frame in frames] == [(48, 64, 2)] * 3
    for frame, index in zip(frames, (2, 0, 2), strict=True):
        np.testing.assert_array_equal(
            frame, np.dstack([cv2.imdecode(np.frombuffer(j, np.uint8), 0) for j in FLOW_JPEGS[index]])
        )
        assert np.abs(frame - np.dstack(PLANES[index]).astype(int)).mean() < 1.5


def test_frames_in_colour_have_one_component(path: Path) -> None:
    with FrameStore(path) as store:
        assert store.components == ("",)


def test_flow_unpacks_to_the_folder_of_the_original_scripts(flow_path: Path) -> None:
    expected = {
        f"image_{i:05d}{c}.jpg": jpeg
        for i, pair in enumerate(FLOW_JPEGS, 1)
        for c, jpeg in zip("xy", pair, strict=True)
    }
    assert unpacked(flow_path) == expected
    assert list(expected)[:3] == ["image_00001x.jpg", "image_00001y.jpg", "image_00002x.jpg"]
    assert all(simplejpeg.decode_jpeg_header(jpeg)[2] == "Gray" for jpeg in expected.values())


def test_flow_buffers_and_sizes(flow_path: Path) -> None:
    with FrameStore(flow_path) as store:
        first, second = store.frames([0, 3])
        np.testing.assert_array_equal(first, second)  # one buffer
        small = next(store.frames([1], min_size=24, fast=True))
        np.testing.assert_allclose(small.mean(axis=(0, 1)), store.read([1])[0].mean(axis=(0, 1)), atol=2)
    assert small.shape == (24, 32, 2)
    assert small.flags.c_contiguous


def test_flow_stores_are_refused_as_others_are(flow_path: Path) -> None:
    whole = flow_path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    refused(flow_path, whole[:-1])
    for old, new in ((b"image_00004y.jpg", b"image_00004x.jpg"), (b"image_00001x.jpg", b"image_00001y.jpg")):
        refused(flow_path, whole[:start] + whole[start:].replace(old, new))
    refused(flow_path, other_zip(["image_00001x.jpg", "image_00001y.jpg", "image_00002x.jpg"]))


@pytest.mark.parametrize("broken", ["x", "y"])
def test_a_damaged_plane_is_named(tmp_path: Path, broken: str) -> None:
    pair = (FLOW_JPEGS[0][0], b"no jpeg") if broken == "y" else (b"no jpeg", FLOW_JPEGS[0][1])
    write_store(tmp_path / "a.zip", [FLOW_JPEGS[0], pair], FLOW_INFO)
    with FrameStore(tmp_path / "a.zip") as store, pytest.raises(StoreError, match=r"a\.zip: frame 1 is damaged"):
        store.read([1])


def test_planes_of_different_sizes_are_damage(tmp_path: Path) -> None:
    write_store(tmp_path / "a.zip", [(FLOW_JPEGS[0][0], grey_jpeg(plane(9, 32, 24)))], FLOW_INFO)
    with FrameStore(tmp_path / "a.zip") as store, pytest.raises(StoreError, match=r"a\.zip: frame 0 is damaged"):
        store.read([0])


def test_flow_has_half_as_many_frames(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="more than 32767 frames"):
        write_store(tmp_path / "a.zip", ((b"", b"") for _ in range(MAX_FRAMES // 2 + 1)), FLOW_INFO)
    assert list(tmp_path.iterdir()) == []
