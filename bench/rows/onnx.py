"""The book's ONNX export in ONNX Runtime, against PyTorch and against MindSpore's own export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.agreement import same_logits
from bench.harness import Peer
from bench.report import Result, timed
from bench.rounds import compare
from bench.session import Session

PAUSE = 0.1  # seconds after a turn of ONNX Runtime, whose threads look out for more work before they sleep


def onnx(session: Session) -> Iterator[Result]:
    """Inference from the exported file. Targets: 4 times PyTorch as a user runs it, 2.5 times at batch 1."""
    for batch, target in ((session.scale.batch, 4.0), (1, 2.5)):
        rivals = session.torch_peers("forward", clips=clips_file(session, batch))
        ours = runtime(session, "ONNX Runtime", session.exports["ours"], clips_file(session, batch), batch)
        with session.running([ours, *rivals]):
            difference = same_logits(ours, rivals)
            note = f"PyTorch {rivals[0].facts['version']}; logits agree to {difference:.1e} of their standard deviation"
            rounds = session.rounds("onnx", [ours, *rivals], session.scale.pace)
        for rival, wanted in zip(rivals, (target, None), strict=True):
            what = f"our ONNX in ONNX Runtime vs {rival.label}, forward, batch {batch}"
            yield timed("onnx", what, compare(rounds, ours.label, rival.label), wanted, note)
            note = ""


def export(session: Session) -> Iterator[Result]:
    """Our file against MindSpore's raw one with its pads put right. Targets: 1.4 times as fast, 0.35 of the nodes."""
    batch = session.scale.batch
    clips = clips_file(session, batch)
    ours = runtime(session, "our ONNX", session.exports["ours"], clips, batch)
    raw = runtime(session, "raw ONNX", session.exports["raw"], clips, batch)
    with session.running([ours, raw]):
        note = f"logits agree to {same_logits(ours, [raw]):.1e} of their standard deviation"
        rounds = session.rounds("export", [ours, raw], session.scale.pace)
    what = f"our ONNX vs MindSpore's raw export, ONNX Runtime, batch {batch}"
    yield timed("export", what, compare(rounds, ours.label, raw.label), 1.4, note)
    nodes, raw_nodes = session.exports["nodes"], session.exports["raw_nodes"]
    yield Result(
        "export", "nodes, share of the raw export", nodes / raw_nodes, 0.35, True, ours=str(nodes), peer=str(raw_nodes)
    )


def runtime(session: Session, label: str, path: str, clips: str, batch: int) -> Peer:
    """A contestant that runs an ONNX file."""
    options = {"path": path, "clips": clips, "threads": session.threads, "batch": batch}
    return session.peer(label, "book:onnx", options, pause=PAUSE)


def clips_file(session: Session, batch: int) -> str:
    """The first `batch` clips of the shared batch, as a file."""
    whole = session.fixtures["clips"]
    if batch == session.scale.batch:
        return str(whole)
    path = Path(session.scratch) / f"clips-{batch}.npy"
    np.save(path, np.load(whole)[:batch])
    return str(path)
