"""The tables of the page on the Ascend tool chain, and the page's own commands."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionbook.conversion import atc_command, converter_lite_command
from actionbook.conversion.ascend_operators import ascend_operators
from actionbook.conversion.atc_codes import CODES, Codes
from actionbook.core.paths import ROOT
from actionbook.core.schema import load
from actionbook.inference import ais_bench_command, msame_command
from actionbook.results import pages
from actionbook.results.ascend_tables import COMMON, codes_page, operators_page, opsets_page, prose
from actionbook.results.ascend_tables import pages as ascend_pages

PAGE = (ROOT / "book" / "ascend.md").read_text(encoding="utf-8")
CLIP = (3, 16, 112, 112)


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their headers; tables must be rectangular."""
    found: list[list[str]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block.splitlines()]
        assert len({len(line) for line in cells}) == 1, block
        found += cells[2:]
    return found


def listed(codes: list[list[str]]) -> list[str]:
    return [name.strip("*") for row in codes for name in row[0].split(", ")]


def test_every_code_stands_in_one_of_the_two_tables() -> None:
    common, others = (rows(part) for part in codes_page().split("::::{dropdown} The other codes\n"))
    entries = load(Codes, CODES).entries
    keys = [entry.code or entry.name for entry in entries]
    assert sorted(listed(common) + listed(others)) == sorted(map(str, keys))
    assert set(listed(common)) == set(COMMON)
    assert set(listed(others)).isdisjoint(COMMON)
    assert 12 <= len(common) <= 20


def test_a_row_has_meaning_cause_remedy_and_source() -> None:
    common, others = codes_page().split("::::{dropdown}")
    assert (
        "| **E16002**, **E76002** | ATC has no parser for an ONNX operator. The operator, or the file's opset, is "
        "newer than this CANN. | Export with opset 11, and write the operator in simpler ones. (ge, guide) |\n"
    ) in common
    assert "| *killed* | The system stopped the compiler. Too little memory." in common
    assert "Set `TE_PARALLEL_COMPILER=1` in the environment (range 1 to 32)" in common
    assert "| **E10005** | An option that is either true or false has another value. A misspelt value. |" in others
    assert "| **E10008** | `--framework` is 0 (Caffe), and there is no `--weight`." in others
    assert others.rstrip().splitlines()[-1].startswith("- recipes: ")
    assert {name for row in rows(codes_page()) for name in re.findall(r"\((\w+(?:, \w+)*)\)$", row[2])} >= {
        "ge",
        "guide",
    }


def test_operator_sets_of_each_release() -> None:
    found = [row[:3] for row in rows(opsets_page())]
    assert found == [
        ["5.x", "11", "9 to 13"],
        ["6.x", "11", "11"],
        ["7.x", "9 to 18", "9 to 18"],
        ["8.0 to 8.1", "11 to 15", "8 to 18"],
        ["8.2 to 9.x", "11 to 18", "8 to 18"],
    ]


def test_every_limit_and_every_chip_has_a_row() -> None:
    data = ascend_operators()
    limits, chips = (rows(part) for part in re.split(r"\n(?=\| Chips)", operators_page()))
    rules = [*data.ranges, *data.ranks, *data.auto_pad]
    assert len(limits) == len(rules) + len(data.pools) + 1
    assert [row[0] for row in chips] == list(data.families)
    assert chips[2][1].split(", ") == [f"`{name}`" for name in data.families["310P"].examples]


