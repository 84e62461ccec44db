"""A chapter is a folder and its lines in the table of contents: everything else reads it from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actionbook.core.chapters import CONTENTS, Chapter, chapters
from actionbook.core.errors import BookError
from actionbook.core.paths import NOTEBOOKS, ROOT
from actionbook.core.record import STAGES

ALONE = ("keyframes_and_boxes", "your_own_video")
LINES = """      - file: notebooks/another/index
        sections:
          - file: notebooks/another/01_data
          - file: notebooks/another/02_architecture
          - file: notebooks/another/03_training
          - file: notebooks/another/04_conversion
          - file: notebooks/another/05_accuracy
          - file: notebooks/another/online  # beside the stages
"""


def test_the_books_chapters_have_the_five_stages_and_the_title_of_their_first_page() -> None:
    found = chapters()
    assert [(one.name, one.title) for one in found] == [
        ("efficient3d", "Efficient-3DCNNs"),
        ("i3d", "I3D"),
        ("eco", "ECO"),
        ("stnet", "StNet"),
        ("slowfast", "SlowFast"),
    ]
    assert {one.stages for one in found} == {STAGES}
    assert [one.beside for one in found] == [(), ("published_numbers",), (), (), ()]
    assert sorted(one.name for one in found) == sorted(path.parent.name for path in NOTEBOOKS.glob("*/index.md"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` and the pages read of a checkout, with one more chapter."""
    for name in ("lib", "notebooks", "data_manifests", "book/published"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    for name in ("CITATION.cff", "Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    contents = (ROOT / CONTENTS).read_text()
    assert contents.count("  - caption: Results\n") == 1
    (tmp_path / CONTENTS).write_text(contents.replace("  - caption: Results\n", f"{LINES}  - caption: Results\n"))
    folder = tmp_path / "notebooks" / "another"
    folder.mkdir()
    (folder / "index.md").write_text("A remark.\n\n# Another\n\nText.\n\n# Another heading\n")
    for name in (*STAGES, "online"):
        (folder / f"{name}.md").write_text("")
    return tmp_path


def test_a_new_chapter_is_read_in_the_order_of_the_contents(checkout: Path) -> None:
    assert chapters(checkout) == (*chapters(), Chapter("another", "Another", STAGES, ("online",)))


def test_a_new_chapter_stands_on_the_pages(checkout: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "actionbook.results.pages", "--work", str(checkout / "none")]
    subprocess.run(command, check=True, cwd=checkout, env=environment, timeout=120)
    pages = {name: (checkout / "book" / "_generated" / f"{name}.md").read_text() for name in ("status", "scoreboard")}
    for text in pages.values():
        assert [line for line in text.splitlines() if line in ("## Efficient-3DCNNs", "## I3D", "## Another")] == [
            "## Efficient-3DCNNs",
            "## I3D",
            "## Another",
        ]


def dry_run(checkout: Path, *arguments: str) -> list[str]:
    """The lines that `make` would run, one after the other."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "MFLAGS"}
    command = ["make", "--dry-run", "--no-print-directory", "JOBS=1", *arguments]
    run = subprocess.run(command, check=True, cwd=checkout, env=outside, capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    return run.stdout.splitlines()


def executed(checkout: Path, target: str) -> list[str]:
    """Notebooks that `make` would run, in its order."""
    lines = [line.split() for line in dry_run(checkout, target) if "actionbook.notebooks execute" in line]
    return [line[-1].removeprefix("notebooks/").removesuffix(".md") for line in lines]


def touch_executed(checkout: Path) -> None:
    """As if everything had been installed, and every notebook executed just now."""
    for name in executed(checkout, "notebooks"):
        path = checkout / "_build" / "executed" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".installed").touch()
    past = 1_000_000_000
    for path in checkout.rglob("*"):
        if path.suffix != ".ipynb":
            os.utime(path, (past, past))


def test_make_runs_a_new_chapter_with_the_others(checkout: Path) -> None:
    order = executed(checkout, "book")
    every = [f"{one.name}/{stage}" for one in chapters(checkout) for stage in (*one.stages, *one.beside)]
    assert sorted(order) == sorted([*every, *ALONE])
    for one in chapters(checkout):
        assert [name for name in order if name.startswith(f"{one.name}/0")] == [f"{one.name}/{s}" for s in one.stages]
    assert min(map(order.index, ALONE)) > order.index("efficient3d/05_accuracy")


def test_make_runs_what_a_change_makes_stale(checkout: Path) -> None:
    touch_executed(checkout)
    assert executed(checkout, "notebooks") == []
    (checkout / "notebooks" / "another" / "04_conversion.md").touch()
    assert executed(checkout, "notebooks") == ["another/04_conversion", "another/05_accuracy"]
    next((checkout / "book" / "published").glob("*.yaml")).touch()
    assert set(executed(checkout, "notebooks")) >= {"another/online", "i3d/published_numbers"}


def test_make_tests_every_notebook_and_runs_what_is_missing_first(checkout: Path) -> None:
    lines = dry_run(checkout, "test")
    (compared,) = [number for number, line in enumerate(lines) if "--nbval " in line]
    every = [f"{one.name}/{page}" for one in chapters(checkout) for page in (*one.stages, *one.beside)]
    wanted = {f"notebooks/{name}.ipynb" for name in [*every, *ALONE]}
    assert {part for part in lines[compared].split() if part.endswith(".ipynb")} == wanted
    assert "--executed _build/executed" in lines[compared]
    runs = [number for number, line in enumerate(lines) if "actionbook.notebooks execute" in line]
    assert len(runs) == len(wanted)
    assert max(runs) < compared
    touch_executed(checkout)
    assert executed(checkout, "test") == executed(checkout, "book") == []


def test_what_is_built_goes_where_the_environment_says(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONBOOK_BUILD", "/b")
    lines = dry_run(checkout, "book", "clean")
    said = "\n".join(lines)
    assert "actionbook.notebooks execute -o /b/executed/another/01_data.ipynb notebooks/another/01_data.md" in said
    assert "actionbook.results.pages --out /b/generated" in said
    assert "ACTIONBOOK_EXECUTED=/b/executed" in said
    assert "--path-output /b --all" in said
    assert "open /b/_build/html/index.html" in said
    (clean,) = [line for line in lines if line.startswith("rm -rf") and ".pytest_cache" in line]
    assert clean.split()[2:7] == ["/b/_build", "/b/executed", "/b/failed", "/b/book.pdf", "/b/generated"]
    monkeypatch.setenv("ACTIONBOOK_BUILD", "/a b")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        dry_run(checkout, "book")
    assert "ACTIONBOOK_BUILD is /a b: make cannot work with a space in its name" in caught.value.stderr


def test_a_first_look_runs_no_notebook(checkout: Path) -> None:
    lines = dry_run(checkout, "pages")
    assert any("actionbook.results.pages --accepted" in line for line in lines)
    assert not any("actionbook.notebooks" in line or "--nbval" in line for line in lines)


def test_make_works_where_the_path_has_spaces_and_other_signs(checkout: Path) -> None:
    elsewhere = checkout.parent / "ein Ordner 书 (2)"
    checkout.rename(elsewhere)
    assert len(executed(elsewhere, "book")) == len([*chapters(elsewhere)]) * 5 + 4


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / CONTENTS).unlink(), "cannot be read"),
        (lambda root: (root / CONTENTS).write_text("parts: [\n"), "not valid YAML"),
        (lambda root: (root / "notebooks/another/index.md").unlink(), "cannot be read"),
        (lambda root: (root / "notebooks/another/index.md").write_text("## Low\n"), "heading"),
    ],
)
def test_damaged_contents_are_named(checkout: Path, damage: Damage, message: str) -> None:
    damage(checkout)
    with pytest.raises(BookError, match=message) as caught:
        chapters(checkout)
    assert "_toc.yml" in str(caught.value) or "another/index.md" in str(caught.value)
