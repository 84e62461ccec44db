"""Small video files, made with FFmpeg's own encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from actionbook.datasets.figures import write_avi


def moving_picture(frames: int, width: int, height: int) -> np.ndarray:
    """Smooth colours that drift, uint8 RGB (T, H, W, 3): frames differ, and codecs keep them well."""
    t, y, x = np.ogrid[:frames, :height, :width]
    red, green, blue = x * 200 // width + 4 * t, y * 200 // height + 0 * t + 0 * x, 200 - (x + y) * 90 // width + 3 * t
    shape = (frames, height, width)
    return np.stack([np.broadcast_to(c, shape) for c in (red, green, blue)], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int, int], np.ndarray]:
    return moving_picture


@pytest.fixture(scope="session")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine frames of 64x48, as the miniature's encoder writes them."""
    path = tmp_path_factory.mktemp("video") / "v_Walking_g01_c01.avi"
    write_avi(path, moving_picture(9, 64, 48), width=64, height=48, quantiser=2)
    return path


@pytest.fixture
def encode(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a video losslessly in a pixel format, or with a codec, of one's choice."""

    def write(
        pixel_format: str,
        *,
        codec: str = "ffv1",
        width: int = 64,
        height: int = 48,
        frames: int = 3,
        pictures: np.ndarray | None = None,
    ) -> Path:
        path = tmp_path / f"{pixel_format}_{codec}_{width}x{height}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            for pixels in moving_picture(frames, width, height) if pictures is None else pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write
