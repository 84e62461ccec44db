"""Where there is no home, or parts of it cannot be written, programs get folders in the temporary one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from actionbook.core import home
from actionbook.core.errors import BookError

PARTS = ["XDG_CACHE_HOME", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"]


@pytest.fixture(autouse=True)
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's in the temporary folder; no variable is set."""
    for name in (*PARTS, "XDG_CONFIG_HOME", "JUPYTER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary / f"actionbook-{os.getuid()}"


def close(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let these folders be such that cannot be written, which root would not notice."""
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) not in folders)


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path, ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.replacements() == {}
    assert not ours.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


@pytest.mark.parametrize("value", ["nonexistent", "file", None], ids=str)
def test_a_home_that_does_not_exist_is_replaced(
    value: str | None, tmp_path: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / str(value)))
    if value is None:  # as where a user has neither HOME nor a name, in a folder with an unlucky name
        monkeypatch.setattr(Path, "expanduser", lambda self: self)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "~").mkdir()
    assert home.replacements() == {"HOME": str(ours / "home")}
    assert (ours / "home").stat().st_mode & 0o777 == ours.stat().st_mode & 0o777 == 0o700


def test_of_a_home_only_what_cannot_be_written_is_replaced(
    tmp_path: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    close(monkeypatch, tmp_path)
    assert home.replacements() == {name: str(ours / name.lower()) for name in PARTS}
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    (tmp_path / ".ipython").mkdir()
    assert list(home.replacements()) == ["XDG_CACHE_HOME", "JUPYTER_RUNTIME_DIR"]
    monkeypatch.delenv("MPLCONFIGDIR")
    for name in ("XDG_CONFIG_HOME", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path.parent))
    assert list(home.replacements()) == ["XDG_CACHE_HOME"]
    (tmp_path / ".cache" / "numba").mkdir(parents=True)
    close(monkeypatch, tmp_path, tmp_path / ".cache" / "numba")
    assert list(home.replacements()) == ["XDG_CACHE_HOME"]


def test_a_folder_that_may_be_another_users_is_not_used(
    tmp_path: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.own_folder() == ours
    assert home.own_folder("a") == home.own_folder("a") == ours / "a"
    monkeypatch.setenv("HOME", "/nonexistent")
    (ours / "a").rmdir()
    ours.rmdir()
    for make in (lambda: ours.symlink_to(tmp_path), ours.touch):
        make()
        with pytest.raises(BookError, match=r"actionbook-\d+ is not a folder of this user's: remove it, or set TMPDIR"):
            home.own_folder("a")
        assert home.replacements() == {}
        assert home.unusable() == ["HOME"]
        ours.unlink()
