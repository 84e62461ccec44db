"""Makes the package `bench`, which lies beside `lib` and is not installed, importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
