"""What a stage may claim of its trainings: which run tells classes of a kind apart, and which cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.sections import Evaluation
from actionbook.core.workspace import Stage
from actionbook.datasets.index import make_index
from actionbook.stages.training import Trainings, order_claims
from actionbook.tasks import Classification, Predictions

VIDEOS = 25
"""Of each class; two classes have fifty, and a coin thrown for each is right in 0.5 ± 0.071."""


def guesses(stage: Stage, share: dict[str, float]) -> Predictions:
    """Of every kind of classes the given share is right, and the rest takes the other class of the pair."""
    classes = list(stage.manifest.classes)
    rows, outputs = [], []
    other = {a: b for pairs in stage.manifest.class_groups.values() for p in pairs for a, b in (p, p[::-1])}
    kind = {name: k for k, pairs in stage.manifest.class_groups.items() for p in pairs for name in p}
    for target, label in enumerate(classes):
        for n in range(VIDEOS):
            row = {"video": f"v{target}_{n}", "label": label, "target": target, "subset": "test", "path": ""}
            rows.append(row)
            right = label not in kind or n < share[kind[label]] * VIDEOS
            said = label if right else other[label]
            outputs.append([3.0 * (name == said) + (name in ("kicking", "waving")) * 4 for name in classes])
    videos = [row["video"] for row in rows]
    return Predictions(videos, np.array(outputs, np.float32), make_index(rows), Evaluation(), Classification())


@pytest.fixture
def trainings(tmp_path: Path) -> Trainings:
    stage = Stage.open("stnet", "03_training", work_root=tmp_path)
    shares = {
        ("whole", 1): {"reversed_pairs": 1.0, "same_actions": 0.8},
        ("whole", 2): {"reversed_pairs": 0.92, "same_actions": 0.8},
        ("no_local", 1): {"reversed_pairs": 0.48, "same_actions": 1.0},
        ("no_local", 2): {"reversed_pairs": 0.32, "same_actions": 1.0},
    }
    found = {("rgb", run, seed): guesses(stage, share) for (run, seed), share in shares.items()}
    return Trainings(stage, (), {}, found)


def test_accuracy_within_a_kind_of_classes_is_counted_for_every_training(trainings: Trainings) -> None:
    table = trainings.within("reversed_pairs").set_index(["run", "seed"])
    assert table.value.to_dict() == {
        ("whole", 1): 1.0, ("whole", 2): 0.92, ("no_local", 1): 0.48, ("no_local", 2): 0.32,
    }  # fmt: skip
    assert set(table.expected) == {2 * VIDEOS}  # classes of the other kind, and of none, are not counted
    assert trainings.within("same_actions").value.tolist() == [0.8, 0.8, 1.0, 1.0]


def test_a_kind_that_the_manifest_does_not_name_is_refused_with_those_it_does(trainings: Trainings) -> None:
    message = r"mini_timescales has no groups of classes called 'same_motion'; there are: reversed_pairs, same_actions"
    with pytest.raises(BookError, match=message):
        trainings.within("same_motion")
    with pytest.raises(BookError, match=message):
        order_claims(trainings, "whole", "no_local", kind="same_motion")


def test_claims_are_of_one_kind_and_of_means_over_seeds(trainings: Trainings) -> None:
    sees, blind = order_claims(trainings, "whole", "no_local", ("it sees", "it does not"), "reversed_pairs")
    assert (sees.claim, sees.holds, sees.shown) == (
        "it sees", True, "0.960 of 50 videos, mean of seeds; a coin: 0.5 ± 0.071",
    )  # fmt: skip
    assert (blind.claim, blind.holds, blind.shown[:5]) == ("it does not", True, "0.400")
    # Of the order both are better than a coin, so one of the two claims is wrong.
    sees, blind = order_claims(trainings, "whole", "no_local", ("it sees", "it does not"), "same_actions")
    assert (sees.holds, sees.shown[:5], blind.holds) == (True, "0.800", False)
    # 0.40 is not four standard deviations above a coin.
    sees, _ = order_claims(trainings, "no_local", "whole", ("it sees", "it does not"), "reversed_pairs")
    assert not sees.holds


def test_nothing_is_claimed_of_a_run_that_was_not_trained(trainings: Trainings) -> None:
    assert order_claims(trainings, "whole", "no_temporal", kind="same_actions") == ()
