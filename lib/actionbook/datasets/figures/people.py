"""Who acts: proportions, skin, hair and clothes of a figure, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionbook.datasets.figures.canvas import Colour
from actionbook.datasets.figures.skeleton import Body

HEADWEAR = ("short", "bun", "ponytail", "curls", "cap", "beanie", "hat", "bob")

_SKIN: tuple[Colour, ...] = (
    (255, 219, 190), (244, 196, 158), (226, 168, 124), (196, 134, 92), (168, 110, 76), (136, 88, 62),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (44, 34, 36), (84, 54, 38), (130, 84, 46), (222, 178, 92), (190, 84, 42), (150, 148, 156), (60, 62, 96),
)  # fmt: skip
_SHIRT: tuple[Colour, ...] = (
    (232, 74, 78), (250, 176, 62), (66, 148, 222), (52, 174, 132), (246, 244, 238), (152, 98, 196), (240, 128, 160),
    (40, 70, 122), (250, 214, 84), (84, 196, 206),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = (
    (52, 66, 108), (66, 106, 164), (88, 82, 84), (148, 112, 78), (84, 96, 70), (112, 52, 66), (212, 196, 166),
)  # fmt: skip
_SHOES: tuple[Colour, ...] = ((246, 246, 244), (214, 60, 62), (48, 50, 58), (58, 128, 200), (244, 188, 60))
_SEAT: tuple[Colour, ...] = ((196, 128, 72), (214, 92, 80), (92, 150, 190), (240, 200, 110))


@dataclass(frozen=True)
class Person:
    """A figure's body and looks; colours are RGB. `seat` is the colour of the stool it brings along."""

    body: Body
    skin: Colour
    hair: Colour
    headwear: str
    hat: Colour
    shirt: Colour
    trim: Colour
    pattern: str
    long_sleeves: bool
    trousers: Colour
    shorts: bool
    shoes: Colour
    seat: Colour


def _pick(rng: np.random.Generator, table: tuple[Colour, ...]) -> Colour:
    return table[int(rng.integers(len(table)))]


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person at random; equal generators give equal people."""
    size = rng.uniform(-1.0, 1.0, 6)
    body = Body(
        head=0.102 + 0.007 * size[0],
        torso=0.285 + 0.012 * size[1],
        shoulder=0.098 + 0.008 * size[2],
        upper_arm=0.160 + 0.006 * size[3],
        forearm=0.146 + 0.006 * size[3],
        thigh=0.230 - 0.008 * size[1],
        shank=0.212 - 0.006 * size[1] + 0.004 * size[4],
        girth=1.0 + 0.12 * size[5],
    )
    shirt = int(rng.integers(len(_SHIRT)))
    trim = (shirt + 1 + int(rng.integers(len(_SHIRT) - 1))) % len(_SHIRT)
    return Person(
        body=body,
        skin=_pick(rng, _SKIN),
        hair=_pick(rng, _HAIR),
        headwear=HEADWEAR[int(rng.integers(len(HEADWEAR)))],
        hat=_pick(rng, _SHIRT),
        shirt=_SHIRT[shirt],
        trim=_SHIRT[trim],
        pattern=("plain", "band", "stripes")[int(rng.integers(3))],
        long_sleeves=bool(rng.integers(2)),
        trousers=_pick(rng, _TROUSERS),
        shorts=int(rng.integers(3)) == 0,
        shoes=_pick(rng, _SHOES),
        seat=_pick(rng, _SEAT),
    )
