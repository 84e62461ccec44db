"""ONNX files, whoever has written them, in ONNX Runtime on the CPU. Needs ONNX Runtime and NumPy only."""

from __future__ import annotations

import numpy as np
import onnxruntime

from bench.peers.batches import read
from bench.worker import Contestant


def forward(path: str, clips: str, threads: int) -> Contestant:
    """Inference on one batch. Facts: logits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = read(clips)

    def step() -> np.ndarray:
        return session.run(["class"], feed)[0]

    return Contestant(step, {"logits": step().tolist()})
