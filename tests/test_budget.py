"""What the trainings of a chapter's miniature may cost: counted, because times depend on the machine.

Small trainings cost what is compiled, several seconds of a core for each graph, and what is multiplied.
"""

from __future__ import annotations

import pytest

from actionbook.core.chapters import chapters
from actionbook.core.manifest import load_dataset
from actionbook.core.workspace import Stage
from actionbook.models.profile import layer_table
from actionbook.training.runs import new_network

GRAPHS = 5
"""Distinct networks that are compiled for training: structure, classes, clip, optimisation. Each takes a process that
starts, compiles twice (step and validation) and is converted: half a minute of a core."""
TERA_MACS = 5.0
"""Multiply-accumulates of all training steps, forward and backward (three times the forward ones): one takes two
minutes of a core in dense convolutions, four in depthwise ones, and a chapter has five minutes of two cores."""


def cost(chapter: str) -> tuple[int, float]:
    """(graphs, tera-MACs) of all trainings of a chapter's miniature."""
    stage = Stage.open(chapter, "03_training")
    graphs, total = set(), 0.0
    for stream in stage.streams.values():
        for run in stream.recipe.training.runs:
            recipe = stream.for_run(run).recipe
            manifest = load_dataset(recipe.data.manifest)
            spec, training = recipe.spec(len(manifest.classes), tested=False), recipe.training
            table = layer_table(new_network(stream.for_run(run)), spec)
            keyframes = manifest.keyframes
            of_each = int(keyframes.last - keyframes.first) + 1 if keyframes else training.clips_per_video
            items = manifest.splits[str(recipe.data.split)].train * of_each
            samples = training.epochs * -(-items // training.batch_size)
            total += 3 * samples * training.batch_size * len(run.seeds) * int(table.macs.sum()) / 1e12
            optimisation = training.model_dump_json(exclude={"runs"})
            graphs.add((recipe.model.model_dump_json(), str(spec), optimisation, samples))
    return len(graphs), total


@pytest.mark.parametrize("chapter", [one.name for one in chapters()])
def test_a_chapters_trainings_stay_within_its_share(chapter: str) -> None:
    graphs, tera_macs = cost(chapter)
    assert 0 < graphs <= GRAPHS
    assert 0 < tera_macs <= TERA_MACS
