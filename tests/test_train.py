"""The command line of training refuses what means nothing, before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mindspore import Tensor, nn

from actionbook import models, train
from actionbook.core.workspace import Stage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "workers: expected a whole number of at least 1"),
        (["--workers", "-1"], "workers: expected a whole number of at least 1"),
        (["--devices", "0"], "devices: expected a whole number of at least 1"),
        (["--data-root", ""], "data_root: expected the path of a folder"),
        (["--work-root", ""], "work_root: expected the path of a folder"),
        (["--stream", ""], "stream '': expected one of rgb"),
        (["--overrides", "training: 3"], "'training'"),
    ],
)
def test_arguments_that_mean_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["efficient3d", "mini", "--work-root", str(tmp_path), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", ["", "minni"])
def test_recipes_that_do_not_exist(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["efficient3d", recipe]) == 1
    assert "recipe" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--workers", "two"], ["--devices", ""], ["--device", "cpu"], ["--device", ""]])
def test_arguments_of_another_kind(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        train.main(["efficient3d", "mini", *arguments])
    assert stopped.value.code == 2
    assert f"argument {arguments[0]}: invalid" in capsys.readouterr().err


class Averages(nn.Cell):
    """A dense layer on the mean colours of a clip: compiled in no time."""

    def __init__(self, classes: int, seed: int) -> None:
        super().__init__()
        self.dense = nn.Dense(3, classes, weight_init="ones")

    def construct(self, clip: Tensor) -> Tensor:
        return self.dense(clip.mean((2, 3, 4)))


@pytest.fixture
def two_streams(tiny_stage: Any, after_data: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage of a recipe of two streams whose data is prepared."""
    monkeypatch.setitem(models.MODELS, "averages", Averages)
    streams = {"one": {}, "two": {"transforms": {"flip": 0.0}}}
    return after_data(tiny_stage(model={"name": "averages", "options": {}}, streams=streams))


@pytest.mark.parametrize(("arguments", "streams"), [([], ["one", "two"]), (["--stream", "two"], ["two"])])
def test_streams_are_trained_and_tested(
    two_streams: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], streams: list[str]
) -> None:
    places = ["--data-root", str(two_streams.data_root), "--work-root", str(two_streams.work_root)]
    recipe = str(tmp_path / "recipe.yaml")
    assert train.main(["tiny", recipe, *places, "--device", "CPU", "--workers", "1", *arguments]) == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [folder.parents[1] for folder in folders] == [two_streams.workspace / name for name in streams]
    assert all((folder / "done.json").is_file() for folder in folders)
    assert [len(list(folder.parents[1].glob("predictions/*/*_0.bin"))) for folder in folders] == [12] * len(streams)
    assert not list((two_streams.workspace / "training").glob("*"))
