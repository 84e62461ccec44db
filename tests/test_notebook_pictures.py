"""Pictures of notebooks take fewer bytes and look the same."""

from __future__ import annotations

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from actionbook import notebooks
from actionbook.notebook_pictures import small_png


def encoded(pixels: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def pixels_of(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def photograph(noise: int, seed: int = 0) -> np.ndarray:
    """An opaque RGBA picture of smooth colours, (120, 160, 4)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:120, :160]
    smooth = np.stack([rows, columns, rows + columns], axis=-1) % 200
    found = np.full((120, 160, 4), 255, np.uint8)
    found[..., :3] = smooth + rng.integers(0, noise + 1, smooth.shape)
    return found


def test_a_picture_becomes_smaller_and_looks_the_same() -> None:
    before = encoded(photograph(6))
    after = small_png(before)
    assert len(after) < 0.6 * len(before)
    assert pixels_of(after).shape == (120, 160, 4)
    assert np.abs(pixels_of(after).astype(int) - pixels_of(before)).mean() < 6
    assert small_png(after) == after


def test_few_colours_stay_exact() -> None:
    drawing = np.full((100, 200, 4), 255, np.uint8)
    drawing[20:40, :, :3] = (15, 118, 110)
    drawing[:, 50:60, :3] = (194, 87, 12)
    after = small_png(encoded(drawing))
    assert np.array_equal(pixels_of(after), drawing)


def test_transparency_and_what_is_no_picture_stay() -> None:
    clear = photograph(6)
    clear[0, 0, 3] = 0
    for data in (encoded(clear), "not base64 !", base64.b64encode(b"not a picture").decode(), ""):
        assert small_png(data) == data


@pytest.mark.parametrize("kind", ["display_data", "execute_result"])
def test_notebooks_are_written_with_small_ones(kind: str) -> None:
    data = encoded(photograph(6))
    cell = nbformat.v4.new_code_cell("plot()", execution_count=1)
    extra = {"execution_count": 1} if kind == "execute_result" else {}
    cell.outputs = [nbformat.v4.new_output(kind, data={"image/png": data, "text/plain": "<Figure>"}, **extra)]
    clean = notebooks.normalise(nbformat.v4.new_notebook(cells=[cell]))
    assert clean.cells[0].outputs[0].data == {"image/png": small_png(data), "text/plain": "<Figure>"}
    assert cell.outputs[0].data["image/png"] == data
