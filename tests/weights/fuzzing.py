"""Damaged and hostile checkpoints by the thousand: each must give arrays or a WeightsError, and touch nothing else.

A program, because a guard against calls cannot be taken off again and a limit on memory holds for a whole process:
``python tests/weights/fuzzing.py --cases 200000 --seed 1`` (what the tests run, with more cases). It stops with an
exit status other than 0 at the first input that does anything else, says which one, and leaves the input in a file.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_foreign import grown_caffe, grown_graph, index_bombs, message_bombs, retabled
from fuzz_inputs import (
    FRAGMENTS,
    KINDS,
    Edit,
    bombs,
    edited,
    grown_file,
    joined,
    operations,
    pickle_of,
    random_edits,
    reordered,
    rezipped,
    zipped,
)  # fmt: skip

from actionbook.core.pickle_reader import PickleError, read_pickle
from actionbook.weights import WeightsError, read, read_metadata
from actionbook.weights.torch_tensors import KNOWN_GLOBALS, storage_from_id

DATA = Path(__file__).parent / "data"
SEEDS = (
    "cases/namespace_beside.pth",
    "cases/numpy_array_beside.pth",
    "cases/caffe2_blobs.pkl",
    "cases/caffe2_blobs_python2.pkl",
    "cases/weights.safetensors",
    "small.ckpt",
    "training.pth",
    "training_legacy.pth.tar",
    "dtypes.pt",
    "dtypes_legacy.pt",
    "untyped.pt",
    "metadata.pt",
    "tensorflow/small_graph.pb",
    "tensorflow/types_graph.pb",
    "caffe/small.caffemodel",
    "caffe/old.caffemodel",
)
CHECKPOINTS = ("tensorflow/small_tf", "tensorflow/types_tf")
"""Of two files: an index, which is changed with its checksums made right again or not, and the numbers beside it."""
MEMORY_BYTES = 1 << 30
"""Of address space beyond what the process has once everything is imported."""
SECONDS = 20
"""Of processor time for one input; one of the length used here takes a thousandth."""
SHARD = ".data-00000-of-00001"
FORBIDDEN = (
    "import", "exec", "compile", "os.", "subprocess.", "socket.", "ctypes.", "shutil.", "pickle.", "marshal.",
    "urllib.", "pty.", "code.", "function.", "sys.", "signal.", "tempfile.", "webbrowser.", "gc.",
    "builtins.breakpoint", "builtins.input",
)  # fmt: skip
"""Beginnings of the audit events that reading never raises (``open`` is looked at more closely)."""

_armed = False
_readable: tuple[str, ...] = ()
"""The files that may be opened, to be read."""


def guard() -> None:
    """From here on, whatever an armed reader does beside reading files ends the process at once."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _armed:
        return
    writing = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    foreign = event == "open" and str(arguments[0]) not in _readable
    if writing or foreign or event.startswith(FORBIDDEN):
        os.write(2, f"forbidden: {event} {arguments!r:.200}\n".encode())
        os._exit(97)


def outcome(path: Path) -> str:
    """What the readers make of a file: "arrays" or "refused". Any other exception passes through."""
    found = "refused"
    try:
        state = read(path)
        if not all(type(name) is str and isinstance(array, np.ndarray) for name, array in state.items()):
            raise AssertionError("not a dictionary of arrays")
        found = "arrays"
    except WeightsError as error:
        if not str(error).startswith(f"{path}: "):
            raise AssertionError(f"the message does not begin with the file: {error!s:.200}") from error
    with contextlib.suppress(WeightsError):
        read_metadata(path)
    return found


def stream_outcome(stream: bytes) -> str:
    """The same for a bare pickle."""
    try:
        read_pickle(io.BytesIO(stream), KNOWN_GLOBALS, storage_from_id, "stream")
    except (PickleError, WeightsError):
        return "refused"
    return "arrays"


def watched(function: Callable[[Any], str], value: Any) -> str:
    """`function(value)` with the guard armed and a limit on its processor time."""
    global _armed, _readable  # noqa: PLW0603 (the audit hook is one for the process)
    _readable = (str(value), f"{str(value).removesuffix('.index')}{SHARD}") if isinstance(value, Path) else ()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    _armed = True
    try:
        return function(value)
    finally:
        _armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)


# -- the program ------------------------------------------------------------------------------------------------------


class Failure(Exception):
    """An input that was neither read nor refused; its file."""


