"""Where figures act: six places, each painted from a seed, larger than the view, so that a camera can pan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from actionbook.datasets.figures.canvas import SUPERSAMPLING, VIEW_HEIGHT, Canvas, Colour, Image, shade

MARGIN_X = 120.0
MARGIN_Y = 8.0
"""Units painted beyond each edge of the view, across and down."""

_LIGHT: tuple[Colour, ...] = ((250, 214, 176), (236, 178, 160), (246, 232, 200), (190, 214, 220), (214, 196, 226))
_BRIGHT: tuple[Colour, ...] = ((226, 96, 84), (246, 180, 74), (84, 160, 210), (108, 184, 130), (170, 120, 190))


@dataclass(frozen=True)
class Place:
    """A kind of place (a key of `PLACES`) and the seed of its details."""

    kind: str
    seed: int


def _gradient(canvas: Canvas, top: float, bottom: float, above: Colour, below: Colour) -> None:
    """Fill the full width between two heights (units) with a vertical gradient."""
    first, last = (round((y - canvas.origin[1]) * canvas.scale) for y in (top, bottom))
    first, last = max(first, 0), min(last, canvas.image.shape[0])
    mix = np.linspace(0.0, 1.0, max(last - first, 1))[:, None]
    rows = (1 - mix) * np.asarray(above, float) + mix * np.asarray(below, float)
    canvas.image[first:last] = np.rint(rows)[: last - first, None]


def _span(canvas: Canvas) -> tuple[float, float]:
    left = canvas.origin[0]
    return left, left + canvas.image.shape[1] / canvas.scale


def _cloud(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    for dx, dy, r in ((-1.3, 0.15, 0.55), (-0.5, -0.2, 0.8), (0.45, -0.1, 0.7), (1.2, 0.2, 0.5)):
        canvas.blob([(x + dx * size, y + dy * size, r * size)], colour)
    canvas.blob(
        [(x - 1.4 * size, y + 0.45 * size, 0.28 * size), (x + 1.3 * size, y + 0.45 * size, 0.28 * size)], colour
    )


def _tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    green = shade((74, 160, 84), float(rng.uniform(0.8, 1.15)))
    canvas.blob([(x, y, 0.10 * size), (x, y - size, 0.07 * size)], (128, 88, 60))
    if rng.integers(2):
        for level in range(3):
            half, top = (0.52 - 0.11 * level) * size, y - (0.95 + 0.42 * level) * size
            canvas.polygon(
                [(x - half, top + 0.55 * size), (x + half, top + 0.55 * size), (x, top - 0.2 * size)],
                shade(green, 0.9 + 0.1 * level),
            )
    else:
        for dx, dy, r in ((-0.32, -1.0, 0.40), (0.34, -1.05, 0.38), (0.0, -1.4, 0.48)):
            canvas.blob([(x + dx * size, y + dy * size, r * size)], green)
        canvas.blob([(x - 0.12 * size, y - 1.5 * size, 0.26 * size)], shade(green, 1.15))


def _hills(canvas: Canvas, rng: np.random.Generator, base: float, rise: float, colour: Colour) -> None:
    left, right = _span(canvas)
    x = np.linspace(left, right, 60)
    a, b = rng.uniform(0, 6.3, 2)
    y = base - rise * (0.5 + 0.3 * np.sin(x / 47 + a) + 0.2 * np.sin(x / 23 + b))
    canvas.polygon(np.concatenate([np.stack([x, y], 1), [(right, base + 40), (left, base + 40)]]), colour)


def _park(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    _gradient(canvas, -20, 170, (126, 196, 240), (222, 242, 250))
    canvas.blob([(float(rng.uniform(left, right)), float(rng.uniform(28, 50)), 17.0)], (255, 236, 150))
    _hills(canvas, rng, 165, 55, (164, 208, 170))
    _hills(canvas, rng, 170, 28, (132, 192, 128))
    _gradient(canvas, 168, 260, (126, 196, 98), (92, 164, 82))
    for x in np.arange(left + 10, right, 46):
        _tree(canvas, rng, float(x + rng.uniform(-16, 16)), float(rng.uniform(170, 182)), float(rng.uniform(34, 56)))
    canvas.polygon([(left, 206), (right, 200), (right, 232), (left, 240)], (232, 212, 168))
    for _ in range(26):
        x, y = float(rng.uniform(left, right)), float(rng.uniform(184, 199))
        canvas.blob([(x, y, 1.4)], _BRIGHT[int(rng.integers(5))])


def _street(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    _gradient(canvas, -20, 180, (160, 206, 236), (250, 232, 208))
    x = left
    while x < right:
        width, top = float(rng.uniform(52, 84)), float(rng.uniform(40, 84))
        wall = _LIGHT[int(rng.integers(5))]
        canvas.rectangle(x, top, x + width, 182, wall)
        if rng.integers(2):
            canvas.polygon([(x - 3, top), (x + width + 3, top), (x + width / 2, top - 26)], shade(wall, 0.62))
        else:
            canvas.rectangle(x - 2, top - 6, x + width + 2, top + 2, shade(wall, 0.7))
        for wy in np.arange(top + 14, 140, 30):
            for wx in np.arange(x + 9, x + width - 15, 22):
                glass = (255, 236, 160) if rng.integers(4) == 0 else (112, 154, 180)
                canvas.rectangle(wx - 1.5, wy - 1.5, wx + 14.5, wy + 19.5, shade(wall, 1.5))
                canvas.rectangle(wx, wy, wx + 13, wy + 18, glass)
        canvas.rectangle(x + width / 2 - 9, 148, x + width / 2 + 9, 182, shade(_BRIGHT[int(rng.integers(5))], 0.8))
        x += width
    _gradient(canvas, 182, 226, (206, 202, 198), (184, 180, 178))
    canvas.rectangle(left, 226, right, 229, (236, 234, 228))
    _gradient(canvas, 229, 260, (112, 114, 122), (96, 98, 106))
    for x in np.arange(left, right, 40):
        canvas.line([(x, 182), (x - 14, 226)], (170, 166, 164), 1)


def _beach(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    warm = bool(rng.integers(2))
    _gradient(
        canvas, -20, 130, (250, 170, 120) if warm else (104, 188, 236), (255, 226, 178) if warm else (214, 240, 250)
    )
    canvas.blob([(float(rng.uniform(60, 260)), float(rng.uniform(40, 100)), 20.0)], (255, 244, 190))
    _gradient(canvas, 122, 176, (52, 132, 176), (120, 204, 206))
    for _ in range(24):
        x, y = float(rng.uniform(left, right)), float(rng.uniform(128, 166))
        canvas.line([(x, y), (x + rng.uniform(6, 20), y)], (190, 230, 234), 1)
    for _ in range(2):
        x, y = float(rng.uniform(left, right)), float(rng.uniform(118, 128))
        canvas.polygon(
            [(x - 14, y + 6), (x + 14, y + 6), (x + 9, y + 12), (x - 9, y + 12)], _BRIGHT[int(rng.integers(5))]
        )
        canvas.polygon([(x, y + 4), (x, y - 26), (x + 14, y + 2)], (250, 250, 246))
    _gradient(canvas, 176, 260, (246, 222, 168), (232, 198, 138))
    canvas.polygon(
        [(left, 172), *[(x, 177 + 2.5 * np.sin(x / 15)) for x in np.arange(left, right + 9, 8)], (right, 172)],
        (236, 248, 246),
    )
    x = float(rng.uniform(left + 20, right - 20))
    canvas.line([(x, 196), (x + 6, 120)], (240, 240, 236), 2.5)
    for k in range(4):
        colour = _BRIGHT[0] if k % 2 else (252, 246, 236)
        canvas.polygon(
            [
                (x + 6, 106),
                (x - 34 + 20 * k, 136 - 4 * (k in (1, 2, 3))),
                (x - 14 + 20 * k, 136 - 4 * (k in (0, 1, 2))),
            ],
            colour,
        )
    for _ in range(40):
        canvas.blob([(float(rng.uniform(left, right)), float(rng.uniform(186, 240)), 0.9)], (214, 178, 122))


def _gym(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    wall = _LIGHT[int(rng.integers(5))]
    _gradient(canvas, -20, 180, shade(wall, 1.2), wall)
    canvas.rectangle(left, 128, right, 176, shade(wall, 0.78))
    canvas.rectangle(left, 124, right, 128, (248, 246, 240))
    for x in np.arange(left + float(rng.uniform(4, 30)), right, 74):
        canvas.rectangle(x, 18, x + 48, 62, (246, 246, 242))
        canvas.rectangle(x + 3, 21, x + 45, 59, (176, 216, 236))
        canvas.line([(x + 24, 21), (x + 24, 59)], (246, 246, 242), 2)
    x = float(rng.uniform(left + 20, right - 80))
    for k in range(9):
        canvas.line([(x, 74 + 11 * k), (x + 44, 74 + 11 * k)], (150, 104, 66), 3)
    canvas.line([(x, 70), (x, 176)], (122, 82, 52), 4)
    canvas.line([(x + 44, 70), (x + 44, 176)], (122, 82, 52), 4)
    _gradient(canvas, 176, 260, (226, 172, 112), (206, 148, 92))
    canvas.rectangle(left, 173, right, 177, (120, 92, 76))
    for k, x in enumerate(np.arange(left - 60, right + 60, 26)):
        canvas.line([(160 + (x - 160) * 0.8, 177), (x, 250)], (206, 152, 96) if k % 2 else (214, 160, 102), 1)
    canvas.line([(left, 194), (right, 194)], _BRIGHT[int(rng.integers(5))], 3)
    canvas.line([(left, 229), (right, 229)], (250, 246, 236), 3)


def _room(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    wall = _LIGHT[int(rng.integers(5))]
    _gradient(canvas, -20, 182, shade(wall, 1.15), shade(wall, 0.95))
    for x in np.arange(left, right, 18):
        canvas.rectangle(x, -20, x + 7, 176, shade(wall, 1.12))
    x = float(rng.uniform(left + 10, right - 250))
    canvas.rectangle(x, 30, x + 76, 112, (250, 248, 242))
    canvas.rectangle(x + 5, 35, x + 71, 107, (158, 212, 240))
    canvas.blob([(x + 36, 118, 27.0)], (126, 190, 124))
    canvas.rectangle(x + 5, 107, x + 71, 150, shade(wall, 1.05))
    canvas.rectangle(x - 4, 107, x + 80, 114, (250, 248, 242))
    canvas.line([(x + 38, 32), (x + 38, 108)], (250, 248, 242), 3)
    curtain = shade(_BRIGHT[int(rng.integers(5))], 1.2)
    for side in (-1, 1):
        edge, hem = x + 38 + 46 * side, x + 38 + 52 * side
        canvas.polygon([(edge - 10, 24), (edge + 10, 24), (hem + 8, 140), (hem - 8, 140)], curtain)
    px = x + 128 + float(rng.uniform(0, 30))
    canvas.rectangle(px - 3, 42, px + 51, 84, (128, 88, 56))
    canvas.rectangle(px, 45, px + 48, 81, _LIGHT[int(rng.integers(5))])
    canvas.polygon(
        [(px, 81), (px + 18, 58), (px + 30, 70), (px + 38, 62), (px + 48, 81)], _BRIGHT[int(rng.integers(5))]
    )
    _gradient(canvas, 182, 260, (188, 132, 92), (166, 112, 76))
    canvas.rectangle(left, 175, right, 183, (250, 246, 238))
    for y in (192, 204, 219, 236):
        canvas.line([(left, y), (right, y)], (160, 108, 74), 1)
    sx = px + 70
    canvas.rectangle(sx, 150, sx + 24, 184, _BRIGHT[int(rng.integers(5))])
    for lean in (-16, -6, 6, 16):
        canvas.blob([(sx + 12, 150, 4.0), (sx + 12 + lean, 118 + abs(lean) * 0.6, 5.0)], (72, 146, 92))
    canvas.polygon([(60, 204), (270, 204), (300, 236), (30, 236)], shade(_BRIGHT[int(rng.integers(5))], 1.35))


def _snow(canvas: Canvas, rng: np.random.Generator) -> None:
    left, right = _span(canvas)
    _gradient(canvas, -20, 180, (142, 186, 228), (236, 242, 250))
    for x in np.arange(left, right, 78):
        peak, half, top = float(x + rng.uniform(0, 50)), float(rng.uniform(56, 84)), float(rng.uniform(44, 92))
        canvas.polygon([(peak - half, 176), (peak, top), (peak + half, 176)], (128, 146, 182))
        share = 0.34
        zigzag = [
            (peak - half * share, top + (176 - top) * share),
            (peak - half * 0.12, top + (176 - top) * 0.26),
            (peak + half * 0.06, top + (176 - top) * 0.38),
        ]
        canvas.polygon([(peak, top), *zigzag, (peak + half * share, top + (176 - top) * share)], (250, 252, 255))
    _hills(canvas, rng, 176, 22, (214, 228, 242))
    for x in np.arange(left + 12, right, 62):
        size, base = float(rng.uniform(30, 46)), float(rng.uniform(174, 182))
        tx = float(x + rng.uniform(-20, 20))
        canvas.rectangle(tx - 2.5, base - 8, tx + 2.5, base, (112, 82, 64))
        for level in range(3):
            half, y = size * (0.46 - 0.11 * level), base - 6 - size * 0.42 * level
            canvas.polygon([(tx - half, y), (tx + half, y), (tx, y - size * 0.66)], (64, 122, 108))
            canvas.polygon(
                [(tx - half * 0.4, y - size * 0.40), (tx + half * 0.4, y - size * 0.40), (tx, y - size * 0.66)],
                (244, 248, 252),
            )
    _gradient(canvas, 180, 260, (242, 246, 252), (214, 226, 242))


PLACES: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "beach": _beach, "gym": _gym, "park": _park, "room": _room, "snow": _snow, "street": _street,
}  # fmt: skip
OUTDOORS = frozenset({"beach", "park", "snow", "street"})


HAZE = 0.66
HAZE_COLOUR = (244, 241, 234)


@lru_cache(maxsize=8)
def paint(place: Place, width: int, height: int) -> Image:
    """Paint `place` for a view of `width` x `height` pixels, margins included, supersampled; do not write into it.

    Returns RGB uint8 ``(2 * (H + margins), 2 * (W + margins), 3)``.
    """
    scale = SUPERSAMPLING * height / VIEW_HEIGHT
    rows, columns = round((VIEW_HEIGHT + 2 * MARGIN_Y) * scale), round(SUPERSAMPLING * width + 2 * MARGIN_X * scale)
    canvas = Canvas(np.zeros((rows, columns, 3), np.uint8), scale, (-MARGIN_X, -MARGIN_Y))
    rng = np.random.default_rng(place.seed)
    PLACES[place.kind](canvas, rng)
    coarse = rng.normal(0.0, 1.0, (rows // 6, columns // 6)).astype(np.float32)
    grain = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR) * 2.0
    # Haze sets the people off from what is behind them, for the reader's eye and for small networks alike.
    hazy = (1 - HAZE) * (canvas.image + grain[..., None]) + HAZE * np.array(HAZE_COLOUR, np.float32)
    image: Image = np.clip(hazy, 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return image
