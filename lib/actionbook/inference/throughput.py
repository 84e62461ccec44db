"""How many clips a second an engine takes, and how much memory."""

from __future__ import annotations

import logging
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.progress import tracked
from actionbook.core.spec import Arrays, Shape, Spec
from actionbook.inference.batches import link
from actionbook.inference.errors import InferenceError
from actionbook.inference.interface import IN_NAME, Engine, FolderEngine

INSIDE = "copying the batch in, the network, copying the logits out; no decoding, no reading from disk"
_LEAST_RUNS = 3
_TOOL_REPEATS = 20
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Throughput:
    """Clips per second over repeated runs of one batch. Quartiles are of the clips per second of single runs.

    What was timed and how the middle was taken is said in `inside`: figures with another `inside` do not compare.
    """

    engine: str
    batch: int
    inputs: Mapping[str, tuple[int, ...]]  # of one sample
    runs: int
    clips_per_second: float  # by the median time; of the Ascend tools by their mean time
    lower_quartile: float
    upper_quartile: float
    ms_per_batch: float  # median; of the Ascend tools the mean
    first_ms: float | None  # the first run, with what is compiled or allocated then; None: not known
    peak_rss_mib: float | None  # of the whole process until now; None: it ran in another process
    growth_rss_mib: float | None  # by how much resident memory grew from before the first run, at least
    inside: str = INSIDE


def measure(
    engine: Engine,
    batch: int,
    spec: Spec | Shape | None = None,
    *,
    warmup: int = 3,
    warm_seconds: float = 0.5,
    repeats: int | None = None,
    seconds: float = 10.0,
    progress: bool = True,
) -> Throughput:
    """Time `engine` on one batch of random inputs (standard normal) of its spec, or of `spec`.

    Nothing is timed before the engine has run `warmup` times, at least once, and for `warm_seconds`: until then memory
    is allocated, threads start and the processor takes up its speed, which makes a quick network look several times
    slower than it is. Then it is timed for `seconds`, at least 3 runs and at most `repeats`. An engine for a fixed
    batch that is given fewer clips works on a full batch, and only the real clips count. An OM engine's tool is called
    once for `repeats` batches, 20 where it is None, and times them itself (`Throughput.inside` says what it counts);
    then the other limits have no meaning. Raises InferenceError where the engine does not take this batch.
    """
    if batch < 1 or (repeats is not None and repeats < 1):
        raise InferenceError(f"batch {batch}, repeats {repeats}: expected 1 or more")
    if engine.batch_size is not None and batch > engine.batch_size:
        raise InferenceError(f"{engine.name} takes at most {engine.batch_size} clips at once, not {batch}")
    wanted = _spec(engine, spec)
    clips = wanted.random(batch)
    if isinstance(engine, FolderEngine):
        with tempfile.TemporaryDirectory(prefix="actionbook-measure-") as name:
            write_inputs(Path(name), wanted.padded(clips, engine.name, engine.batch_size), repeats or _TOOL_REPEATS)
            engine.run_folder(Path(name), progress=False)
        return engine.throughput(batch)
    before, peak_before = resident_mib(), peak_rss_mib()
    warm = time.perf_counter() + warm_seconds
    first, runs = _run(engine, clips), 1
    while runs < warmup or time.perf_counter() < warm:
        _run(engine, clips)
        runs += 1
    times: list[float] = []
    resident: list[float] = []
    end = time.perf_counter() + seconds
    for _ in tracked(
        count() if repeats is None else range(repeats), f"{engine.name}, batch {batch}", "runs", progress=progress
    ):
        times.append(_run(engine, clips))
        resident.append(resident_mib())
        if len(times) >= _LEAST_RUNS and time.perf_counter() > end:
            break
    # Of the median time: of an even number of runs the median of rates is another number.
    middle = float(np.median(times))
    lower, upper = np.quantile(batch / np.asarray(times), [0.25, 0.75])
    peak = peak_rss_mib()
    # Memory that is given back within a run shows only where it made a new peak of the process.
    most = max(*resident, peak) if peak > peak_before else max(resident)
    return Throughput(
        engine=engine.name,
        batch=batch,
        inputs=dict(wanted.inputs),
        runs=len(times),
        clips_per_second=batch / middle,
        lower_quartile=float(lower),
        upper_quartile=float(upper),
        ms_per_batch=middle * 1e3,
        first_ms=first * 1e3,
        peak_rss_mib=peak,
        growth_rss_mib=max(0.0, most - before),
    )


def measure_sizes(
    engine: Engine,
    batch_sizes: Iterable[int],
    spec: Spec | Shape | None = None,
    *,
    warmup: int = 3,
    warm_seconds: float = 0.5,
    repeats: int | None = None,
    seconds: float = 10.0,
    progress: bool = True,
) -> list[Throughput]:
    """`measure` for several batch sizes, smallest first, with one bar over the sizes.

    Sizes above the engine's batch are left out, with a warning in the log. Growth of memory counts from before the
    first size, since an engine keeps what a smaller batch had it allocate.
    """
    sizes = sorted(set(batch_sizes))
    limit = engine.batch_size
    fitting_sizes = [size for size in sizes if limit is None or size <= limit]
    if skipped := sizes[len(fitting_sizes) :]:
        logger.warning(
            "%s takes at most %s clips at once; not measured: %s", engine.name, limit, ", ".join(map(str, skipped))
        )
    timed = partial(measure, warmup=warmup, warm_seconds=warm_seconds, repeats=repeats, seconds=seconds, progress=False)
    before, measured = resident_mib(), []
    for size in tracked(fitting_sizes, f"{engine.name}, batch sizes", "sizes", progress=progress):
        kept = max(0.0, resident_mib() - before)
        one = timed(engine, size, spec)
        growth = None if one.growth_rss_mib is None else one.growth_rss_mib + kept
        measured.append(replace(one, growth_rss_mib=growth))
    return measured


def throughput_table(measured: Sequence[Throughput]) -> pd.DataFrame:
    """One row for each measurement: the fields of `Throughput`, quartiles as ``low`` and ``high``.

    ``results.pictures.throughput_plot`` takes it as it is.
    """
    names = list(Throughput.__dataclass_fields__)
    table = pd.DataFrame([asdict(one) for one in measured], columns=names)
    return table.rename(columns={"lower_quartile": "low", "upper_quartile": "high"})


def peak_rss_mib() -> float:
    """Greatest resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB


def resident_mib() -> float:
    """Resident memory of this process now, MiB; where the system does not say (no ``/proc``), the greatest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return peak_rss_mib()
    return pages * resource.getpagesize() / 2**20


def _spec(engine: Engine, spec: Spec | Shape | None) -> Spec:
    found = engine.spec if spec is None else Spec.of(spec)
    if found is None:
        raise InferenceError(f"{engine.name}: does not know its inputs; say their shapes with `spec`")
    return found


def write_inputs(work: Path, full: Arrays, count: int = 1) -> None:
    """The files of `FolderEngine.run_folder`, `count` times the same full batch."""
    for key, array in full.items():
        inputs = work / IN_NAME / key
        inputs.mkdir(parents=True)
        array.tofile(inputs / "0.bin")
        for number in range(1, count):
            link(inputs / "0.bin", inputs / f"{number}.bin")


def _run(engine: Engine, clips: Arrays) -> float:
    start = time.perf_counter()
    engine.run(clips)
    return time.perf_counter() - start
