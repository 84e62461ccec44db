"""What was run on what machine: nothing here can be computed again, so it is asked whether it fits together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from actionbook.core.errors import BookError
from actionbook.core.evidence import CONVERSION, Finding, read_json, read_text
from actionbook.core.stage_results import ConversionResults, ThroughputRow
from actionbook.evidence.check_data import of_stream
from actionbook.evidence.contents import Contents
from actionbook.inference.runner import RECORD_NAME
from actionbook.inference.summaries import CONSOLE_NAME, SUMMARY_NAME, read_summary

_THROUGHPUT = re.compile(r"throughput[^\n:]*:\s*([0-9.]+)")


def results(pack: Contents) -> Iterator[Finding]:
    """Every format's results say which batches and which model they are of."""
    conversion, digests = pack.record.results(ConversionResults), pack.record.stages["04_conversion"].rests_on
    assert conversion is not None
    exports = {row.sha256 for one in conversion.streams.values() for row in one.exports}
    for stream in pack.streams:
        wrong, unsaid, count = [], [], 0
        for kind in (kind for name, kind in pack.found if name == stream):
            file = pack.folder / CONVERSION / stream / kind / RECORD_NAME
            if not file.is_file():
                unsaid.append(kind)
                continue
            count, said = count + 1, read_json(file)
            model = digests.get(f"{stream}.network") if kind == "network" else None
            if said.get("batches_sha256") != digests.get(f"{stream}.samples"):
                wrong.append(f"{kind} is of other batches")
            elif model is not None and said.get("model_sha256") != model:
                wrong.append(f"{kind} is of another network")
            elif kind.startswith(("MINDIR", "ONNX")) and said.get("model_sha256") not in exports:
                wrong.append(f"{kind} is of a file that stage 04 has not made")
        what = of_stream(pack, "results", stream)
        if wrong:
            yield Finding(what=what, state="refuted", detail="; ".join(wrong))
        elif count:
            detail = f"those of {count} formats name the batches and models of stage 04"
            yield Finding(what=what, state="agrees", detail=detail)
        if unsaid:
            detail = f"{', '.join(unsaid)}: were brought from elsewhere and do not say what they are of"
            yield Finding(what=f"{what} from elsewhere", state="believed", detail=detail)


def tools(pack: Contents) -> Iterator[Finding]:
    """What a tool's summary says is what it has printed, and what the record took from it."""
    for stream in pack.streams:
        folder = pack.folder / CONVERSION / stream / "OM"
        what = of_stream(pack, "times of the tools", stream)
        if not (folder / CONSOLE_NAME).is_file() and not (folder / SUMMARY_NAME).is_file():
            continue
        try:
            summary = read_summary(folder)
            printed = _THROUGHPUT.findall(read_text(folder / CONSOLE_NAME)) if (folder / CONSOLE_NAME).is_file() else []
        except BookError as error:
            yield Finding(what=what, state="refuted", detail=f"cannot be read: {error}"[:300])
            continue
        rate, mean = summary.clips_per_second, summary.mean_ms
        if rate is not None and printed and not math.isclose(float(printed[-1]), rate, rel_tol=1e-3):
            detail = f"{summary.tool} printed {printed[-1]} clips a second, its summary says {rate}"
            yield Finding(what=what, state="refuted", detail=detail)
        elif not printed and rate is not None:
            detail = f"{summary.tool}: {mean:g} ms a batch; what it printed is not there"
            yield Finding(what=what, state="believed", detail=detail)
        else:
            detail = f"{summary.tool}: {mean:g} ms a batch on the card, in its summary and on its console"
            yield Finding(what=what, state="agrees", detail=detail)


def throughput(pack: Contents) -> Iterator[Finding]:
    """Clips a second are clips of a batch by its time."""
    conversion = pack.record.results(ConversionResults)
    assert conversion is not None
    rows = [row for one in (*conversion.streams.values(), *conversion.family) for row in one.throughput]
    wrong = [f"{row.engine}, batch {row.batch}" for row in rows if not _possible(row)]
    if wrong:
        detail = f"clips a second, batch and milliseconds do not belong together: {', '.join(wrong)}"
        yield Finding(what="throughput", state="refuted", detail=detail)
    elif rows:
        yield Finding(what="throughput", state="agrees", detail=f"{len(rows)} figures: batch / time = rate")


def machine(pack: Contents) -> Iterator[Finding]:
    """Versions, hardware and dates, as they say."""
    stages = pack.record.stages
    entries = list(stages.values())
    last = entries[-1].environment
    known = [f"{name} {last[name]}" for name in ("python", "mindspore", "numpy", "onnxruntime", "cann", "driver")
             if last.get(name)]  # fmt: skip
    yield Finding(what="versions", state="believed", detail=", ".join(known))
    libraries = dict.fromkeys(str(entry.environment.get("library_sha256"))[:12] for entry in entries)
    yield Finding(what="library", state="believed", detail=f"source files {', '.join(libraries)}")
    hardware = dict.fromkeys(
        f"{entry.devices} x {entry.device}, {entry.environment.get('cpu') or 'unknown processor'}"
        for entry in entries
        if entry.device != "auto"  # no network has run there
    )
    yield Finding(what="hardware", state="believed", detail="; ".join(hardware))
    finished = [stages[name].finished for name in ("01_data", "03_training", "04_conversion", "05_accuracy")]
    if finished[-1][:10] > pack.listing.packed:
        detail = f"packed on {pack.listing.packed}, before stage 05 finished on {finished[-1][:10]}"
        yield Finding(what="dates", state="refuted", detail=detail)


def _possible(row: ThroughputRow) -> bool:
    rate = row.batch * 1e3 / row.ms_per_batch if row.ms_per_batch > 0 else math.inf
    return row.low <= row.high and math.isclose(row.clips_per_second, rate, rel_tol=0.02)
