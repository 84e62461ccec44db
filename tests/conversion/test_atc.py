from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from actionbook.conversion import ConversionError, ConverterError, ConverterMissing, atc_command, run_atc
from actionbook.conversion.atc_codes import CODES, Codes, explain, explain_code
from actionbook.core.errors import BookError
from actionbook.core.schema import read_yaml, validate

STAND_INS = Path(__file__).parent / "stand_ins"
CLIP = (3, 16, 112, 112)


def command(model: Path | str = "net.onnx", output: str = "out/net_bs8", **changes) -> list[str]:
    return atc_command(model, batch=8, spec=CLIP, soc_version="Ascend310P3", output=output, **changes)


def call() -> dict:
    return json.loads(Path(os.environ["STAND_IN_CALL"]).read_text())


def test_success(place, caplog):
    lines: list[str] = []
    with caplog.at_level(logging.INFO, logger="actionbook.conversion.converter"):
        result = run_atc(command(), on_line=lines.append, timeout=60)
    assert result.om == Path("out/net_bs8.om")
    assert result.om.read_bytes() == b"OM of network"
    assert result.bytes == 13
    assert result.sha256 == hashlib.sha256(b"OM of network").hexdigest()
    assert result.command == tuple(command())
    assert lines == ["ATC start working now, please wait for a moment.", "ATC run success, welcome to the next use."]
    assert [record.message for record in caplog.records] == [f"atc: {line}" for line in lines]
    assert result.console == "\n".join(lines)
    assert result.log.read_text() == f"$ {shlex.join(command())}\n" + "".join(f"{line}\n" for line in lines)
    # What ATC leaves in its working folder went with the folder.
    assert sorted(path.name for path in place.rglob("*")) == [
        *["net.onnx", "net;1.mindir", "net_bs8.atc.log", "net_bs8.om", "out"]
    ]
    assert not Path(call()["folder"]).exists()


def test_arguments_reach_the_tool_as_they_are(place):
    given = command(log="error", output_type="node:0:FP16;node:1:FP32")
    run_atc(given)
    moved = ("--model=", "--output=")
    assert [a for a in call()["argv"] if not a.startswith(moved)] == [a for a in given[1:] if not a.startswith(moved)]
    assert "--output=net_bs8" in call()["argv"]


@pytest.mark.parametrize(
    "name", ["a b.onnx", "网络 模型.onnx", "$(touch hacked);`touch hacked`&|'\".onnx", "é\udcff.onnx"]
)
def test_model_path_is_never_read_by_a_shell(place, name):
    folder = place / "folder; touch hacked"
    folder.mkdir()
    (folder / name).write_bytes(name.encode(errors="surrogateescape"))
    result = run_atc(command(folder / name))
    assert result.om.read_bytes() == b"OM of " + name.encode(errors="surrogateescape")
    assert not list(place.rglob("hacked"))


ODD = "ein Ordner 书 + @ = (1)"


