"""Preparation on a Dask cluster: workers and clients that are killed, and clear words for clusters that do not work."""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from distributed import LocalCluster

from actionbook.core.sections import Frames
from actionbook.datasets.figures import write_avi
from actionbook.video import cluster, parallel
from actionbook.video.cluster import ClusterError, check_workers, difference, versions
from actionbook.video.parallel import Prepared, _landed, _on_worker, prepare_all
from actionbook.video.prepare import Job, already_prepared, prepare, prepare_video

Picture = Callable[[int, int, int], np.ndarray]
SETTINGS = Frames(height=240)
TIMEOUT = 60.0


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> list[Path]:
    """Twelve videos, each a tenth of a second's work or so."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        write_avi(folder / f"v{number:02}.avi", picture(60 + number, 160, 120), width=160, height=120)
    return sorted(folder.glob("*.avi"))


@pytest.fixture(scope="module")
def undisturbed(videos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What all stores must hold in the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for job in jobs_of(videos, folder):
        assert not prepare_video(job, SETTINGS).error
    return contents(folder)


def jobs_of(videos: list[Path], store: Path) -> list[Job]:
    return [Job(path.stem, path, store / f"{path.stem}.zip") for path in videos]


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.iterdir())}


class Machines:
    """A scheduler and workers, each a process of its own as on other machines; workers without a nanny stay dead."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        until(file.exists)
        log = folder / "scheduler.log"
        until(lambda: "Scheduler at:" in log.read_text())
        self.address = log.read_text().split("Scheduler at:")[1].split()[0]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + what, "--no-dashboard", *options]
        with (self.folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def add_worker(self) -> subprocess.Popen[bytes]:
        options = ("--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder))
        self.workers.append(self._start("worker", self.address, *options))
        return self.workers[-1]

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    folder = tmp_path / "machines"
    folder.mkdir()
    made = Machines(folder)
    yield made
    made.stop()


def in_the_middle(store: Path, action: Callable[[], object]) -> Any:
    """A thread that acts when the first store is written."""
    from threading import Thread

    def wait() -> None:
        until(lambda: list(store.glob("v*.zip")))
        action()

    thread = Thread(target=wait)
    thread.start()
    return thread


def test_a_worker_and_then_all_are_killed(
    machines: Machines,
    videos: list[Path],
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "store"
    jobs = jobs_of(videos, store)
    first, second = machines.add_worker(), machines.add_worker()
    until(lambda: (machines.folder / "scheduler.log").read_text().count("Register worker") == 2)
    thread = in_the_middle(store, first.kill)
    table = prepare(jobs, SETTINGS, scheduler=machines.address)
    thread.join()
    assert first.wait() == -signal.SIGKILL
    assert table.error.tolist() == [""] * 12
    assert contents(store) == undisturbed

    # The other one, too: the run ends, and another goes on when there is a worker again.
    for job in jobs:
        job.store.unlink()
    monkeypatch.setattr(parallel, "WORKER_SECONDS", 0.5)
    monkeypatch.setattr(parallel, "_ANSWER_SECONDS", 0.5)
    thread = in_the_middle(store, second.kill)
    with pytest.raises(ClusterError, match=rf"all workers are gone.*dask worker {machines.address}"):
        prepare(jobs, SETTINGS, scheduler=machines.address)
    thread.join()
    assert 0 < len(list(store.glob("v*.zip"))) < 12
    machines.add_worker()
    thread = in_the_middle(store, lambda: None)
    assert prepare(jobs, SETTINGS, scheduler=machines.address).error.tolist() == [""] * 12
    thread.join()
    assert contents(store) == undisturbed

    # And the scheduler.
    for job in jobs:
        job.store.unlink()
    thread = in_the_middle(store, machines.scheduler.kill)
    with pytest.raises(ClusterError, match=r"the Dask scheduler .* is gone; start it and run this again"):
        prepare(jobs, SETTINGS, scheduler=machines.address)
    thread.join()


CLIENT = """
import sys
from pathlib import Path
from actionbook.core.sections import Frames
from actionbook.video.prepare import Job, prepare

if __name__ == "__main__":
    store = Path(sys.argv[1])
    jobs = [Job(Path(v).stem, Path(v), store / f"{Path(v).stem}.zip") for v in sys.argv[2:]]
    prepare(jobs, Frames(height=240), workers=2)
"""


def group_is_gone(group: int) -> bool:
    """Whether no process of the session is left but dead ones."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if session == str(group) and state not in "ZX":
            return False
    return True


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ctrl-c"])
def test_a_client_that_is_stopped_anywhere_goes_on(
    videos: list[Path], undisturbed: dict[str, bytes], tmp_path: Path, scheduler: str, sent: signal.Signals
) -> None:
    store, script, draw = tmp_path / "store", tmp_path / "client.py", random.Random()
    script.write_text(CLIENT)
    command, said = [sys.executable, str(script), str(store), *map(str, videos)], tmp_path / "said"
    with said.open("wb") as log, subprocess.Popen(command, stderr=log, start_new_session=True) as client:
        until(lambda: list(store.glob("v*.zip")))
        time.sleep(draw.uniform(0, 0.1))
        # Ctrl-C reaches all processes of the terminal.
        (os.killpg if sent == signal.SIGINT else os.kill)(client.pid, sent)
    assert client.returncode == -sent
    until(lambda: group_is_gone(client.pid))
    if sent == signal.SIGINT:
        assert list(store.glob(".tmp-*")) == []
        words = said.read_text()
        assert words.endswith("\nKeyboardInterrupt: stopped; what is prepared is kept, run again to go on\n")
        assert words.count("Traceback") == 1  # of the script itself; the workers are silent
    assert len(list(store.glob("v*.zip"))) < 12
    assert prepare(jobs_of(videos, store), SETTINGS, scheduler=scheduler).error.tolist() == [""] * 12
    assert contents(store) == undisturbed


DEADLY = """
import os
import signal

from actionbook.video.prepare import prepare_video

def work(job, settings):
    if job.video == "v01":
        os.kill(os.getpid(), signal.SIGSEGV)
    return prepare_video(job, settings)
"""


def test_a_video_that_kills_its_worker_is_a_row_and_no_other_is(
    videos: list[Path], undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    work, jobs = importlib.import_module("deadly").work, jobs_of(videos[:5], tmp_path / "store")
    table = prepare_all(jobs, work, SETTINGS, earlier=already_prepared, what="preparing", workers=2)
    assert table.frames.tolist() == [60, 0, 62, 63, 64]
    assert table.error[1].startswith(f"{videos[1]}: the worker died while preparing it")
    assert table.error.drop(1).tolist() == [""] * 4
    assert contents(tmp_path / "store") == {
        job.store.name: undisturbed[job.store.name] for job in jobs if job != jobs[1]
    }


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://no.such.host.invalid:8786"])
def test_a_scheduler_that_does_not_answer(
    address: str, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.3)
    with pytest.raises(ClusterError, match=rf"no Dask scheduler answers at '{address}'.*tcp://host:port"):
        prepare(jobs_of(videos, tmp_path), SETTINGS, scheduler=address)


def test_a_scheduler_without_workers(videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "WORKER_SECONDS", 0.1)
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as empty:
        address = empty.scheduler_address
        with pytest.raises(ClusterError, match=rf"at {address} has no workers; start .*: dask worker {address}"):
            prepare(jobs_of(videos, tmp_path), SETTINGS, scheduler=address)


class Workers:
    """Stands in for a client whose workers give these answers."""

    def __init__(self, answer: Callable[[list[str]], Any]) -> None:
        self.answer = answer

    def run(self, _: object, paths: list[str], *, on_error: str) -> dict[str, Any]:
        assert on_error == "return"
        return {"tcp://a:1": (versions(), []), "tcp://b:2": self.answer(paths)}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda paths: ({**versions(), "av": "1.2"}, []), r"b:2 has other versions: av 1\.2 \(here .*\); frames would"),
        (lambda paths: (versions(), paths[:1]), r"b:2 does not see .*v00\.avi, which is there on this machine"),
        (lambda paths: (versions(), paths[-1:]), r"b:2 does not see files of .*store, which is there"),
        (
            lambda paths: ModuleNotFoundError("No module named 'actionbook'"),
            r"b:2 cannot run this library .*actionbook",
        ),
    ],
    ids=["versions", "video", "store", "library"],
)
def test_workers_that_are_not_like_this_machine(
    videos: list[Path], tmp_path: Path, answer: Callable[[list[str]], Any], words: str
) -> None:
    client: Any = Workers(answer)
    with pytest.raises(ClusterError, match=words):
        check_workers(client, videos[:2], tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
    check_workers(Workers(lambda paths: (versions(), [])), videos[:2], tmp_path / "store")  # type: ignore[arg-type]


def test_a_worker_that_comes_later_must_be_alike(videos: list[Path], tmp_path: Path) -> None:
    job = jobs_of(videos, tmp_path)[0]
    with pytest.raises(ClusterError, match=r"came later has other versions: numba .* \(here 0\.1\)"):
        _on_worker(job, work=prepare_video, settings=SETTINGS, like={**versions(), "numba": "0.1"})
    assert not job.store.exists()


def test_differences_are_named_both_ways() -> None:
    assert difference({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == ""
    assert difference({"a": "1", "b": "2"}, {"a": "3", "c": "4"}) == (
        "a 3 (here 1), b missing (here 2), c 4 (here missing)"
    )


class Landed:
    """Stands in for a future that has its result."""

    status = "finished"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def result(self, timeout: float) -> Any:
        return self.answer


def test_a_file_that_only_the_worker_does_not_see_is_explained(videos: list[Path], tmp_path: Path) -> None:
    job, client = jobs_of(videos, tmp_path)[0], cast(Any, None)
    hidden = job.source.rename(job.source.with_suffix(".hidden"))
    answer = _on_worker(job, work=prepare_video, settings=SETTINGS, like=None)
    assert _landed(client, cast(Any, Landed(answer)), job) == answer.result  # it is nowhere, for nobody
    hidden.rename(job.source)
    result = _landed(client, cast(Any, Landed(answer)), job)
    assert isinstance(result, Prepared)
    error = result.error
    assert error.startswith(f"{job.source}: cannot be opened as a video (No such file")
    assert error.endswith("is there on this machine, the worker does not see it: give it the same folders")
