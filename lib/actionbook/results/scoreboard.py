"""The scoreboard: published figures, and beside them what this book has measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actionbook.core.chapters import recipe_files
from actionbook.core.recipe import JOINT, Recipe
from actionbook.core.record import Record, StageRun
from actionbook.core.score import QUIRK, WITHIN_GROUPS, Score, metric_title
from actionbook.core.stage_results import AccuracyResults, ConversionResults, TrainingResults, TrainingRow
from actionbook.results.compare import Comparison, comparisons
from actionbook.results.evidence import MARKS, handed_in
from actionbook.results.markdown import cell, escape, spread, table
from actionbook.results.published import Figure, aims_of, figures
from actionbook.results.published_schema import LAST_DIGIT


def scoreboard(chapter: str, records: Sequence[Record]) -> str:
    """The chapter's part of the page: published beside measured, the miniature apart, then the quoted tables."""
    parts = [_beside(chapter, records), _miniature(records), _quoted(chapter)]
    return "\n".join(part for part in parts if part)


def aims(chapter: str, records: Sequence[Record]) -> tuple[str, ...]:
    """Ids of the accuracies that stand on the scoreboard: single figures of the chapter, and what recipes aim at.

    Raises BookError for a recipe that names a figure that does not exist.
    """
    known = figures()
    wanted = [key for key, figure in known.items() if figure.chapter == chapter and figure.table is None]
    for recipe in map(Recipe.load, recipe_files(chapter)):
        wanted += aims_of(recipe)
    wanted += [item.figure_id for record in records for item in comparisons(record)]
    return tuple(key for key in dict.fromkeys(wanted) if known[key].unit in LAST_DIGIT)


def _beside(chapter: str, records: Sequence[Record]) -> str:
    found: dict[str, list[Comparison]] = {}
    for record in records:
        for item in comparisons(record):
            found.setdefault(item.figure_id, []).append(item)
    rows: list[list[Any]] = []
    notes = _Notes()
    for key in aims(chapter, records):
        figure = figures()[key]
        split = f" split {figure.split}" if figure.split else ""
        what = f"{figure.what}, {figure.dataset}{split}, {metric_title(figure.metric)}"
        source = f"{figure.system}, note {notes.number(_measured(figure), figure.note)}"
        published = [escape(what), str(figure), source]
        for item in found.get(key, []):
            rows.append([*published, *_ours(item, notes)])
        rows += [[*published, *both] for both in _repeated(found.get(key, []))]
        if key not in found:
            rows.append([*published, None, f"0 / {cell(figure.expected)}", "not run here"])
    if not rows:
        return "No accuracy has been published for this chapter.\n"
    header = ["What", "Published", "By", "Ours", "N evaluated / expected", "Status"]
    return f"### Published and ours\n\n{table(header, rows, right=(1, 3, 4))}\nHow they were measured:\n\n{notes}"


class _Notes:
    """Numbered notes; each distinct text stands once, with the remarks that belong to it."""

    def __init__(self) -> None:
        self._remarks: dict[str, list[str]] = {}

    def number(self, text: str, remark: str | None = None) -> int:
        """Number of the note with this text, from 1; `remark` is added to it."""
        remarks = self._remarks.setdefault(text, [])
        if remark and remark not in remarks:
            remarks.append(remark)
        return list(self._remarks).index(text) + 1

    def __str__(self) -> str:
        lines = [" ".join([text, *remarks]) for text, remarks in self._remarks.items()]
        return "".join(f"{number}. {escape(line)}\n" for number, line in enumerate(lines, start=1))


def _measured(figure: Figure) -> str:
    hardware = f" Hardware: {figure.hardware}." if figure.hardware else ""
    return f"{figure.source}; {figure.where}; {figure.version}. {figure.protocol}.{hardware}"