def test_any_folder_will_do(place, monkeypatch):
    """The stand-in refuses what ATC refuses, by the whole path with links resolved: it must run elsewhere."""
    folder = place / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (2,), np.zeros(2, np.float32).tobytes(), raw=True)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [tensor])
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(helper.make_model(graph), "net.onnx", **options)
    (folder / "mix list.json").write_text("{}")
    result = run_atc(command("net.onnx", "net_bs8", extra={"modify_mixlist": "mix list.json"}))
    assert result.om.read_bytes() == b"OM of " + Path("net.onnx").read_bytes()
    assert Path(call()["folder"]).parent == Path(tempfile.gettempdir()).resolve()
    assert not Path(call()["folder"]).exists()
    assert {"--model=given_model.onnx", "--output=net_bs8", "--modify_mixlist=given_modify_mixlist.json"} < set(
        call()["argv"]
    )
    assert set(call()["beside"]) >= {"given_model.onnx", "weights.bin", "given_modify_mixlist.json"}
    names = ["mix list.json", "net.onnx", "net_bs8.atc.log", "net_bs8.om", "weights.bin"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_log_that_cannot_be_written_is_named(place):
    (place / "out/net_bs8.atc.log").mkdir(parents=True)
    with pytest.raises(ConverterError, match=r"net_bs8\.atc\.log: atc's output cannot be written there"):
        run_atc(command())


def test_program_is_found_beside_the_run(place, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([os.path.relpath(STAND_INS), os.environ["PATH"]]))
    assert run_atc(command()).bytes == 13


def test_a_path_option_and_a_linked_model_are_found_from_the_tool_s_folder(place):
    (place / "blob").write_bytes(b"linked")
    (place / "link.onnx").symlink_to("blob")
    (place / "mix.json").write_text("{}")
    assert run_atc(command("link.onnx", extra={"modify_mixlist": "mix.json"})).om.read_bytes() == b"OM of linked"
    options = dict(argument.split("=") for argument in call()["argv"])
    for option, name in (("--modify_mixlist", "mix.json"), ("--model", "link.onnx")):
        assert not Path(options[option]).is_absolute()
        assert os.path.normpath(Path(call()["folder"]) / options[option]) == str(place / name)


def test_om_named_after_the_host(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "host")
    result = run_atc(command())
    assert result.om == Path("out/net_bs8_linux_aarch64.om")
    assert result.om.read_bytes() == b"OM of network"


def test_undecodable_bytes(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "bytes")
    result = run_atc(command())
    assert "...\ufffd\ufffd warning from a \ufffd kernel" in result.console
    assert result.bytes == 13


def test_codes(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "codes")
    with pytest.raises(ConverterError) as caught:
        run_atc(command())
    assert caught.value.codes == ("E10016", "EZ3003")
    message = str(caught.value)
    assert message.startswith("atc failed: exit status 255 (E10016: A node named in an option is not in the model)\n")
    for part in (
        shlex.join(command()),
        "E10016: A node named in an option is not in the model.",
        "said: Opname [input] specified in [--input_shape] is not found in the model.",
        "what to do: Look up the input's name",
        "EZ3003: No engine of this chip runs an operator.",
        "optype [Conv3D]",
        "out/net_bs8.atc.log",
        "~/ascend/log/debug/plog",
    ):
        assert part in message
    assert "EZ3003" in (place / "out/net_bs8.atc.log").read_text()


@pytest.mark.parametrize(
    ("what", "message", "codes"),
    [
        ("no_file", "exit status 0, but it wrote no net_bs8.om", ()),
        ("empty", "exit status 0, but net_bs8.om is empty", ()),
        ("soft_failure", "exit status 0, but its console says 'ATC run failed'", ("E10001",)),
        ("killed", "it was stopped by SIGKILL", ("killed",)),
        ("killed_inside", "exit status 137", ("killed",)),
        ("python", "exit status 255", ("EC0010",)),
        ("full_card", r"exit status 255 \(EL0004: The memory of the card is full\)", ("EL0004", "E19999")),
        ("silent", "exit status 255", ()),
    ],
)
def test_failure_leaves_the_log_and_the_old_file(place, monkeypatch, what, message, codes):
    old = place / "out" / "net_bs8.om"
    old.parent.mkdir()
    old.write_bytes(b"old")
    monkeypatch.setenv("STAND_IN", what)
    with pytest.raises(ConverterError, match=message) as caught:
        run_atc(command())
    assert caught.value.codes == codes
    assert old.read_bytes() == b"old"
    assert sorted(path.name for path in old.parent.iterdir()) == ["net_bs8.atc.log", "net_bs8.om"]
    if "killed" in codes:
        assert "TE_PARALLEL_COMPILER=1" in str(caught.value)
    if what == "silent":
        assert "    [ERROR] something that nobody has listed" in str(caught.value)


def test_timeout(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "slow")
    with pytest.raises(ConverterError, match=r"did not end within 0\.5 s and was stopped") as caught:
        run_atc(command(), timeout=0.5)
    assert caught.value.codes == ()
    assert [path.name for path in (place / "out").iterdir()] == ["net_bs8.atc.log"]


def test_interruption_stops_the_tool_and_what_it_started(place, monkeypatch):
    monkeypatch.setenv("STAND_IN", "slow")
    workers: list[int] = []

    def interrupt(line: str) -> None:
        if line.startswith("worker "):
            workers.append(int(line.split()[1]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_atc(command(), on_line=interrupt)
    end = time.monotonic() + 20
    while running(workers[0]) and time.monotonic() < end:
        time.sleep(0.02)
    assert not running(workers[0])
    assert [path.name for path in (place / "out").iterdir()] == ["net_bs8.atc.log"]


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_no_atc(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(ConverterMissing) as caught:
        run_atc(command())
    for part in (
        shlex.join(command()),
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh",
        "source /usr/local/Ascend/cann/set_env.sh",
    ):
        assert part in str(caught.value)
    assert isinstance(caught.value, ConversionError)
    assert not (place / "out").exists()


def test_atc_that_cannot_be_started(place, monkeypatch):
    (place / "bin").mkdir()
    (place / "bin" / "atc").write_text("no program")
    (place / "bin" / "atc").chmod(0o755)
    monkeypatch.setenv("PATH", str(place / "bin"))
    with pytest.raises(ConverterError, match="cannot be started"):
        run_atc(command())


def test_no_model_no_output(place):
    with pytest.raises(ConversionError, match=r"other\.onnx: no such model file"):
        run_atc(command("other.onnx"))
    with pytest.raises(ConversionError, match="expected --output="):
        run_atc(["atc", "--model=net.onnx"])
    (place / "file").write_text("")
    with pytest.raises(ConversionError, match="no file can be written there"):
        run_atc(command(output="file/net"))


def test_every_listed_code_is_reachable():
    codes = validate(Codes, read_yaml(CODES), "codes")
    for entry in codes.entries:
        name = entry.code or entry.name
        samples = {
            "soc_version": "Value [x] for parameter [soc_version] is invalid.",
            "host_env": "Value [linux] for parameter [--host_env_os] is invalid",
            r"should set input_shape|Value \[?-1\]? ": "Value [-1] for parameter [Inputs] is invalid.",
        }
        said = samples.get(entry.text or "", "message") if entry.code else ""
        found = explain(f"{name}: {said}") if entry.code else [explain_code(str(name))]
        assert [(item.code, item.meaning, item.remedy) for item in found] == [(name, entry.meaning, entry.remedy)]
        assert found[0].source == codes.sources[entry.source]


def test_codes_of_the_documentation_are_listed():
    documented = (
        "E10001 E10004 E10005 E10007 E10008 E10009 E10016 E10017 E10019 E10041 E10049 E10055 E11005 E13000 E13001 "
        "E16001 E16002 E76002 E16005 E19010 E19999 EZ3002 EZ3003 EZ9999"
    )
    for code in documented.split():
        assert explain_code(code, "message").cause is not None, code


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("E10007: [--framework] is required.", "E10007", "[--framework] is required."),
        ("EZ9999: [PID: 12] 2025-04-28-02:50:24.965.356 broken[FUNC:x]", "EZ9999", "broken[FUNC:x]"),
        ("[PID: 591] 2026-04-30-03:58:27.508.178 Invalid_Argument(E10016): no node", "E10016", "no node"),
        ("> E19999:", "E19999", ""),
        ("E4X001: a code of tomorrow", "", ""),
        ("E55555: a code of tomorrow", "E55555", "a code of tomorrow"),
    ],
)
def test_forms_of_codes(line, code, said):
    assert [(item.code, item.said) for item in explain(line)] == ([(code, said)] if code else [])


def test_unknown_code_keeps_atc_s_words():
    (item,) = explain("E55555: a code of tomorrow")
    assert (item.meaning, item.cause, item.source) == ("a code of tomorrow", None, None)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", []),
        ("ATC run success, welcome to the next use.", []),
        ("model/E10001.onnx: read\nnode_E10016: ok", []),
        ("EZ9999: Inner Error!\nEZ9999: [PID: 1] 2025-1-1 infer shape failed", ["EZ9999"]),
        ("EZ3003: for [a]\nEZ3003: for [b]\nEZ3003: for [a]", ["EZ3003", "EZ3003"]),
        ("ModuleNotFoundError: No module named 'sympy'\nModuleNotFoundError: No module named 'te'", ["python-module"]),
        ("atc.bin: error while loading shared libraries: libascend_hal.so: cannot open", ["shared-library"]),
        ("Killed", ["killed"]),
        ("line 3: 4711 Killed process", []),
        ("E10041: Failed to load the model\nKilled", ["E10041", "killed"]),
    ],
)
def test_explain(text, codes):
    assert [item.code for item in explain(text)] == codes


