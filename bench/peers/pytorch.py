"""3-D MobileNetV2 as a PyTorch user writes it, and eager steps of it. Needs PyTorch and NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.worker import Contestant

# (expansion, output channels, repeats, stride of the first): arXiv 1904.02422, Table 3.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int | tuple[int, int, int] = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution and batch norm over (N, C, T, H, W)."""
    conv = nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm3d(outputs)]


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [*conv_bn(inputs, hidden, 1), nn.ReLU6(inplace=True)] if expansion != 1 else []
        depthwise = [*conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(*expand, *depthwise, *conv_bn(hidden, outputs, 1))
        self.add_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C_out, T/s, H/s, W/s)."""
        return x + self.conv(x) if self.add_input else self.conv(x)


class MobileNetV2(nn.Module):
    """Clips (N, 3, T, H, W) -> logits (N, num_classes). No dropout: random masks could not be compared."""

    def __init__(self, num_classes: int, width: float = 1.0) -> None:
        super().__init__()
        channels = int(32 * width)
        last = int(1280 * width) if width > 1 else 1280
        features: list[nn.Module] = [nn.Sequential(*conv_bn(3, channels, 3, (1, 2, 2)), nn.ReLU6(inplace=True))]
        for expansion, base, repeats, stride in STAGES:
            for i in range(repeats):
                outputs = int(base * width)
                features.append(Block(channels, outputs, stride if i == 0 else 1, expansion))
                channels = outputs
        features.append(nn.Sequential(*conv_bn(channels, last, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(last, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clips -> logits; the head averages over T, H and W."""
        return self.classifier(self.features(x).mean((2, 3, 4)))


def forward(weights: str, clips: str, threads: int, width: float, num_classes: int) -> Contestant:
    """Inference on one batch. Facts: version, parameters, logits."""
    network = load(weights, threads, width, num_classes).eval()
    batch = torch.from_numpy(np.load(clips))

    def step() -> Tensor:
        with torch.inference_mode():
            return network(batch)

    return Contestant(
        step, {"version": torch.__version__, "parameters": count(network), "logits": step().numpy().tolist()}
    )


def train(*, weights: str, clips: str, threads: int, width: float, num_classes: int, sgd: dict[str, Any]) -> Contestant:
    """Forward, backward and an SGD step on one batch. Facts: version, parameters, the first three losses."""
    network = load(weights, threads, width, num_classes).train()
    batch = torch.from_numpy(np.load(clips))
    targets = torch.arange(len(batch)) % num_classes
    optimiser = torch.optim.SGD(network.parameters(), **sgd)
    criterion = nn.CrossEntropyLoss()

    def step() -> float:
        optimiser.zero_grad()
        loss = criterion(network(batch), targets)
        loss.backward()
        optimiser.step()
        return loss.item()

    return Contestant(
        step, {"version": torch.__version__, "parameters": count(network), "losses": [step() for _ in range(3)]}
    )


def load(weights: str, threads: int, width: float, num_classes: int) -> MobileNetV2:
    """The network with the arrays of an .npz file, strictly; sets the number of threads."""
    torch.set_num_threads(threads)
    network = MobileNetV2(num_classes, width)
    with np.load(weights) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict({**state, **counters})
    return network


def count(network: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
