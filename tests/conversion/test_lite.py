from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from actionbook.conversion import ConverterError, ConverterMissing, converter_lite_command, run_converter_lite


def command() -> list[str]:
    return converter_lite_command(
        "net;1.mindir", batch=1, spec=(3, 16, 112, 112), output="out/lite", config_path="a.cfg"
    )


def test_success(place):
    result = run_converter_lite(command())
    assert result.path == Path("out/lite.mindir")
    assert result.path.read_bytes() == b"MINDIR of network"
    assert result.console == "CONVERT RESULT SUCCESS:0"
    assert result.log == Path("out/lite.converter_lite.log")
    called = json.loads(Path(os.environ["STAND_IN_CALL"]).read_text())
    config = next(a.removeprefix("--configFile=") for a in called["argv"] if a.startswith("--configFile="))
    assert os.path.normpath(Path(called["folder"]) / config) == str(place / "a.cfg")
    assert "--encryption=false" in called["argv"]


def test_any_folder_will_do(place, monkeypatch):
    folder = place / "ein Ordner 书 + @ = (1)"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("STAND_IN", "large")
    (folder / "net.mindir").write_bytes(b"network")
    (folder / "lite_variables").mkdir()
    (folder / "lite_variables/data_1").write_bytes(b"of an earlier run")
    result = run_converter_lite(converter_lite_command("net.mindir", batch=1, spec=(3, 16, 112, 112), output="lite"))
    assert result.path.read_bytes() == b"MINDIR of network"
    found = ["lite.converter_lite.log", "lite_graph.mindir", "lite_variables", "lite_variables/data_0", "net.mindir"]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == found


def test_large_model_brings_its_folder(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "large")
    (place / "out/lite_variables").mkdir(parents=True)
    (place / "out/lite_variables/data_1").write_bytes(b"of an earlier run")
    result = run_converter_lite(command())
    assert result.path == Path("out/lite_graph.mindir")
    assert [path.name for path in (place / "out/lite_variables").iterdir()] == ["data_0"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("failure", "exit status 1"),
        ("no_file", "wrote no lite.mindir"),
        ("silent", "its console does not say 'CONVERT RESULT SUCCESS:0'"),
    ],
)
def test_failure(place, monkeypatch, what, message):
    monkeypatch.setenv("STAND_IN", what)
    with pytest.raises(ConverterError, match=message) as caught:
        run_converter_lite(command())
    assert shlex.join(command()) in str(caught.value)
    if what == "failure":
        assert "CONVERT RESULT FAILED:-300 Failed to find operator." in str(caught.value)
    assert [path.name for path in (place / "out").iterdir()] == ["lite.converter_lite.log"]


def test_no_converter(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(ConverterMissing, match="tools/converter/lib") as caught:
        run_converter_lite(command())
    assert shlex.join(command()) in str(caught.value)
