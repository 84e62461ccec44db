"""Action recognition on Ascend: the library behind the book."""

from __future__ import annotations

import os

# oneDNN picks a reference convolution, a hundred times too slow, for MindSpore's layouts on CPUs with AVX-512.
# It reads the variable once, when MindSpore is first imported, so it is set here, before anything else;
# child processes inherit it. A value that the user has set is left alone.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

__version__ = "0.1.0"
