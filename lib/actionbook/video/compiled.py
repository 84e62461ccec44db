"""How the loops of this floor are compiled: by Numba, each at its first call, kept on disk for the next process."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler import Compiler
from numpy.typing import NDArray

Array = NDArray[np.float32]


class _Distinct(Compiler):
    """Compiles functions none of whose written arrays overlaps another, which lets their loops be vectorised."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.state.flags.noalias = True


def compiled(function: Any, **options: Any) -> Any:
    """`function` compiled for one thread, without Python's lock; sums are rounded as written, x / 0 is as in NumPy.

    An array that it writes to must not overlap another argument. `options` are those of ``numba.njit``.
    """
    kernel = njit(function, error_model="numpy", nogil=True, pipeline_class=_Distinct, **options)
    with suppress(RuntimeError):  # no folder for the cache can be written: every process compiles for itself
        kernel.enable_caching()
    return kernel


def inlined(function: Any) -> Any:
    """`function` compiled into each of its callers, so that a loop around it can be vectorised."""
    return compiled(function, forceinline=True)
