"""The doctor's table in tests: made of one check or of all, and asked for one row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.workspace import Stage
from actionbook.doctor import Finding, doctor, environment
from actionbook.doctor.findings import ok, run_checks


class Table(list[Finding]):
    """Rows of the doctor."""

    @classmethod
    def of(cls, check: Callable[..., Iterable[Finding]], *arguments: Any) -> Table:
        """The rows of one check."""
        return cls(run_checks("here", lambda: {"it": lambda: check(*arguments)}))

    @classmethod
    def of_all(cls, checks: Callable[..., Any], *arguments: Any) -> Table:
        """The rows of a function that gives checks by name."""
        return cls(run_checks("here", lambda: checks(*arguments)))

    def section(self, name: str) -> Table:
        return Table(row for row in self if row.section == name)

    def row(self, check: str, status: str, message: str = "", remedy: str = "") -> Finding:
        """The only row of that check, or of those with `message` in them, which is as it is said here."""
        rows = [row for row in self if row.check == check]
        found = [row for row in rows if message in row.message] if len(rows) > 1 else rows
        assert len(found) == 1, self
        assert found[0].status == status, found
        assert message in found[0].message
        assert remedy in found[0].remedy
        assert bool(found[0].remedy) == (status != "ok")
        return found[0]


@pytest.fixture
def table() -> type[Table]:
    return Table


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that MindSpore takes."""
    monkeypatch.setattr(environment, "mindspore", lambda *_: [ok("MindSpore", "not tried here")])


@pytest.fixture
def examine(quick: None, tiny_stage: Callable[..., Stage], tmp_path: Path) -> Callable[..., Table]:
    """A function that has the doctor look at the tiny recipe with these differences."""

    def look(data_root: Path | None = None, **differences: Any) -> Table:
        stage = tiny_stage(**differences)
        file, root = str(tmp_path / "recipe.yaml"), data_root or stage.data_root
        rows = doctor(file, data_root=root, work_root=stage.work_root, device="CPU")
        assert not [row for row in rows if "this check itself failed" in row.message], rows
        return Table(rows)

    return look
