"""How many clips a second an engine takes."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from actionbook.core.progress import tracked
from actionbook.inference.engines import Engine
from actionbook.inference.errors import InferenceError

INSIDE = "copying the batch in, the network, copying the logits out; no decoding, no reading from disk"


@dataclass(frozen=True)
class Throughput:
    """Clips per second over repeated runs of one batch. Quartiles are of the clips per second of single runs."""

    engine: str
    batch: int
    clip_shape: tuple[int, ...]
    runs: int
    clips_per_second: float  # median
    lower_quartile: float
    upper_quartile: float
    ms_per_batch: float  # median
    first_ms: float  # the first run, with what is compiled or allocated then
    peak_rss_mib: float  # of the whole process until now
    inside: str = INSIDE


def measure(
    engine: Engine,
    batch: int,
    clip_shape: tuple[int, ...],
    *,
    warmup: int = 3,
    repeats: int = 20,
    seconds: float = 10.0,
    seed: int = 0,
    progress: bool = True,
) -> Throughput:
    """Time `engine` on one batch of random clips (standard normal, from `seed`).

    After `warmup` runs (at least one), up to `repeats` timed ones, stopped after `seconds`, but not before 3. Raises
    InferenceError where the engine does not take this batch.
    """
    if batch < 1 or repeats < 1:
        raise InferenceError(f"batch {batch}, repeats {repeats}: expected 1 or more")
    if engine.batch_size is not None and batch > engine.batch_size:
        raise InferenceError(f"{engine.name} takes at most {engine.batch_size} clips at once, not {batch}")
    clips = np.random.default_rng(seed).standard_normal((batch, *clip_shape), dtype=np.float32)
    first = _run(engine, clips)
    for _ in range(warmup - 1):
        _run(engine, clips)
    times: list[float] = []
    end = time.perf_counter() + seconds
    for _ in tracked(range(repeats), f"{engine.name}, batch {batch}", "runs", progress=progress):
        times.append(_run(engine, clips))
        if len(times) >= 3 and time.perf_counter() > end:
            break
    rates = batch / np.asarray(times)
    lower, median, upper = np.quantile(rates, [0.25, 0.5, 0.75])
    return Throughput(
        engine=engine.name,
        batch=batch,
        clip_shape=tuple(clip_shape),
        runs=len(times),
        clips_per_second=float(median),
        lower_quartile=float(lower),
        upper_quartile=float(upper),
        ms_per_batch=float(np.median(times) * 1e3),
        first_ms=first * 1e3,
        peak_rss_mib=peak_rss_mib(),
    )


def peak_rss_mib() -> float:
    """Greatest resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB


def _run(engine: Engine, clips: np.ndarray) -> float:
    start = time.perf_counter()
    engine.run(clips)
    return time.perf_counter() - start
