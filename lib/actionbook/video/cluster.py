"""Where the work is done: processes of this machine, or the workers of a Dask cluster that somebody started."""

from __future__ import annotations

import logging
import platform
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from multiprocessing import resource_tracker
from pathlib import Path

import dask
from distributed import Client, LocalCluster

import actionbook
from actionbook.core.errors import BookError
from actionbook.core.files import temporary_prefix
from actionbook.core.runtime import ffmpeg_build

CONNECT_SECONDS = 15.0
"""How long a scheduler may take to answer."""
WORKER_SECONDS = 60.0
"""How long a cluster may be without any worker, at the start and later."""
_PACKAGES = ("distributed", "numpy", "opencv-contrib-python-headless", "av", "simplejpeg", "numba")


class ClusterError(BookError):
    """The cluster cannot do the work: it cannot be reached, has no workers, or they are not what this machine is."""


@contextmanager
def cluster_client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of `workers` local processes, or of the cluster at `scheduler` (``tcp://host:port``).

    Raises ClusterError if there is no scheduler at that address, or no worker has come to it within a minute.
    """
    if scheduler is None:
        # A video whose worker dies is tried alone afterwards: two deaths among others are enough.
        with (
            dask.config.set({"distributed.scheduler.allowed-failures": 1}),
            _local_cluster(workers) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); expected tcp://host:port as `dask scheduler` "
            "prints it when it starts, reachable from this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise ClusterError(f"the scheduler at {scheduler} has no workers; {how_to_start(scheduler)}") from error
        yield client


def _local_cluster(workers: int) -> LocalCluster:
    """Processes that a terminal's (or a kernel's) Ctrl-C does not reach: it is this process that ends them.

    They, and all that take a dead one's place, inherit the mask of the thread that starts them, which is a thread of
    the cluster's that is made here. A signal that comes meanwhile waits.
    """
    resource_tracker.ensure_running()  # by the first process, which would take SIGINT out of the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # any free port: None is 8787, and a warning where that is taken
            memory_limit=0,
            # Its own reports are of heartbeats that the end cuts off; what goes wrong with a video, its row says.
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def how_to_start(scheduler: str) -> str:
    """What to type on a machine that shall work."""
    return f"start one on each machine that shall work: dask worker {scheduler} --nworkers auto --nthreads 1"


def versions() -> dict[str, str]:
    """Versions of what prepared frames hang on: the same everywhere, or stores would differ from worker to worker."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "actionbook": actionbook.__version__}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found | {"ffmpeg": ffmpeg_build()}


def difference(here: dict[str, str], there: dict[str, str]) -> str:
    """Which versions differ, in words; empty if none."""
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {there.get(name, 'missing')} (here {here.get(name, 'missing')})" for name in names)


def check_workers(client: Client, inputs: Sequence[Path], stores: Path) -> None:
    """Whether all workers have this machine's versions and see its files; `inputs` is a sample of what they shall read.

    Raises ClusterError that names worker, and version or file. Workers that come later are not asked.
    """
    seen = [str(path.absolute()) for path in inputs if path.exists()]
    stores.mkdir(parents=True, exist_ok=True)
    # A file of a new name shows whether a folder is the same one, or another that happens to be called so.
    with tempfile.NamedTemporaryFile(prefix=temporary_prefix(), dir=stores.absolute()) as mark:
        try:
            answers = client.run(_look, [*seen, mark.name], on_error="return")
        except OSError as error:
            raise ClusterError(f"the workers do not answer ({error}); is the cluster still there?") from error
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise ClusterError(
                f"worker {worker} cannot run this library ({type(answer).__name__}: {answer}); install the "
                "same version of it and of requirements.txt there"
            )
        there, unseen = answer
        if differing := difference(versions(), there):
            raise ClusterError(
                f"worker {worker} has other versions: {differing}; frames would differ from worker to worker. "
                "Install the same requirements.txt there"
            )
        if unseen:
            path = f"files of {stores.absolute()}" if unseen[0] == mark.name else unseen[0]
            raise ClusterError(
                f"worker {worker} does not see {path}, which is there on this machine; workers need the same folders "
                "under the same paths, for example on a network file system"
            )


def _look(paths: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Of a worker: its versions, and which of the files it does not see."""
    return versions(), [path for path in paths if not Path(path).exists()]