def test_limits_as_they_are_shown() -> None:
    text = operators_page()
    assert (
        "| 5-D `Conv`, CANN 5.0 to 8.1 | stride 1 to 63, dilation 1 to 255, kernel 1 to 255, pad 0 to 255 "
        "| **refused** (1) |\n"
    ) in text
    assert "| 5-D `Conv`, CANN 8.2 to 9.x | along height and width: stride 1 to 63," in text
    assert "| 5-D `Conv` | along the depth: dilation 1 | **risky** (3) |" in text
    assert "| 5-D `Conv`, CANN 5.x | `auto_pad` `NOTSET` | **risky**: ATC warns and pads nothing" in text
    assert "| 5-D `AveragePool` | not on 310, 310B, 310P, 910 | **risky**: " in text
    assert "| `Resize`, `Upsample` | at most 4 axes | **risky**: " in text
    assert "| 4-D `MaxPool` | window of at most 255 places, stride at most 63 | **risky**: runs on the AI CPU" in text
    assert text.index("5-D `MaxPool`") < text.index("`GlobalAveragePool`") < text.index("4-D `Conv`")


def test_sources_of_limits_are_numbered_and_all_used() -> None:
    text = operators_page()
    numbers = {int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)}
    used = {int(found[1]) for row in rows(text) if (found := re.search(r"\((\d+)\)$", row[-1]))}
    assert numbers == used == set(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", list(ascend_pages()))
def test_names_from_code_are_shown_as_code(name: str) -> None:
    """Outside of code spans two hyphens would become a dash, and a bare bracket or underscore may become markup."""
    plain = re.sub(r"`[^`]*`|^[|:\- ]+$", "", ascend_pages()[name], flags=re.MULTILINE)
    assert re.findall(r"--\w+|\w_\w+|(?<!\\)[<\[$]", plain) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Usually --framework.", "Usually `--framework`."),
        ("--output=folder/ instead of folder/name.", "`--output=folder/` instead of `folder/name`."),
        ("Source CANN's set_env.sh; then", "Source CANN's `set_env.sh`; then"),
        ("of `npu-smi info`, with", "of `npu-smi info`, with"),
        ("the form name:n,c,d,h,w.", "the form `name:n,c,d,h,w`."),
        ('with log="error" or', 'with `log="error"` or'),
        ("to /a/lib64 and [C] _ *", "to `/a/lib64` and \\[C\\] \\_ \\*"),
        ("AvgPool3d((1, 4, 4)) on 310P", "AvgPool3d((1, 4, 4)) on 310P"),
    ],
)
def test_prose(text: str, shown: str) -> None:
    assert prose(text) == shown


@given(st.text(alphabet="ab1_-=./:,;()[]<>*|\\ ", max_size=40))
def test_prose_loses_and_adds_no_letter(text: str) -> None:
    assert re.sub(r"`([^`]*)`|\\(.)", lambda found: found[1] or found[2], prose(text)) == text


def test_command_writes_the_tables_that_the_page_includes(tmp_path: Path) -> None:
    pages.main(["--out", str(tmp_path), "--work", str(tmp_path / "none")])
    included = re.findall(r"^```\{include\} _generated/(\S+)$", PAGE, re.MULTILINE)
    assert sorted(included) == sorted(ascend_pages())
    assert all((tmp_path / name).read_text(encoding="utf-8") == ascend_pages()[name] for name in included)


def test_shell_commands_on_the_page_are_those_of_the_library() -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    om = "export/network_bs16.om"
    for command in (
        atc_command(
            "export/network.onnx",
            batch=16,
            spec=CLIP,
            soc_version="Ascend310P3",
            output="export/network_bs16",
        ),
        ais_bench_command(om, "batches", "results"),
        msame_command(om, "in", "out"),
        converter_lite_command("export/network.mindir", batch=16, spec=CLIP, output="export/lite"),
    ):
        assert command in lines


def test_names_of_the_library_on_the_page_and_in_its_tables_exist() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        compile(block, "ascend.md", "exec")
        for module, names in re.findall(r"^from (actionbook\S*) import (.+)$", block, re.MULTILINE):
            assert all(hasattr(importlib.import_module(module), name) for name in names.split(", ")), (module, names)
    dotted = re.findall(r"`(actionbook(?:\.\w+)+)\.(\w+)\(\)`", "".join(ascend_pages().values()))
    assert dotted
    assert all(hasattr(importlib.import_module(module), name) for module, name in dotted), dotted
