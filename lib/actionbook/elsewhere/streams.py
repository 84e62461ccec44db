"""The networks of a workspace that notebook 04 has converted, each with its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.record import read_record
from actionbook.core.stage_results import ConversionResults
from actionbook.inference import BatchSet, read_batches

RESULTS = Path("results", "OM")
"""Where a network's answers lie below its folder, here and elsewhere."""


@dataclass(frozen=True)
class Stream:
    """One network, its input and its files."""

    name: str
    folder: Path
    batches: BatchSet
    soc_version: str
    """The chip that its preflight asked for."""

    @property
    def onnx(self) -> Path:
        """The file that ATC compiles."""
        return self.folder / "export" / "network.onnx"


def converted_streams(workspace: Path | str) -> tuple[Stream, ...]:
    """The streams of ``work/<chapter>/<recipe>``, whose batches are complete.

    Raises BookError where notebook 04 has not run or could not export ONNX, InferenceError for damaged batches.
    """
    workspace = Path(workspace)
    entry = read_record(workspace).stages.get(ConversionResults.stage)
    if entry is None or not isinstance(entry.results, ConversionResults):
        raise BookError(f"{shown(workspace)}: expected a workspace in which notebook {ConversionResults.stage} has run")
    found, several = [], len(entry.results.streams) > 1
    for name, row in entry.results.streams.items():
        folder = workspace / name if several else workspace
        if row.preflight is None or not (folder / "export" / "network.onnx").is_file():
            raise BookError(f"{shown(folder)}/export/network.onnx is not there: run notebook 04 again, it says why")
        found.append(Stream(name, folder, read_batches(folder / "batches"), row.preflight.soc_version))
    return tuple(found)
