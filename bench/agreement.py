"""A ratio between two different computations is worth nothing: rivals must agree before they are timed."""

from __future__ import annotations

import numpy as np

from bench.cases import Case
from bench.errors import PeerFailed
from bench.harness import Peer

# Of networks of width 1, by name, number of classes and channels of the clips. Counted in the original programs
# (okankop/Efficient-3DCNNs; ResNet-18 with shortcut A, the deeper ones with B; piergiaj/pytorch-i3d;
# mzolfaghari/ECO-pytorch; facebookresearch/SlowFast).
PUBLISHED_PARAMETERS = {
    ("mobilenet_3d", 101, 3): 3_401_509,
    ("mobilenetv2_3d", 101, 3): 2_483_429,
    ("shufflenet_3d", 101, 3): 1_041_965,
    ("shufflenetv2_3d", 101, 3): 1_402_705,
    ("squeezenet_3d", 101, 3): 1_889_573,
    ("resnet18_3d", 101, 3): 33_081_893,
    ("resnet50_3d", 101, 3): 46_405_925,
    ("resnet101_3d", 101, 3): 85_452_069,
    ("resnext101_3d", 101, 3): 47_728_165,
    ("i3d", 400, 3): 12_697_264,
    ("i3d", 400, 2): 12_675_312,
    ("eco_full", 400, 3): 47_502_128,
    ("eco_lite", 400, 3): 37_503_856,
    ("stnet_resnet50", 400, 3): 33_158_864,
    ("slowfast_r50", 80, 3): 33_828_888,
}
LOGITS = 1e-4  # of the logits' standard deviation
# Relative. The second and third loss rest on the gradients and on the optimiser. Batch norm over few values magnifies
# rounding: at the third, PyTorch in 32 and in 64 bits differ by 1e-3, and its two layouts of memory by 4e-3 for I3D.
LOSSES = 6e-3


def same_parameters(peers: list[Peer], case: Case) -> None:
    """Raise PeerFailed unless every network has the published number of trainable numbers, or, small, the book's."""
    workload, expected = case.workload, case.parameters
    if case.width == 1:
        expected = PUBLISHED_PARAMETERS.get((workload.model, workload.num_classes, workload.clip[0]), expected)
    for peer in peers:
        if peer.facts["parameters"] != expected:
            raise PeerFailed(f"{peer.label}: {peer.facts['parameters']} parameters, expected {expected}")


def same_logits(ours: Peer, others: list[Peer]) -> float:
    """The largest difference of the others' logits from ours, relative to the standard deviation of ours.

    Raises PeerFailed where it is above 1e-4.
    """
    expected = np.asarray(ours.facts["logits"])
    worst = 0.0
    for peer in others:
        actual = np.asarray(peer.facts["logits"])
        difference = (
            float(np.abs(actual - expected).max() / expected.std()) if actual.shape == expected.shape else np.inf
        )
        if not difference <= LOGITS:
            raise PeerFailed(f"{peer.label}: logits differ from {ours.label} by {difference:.2g} standard deviations")
        worst = max(worst, difference)
    return worst


def same_losses(ours: Peer, others: list[Peer]) -> float:
    """The largest relative difference of the first losses of training. Raises PeerFailed where it is above 6e-3."""
    expected = np.asarray(ours.facts["losses"])
    worst = 0.0
    for peer in others:
        actual = np.asarray(peer.facts["losses"])
        difference = float(np.max(np.abs(actual / expected - 1)))
        if not difference <= LOSSES:
            raise PeerFailed(f"{peer.label}: losses {actual.tolist()}, of {ours.label} {expected.tolist()}")
        worst = max(worst, difference)
    return worst
