"""The command line of training refuses what means nothing, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionbook import train


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
