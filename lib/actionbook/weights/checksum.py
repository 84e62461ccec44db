"""CRC-32C, the checksum of TensorFlow's files: that of Castagnoli's polynomial (RFC 3720, appendix B.4).

Python has CRC-32 with another polynomial only.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actionbook.video.compiled import compiled

_POLYNOMIAL: Final = 0x82F63B78  # bits in the opposite order
_MASK: Final = 0xA282EAD8


def crc32c(data: Any) -> int:
    """The checksum of bytes, or of anything that gives its bytes as a buffer."""
    return int(_run(np.frombuffer(data, np.uint8), _table()))


def masked(checksum: int) -> int:
    """A checksum as it is stored beside data: turned and shifted, so that a checksum of it looks like any other.

    As in crc32c.h of TensorFlow and LevelDB.
    """
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


@cache
def _table() -> npt.NDArray[np.uint32]:
    """What a byte does to the checksum before it."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = (values >> 1) ^ np.where(values & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return values


@compiled
def _run(data: npt.NDArray[np.uint8], table: npt.NDArray[np.uint32]) -> np.uint32:
    checksum = np.uint32(0xFFFFFFFF)
    for byte in data:
        checksum = table[(checksum ^ byte) & 255] ^ (checksum >> np.uint32(8))
    return np.uint32(checksum ^ np.uint32(0xFFFFFFFF))
