"""What goes out and comes in: a release, what a check of it re-creates, and packs that strangers hand in."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from actionbook.core.chapters import chapters
from actionbook.core.paths import ROOT
from actionbook.core.schema import read_yaml
from actionbook.results.published import FOLDER

RERUN = ("03_training", "04_conversion", "05_accuracy")


def test_a_check_of_the_book_is_told_what_a_build_recreates() -> None:
    text = (ROOT / "codecheck.yml").read_text()
    assert text.startswith("---\n")  # CODECHECK's configuration 1.0, "explicit document"
    stated, citation = yaml.safe_load(text), read_yaml(ROOT / "CITATION.cff")
    assert stated["version"] == "https://codecheck.org.uk/spec/config/1.0/"
    assert stated["paper"] == {key: citation[key] for key in ("title", "authors")}
    assert stated.get("repository") == citation.get("repository-code")
    listed = [row["file"] for row in stated["manifest"]]
    assert listed == [f"notebooks/{one.name}/record/{stage}.json" for one in chapters() for stage in RERUN]
    assert all((ROOT / name).is_file() for name in listed)
    assert all(row["comment"] for row in stated["manifest"])
    for one in chapters():
        url = read_yaml(FOLDER / f"{one.name}.yaml")["sources"]["paper"]["url"]
        assert url.rstrip("v123456789") in stated["summary"]


def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / "evidence.yml").read_text()))


def test_a_pull_request_with_a_pack_has_no_power() -> None:
    flow = workflow()
    assert list(flow[True]) == ["pull_request"]  # "on"; not pull_request_target, whose token may write
    assert flow["permissions"] == {"contents": "read"}
    (job,) = flow["jobs"].values()
    assert "permissions" not in job
    assert "secrets" not in str(flow)
    checkouts = [step["with"] for step in job["steps"] if str(step.get("uses")).startswith("actions/checkout@")]
    base, head = checkouts
    assert all(one["persist-credentials"] is False for one in checkouts)
    assert base["ref"] == "${{ github.event.pull_request.base.sha }}"  # the code that checks
    assert head["sparse-checkout"] == "evidence/incoming"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert not any("${{" in command for command in commands)  # no name of a stranger's choice in a shell
    script = next(command.split() for command in commands if ".ci/evidence" in command)
    assert script[1] == f"{head['path']}/{head['sparse-checkout']}"
    assert os.access(ROOT / script[0], os.X_OK)


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """Runs the script of the workflow with a stand-in for Python, for which a pack holds if it is called good."""
    python = tmp_path / "python"
    python.write_text(
        """#!/bin/sh
[ "$1 $2 $3" = "-m actionbook.evidence check" ] || exit 9
case $4 in *crash*) exit 2 ;; esac
echo "table of $4" > "$6"; echo "{}" > "$8"
case $4 in *good*) exit 0 ;; esac
exit 1
"""
    )
    python.chmod(0o755)

    def run(*names: str) -> tuple[int, list[str]]:
        incoming, tables = tmp_path / "incoming", tmp_path / "tables"
        for name in names:
            (incoming / name).parent.mkdir(parents=True, exist_ok=True)
            (incoming / name).write_bytes(b"PK")
        incoming.mkdir(exist_ok=True)
        (incoming / "link.zip").symlink_to("/etc/hostname")
        done = subprocess.run(
            [ROOT / ".ci" / "evidence", incoming, tables],
            env={**os.environ, "PYTHON": str(python)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, [path.read_text() for path in sorted(tables.glob("*.md"))]

    return run


def test_packs_of_any_name_are_checked_and_each_has_a_table(check: Any) -> None:
    status, tables = check("good $(touch x); a.zip", "--help good\n.zip", "inner/good.zip", "other.txt")
    assert (status, len(tables)) == (0, 3)
    assert all(text.startswith("table of ") for text in tables)


def test_one_pack_that_does_not_hold_fails_and_the_others_are_checked(check: Any) -> None:
    status, tables = check("a bad.zip", "b crash.zip", "c good.zip")
    assert (status, len(tables)) == (1, 3)
    assert "could not be checked" in tables[1]


def test_a_request_without_a_pack_fails(check: Any) -> None:
    assert check("readme.txt") == (1, [])


def release(build: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--directory", ROOT, "release"],
        env={**os.environ, "ACTIONBOOK_BUILD": str(build)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_release_holds_pages_lock_records_and_digests(tmp_path: Path) -> None:
    assert "run make book or make pages first" in release(tmp_path).stderr
    pages = tmp_path / "_build" / "html"
    pages.mkdir(parents=True)
    (pages / "index.html").write_text("<p>The book</p>")
    done = release(tmp_path)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "release"
    assert {path.name for path in made.iterdir()} == {
        "book.tar.gz",
        "records.tar.gz",
        "requirements.txt",
        "manifests.sha256",
        "CITATION.cff",
        "codecheck.yml",
        "LICENSE",
        "SHA256SUMS",
    }
    compared = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made, capture_output=True, text=True, check=True)
    assert compared.stdout.count(": OK") == 7
    with tarfile.open(made / "book.tar.gz") as archive:
        assert "./index.html" in archive.getnames()
    with tarfile.open(made / "records.tar.gz") as archive:
        names = archive.getnames()
        assert {(one.uname, one.gname, one.uid, one.mtime) for one in archive} == {("", "", 0, 0)}
    for one in chapters():
        assert f"notebooks/{one.name}/record/05_accuracy.json" in names
        assert f"book/published/{one.name}.yaml" in names
    digests = (made / "manifests.sha256").read_text().split()[1::2]
    assert digests == sorted(f"data_manifests/{path.name}" for path in (ROOT / "data_manifests").glob("*.yaml"))
    before = (made / "SHA256SUMS").read_text()
    (pages / "index.html").touch()
    assert release(tmp_path).returncode == 0
    assert (made / "SHA256SUMS").read_text() == before  # the same bytes, whenever
