"""The first screens of the book and of its chapters: people who move, and what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from actionbook.core.chapters import Chapter
from actionbook.core.manifest import load_dataset
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.core.record import Record
from actionbook.core.score import WITHIN_GROUPS, Score
from actionbook.core.stage_results import TrainingResults
from actionbook.datasets.figures import render_frame
from actionbook.datasets.miniature import MiniSpec, render_clip
from actionbook.datasets.miniature.ava import ava_film
from actionbook.datasets.miniature.spec import Clip, render_scene
from actionbook.datasets.obtain import MINIATURES
from actionbook.results.flow_pictures import in_colours
from actionbook.results.loops import loops
from actionbook.results.markdown import escape, spread, table
from actionbook.results.proof import ladder_of
from actionbook.results.records import of_chapter
from actionbook.results.style import colour
from actionbook.stages.data import SAME_ACTIONS
from actionbook.video.flow import flow_frames, grey

Film = tuple[str, np.ndarray]
"""A title and frames, uint8 (T, H, W, 3)."""

EMBEDDED = "mini"
"""The recipe that chapters run by default; its data set is drawn."""
EVERY = 2
"""Of a film's 25 frames in a second every second one is shown, ten in a second: nearly as fast as it is, in half the
bytes."""
FRAMES = 50
"""Of longer films fewer frames are shown: no card takes more than 25."""


def hero() -> str:
    """Two films that are each other backwards, in MyST Markdown: why a single frame is not enough."""
    frames = render_clip("Walking", 6, 1, MiniSpec())[::EVERY]
    return _pictures([("Walking", frames), ("MoonWalk: the same frames, backwards", frames[::-1])], 180)


def measured(chapters: Sequence[Chapter], records: Sequence[Record]) -> str:
    """One sentence of what the first chapter's network gets right, from clips and from single frames; or "".

    It is made of the first record of trainings on a drawn data set, chapters in the order of the contents.
    """
    for chapter in chapters:
        for record in of_chapter(records, chapter.name):
            results = record.results(TrainingResults)
            text = _sentence(chapter, record.head.recipe, results) if record.generated and results else ""
            if text:
                return text
    return ""


def cards(chapters: Sequence[Chapter], records: Sequence[Record]) -> str:
    """A card for each chapter, in MyST Markdown for a page in ``book/``."""
    parts = [":::::{grid} 1 1 2 2\n:gutter: 3\n:class-container: chapters\n"]
    for chapter in chapters:
        shown = sum(rung.state == "shown" for rung in ladder_of(chapter.name, records))
        footer = f"{len(chapter.stages)} notebooks, {shown} of 5 rungs shown"
        what = escape(_title(chapter))
        link = f":link: ../notebooks/{chapter.name}/index\n:link-type: doc\n"
        parts.append(_card(chapter.title, link, _pictures(films(chapter), 105), what, footer))
    parts.append(":::::\n")
    return "\n".join(parts)


@cache
def films(chapter: Chapter) -> list[Film]:
    """What the chapter's embedded recipe looks at: a class in every kind of its streams, or two classes in colours.

    Empty where there is no such recipe, or its data set is not drawn. Raises BookError for a recipe that is damaged.
    """
    if not _recipe(chapter, EMBEDDED).is_file():
        return []
    recipe = Recipe.load(_recipe(chapter, EMBEDDED))
    manifest = load_dataset(recipe.data.manifest)
    if manifest.generator is None:
        return []
    spec = MiniSpec(**manifest.generator.model_dump(), classes=manifest.classes)
    if manifest.keyframes:
        return [_boxed(Clip("", group, 1), spec) for group in (1, 2)]
    kinds = [recipe.for_stream(name).transforms.modality for name in recipe.stream_names]
    shown = manifest.class_groups.get(SAME_ACTIONS, (spec.classes[2:4],))[0]
    acted = [(name, render_scene(MINIATURES[manifest.dataset].scene(Clip(name, 3, 1), spec))) for name in shown]
    if "flow" not in kinds:
        # Long films are shown quicker, or they would weigh as much as the rest of the page.
        return [(f"Class {name}", frames[:: EVERY * -(-len(frames) // FRAMES)]) for name, frames in acted]
    name, frames = acted[0]
    moved = np.stack(list(flow_frames(map(grey, frames), recipe.data.flow)))[1:]
    beside = (f"Class {name} as optical flow", in_colours(moved, recipe.data.flow.bound)[::EVERY])
    return [(f"Class {name}", frames[1::EVERY]), beside]


def _boxed(clip: Clip, spec: MiniSpec) -> Film:
    """The first seconds of a film of several people, each in a box of an own colour."""
    film = ava_film(clip, spec)
    people = range(len(film.scene.actors))
    frames = [render_frame(film.scene, number) for number in range(0, FRAMES // 2 + 3, EVERY)]
    for number, frame in enumerate(frames):
        for person in people:
            box = np.multiply(film.box(person, EVERY * number / film.rate), (spec.width, spec.height) * 2)
            x1, y1, x2, y2 = box.round().astype(int).tolist()
            red, green, blue = (round(255 * share) for share in to_rgb(colour(person)))
            cv2.rectangle(frame, (x1, y1), (x2, y2), (red, green, blue), 1)
    return f"{len(people)} people, each with classes of their own", np.stack(frames)


def chapter_film(chapter: Chapter) -> str:
    """The moving pictures of a chapter's first page, in MyST Markdown; "" where there are none."""
    return _pictures(films(chapter), 150)


