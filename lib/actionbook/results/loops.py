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

_QUALITY = 45
"""Of WebP's lossy compression: some 10 kB for a second of a drawn person."""


@dataclass(frozen=True)
class Loops:
    """Moving pictures side by side, as a notebook shows them."""

    html: str
    titles: tuple[str, ...]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"{len(self.titles)} moving pictures: {'; '.join(self.titles)}"


def loops(rows: Sequence[tuple[str, np.ndarray]], *, fps: float = 10, height: int = 140) -> Loops:
    """One moving picture for each (title, frames ``(T, H, W, 3)`` uint8 RGB), `height` pixels high, again and again.

    They stand still for readers who have asked their system for less motion, and in print: a `film_strip` of the same
    frames belongs beside them. The title is the text for those who cannot see them. Raises ValueError for another shape
    or type, and where there is nothing to show.
    """
    if not rows:
        raise ValueError("a moving picture needs frames: there are no rows")
    for title, frames in rows:
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(f"{title!r}: expected uint8 (T, H, W, 3), found {frames.dtype} {frames.shape}")
    figures = "".join(_figure(title, frames, fps, height) for title, frames in rows)
    return Loops(
        f'<div class="loops" style="display: flex; flex-wrap: wrap; gap: 1.2em">{figures}</div>',
        tuple(title for title, _ in rows),
    )


def _figure(title: str, frames: np.ndarray, fps: float, height: int) -> str:
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    method = cv2.INTER_AREA if height < frames.shape[1] else cv2.INTER_LINEAR
    small = [Image.fromarray(cv2.resize(frame, (width, height), interpolation=method)) for frame in frames]
    moving = _webp(small, save_all=True, append_images=small[1:], duration=round(1000 / fps), loop=0)
    still = _webp(small[len(small) // 2 :])
    said = html.escape(title)
    return (
        '<figure style="margin: 0"><picture>'
        f'<source media="(prefers-reduced-motion: reduce), print" srcset="{still}">'
        f'<img alt="{said}" width="{width}" height="{height}" src="{moving}">'
        f"</picture><figcaption>{said}</figcaption></figure>"
    )


def _webp(pictures: Sequence[Image.Image], **options: object) -> str:
    """The first picture, or all of them by the options, as a data address."""
    data = io.BytesIO()
    pictures[0].save(data, "WEBP", quality=_QUALITY, method=6, **options)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