def _ours(item: Comparison, notes: _Notes) -> list[Any]:
    head, stream = item.record.head, item.row.stream
    where = versions(item.record.stages[AccuracyResults.stage])
    pack = handed_in(item.record)
    who = f"Handed in by {pack.by}, packed on {pack.listing.packed}" if pack else "This book"
    mark = notes.number(f"{who}, recipe {head.label(stream)}: {item.protocol}. {where}.")
    value = f"{item.score.figures(5)} ({escape(item.row.format)}, note {mark})"
    status = f"{escape(MARKS.get(item.status, ''))} {item.status}".strip()
    if item.status != "partial":
        status += f": {100 * item.difference:+.2f} points, tolerance {100 * item.tolerance:.2f}"
    return [value, _videos(item.score, item.evaluated), f"[{status}]({pack.label})" if pack else status]


def _repeated(items: Sequence[Comparison]) -> list[list[Any]]:
    """Of formats in which several runs have measured a figure: their mean and spread."""
    values: dict[str, list[float]] = {}
    for item in items:
        if item.status != "partial":
            values.setdefault(item.row.format, []).append(item.score.value)
    several = [(kind, found) for kind, found in values.items() if len(found) > 1]
    return [
        [f"{spread(found)} ({escape(kind)})", None, f"mean ± spread of {len(found)} runs"] for kind, found in several
    ]


def versions(entry: StageRun) -> str:
    """Hardware and the versions that an accuracy hangs on most, in one line."""
    found = entry.environment
    hardware = found.get("cpu") or found.get("machine") if entry.device in ("auto", "CPU") else entry.device
    names = (("MindSpore", "mindspore"), ("ONNX Runtime", "onnxruntime"), ("CANN", "cann"), ("driver", "driver"))
    listed = [f"{name} {found[key]}" for name, key in names if found.get(key)]
    return ", ".join([str(hardware or entry.device), *listed])


def _miniature(records: Sequence[Record]) -> str:
    mine = [record for record in records if record.generated]
    parts = [_mini_accuracy(mine), _mini_training(mine), _throughput(mine)]
    text = "\n".join(part for part in parts if part)
    if not text:
        return ""
    warning = (
        "These show that the method works. They were measured on videos made by a program and must not be compared\n"
        "with any published figure.\n"
    )
    return f"### On the miniature\n\n{warning}\n{text}"


def _mini_accuracy(records: Sequence[Record]) -> str:
    found = [(record, results) for record in records if (results := record.results(AccuracyResults))]
    scores = [score for _, results in found for row in results.scores for score in row.scores]
    metrics = [metric for metric in dict.fromkeys(score.metric for score in scores) if not metric.endswith(QUIRK)]
    rows: list[list[Any]] = []
    notes = _Notes()
    for record, results in found:
        where = versions(record.stages[AccuracyResults.stage])
        for row in results.scores:
            shares = [score.figures() if (score := row.score(metric)) else None for metric in metrics]
            note = notes.number(f"{results.protocols[row.stream]}. {where}.")
            label = escape(record.head.label(row.stream))
            rows.append([label, escape(row.format), *shares, _videos(row.main), note])
    titles = [_titled(metric) for metric in metrics]
    header = ["Recipe", "Engine", *titles, "N evaluated / expected", "Note"]
    right = range(2, len(header))
    return f"{table(header, rows, right=right)}\nProtocol, hardware and versions:\n\n{notes}" if rows else ""


def _mini_training(records: Sequence[Record]) -> str:
    """A row a training, a column for each main metric that some record has."""
    found: list[tuple[str, str, list[Score], list[float]]] = []
    for record in records:
        results = record.results(TrainingResults)
        groups: dict[tuple[str, str], list[TrainingRow]] = {}
        for run in results.runs if results else ():
            groups.setdefault((record.head.label(run.stream), run.run), []).append(run)
        for (label, name), runs in groups.items():
            pairs = [pair.value for run in runs if (pair := run.other(WITHIN_GROUPS))]
            found.append((label, name, [run.score for run in runs], pairs))
        if results and results.fused:
            found.append((record.head.recipe, JOINT, [row.score for row in results.fused], []))
    mains = list(dict.fromkeys(scores[0].metric for _, _, scores, _ in found))
    paired = any(pairs for *_, pairs in found)
    rows: list[list[Any]] = []
    for label, name, scores, pairs in found:
        share = spread([score.value for score in scores])
        shares = [share if main == scores[0].metric else None for main in mains]
        further = [spread(pairs)] if paired else []
        rows.append([escape(label), escape(name), len(scores), *shares, _videos(scores[0]), *further])
    titles = [f"{_titled(main)}, mean ± spread" for main in mains]
    header = ["Recipe", "Training", "Seeds", *titles, "N evaluated / expected"]
    header += ["Top-1 on reversed pairs"] if paired else []
    return table(header, rows, right=range(2, len(header))) if rows else ""