def chapter_notebooks(chapter: Chapter, records: Sequence[Record]) -> str:
    """The chapter's notebooks and how long each took in the run that its pages show, as MyST Markdown for its folder.

    Of several records it is that of the embedded recipe; without one there are no times.
    """
    mine = [one for one in of_chapter(records, chapter.name) if one.head.recipe == EMBEDDED]
    stages = mine[0].stages if mine else {}
    names = (*chapter.stages, *chapter.beside)
    rows = [[f"[]({name})", round(stages[name].seconds) if name in stages else None] for name in names]
    text = table(["Notebook", "Seconds"], rows, right=(1,))
    if stages:
        found = next(iter(stages.values())).environment
        machine = f"{found.get('cpu') or found.get('machine') or 'unknown machine'}, {found.get('cores') or '?'} cores"
        whole = round(sum(entry.seconds for entry in stages.values()) / 60)
        text += (
            f"\nThe seconds, {whole} minutes in all, are those of the run that these pages show ({escape(machine)}, "
            "other chapters beside it). What a run finds finished it does not do again.\n"
        )
    return text


def _recipe(chapter: Chapter, name: str) -> Path:
    return NOTEBOOKS / chapter.name / "recipes" / f"{name}.yaml"


def _title(chapter: Chapter) -> str:
    return Recipe.load(_recipe(chapter, EMBEDDED)).title if _recipe(chapter, EMBEDDED).is_file() else ""


def _pictures(rows: Sequence[Film], height: int) -> str:
    """Moving pictures as a block of MyST Markdown that may stand inside others; "" without any."""
    if not rows:
        return ""
    return f"```{{raw}} html\n{loops(rows, fps=25 / EVERY, height=height).html}\n```\n"


def _card(title: str, options: str, picture: str, text: str, footer: str) -> str:
    below = f"\n:::{{card-footer}}\n{footer}\n:::\n" if footer else ""
    return f"::::{{grid-item-card}} {title}\n{options}\n{picture}\n{text}\n{below}::::\n"


def _sentence(chapter: Chapter, name: str, results: TrainingResults) -> str:
    """The main run of the recipe `name` beside the run that is shown single frames, if there is one."""
    recipe = Recipe.load(_recipe(chapter, name))
    main = recipe.main_run.name
    single = [run.name for run in recipe.training.runs if recipe.for_run(run).sampling.drawn == 1]
    frames = recipe.for_run(recipe.main_run).sampling.drawn
    clips = [row.score for row in results.runs if row.run == main]
    if not clips or main in single:
        return ""
    still = [row.score for row in results.runs if row.run in single]
    pairs, guesses = _pairs(results, [main]), _pairs(results, single)
    who = f"the network of [{escape(chapter.title)}](../notebooks/{chapter.name}/index.md)"
    text = f"From clips of {frames} frames {who} names **{_mean(clips)}** of {clips[0].expected} test videos correctly"
    text += f", from single frames **{_mean(still)}**" if still else ""
    if pairs and guesses:
        text += f"; films that are each other backwards, such as these, it tells apart in {_mean(pairs)} and "
        text += f"{_mean(guesses)} of cases, where guessing gives 50%"
    seeds = f"mean ± spread of {len(clips)} seeds" if len(clips) > 1 else "one seed"
    return f"{text} ({seeds}).\n"


def _pairs(results: TrainingResults, runs: Sequence[str]) -> list[Score]:
    rows = [row for row in results.runs if row.run in runs]
    return [score for row in rows if (score := row.other(WITHIN_GROUPS)) is not None]


def _mean(scores: Sequence[Score]) -> str:
    return str(spread([score.value for score in scores]))