def test_an_operator_without_a_parser_has_two_possible_causes():
    (found,) = explain("E19010: No parser is registered for Op [conv, optype [ai.onnx::17::Conv]].")
    for word in ("opset", "operator"):
        assert word in str(found.cause)
        assert word in found.remedy


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("E19999: Inner Error!\nE19999: runtime result = 207001[FUNC:ReportCallError]", ["EL0004", "E19999"]),
        ("[ERROR] malloc device buffer failed. size is 96337920", ["EL0004"]),
        ("EL0004: [PID: 1] 2025-8-26-03:58 Failed to allocate memory.\nEZ9999: Inner Error!", ["EL0004", "EZ9999"]),
        ("[PID: 210907] 2026-04-09-21:56 Memory_Allocation_Failure(EL0004): Failed to allocate memory", ["EL0004"]),
        ("E40021: Failed to compile Op\nCannot allocate memory", ["E40021", "killed"]),  # the host's
        ("infershape of 207001 nodes", []),
    ],
)
def test_a_full_card_comes_first(text, codes):
    assert [item.code for item in explain(text)] == codes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "hearsay"}, "sources hearsay are used but not listed"),
        ({"code": None}, "either a code or a name"),
        ({"code": "1"}, "not of the form"),
        ({"text": "("}, "not a regular expression"),
        ({"cure": "x"}, "unknown key"),
    ],
)
def test_a_file_of_codes_that_does_not_fit(change, message):
    entry = {"code": "E10001", "meaning": "m", "cause": "c", "remedy": "r", "source": "s", **change}
    with pytest.raises(BookError, match=message):
        validate(Codes, {"sources": {"s": "source"}, "entries": [entry]}, "codes.yaml")
