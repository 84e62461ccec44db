"""Frames to JPEGs: sizes, and colours that survive whatever the video's format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import Colorspace

from actionbook.video import frames as module
from actionbook.video.decode import VideoError, iterate
from actionbook.video.frames import jpegs, scaled_size

Encode = Callable[..., Path]
Picture = Callable[[int, int, int], np.ndarray]


def decoded(path: Path, height: int, quality: int = 95) -> np.ndarray:
    return np.stack([simplejpeg.decode_jpeg(jpeg) for jpeg in jpegs(path, height, quality)]).astype(int)


@pytest.mark.parametrize(
    ("old", "height", "new"),
    [
        ((320, 240), 240, (320, 240)),
        ((320, 240), 120, (160, 120)),
        ((720, 576), 240, (300, 240)),
        ((1280, 720), 240, (427, 240)),  # 426.67
        ((341, 256), 240, (320, 240)),  # 319.69
        ((640, 272), 240, (565, 240)),  # 564.71
        ((5, 4), 2, (3, 2)),  # 2.5 goes up
        ((1, 1000), 240, (1, 240)),
        ((240, 320), 240, (180, 240)),
    ],
)
def test_scaled_size(old: tuple[int, int], height: int, new: tuple[int, int]) -> None:
    assert scaled_size(*old, height) == new


@pytest.mark.parametrize(
    ("old", "pixels", "new"),
    [
        ((320, 240), 240, (320, 240)),
        ((240, 320), 240, (240, 320)),
        ((720, 1280), 240, (240, 427)),
        ((1280, 720), 240, (427, 240)),
        ((4, 5), 2, (2, 3)),  # 2.5 goes up
        ((100, 100), 240, (240, 240)),
        ((1, 1000), 240, (240, 240_000)),
    ],
)
def test_scaled_size_by_the_shorter_side(old: tuple[int, int], pixels: int, new: tuple[int, int]) -> None:
    assert scaled_size(*old, pixels, "short") == new


def test_upright_videos_by_the_shorter_side(encode: Encode, picture: Picture) -> None:
    path = encode("yuv420p", width=48, height=66)
    found = np.stack([simplejpeg.decode_jpeg(jpeg) for jpeg in jpegs(path, 24, 95, "short")]).astype(int)
    assert found.shape == (3, 33, 24, 3)
    assert np.abs(found[:, ::32, ::23] - picture(3, 48, 66)[:, ::65, ::47]).mean() < 12
    assert list(jpegs(path, 24, 95)) != list(jpegs(path, 24, 95, "short"))


@pytest.mark.parametrize("height", [48, 24, 96])
def test_planes_and_rgb_agree(encode: Encode, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode("yuv420p")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_encode_rgb", None)  # calling it would be an error
        planes = decoded(path, height)
    monkeypatch.setattr(module, "_encode_planes", module._encode_rgb)
    rgb = decoded(path, height)
    assert planes.shape == rgb.shape == (3, height, height * 4 // 3, 3)
    # FFmpeg's conversion to RGB cuts fractions off, so the way through RGB is darker by a level or two.
    assert np.abs(planes - rgb).mean() < 2.5
    assert np.abs(planes - rgb).max() <= 16
    assert np.abs(planes.mean(axis=(0, 1, 2)) - rgb.mean(axis=(0, 1, 2))).max() < 2


@pytest.mark.parametrize("pixel_format", ["yuv420p", "bgr0"])
def test_smaller_frames_are_averaged_and_larger_ones_interpolated(encode: Encode, pixel_format: str) -> None:
    stripes = np.zeros((1, 48, 64, 3), np.uint8)
    stripes[:, :, ::4] = 255  # one column of four
    found = decoded(encode(pixel_format, pictures=stripes), 12)
    assert np.abs(found[..., 1:-1, :] - 255 / 4).max() < 6
    edge = np.zeros((1, 48, 64, 3), np.uint8)
    edge[:, :, 32:] = 255
    found = decoded(encode(pixel_format, pictures=edge), 96)
    assert np.abs(found[0, 40, 62:66].mean(axis=-1) - [0, 255 / 4, 255 * 3 / 4, 255]).max() < 6


@pytest.mark.parametrize(
    ("pixel_format", "codec"),
    [
        ("yuv420p", "ffv1"),
        ("yuvj420p", "mjpeg"),
        ("yuv422p", "ffv1"),
        ("yuv420p10le", "ffv1"),
        ("gray", "ffv1"),
        ("bgr0", "ffv1"),
    ],
)
def test_colours_survive(encode: Encode, picture: Picture, pixel_format: str, codec: str) -> None:
    found = decoded(encode(pixel_format, codec=codec), 48)
    expected = picture(3, 64, 48).astype(float)
    if pixel_format == "gray":
        expected = np.repeat((expected @ [0.299, 0.587, 0.114])[..., None], 3, axis=-1)
    errors = np.abs(found - expected)
    assert errors.mean() < 3.5
    assert np.abs((found - expected).mean(axis=(0, 1, 2))).max() < 2


@pytest.mark.parametrize(("pixel_format", "codec"), [("yuv420p", "ffv1"), ("yuvj420p", "mjpeg")])
def test_black_and_white_fill_the_whole_range(encode: Encode, pixel_format: str, codec: str) -> None:
    pictures = np.repeat(np.array([0, 255], np.uint8), 48 * 64 * 3).reshape(2, 48, 64, 3)
    black, white = decoded(encode(pixel_format, codec=codec, pictures=pictures), 48)
    assert black.max() <= 2
    assert white.min() >= 253


@pytest.mark.parametrize("pixel_format", ["yuv420p", "bgr0"])
@pytest.mark.parametrize(("height", "method"), [(40, cv2.INTER_AREA), (56, cv2.INTER_LINEAR)])
def test_heights_decide_how_frames_are_scaled(encode: Encode, pixel_format: str, height: int, method: int) -> None:
    with mock.patch.object(cv2, "resize", wraps=cv2.resize) as resize:  # to 53 x 40 and 75 x 56
        assert len(list(jpegs(encode(pixel_format), height, 95))) == 3
    assert {call.kwargs["interpolation"] for call in resize.call_args_list} == {method}


@pytest.mark.parametrize("levels", [(16, 128, 128), (235, 128, 128), (126, 128, 60), (126, 168, 128), (150, 90, 160)])
def test_video_levels_become_the_colours_of_bt601(tmp_path: Path, levels: tuple[int, int, int]) -> None:
    path, (y, u, v) = tmp_path / "levels.mkv", levels
    planes = np.repeat(np.array([y, u, v], np.uint8), [48 * 64, 24 * 32, 24 * 32]).reshape(72, 64)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))
    luma, blue, red = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    expected = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    assert np.abs(decoded(path, 48)[0].mean(axis=(0, 1)) - expected).max() < 1.5


def test_only_420_in_bt601_takes_the_short_way(encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def noting(name: str) -> Callable[..., bytes]:
        def encode_nothing(*_: object) -> bytes:
            taken.append(name)
            return b""

        return encode_nothing

    for name in ("_encode_planes", "_encode_rgb"):
        monkeypatch.setattr(module, name, noting(name))
    hd = tmp_path / "hd.mkv"
    with av.open(str(hd), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = Colorspace.ITU709.value
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
        frame.colorspace = Colorspace.ITU709.value
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert next(iterate(hd)).colorspace == Colorspace.ITU709.value
    cases = [
        (encode("yuv420p", frames=1), 48, "_encode_planes"),
        (encode("yuvj420p", codec="mjpeg", frames=1), 24, "_encode_planes"),
        (encode("yuv420p", frames=1, width=66), 24, "_encode_planes"),  # 33 x 24
        (encode("yuv420p", frames=1), 47, "_encode_rgb"),
        (encode("yuv422p", frames=1), 48, "_encode_rgb"),
        (encode("yuv420p10le", frames=1), 48, "_encode_rgb"),
        (hd, 48, "_encode_rgb"),
    ]
    for path, height, _ in cases:
        assert list(jpegs(path, height, 95)) == [b""]
    assert taken == [expected for _, _, expected in cases]


@pytest.mark.parametrize(
    ("width", "height", "new"),
    [(65, 49, 49), (65, 49, 48), (66, 48, 24), (64, 48, 47), (63, 48, 48), (64, 48, 31)],
)
def test_odd_sizes_are_whole_and_repeat(encode: Encode, picture: Picture, width: int, height: int, new: int) -> None:
    path = encode("yuv420p", width=width, height=height)
    first, second = (list(jpegs(path, new, 90)) for _ in range(2))
    assert first == second
    found = decoded(path, new, 90)
    assert found.shape == (3, new, scaled_size(width, height, new)[0], 3)
    corner = picture(3, width, height).astype(int)[:, 0, -1]  # no foreign pixel at the ends of rows
    assert np.abs(found[:, 0, -1] - corner).max() < 30


def test_quality_decides_the_size(avi: Path) -> None:
    sizes = [sum(map(len, jpegs(avi, 48, quality))) for quality in (50, 80, 95)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_broken_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.avi"
    path.write_text("no video")
    with pytest.raises(VideoError, match=r"text\.avi"):
        list(jpegs(path, 48, 95))
