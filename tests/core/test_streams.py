"""Two streams: which recipes a name and a modality stand for, and no stream of the wrong kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from actionbook.core import workspace
from actionbook.core.errors import BookError
from actionbook.core.streams import Streams

COLOUR: dict[str, Any] = {
    "chapter": "pair",
    "title": "Two streams",
    "data": {"manifest": "mini_ucf101"},
    "clips": {"size": 32},
    "model": {"name": "i3d"},
    "training": {"epochs": 1, "batch_size": 2, "lr": 0.1},
}
FLOW: dict[str, Any] = {"clips": {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}}


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of recipes of a chapter `pair`, which has the streams of `tiny`, and of `twice_flow` in colour."""
    folder = tmp_path / "notebooks" / "pair" / "recipes"
    folder.mkdir(parents=True)
    extending = {
        "tiny_flow": {"extends": "tiny_rgb", **FLOW},
        "tiny": {"extends": "tiny_rgb"},
        "twice_flow_rgb": {"extends": "tiny_rgb"},
    }
    for name, data in {"tiny_rgb": {"name": "tiny_rgb", **COLOUR}, **extending}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    monkeypatch.setattr(workspace, "NOTEBOOKS", tmp_path / "notebooks")
    return folder


def streams(work: Path, chapter: str = "pair", **changes: Any) -> Streams:
    own = {"recipe": "tiny", "modality": "joint", "work_root": str(work), "data_root": None, "device": "CPU"}
    return Streams.open(chapter, "03_training", own | {"workers": 1, "overrides": None} | changes)


def names(found: Streams) -> tuple[dict[str, str], str | None]:
    """Recipes by modality, and of both together."""
    return {own: stage.recipe.name for own, stage in found}, found.joint.recipe.name if found.joint else None


@pytest.mark.usefixtures("recipes")
def test_both_streams_and_what_concerns_both(tmp_path: Path) -> None:
    found = streams(tmp_path / "work")
    assert names(found) == ({"rgb": "tiny_rgb", "flow": "tiny_flow"}, "tiny")
    assert list(found.stages) == ["rgb", "flow"]
    assert found.first is found.stages["rgb"]
    assert found.all == [*found.stages.values(), found.joint]
    assert [stage.folder.name for stage in found.all] == ["tiny_rgb", "tiny_flow", "tiny"]
    assert {stage.name for stage in found.all} == {"03_training"}
    assert found.stages["flow"].frame_store == found.stages["rgb"].flow_store


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize("own", ["rgb", "flow"])
def test_one_stream(tmp_path: Path, own: str) -> None:
    found = streams(tmp_path, modality=own)
    assert names(found) == ({own: f"tiny_{own}"}, None)
    assert found.all == [found.first]


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize("modality", ["rgb", "flow", "joint"])
@pytest.mark.parametrize("own", ["rgb", "flow"])
def test_a_recipe_of_one_stream_names_it_itself(tmp_path: Path, own: str, modality: str) -> None:
    assert names(streams(tmp_path, recipe=f"tiny_{own}", modality=modality)) == ({own: f"tiny_{own}"}, None)


@pytest.mark.usefixtures("recipes")
def test_only_the_last_part_of_a_name_is_its_stream(tmp_path: Path) -> None:
    assert names(streams(tmp_path, recipe="twice_flow_rgb")) == ({"rgb": "twice_flow_rgb"}, None)


def test_recipes_by_their_path(recipes: Path, tmp_path: Path) -> None:
    both = streams(tmp_path, recipe=str(recipes / "tiny.yaml"))
    assert names(both) == ({"rgb": "tiny_rgb", "flow": "tiny_flow"}, "tiny")
    one = streams(tmp_path, recipe=str(recipes / "tiny_flow.yaml"))
    assert names(one) == ({"flow": "tiny_flow"}, None)


@pytest.mark.usefixtures("recipes")
def test_overrides_reach_every_stream(tmp_path: Path) -> None:
    found = streams(tmp_path, overrides={"training": {"epochs": 7}})
    assert [stage.recipe.training.epochs for stage in found.all] == [7, 7, 7]


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize("modality", [None, "RGB", "both", "", ["rgb"]])
def test_another_modality(tmp_path: Path, modality: Any) -> None:
    with pytest.raises(BookError, match=r"^modality .*: expected rgb, flow or joint \(both\)$"):
        streams(tmp_path, modality=modality)


@pytest.mark.parametrize("wrong", ["rgb", "flow"])
def test_a_stream_whose_clips_are_of_the_other_kind(recipes: Path, tmp_path: Path, wrong: str) -> None:
    other = {"extends": f"tiny_{'flow' if wrong == 'rgb' else 'rgb'}"}
    (recipes / f"odd_{wrong}.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    with pytest.raises(BookError, match=rf"recipe 'odd_{wrong}': clips\.modality is '.*', expected '{wrong}'"):
        streams(tmp_path, recipe="odd", modality=wrong)


@pytest.mark.usefixtures("recipes")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "huge"}, r"recipe 'huge_rgb': .*huge_rgb\.yaml does not exist; .* has: tiny, tiny_flow, tiny_rgb"),
        ({"recipe": "twice", "modality": "rgb"}, r"recipe 'twice_rgb': .*does not exist"),
        ({"recipe": None}, "recipe: expected a name or the path"),
        ({"modalty": "rgb"}, "unknown parameter 'modalty'"),
    ],
)
def test_what_a_stage_refuses(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BookError, match=message):
        streams(tmp_path, **changes)


def test_the_streams_of_the_book(tmp_path: Path) -> None:
    found = streams(tmp_path, "i3d", recipe="ucf101_1card")
    assert names(found) == ({"rgb": "ucf101_1card_rgb", "flow": "ucf101_1card_flow"}, "ucf101_1card")
    assert {own: stage.recipe.clips.shape for own, stage in found} == {
        "rgb": (3, 64, 224, 224),
        "flow": (2, 64, 224, 224),
    }
    assert found.stages["flow"].recipe.model_options["in_channels"] == 2
