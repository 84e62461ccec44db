"""Reading stored frames by index, whatever holds their JPEGs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import simplejpeg

from actionbook.core.errors import BookError

COLOUR = ("",)
"""One JPEG for each frame."""
FLOW = ("x", "y")
"""Two grey JPEGs for each frame of flow: displacements to the right, and down."""


class StoreError(BookError):
    """Stored frames are missing or damaged."""


class FrameReader(ABC):
    """Random access to the frames of one video: colour or flow, told apart by `components`."""

    path: Path
    components: tuple[str, ...] = COLOUR
    """What a frame's JPEGs are named for: ``("",)`` in colour, ``("x", "y")`` for flow."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def jpeg(self, index: int, component: str = "") -> bytes:
        """The stored JPEG of frame `index`, from 0; of flow, of one of the components (x if none is named).

        Raises IndexError beyond the end.
        """

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the first frame, in pixels. Raises StoreError for a damaged JPEG."""
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(self.jpeg(0))
        except ValueError as error:
            raise self._damaged(0, error) from error
        return width, height

    def frames(self, indices: Sequence[int], *, min_size: int = 0, fast: bool = False) -> Iterator[np.ndarray]:
        """Frames by index, each uint8 RGB (H, W, 3) or flow (H, W, 2), in a buffer that the next one overwrites.

        One buffer for all frames of a clip: fetching fresh memory for each costs a third of the time. `fast` takes
        libjpeg's quicker transform (one grey level off on average). With `min_size`, libjpeg may return the frames at
        1/2, 3/8, 1/4 or 1/8 of their size as long as the shorter side keeps at least that many pixels, which is
        several times faster; displacements keep the scale of the stored frame. Raises StoreError for a damaged JPEG.
        """
        width, height = self.frame_size
        options: dict[str, Any] = {"fastdct": fast, "fastupsample": fast}
        if min_size:
            options |= {"min_height": min_size, "min_width": min_size, "min_factor": 2}
        decode = self._flow_frame if self.components == FLOW else self._colour_frame
        buffer = np.empty(width * height * 5, np.uint8)
        for index in indices:
            try:
                yield decode(index, buffer, options)
            except (ValueError, cv2.error) as error:
                raise self._damaged(index, error) from error

    def read(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames by index, each uint8 RGB (H, W, 3) or flow (H, W, 2), to keep. Raises StoreError if damaged."""
        return [frame.copy() for frame in self.frames(indices)]

    def _colour_frame(self, index: int, buffer: np.ndarray, options: dict[str, Any]) -> np.ndarray:
        return simplejpeg.decode_jpeg(self.jpeg(index), buffer=buffer, **options)

    def _flow_frame(self, index: int, buffer: np.ndarray, options: dict[str, Any]) -> np.ndarray:
        quarter = buffer.size // 5
        planes = [
            simplejpeg.decode_jpeg(self.jpeg(index, component), colorspace="GRAY", buffer=part, **options)
            for component, part in zip(FLOW, (buffer[:quarter], buffer[quarter : 2 * quarter]), strict=True)
        ]
        height, width = planes[0].shape[:2]
        both = buffer[2 * quarter : 2 * quarter + 2 * height * width].reshape(height, width, 2)
        return cv2.merge(planes, dst=both)

    def _damaged(self, index: int, error: Exception) -> StoreError:
        why = f"frame {index} is damaged ({error}); delete the file and prepare again"
        return StoreError(f"{self.path}: {why}")
