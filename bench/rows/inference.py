"""The book's ONNX files in ONNX Runtime, network by network.

Against the files that MindSpore and PyTorch write by themselves, and against PyTorch eager.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from bench.agreement import same_logits, same_parameters
from bench.cases import Case, Workload
from bench.errors import PeerFailed
from bench.harness import Peer
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import PYTORCH, Session

PAUSE = 0.1  # seconds after a turn of ONNX Runtime, whose threads look out for more work before they sleep
OURS, RAW = "our ONNX", "MindSpore's raw ONNX"
# Files of PyTorch's exporters (bench.peers.pytorch.EXPORTERS), as the report calls them.
EXPORTS = {"default": "PyTorch's ONNX", "torchscript": "PyTorch's ONNX through TorchScript"}


@dataclass(frozen=True)
class Entry:
    """A network with the batch that it gets, and the targets."""

    workload: Workload
    raw: float = 1.0
    """How many times as fast as MindSpore's file."""
    eager: float | None = None
    """How many times as fast as PyTorch as a user runs it."""
    nodes: float | None = None
    """Share of the nodes of MindSpore's file, at most."""
    exported: float = 1.0
    """How many times as fast as PyTorch's files."""


FAMILY = (
    Entry(Workload("mobilenet_3d", 8)),
    Entry(Workload("mobilenetv2_3d", 8), raw=1.4, eager=4.0, nodes=0.35),
    Entry(Workload("mobilenetv2_3d", 1), raw=1.4, eager=2.5, nodes=0.35),
    Entry(Workload("shufflenet_3d", 8)),
    Entry(Workload("shufflenetv2_3d", 8)),
    Entry(Workload("squeezenet_3d", 8)),
    Entry(Workload("resnet18_3d", 4)),
    Entry(Workload("resnet50_3d", 4)),
    Entry(Workload("resnet101_3d", 4)),
    Entry(Workload("resnext101_3d", 4)),
)
MODELS = tuple(dict.fromkeys(entry.workload.model for entry in FAMILY))


def family(session: Session) -> Iterator[Result]:
    """Every network of the family. One that breaks, or computes something else, does not cost the others their turn."""
    if session.torch_missing:
        yield Result("family", "vs PyTorch", state="not run", note=session.torch_missing)
    for entry in FAMILY:
        if not session.models or entry.workload.model in session.models:
            what = f"{entry.workload.model}, batch {session.scale.fitted(entry.workload).batch}"
            yield from guarded("family", what, compared(session, "family", what, entry))


def guarded(row: str, what: str, results: Iterator[Result]) -> Iterator[Result]:
    """The results of a part of a row; where a contestant breaks or computes something else, one that says so."""
    try:
        yield from results
    except PeerFailed as reason:
        yield Result(row, what, state="crashed", note=str(reason))


def compared(session: Session, row: str, what: str, entry: Entry) -> Iterator[Result]:
    """All comparisons of one network, with PyTorch if it is there.

    Raises PeerFailed where a contestant breaks or computes something else.
    """
    case = session.case(entry.workload)
    with tempfile.TemporaryDirectory(dir=session.scratch) as folder:
        book = book_files(session, case, Path(folder))
        files = [runtime(session, case, label, book.options[name]) for label, name in ((OURS, "ours"), (RAW, "raw"))]
        makers, notes = [book], {}
        eager: list[Peer] = []
        if not session.torch_missing:
            torch = torch_files(session, case, Path(folder))
            files += [runtime(session, case, label, torch.options["paths"][name]) for name, label in EXPORTS.items()]
            makers, eager = [book, torch], session.torch_peers("forward", entry.workload)
            notes = {label: written(torch, name) for name, label in EXPORTS.items()}
        # PyTorch's turns come between those of ONNX Runtime as far as they go.
        order = [peer for pair in zip_longest(files, eager) for peer in pair if peer]
        ours, rivals = files[0], [*files[1:], *eager]
        with session.running(order):
            same_parameters([*makers, *eager], case)
            notes[RAW] = f"all logits agree to {same_logits(ours, rivals):.1e} of their standard deviation"
            rounds = session.rounds(f"{row}, {what}", order, session.scale.family_pace)
    targets = {RAW: entry.raw, PYTORCH: entry.eager, **dict.fromkeys(EXPORTS.values(), entry.exported)}
    for rival in rivals:
        found = compare(rounds, ours.label, rival.label)
        wanted, note = targets.get(rival.label), notes.get(rival.label, "")
        yield timed(row, f"{what}: {OURS} vs {rival.label}", found, wanted, note)
    nodes, raw_nodes = book.facts["nodes"], book.facts["raw_nodes"]
    share = f"{what}: nodes, share of {RAW}"
    yield Result(row, share, nodes / raw_nodes, entry.nodes, True, ours=str(nodes), peer=str(raw_nodes))


def book_files(session: Session, case: Case, folder: Path) -> Peer:
    """The process that has written the book's file and MindSpore's into `folder`; its options say where."""
    paths = {"ours": str(folder / "ours.onnx"), "raw": str(folder / "raw.onnx")}
    options = {**case.network, **paths, "weights": case.weights, "inputs": case.workload.inputs}
    with session.peer("exports", "book:exports", options) as maker:
        return maker


def torch_files(session: Session, case: Case, folder: Path) -> Peer:
    """The process that has written PyTorch's files into `folder`; its options say where."""
    paths = {name: str(folder / f"{name}.onnx") for name in EXPORTS}
    options = {**case.options, "threads": session.threads, "paths": paths}
    target = "bench.peers.pytorch:export"
    with Peer("PyTorch's exports", target, options, session.logs, session.torch, ours=False) as maker:
        return maker


def written(maker: Peer, exporter: str) -> str:
    """What PyTorch's exporter has written."""
    file = maker.facts["files"][exporter]
    return f"PyTorch {maker.facts['version']}, operator set {file['opset']}, {file['nodes']} nodes"


def runtime(session: Session, case: Case, label: str, path: str) -> Peer:
    """A contestant that runs an ONNX file."""
    options = {"path": path, "clips": case.clips, "threads": session.threads}
    return session.peer(label, "runtime:forward", options, pause=PAUSE)
