"""Small moving pictures that play by themselves, for pages whose subject is motion."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from actionbook.stages.strips import Row, checked

_QUALITY = 30
"""Of WebP's lossy compression: some 10 kB for the 15 frames of a drawn person."""

# Said in every element, since a notebook is also shown where the book's style sheet is not. Colours are inherited: the
# theme's own for captions is pale on the light ground that it lays under a notebook's output in the dark.
_ROW = "display: flex; flex-wrap: wrap; gap: 0.8em 1em; margin: 0.6em 0"
_PICTURE = "display: block; width: 100%; height: auto; padding: 0; margin: 0"
_FIGURE = "margin: 0; padding: 0; text-align: left"
_CAPTION = "margin: 0.3em 0 0; padding: 0; font: inherit; font-size: 0.85em; color: inherit; text-align: inherit"


@dataclass(frozen=True)
class Loops:
    """Moving pictures side by side, as a notebook shows them."""

    html: str
    titles: tuple[str, ...]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"moving pictures: {'; '.join(self.titles)}"


def loops(rows: Sequence[Row], *, fps: float = 10, height: int = 112) -> Loops:
    """One moving picture for each row, (title, frames ``(T, H, W, 3)`` uint8 RGB), again and again.

    They are `height` pixels high, and smaller on a phone, where two stand side by side. They stand still for readers
    who have asked their system for less motion, and in print: a `film_strip` of the same frames belongs beside them.
    The title is the text for those who cannot see them. Raises ValueError for another shape or type, and where there is
    nothing to show.
    """
    strips = checked(rows)
    if not strips:
        raise ValueError("a moving picture needs frames: there are no rows")
    share = 46 if len(strips) > 1 else 100  # percent of the page: two and the gap between them
    figures = "".join(_figure(one.title, one.frames, fps, height, share) for one in strips)
    return Loops(f'<div class="loops" style="{_ROW}">{figures}</div>', tuple(one.title for one in strips))


def _figure(title: str, frames: np.ndarray, fps: float, height: int, share: int) -> str:
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    method = cv2.INTER_AREA if height < frames.shape[1] else cv2.INTER_CUBIC
    small = [Image.fromarray(cv2.resize(frame, (width, height), interpolation=method)) for frame in frames]
    moving = _webp(
        small, save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0, minimize_size=True
    )
    still = _webp(small[len(small) // 2 :])
    said = html.escape(title)
    return (
        f'<figure style="{_FIGURE}; width: min({width}px, {share}%)"><picture>'
        f'<source media="(prefers-reduced-motion: reduce), print" srcset="{still}">'
        f'<img alt="{said}" width="{width}" height="{height}" style="{_PICTURE}" src="{moving}">'
        f'</picture><figcaption style="{_CAPTION}">{said}</figcaption></figure>'
    )


def _webp(pictures: Sequence[Image.Image], **options: object) -> str:
    """The first picture, or all of them by the options, as a data address."""
    data = io.BytesIO()
    pictures[0].save(data, "WEBP", quality=_QUALITY, method=6, **options)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
