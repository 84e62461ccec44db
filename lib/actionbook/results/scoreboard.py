"""The scoreboard: published figures, and beside them what this book has measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.results.compare import Comparison, comparisons
from actionbook.results.markdown import ABSENT, escape, table
from actionbook.results.published import Figure, check_ids, figures
from actionbook.results.records import Record, StageEntry

_METRICS = {"top1": "top-1", "top5": "top-5"}


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
    for path in sorted((NOTEBOOKS / chapter / "recipes").glob("*.yaml")):
        recipe = Recipe.load(path)
        check_ids(recipe)
        wanted += recipe.published
    wanted += [item.figure_id for record in records for item in comparisons(record)]
    return tuple(key for key in dict.fromkeys(wanted) if known[key].metric in _METRICS)


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
        what = f"{figure.what}, {figure.dataset}{split}, {_METRICS[figure.metric]}"
        published = [escape(what), f"{figure} ({figure.system}, {notes.number(_measured(figure), figure.note)})"]
        for item in found.get(key, []):
            rows.append([*published, *_ours(item, notes)])
        if key not in found:
            rows.append([*published, None, f"0 / {figure.expected or ABSENT}", "not run here"])
    if not rows:
        return "No accuracy has been published for this chapter.\n"
    header = ["What", "Published", "Ours", "N evaluated / expected", "Status"]
    return f"### Published and ours\n\n{table(header, rows)}\nHow they were measured:\n\n{notes}"


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
    accuracy = item.accuracy
    where = versions(item.record.stages["05_accuracy"])
    mark = notes.number(f"This book, recipe {item.record.recipe}: {item.protocol}. {where}.")
    value = f"{accuracy['value']:.5f} = {accuracy['correct']}/{accuracy['expected']} ({escape(item.engine)}, {mark})"
    return [value, f"{item.evaluated} / {accuracy['expected']}", item.status]


def versions(entry: StageEntry) -> str:
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
    rows = []
    for record in records:
        results = record.results("05_accuracy")
        for entry in results.get("accuracy") or ():
            top1 = entry["top1"]
            videos = f"{top1['evaluated']} / {top1['expected']}"
            where = escape(versions(record.stages["05_accuracy"]))
            shares = [_share(entry.get(key)) for key in ("top1", "top5")]
            rows.append(
                [
                    escape(record.recipe),
                    escape(entry["engine"]),
                    *shares,
                    videos,
                    escape(results.get("protocol") or ""),
                    where,
                ]
            )
    header = ["Recipe", "Engine", "Top-1", "Top-5", "N evaluated / expected", "Protocol", "Hardware, versions"]
    return table(header, rows) if rows else ""


def _mini_training(records: Sequence[Record]) -> str:
    rows = []
    for record in records:
        groups: dict[str, list[dict[str, Any]]] = {}
        for run in record.results("03_training").get("runs") or ():
            groups.setdefault(run["run"], []).append(run)
        for name, runs in groups.items():
            accuracy = runs[0]["accuracy"]
            videos = f"{accuracy['evaluated']} / {accuracy['expected']}"
            spread = _spread([run["accuracy"]["value"] for run in runs])
            pairs = [run["pair_accuracy"] for run in runs if run.get("pair_accuracy") is not None]
            rows.append(
                [escape(record.recipe), escape(name), len(runs), spread, videos, _spread(pairs) if pairs else None]
            )
    header = [
        "Recipe",
        "Training",
        "Seeds",
        "Top-1, mean ± spread",
        "N evaluated / expected",
        "Top-1 on reversed pairs",
    ]
    return table(header, rows, right=(2,)) if rows else ""


def _throughput(records: Sequence[Record]) -> str:
    rows = []
    for record in records:
        for row in record.results("04_conversion").get("throughput") or ():
            span = f"{_rate(row['low'])} to {_rate(row['high'])}"
            where = escape(versions(record.stages["04_conversion"]))
            rows.append(
                [
                    escape(record.recipe),
                    escape(row["engine"]),
                    row["batch"],
                    _rate(row["clips_per_second"]),
                    span,
                    where,
                ]
            )
    header = ["Recipe", "Engine", "Batch", "Clips per second", "Quartiles", "Hardware, versions"]
    return table(header, rows, right=(2, 3)) if rows else ""


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _share(accuracy: dict[str, Any] | None) -> str | None:
    return f"{accuracy['value']:.4f} = {accuracy['correct']}/{accuracy['expected']}" if accuracy else None


def _spread(values: Sequence[float]) -> str:
    text = f"{np.mean(values):.1%}"
    return f"{text} ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else text


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
    grid = table(["", *columns], body, right=range(1, len(columns) + 1))
    return f"::::{{dropdown}} {first.table}\n{grid}\n{source}\n{notes}::::\n"


def _printed(figure: Figure) -> str:
    """The value with the digits that its kind of figure is printed with."""
    if figure.metric == "ratio":
        return f"{figure.value:.4f}"
    return f"{figure.value:.2f}" if figure.unit == "percent" or figure.metric == "parameters" else f"{figure.value:.9g}"


def _column(figure: Figure) -> str:
    if figure.metric in _METRICS:
        return f"{figure.dataset} {_METRICS[figure.metric]}, {'%' if figure.unit == 'percent' else 'share'}"
    if figure.metric == "clips_per_second":
        batch = f" at batch {figure.batch}" if figure.system == "paper" else ""
        return f"{figure.hardware}, clips/s{batch}"
    if figure.metric == "ratio":
        return str(figure.hardware)
    if figure.metric in ("count", "time", "loss"):
        return figure.protocol if figure.unit == "1" else f"{figure.protocol}, {figure.unit}"
    return f"{figure.metric}, millions"
