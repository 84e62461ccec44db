"""The chapters side by side: what their papers are about, cost and promise, and what was shown of them here.

Nothing is typed in: networks come from `actionbook.models.specified`, figures from ``book/published``, the rest from
recipes, manifests and records.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from actionbook.core.chapters import Chapter, recipe_files
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.recipe import Recipe
from actionbook.core.record import Record
from actionbook.core.score import metric_title
from actionbook.core.spec import Shape
from actionbook.core.stage_results import TrainingResults
from actionbook.models.specified import TABLE, Specified
from actionbook.results.markdown import escape, table
from actionbook.results.pictures import size_against_cost
from actionbook.results.proof import LADDER, ladder_of
from actionbook.results.published import aims_of, figure, figures, summary
from actionbook.results.records import of_chapter

_ALT = (
    "A plot of points, both axes logarithmic: million parameters against thousand million multiply-accumulates of one "
    "clip, a mark for each network of a chapter and a full one for the network that the chapter is about. The table "
    "above has the numbers of the full ones."
)


def pages(chapters: Sequence[Chapter], records: Sequence[Record]) -> dict[str, str]:
    """Files by name, in MyST Markdown for a page in ``book/``. Chapters without published figures are left out."""
    known = {one.chapter for one in figures().values()}
    chapters = [chapter for chapter in chapters if chapter.name in known]
    return {
        "papers_ideas.md": _ideas(chapters),
        "papers_networks.md": _networks(chapters),
        "papers_cost.md": _picture(chapters),
        "papers_accuracy.md": _accuracy(chapters),
        "papers_needs.md": _needs(chapters),
        "papers_miniature.md": _miniature(chapters, records),
        "papers_ladder.md": _ladder(chapters, records),
    }


@cache
def full_size(chapter: str) -> Recipe | None:
    """The recipe that a chapter is about: by name the first that aims at a figure of its summary. None without one."""
    wanted = set(summary(chapter).accuracy)
    for recipe in map(Recipe.load, recipe_files(chapter)):
        if wanted.intersection(aims_of(recipe)):
            return recipe
    return None


def network_of(recipe: Recipe) -> Specified | None:
    """The network of a recipe of one stream, as its authors count it; of several that fit, the one most exactly said.

    None where the chapter's table has none of this name and these options.
    """
    options = {"in_channels": recipe.transforms.channels, **recipe.model.options}
    fitting = [
        one
        for one in TABLE.get(recipe.chapter, ())
        if one.model == recipe.model.name and one.options.items() <= options.items()
    ]
    return max(fitting, key=lambda one: len(one.options), default=None)


def gmacs(network: Specified, wanted: Sequence[Shape] = ()) -> tuple[Shape, float]:
    """A shape of the clip (C, T, H, W) and its thousand million multiply-accumulates: of the shapes `wanted` the first
    that was counted, else the first that was counted at all."""
    shape = next((one for one in wanted if one in network.macs), next(iter(network.macs)))
    value, unit = network.macs[shape].split()
    return shape, float(value) * {"M": 1e-3, "G": 1.0}[unit]


def hours(chapter: str) -> str:
    """Hours of training as others have published them for the chapter's own recipe (`full_size`), with what and where.

    Empty where nobody has.
    """
    times = [figures()[key] for key in summary(chapter).time]
    return "; ".join(", ".join(filter(None, (f"{one.value:g} h", one.what, one.hardware))) for one in times)


def _ideas(chapters: Sequence[Chapter]) -> str:
    return "".join(f"{_link(one)}\n: {escape(summary(one.name).idea)}\n\n" for one in chapters)


def _networks(chapters: Sequence[Chapter]) -> str:
    rows: list[list[Any]] = []
    for chapter in chapters:
        recipe = full_size(chapter.name)
        for stream, part in _streams(recipe) if recipe else ():
            classes = len(load_dataset(part.data.manifest).classes)
            inputs = part.spec(classes).inputs
            named = [_size(shape) if len(inputs) == 1 else f"{name} {_size(shape)}" for name, shape in inputs.items()]
            network = network_of(part)
            counted = _counted(network, part, classes) if network else (None, None, None)
            label = chapter.title + (f", {stream}" if stream else "")
            clips = escape(part.sampling.tested_clips)
            rows.append([escape(label), clips, "; ".join(escape(one) for one in named), *counted])
    header = ["Chapter", "What a test looks at", "Inputs, C × T × H × W", "Classes", "Parameters", "GMACs"]
    return table(header, rows, right=(3, 4, 5))


def _streams(recipe: Recipe) -> list[tuple[str, Recipe]]:
    """A recipe of one stream under the name "", or each stream of several under its own."""
    return [(name if recipe.streams else "", recipe.for_stream(name)) for name in recipe.stream_names]


def _size(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def _counted(network: Specified, recipe: Recipe, classes: int) -> tuple[int, int, str]:
    """Classes, trainable values with so many, and GMACs to three digits, with the clip where it is not the tested one.

    Of other classes than the recipe's where the network was not counted with these.
    """
    tested = tuple(recipe.spec(classes).inputs.values())
    number = classes if classes in network.parameters else next(iter(network.parameters))
    shape, cost = gmacs(network, (*tested, *recipe.spec(classes, tested=False).inputs.values()))
    return number, network.parameters[number], f"{cost:.3g}" + ("" if shape in tested else f" of {_size(shape)}")


def _picture(chapters: Sequence[Chapter]) -> str:
    rows: list[dict[str, Any]] = []
    for chapter in chapters:
        recipe = full_size(chapter.name)
        parts = [part for _, part in _streams(recipe)] if recipe else []
        mains = {id(network): part for part in parts if (network := network_of(part))}
        for network in TABLE.get(chapter.name, ()):
            part = mains.get(id(network))
            classes = len(load_dataset(part.data.manifest).classes) if part else 0
            wanted = tuple(part.spec(classes).inputs.values()) if part else ()
            parameters = network.parameters.get(classes, next(iter(network.parameters.values())))
            cost = gmacs(network, wanted)[1]
            rows.append({"label": chapter.title, "gmacs": cost, "parameters": parameters, "main": part is not None})
    if not rows:
        return ""
    fig = size_against_cost(pd.DataFrame(rows))
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "side by side"}):  # the same bytes each time
        fig.savefig(file, format="svg", metadata={"Date": None})
    plt.close(fig)
    source = base64.b64encode(file.getvalue()).decode()
    look = "max-width: 100%; height: auto"
    return f'```{{raw}} html\n<img alt="{_ALT}" style="{look}" src="data:image/svg+xml;base64,{source}">\n```\n'


def _accuracy(chapters: Sequence[Chapter]) -> str:
    rows = []
    for chapter in chapters:
        for key in summary(chapter.name).accuracy:
            one = figure(key)
            data = load_dataset(str(one.dataset)).short_title
            what = [escape(chapter.title), escape(one.what), escape(data), metric_title(one.metric)]
            rows.append([*what, f"{100 * one.share:.4g} %", one.system])
    return table(["Chapter", "Network", "Data set", "Measure", "Published", "By"], rows, right=(4,))


def _needs(chapters: Sequence[Chapter]) -> str:
    rows: list[list[Any]] = []
    for chapter in chapters:
        recipe = full_size(chapter.name)
        if recipe is None:
            continue
        manifest = load_dataset(recipe.data.manifest)
        epochs, batches = (
            " and ".join(dict.fromkeys(str(getattr(part.training, key)) for _, part in _streams(recipe)))
            for key in ("epochs", "batch_size")
        )
        data = f"{manifest.short_title}: {_videos(manifest, recipe.data.split)}"
        rows.append(
            [escape(chapter.title), escape(data), f"`{recipe.name}`", epochs, batches, escape(hours(chapter.name))]
        )
    header = ["Chapter", "Data", "Recipe", "Epochs", "Samples a step", "Hours of training, published"]
    return table(header, rows, right=(3, 4))


def _videos(manifest: DatasetManifest, split: int) -> str:
    found = manifest.splits[str(split)]
    what = "videos with a keyframe a second" if manifest.keyframes else "videos"
    return f"{found.train:,} and {found.test:,} {what}"


def _miniature(chapters: Sequence[Chapter], records: Sequence[Record]) -> str:
    rows = []
    for chapter in chapters:
        for record in of_chapter(records, chapter.name):
            results = record.results(TrainingResults) if record.generated else None
            for row in results.learns if results else ():
                holds = "holds" if row.holds else "**fails**"
                rows.append([escape(chapter.title), escape(row.claim), escape(row.shown), holds])
    if not rows:
        return "No record of a training on a miniature was found.\n"
    return table(["Chapter", "Claim", "Measured", "State"], rows)


def _ladder(chapters: Sequence[Chapter], records: Sequence[Record]) -> str:
    rows = [[_link(one), *(rung.state for rung in ladder_of(one.name, records))] for one in chapters]
    return table(["Chapter", *(name for name, *_ in LADDER)], rows)


def _link(chapter: Chapter) -> str:
    return f"[{escape(chapter.title)}](../notebooks/{chapter.name}/index.md)"