class Bench:
    """A folder for the inputs, the valid files, and the count of outcomes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "case.pth"
        self.valid = [(DATA / name).read_bytes() for name in SEEDS]
        self.archives = [content for content in self.valid if content.startswith(b"PK")]
        self.checkpoints = [
            ((DATA / f"{name}.index").read_bytes(), (DATA / f"{name}{SHARD}").read_bytes()) for name in CHECKPOINTS
        ]
        self.pickles = [operations(pickle_of(content)) for content in self.archives]
        self.counts: collections.Counter[str] = collections.Counter()

    def file(self, content: bytes, kind: str) -> None:
        """Write one file and read it, watched."""
        self.path.write_bytes(content)
        self._run(outcome, self.path, kind)

    def checkpoint(self, index: bytes, numbers: bytes) -> None:
        """Write the two files of a checkpoint and read them, watched."""
        path = self.path.with_name("case.index")
        path.write_bytes(index)
        path.with_name(f"case{SHARD}").write_bytes(numbers)
        self._run(outcome, path, "checkpoint")

    def stream(self, content: bytes) -> None:
        """Read one bare pickle, watched."""
        self._run(stream_outcome, content, "stream")

    def _run(self, function: Callable[[Any], str], value: Any, kind: str) -> None:
        try:
            found = watched(function, value)
        except BaseException as error:
            kept = Path(tempfile.gettempdir()) / "actionbook-fuzz-failure"
            kept.write_bytes(value if isinstance(value, bytes) else value.read_bytes())
            raise Failure(f"{kind}: {type(error).__name__}: {error!s:.300}; the input is in {kept}") from error
        self.counts[f"{kind}: {found}"] += 1


def warm_up(bench: Bench) -> None:
    """Have everything imported that reading and refusing need, the codecs of `zipfile` and `pickletools` among them."""
    for encoding in ("cp437", "ascii", "latin-1", "raw-unicode-escape"):
        b"a".decode(encoding)
    for content in (*bench.valid, b"PK\x03\x04", b"\x80\x02.", zipped(b"\x80\x02S'\\q'\n."), zipped(b"cos\nsystem\n.")):
        bench.path.write_bytes(content)
        outcome(bench.path)
    for index, numbers in bench.checkpoints:
        bench.checkpoint(index, numbers)
    bench.counts.clear()


def by_chance(bench: Bench, cases: int, seed: int) -> None:
    """`cases` inputs drawn from `seed`, of all kinds in turn."""
    rng = random.Random(seed)
    for number in range(cases):
        kind = number % 8
        if kind == 0:
            bench.file(edited(rng.choice(bench.valid), random_edits(rng)), "changed file")
        elif kind == 1:
            bench.file(rezipped(rng.choice(bench.archives), random_edits(rng)), "changed pickle")
        elif kind == 2:
            bench.stream(reordered(rng.choice(bench.pickles), random_edits(rng)))
        elif kind == 3:
            bench.stream(joined(rng.choices(FRAGMENTS, k=rng.randrange(1, 60))))
        elif kind < 6:
            bench.file(grown_file(rng), "grown file")
        elif kind == 6:
            index, numbers = rng.choice(bench.checkpoints)
            if rng.random() < 0.5:
                numbers = edited(numbers, random_edits(rng))
            bench.checkpoint(retabled(index, random_edits(rng), rng), numbers)
        else:
            bench.file(rng.choice((grown_graph, grown_caffe))(rng), "grown message")


def by_search(bench: Bench, cases: int) -> None:
    """The same through Hypothesis, which makes a failing input as small as it can."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    quick = settings(
        max_examples=cases, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    numbers = st.integers(0, (1 << 16) - 1)
    edits = st.lists(
        st.tuples(st.sampled_from(KINDS), numbers, st.sampled_from((1, 2, 4, 8, 30, 500)), numbers),
        min_size=1,
        max_size=4,
    )

    @quick
    @given(content=st.sampled_from(bench.valid), changes=edits)
    def files(content: bytes, changes: list[Edit]) -> None:
        bench.file(edited(content, changes), "changed file")

    @quick
    @given(content=st.sampled_from(bench.archives), changes=edits)
    def pickles(content: bytes, changes: list[Edit]) -> None:
        bench.file(rezipped(content, changes), "changed pickle")

    @quick
    @given(parts=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=40))
    def streams(parts: list[bytes]) -> None:
        bench.stream(joined(parts))
        bench.file(zipped(joined(parts)), "made file")

    @quick
    @given(parts=st.sampled_from(bench.pickles), changes=edits)
    def orders(parts: list[bytes], changes: list[Edit]) -> None:
        bench.stream(reordered(parts, changes))

    for search in (files, pickles, streams, orders):
        search()


def _too_slow(*_: Any) -> None:
    raise TimeoutError(f"more than {SECONDS} s of processor time for one input")


def main() -> None:
    """See ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="inputs drawn by chance")
    parser.add_argument("--bombs", type=int, default=100_000, help="operations of each stream made to exhaust")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", type=int, default=0, help="inputs of each kind drawn by Hypothesis")
    options = parser.parse_args()
    signal.signal(signal.SIGPROF, _too_slow)
    with tempfile.TemporaryDirectory(prefix="actionbook-fuzz-") as folder:
        bench = Bench(Path(folder))
        warm_up(bench)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        guard()
        try:
            for stream in bombs(options.bombs).values():
                bench.file(zipped(joined([stream])), "bomb")
            for content in message_bombs(options.bombs).values():
                bench.file(content, "bomb")
            for index in index_bombs(options.bombs).values():
                bench.checkpoint(index, bytes(64))
            if options.search:
                by_search(bench, options.search)
            by_chance(bench, options.cases, options.seed)
        except Failure as failure:
            sys.exit(str(failure))
    peak = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{sum(bench.counts.values())} inputs, {peak.ru_utime + peak.ru_stime:.0f} s, largest {peak.ru_maxrss} KiB")  # noqa: T201
    for kind, count in sorted(bench.counts.items()):
        print(f"  {kind}: {count}")  # noqa: T201


if __name__ == "__main__":
    main()