def _throughput(records: Sequence[Record]) -> str:
    rows: list[list[Any]] = []
    notes = _Notes()
    for record in records:
        results = record.results(ConversionResults)
        for stream, one in results.streams.items() if results else ():
            note = notes.number(f"{versions(record.stages[ConversionResults.stage])}.")
            label = escape(record.head.label(stream))
            for row in one.throughput:
                span, rate = f"{_rate(row.low)} to {_rate(row.high)}", _rate(row.clips_per_second)
                rows.append([label, escape(row.engine), row.batch, rate, span, note])
    header = ["Recipe", "Engine", "Batch", "Clips per second", "Quartiles", "Note"]
    return f"{table(header, rows, right=range(2, 6))}\nHardware and versions:\n\n{notes}" if rows else ""


def _videos(score: Score, evaluated: int | None = None) -> str:
    """N evaluated and N expected; where they differ also the share of those evaluated, which is not the result."""
    evaluated = score.evaluated if evaluated is None else evaluated
    counts = f"{evaluated:,} / {score.expected:,}"
    if score.correct is None or evaluated in (0, score.expected):
        return counts
    return f"{counts} ({score.correct / evaluated:.5f} of those)"


def _titled(metric: str) -> str:
    """A metric at the head of a column: "Top-1"."""
    title = metric_title(metric)
    return title if title == metric else title.capitalize()


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _quoted(chapter: str) -> str:
    """The chapter's published tables, folded: rows are networks or batch sizes, columns what was measured."""
    names: dict[str, list[Figure]] = {}
    for figure in figures().values():
        if figure.chapter == chapter and figure.table:
            names.setdefault(figure.table, []).append(figure)
    return "\n".join(_pivot(found) for found in names.values())


def _pivot(found: list[Figure]) -> str:
    columns = list(dict.fromkeys(_column(figure) for figure in found))
    by_batch = len({figure.what for figure in found}) <= 2  # one network, or that and its best batch
    rows: dict[str, dict[str, str]] = {}
    for figure in found:
        key = f"batch {figure.batch}" if by_batch and figure.batch else figure.what
        rows.setdefault(key, {})[_column(figure)] = _printed(figure)
    body = [[escape(key), *(values.get(column) for column in columns)] for key, values in rows.items()]
    first = found[0]
    protocols = list(dict.fromkeys(f"{_column(figure)}: {figure.protocol}" for figure in found))
    notes = "".join(f"- {escape(line)}\n" for line in [*protocols, *([first.note] if first.note else [])])
    source = f"Source: {escape(first.source)}; {escape(first.where)}; {escape(first.version)}.\n"
    grid = table(["What", *columns], body, right=range(1, len(columns) + 1))
    return f"::::{{dropdown}} {first.table}\n{grid}\n{source}\n{notes}::::\n"


def _printed(figure: Figure) -> str:
    """The value with the digits that its kind of figure is printed with."""
    if figure.metric == "ratio":
        return f"{figure.value:.4f}"
    two = figure.unit == "percent" or figure.metric == "parameters"
    return f"{figure.value:.2f}" if two else f"{figure.value:,.9g}"


def _column(figure: Figure) -> str:
    if figure.unit in LAST_DIGIT:
        return f"{figure.dataset} {metric_title(figure.metric)}, {'%' if figure.unit == 'percent' else 'share'}"
    if figure.metric == "clips_per_second":
        batch = f" at batch {figure.batch}" if figure.system == "paper" and figure.batch else ""
        return f"{figure.hardware}, clips/s{batch}"
    if figure.metric == "ratio":
        return str(figure.hardware)
    if figure.metric in ("count", "time", "loss"):
        return figure.protocol if figure.unit == "1" else f"{figure.protocol}, {figure.unit}"
    return f"{figure.metric}, millions"
