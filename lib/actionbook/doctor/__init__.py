"""A doctor for a checkout: is all there that a recipe needs, before hours are spent on it?

Command line: ``python -m actionbook.doctor --recipe efficient3d/mini`` (``--help`` says the rest). In a notebook:
``pandas.DataFrame(doctor("efficient3d/mini"))``. Nothing is changed but for one temporary file, written and removed.
"""

from __future__ import annotations

from actionbook.doctor.examine import doctor
from actionbook.doctor.findings import Finding

__all__ = ["Finding", "doctor"]
