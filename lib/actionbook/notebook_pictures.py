"""Pictures in notebooks, stored in as few bytes as show no difference."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

_COLOURS = 256


def small_png(data: str) -> str:
    """A PNG in base64, in a palette of 256 colours where it has no transparency and that is smaller; else as it is.

    Matplotlib writes four bytes a pixel, of which film strips need a third and drawings a half. What was made smaller
    once stays as it is. Text that is no PNG is returned unchanged.
    """
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(data, validate=False)))
        if picture.mode == "P" or np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
            return data
        few = picture.convert("RGB").quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    except (binascii.Error, UnidentifiedImageError, OSError):
        return data
    written = io.BytesIO()
    few.save(written, "PNG", optimize=True)
    found = base64.b64encode(written.getvalue()).decode()
    return found if len(found) < len(data) else data
