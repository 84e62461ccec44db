"""Stage 04, speed: one warmed-up loop (`inference.throughput.measure`) for every number, so that they compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from actionbook.core import cores
from actionbook.core.stage_results import ThroughputRow
from actionbook.inference import Engine, NetworkEngine, Throughput, measure_sizes
from actionbook.stages.conversion import Conversions, Converted

TITLES = {"ONNX": "ONNX Runtime", "ONNX-int8": "8 bits"}
SECONDS = 0.7
"""For which one engine is timed at one batch size, after half a second untimed."""


def time_formats(
    conversions: Conversions, formats: Sequence[str] = ("ONNX",), *, network: bool = False
) -> pd.DataFrame:
    """Samples per second of some formats at the recipe's batch sizes, and with `network` of MindSpore itself.

    One row a stream, engine and batch size, for `results.pictures.throughput_plot`; kept for the record, too.
    """
    with conversions.stage.timed("throughput"), cores.alone():
        for one in conversions.streams.values():
            engines: dict[str, Engine] = {"MindSpore": NetworkEngine(one.network, None, one.spec)} if network else {}
            engines |= {TITLES.get(name, name): one.made.engines[name] for name in formats if name in one.made.engines}
            one.throughput = _timed(engines, one.export.batch_sizes)
    several = len(conversions.streams) > 1
    return pd.DataFrame(
        {**row.model_dump(), "stream": name, "engine": f"{name}, {row.engine}" if several else row.engine}
        for name, one in conversions.streams.items()
        for row in one.throughput
    )


def time_family(conversions: Conversions) -> pd.DataFrame:
    """Samples per second of every network of the family by ONNX Runtime, at the recipe's ``inference_batch``.

    One row a network, the quickest first: millions of multiply-accumulates of one sample, samples per second, and how
    many thousand million multiply-accumulates a second these are. The main network's number is that of `time_formats`
    where it has been taken at this batch size.
    """
    batch = {one.export.inference_batch for one in conversions.streams.values()}
    with conversions.stage.timed("family throughput"), cores.alone():
        for one in conversions.family.values():
            if "ONNX" in one.made.engines and not _found(one, batch):
                one.throughput = [*one.throughput, *_timed({TITLES["ONNX"]: one.made.engines["ONNX"]}, batch)]
    rows = []
    for name, one in conversions.family.items():
        if row := _found(one, batch):
            macs, rate = float(one.layers.macs.sum()), row.clips_per_second
            rows.append({"network": name, "million MACs": macs / 1e6, "clips/s": rate, "GMAC/s": macs * rate / 1e9})
    return pd.DataFrame(rows).sort_values("clips/s", ascending=False).set_index("network")


def _found(one: Converted, batch: Iterable[int]) -> ThroughputRow | None:
    return next((row for row in one.throughput if row.engine == TITLES["ONNX"] and row.batch in batch), None)


def _timed(engines: Mapping[str, Engine], batches: Iterable[int]) -> list[ThroughputRow]:
    return [
        _row(name, figure)
        for name, engine in engines.items()
        for figure in measure_sizes(engine, batches, seconds=SECONDS)
    ]


def _row(engine: str, figure: Throughput) -> ThroughputRow:
    fields = asdict(figure) | {"engine": engine, "low": figure.lower_quartile, "high": figure.upper_quartile}
    return ThroughputRow(**{name: fields[name] for name in ThroughputRow.model_fields})
