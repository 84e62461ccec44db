"""nbval's kernels get the environment in which papermill recorded the outputs; otherwise they could not agree."""

from __future__ import annotations

import os

from actionbook.notebooks import kernel_environment

os.environ.update(kernel_environment())
