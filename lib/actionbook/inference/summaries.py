"""What the Ascend tools say about time: ais_bench's summary file and msame's console.

Both time the computation on the card alone. ais_bench computes its throughput as
1000 * batch / mean compute time in ms; msame prints the mean with and without the first inference.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionbook.core.spec import Shape, Spec
from actionbook.inference.errors import InferenceError
from actionbook.inference.throughput import Throughput

CONSOLE_NAME, SUMMARY_NAME = "console.log", "summary.json"
INSIDE = {
    "ais_bench": "the computation on the NPU only, without copying clips in or logits out; warm-up left out; "
    "1000 x batch / mean ms, as ais_bench computes it",
    "msame": "the computation on the NPU only, without copying clips in or logits out; first inference left out; "
    "1000 x batch / mean ms",
}
_NUMBER = r"([0-9.]+(?:[eE][+-]?\d+)?)"
_TIME = re.compile(rf"Inference time\s*:\s*{_NUMBER}\s*ms")
_AVERAGE = re.compile(rf"Inference average time\s*:\s*{_NUMBER}\s*ms")
_AVERAGE_REST = re.compile(rf"Inference average time without first time\s*:\s*{_NUMBER}\s*ms")


@dataclass(frozen=True)
class Summary:
    """Times of one call of a tool, in ms."""

    tool: str
    """ "ais_bench" or "msame"."""
    compute_ms: tuple[float, ...]
    """Time on the card of each inference, without ais_bench's warm-up, with msame's first."""
    mean_ms: float
    """As the tool gives it; msame: without the first inference, where there was more than one."""
    clips_per_second: float | None
    """As the tool gives it; msame does not."""

    @property
    def batch(self) -> int | None:
        """Batch of the OM that ais_bench's throughput implies, clips_per_second * mean_ms / 1000."""
        return None if self.clips_per_second is None else round(self.clips_per_second * self.mean_ms / 1e3)

    def throughput(self, engine: str, batch: int, spec: Spec | Shape) -> Throughput:
        """The same as clips per second, for `batch` real clips in each inference.

        The middle is of the mean time, as the published tables have it; the quartiles are of single inferences.
        """
        first = self.tool == "msame" and len(self.compute_ms) > 1
        times = np.asarray(self.compute_ms[1:] if first else self.compute_ms)
        lower, upper = np.quantile(batch * 1e3 / times, [0.25, 0.75])
        return Throughput(
            engine=engine,
            batch=batch,
            inputs=dict(Spec.of(spec).inputs),
            runs=len(times),
            clips_per_second=batch * 1e3 / self.mean_ms,
            lower_quartile=float(lower),
            upper_quartile=float(upper),
            ms_per_batch=self.mean_ms,
            first_ms=self.compute_ms[0] if first else None,
            peak_rss_mib=None,
            growth_rss_mib=None,
            inside=INSIDE[self.tool],
        )


def read_summary(folder: Path | str) -> Summary:
    """Times of the tool that wrote the results in `folder`.

    Looks for what ais_bench writes (``<folder>_summary.json`` beside it, in old versions ``sumary.json`` inside) and
    for what `run_batches` keeps inside (``summary.json``, or ``console.log`` of msame). Raises InferenceError where
    there is none or it is not readable.
    """
    folder = Path(folder).absolute()
    beside = folder.with_name(f"{folder.name}_summary.json")
    for path in (folder / SUMMARY_NAME, beside, folder / "sumary.json"):
        if path.is_file():
            return parse_ais_bench_summary(path)
    console = folder / CONSOLE_NAME
    if console.is_file():
        return parse_msame_console(console.read_text(encoding="utf-8", errors="replace"), str(console))
    raise InferenceError(
        f"{folder}: no times here; expected {beside} or sumary.json (ais_bench), or {CONSOLE_NAME} (msame)"
    )


def parse_ais_bench_summary(path: Path) -> Summary:
    """ais_bench's summary file. Raises InferenceError for one that is cut off or lacks the times."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        times = tuple(map(float, data["npu_compute_time_list"]))
        if not times or not all(math.isfinite(time) and time > 0 for time in times):
            raise ValueError(f"expected positive times, {len(times)} found")
        mean, rate = float(data["NPU_compute_time"]["mean"]), float(data["throughput"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InferenceError(
            f"{path}: not a summary of ais_bench (expected npu_compute_time_list, NPU_compute_time and throughput; "
            f"{type(error).__name__}: {error}). Run ais_bench again"
        ) from error
    return Summary("ais_bench", times, mean, rate)


def parse_msame_console(text: str, source: str = "console of msame") -> Summary:
    """Times in what msame printed; `source` names it in errors. Raises InferenceError where there are none."""
    times = tuple(float(value) for value in _TIME.findall(text))
    average, rest = _AVERAGE.findall(text), _AVERAGE_REST.findall(text)
    if not times or not average:
        raise InferenceError(f"{source}: no line 'Inference average time: ... ms': msame did not run to its end")
    return Summary("msame", times, float((rest or average)[-1]), None)
