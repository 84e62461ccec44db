"""ECO Full and Lite in PyTorch, module names as in mzolfaghari/ECO-pytorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Channels of 1x1; 3x3_reduce, 3x3; double_3x3_reduce, _1, _2; pool_proj: tf_model_zoo/ECOfull of the original.
MODULES = {
    "3a": (64, 64, 64, 64, 96, 96, 32),
    "3b": (64, 64, 96, 64, 96, 96, 64),
    "3c": (0, 128, 160, 64, 96, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128, 128),
    "4c": (160, 128, 160, 128, 160, 160, 128),
    "4d": (96, 128, 192, 160, 192, 192, 128),
    "4e": (0, 128, 192, 192, 256, 256, 0),
    "5a": (352, 192, 320, 160, 224, 224, 128),
    "5b": (352, 192, 320, 192, 224, 224, 128),
}
STRIDED = ("3c", "4e")


class BaseModel(nn.Module):
    """The network under the wrapper that the original's checkpoints have."""

    def __init__(self, num_classes: int, width: float, dropout: float, dropout_3d: float, *, full: bool) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return max(1, int(channels * width)) if channels else 0

        self.full = full
        self.dropout, self.dropout_3d = nn.Dropout(dropout), nn.Dropout(dropout_3d)
        stem, channels = wide(64), wide(192)
        self._unit("conv1_7x7_s2", 3, stem, 7, 2)
        self._unit("conv2_3x3_reduce", stem, stem, 1)
        self._unit("conv2_3x3", stem, channels, 3)
        for name, base in MODULES.items():
            single, reduced, triple, doubled, between, double, projected = map(wide, base)
            module, stride = f"inception_{name}_", 2 if name in STRIDED else 1
            whole = full or name < "3c"
            if name <= "3c" or full:
                self._unit(f"{module}double_3x3_reduce", channels, doubled, 1)
                self._unit(f"{module}double_3x3_1", doubled, between, 3)
            if whole:
                self._unit(f"{module}3x3_reduce", channels, reduced, 1)
                self._unit(f"{module}3x3", reduced, triple, 3, stride)
                self._unit(f"{module}double_3x3_2", between, double, 3, stride)
            if whole and single:
                self._unit(f"{module}1x1", channels, single, 1)
                self._unit(f"{module}pool_proj", channels, projected, 1)
            channels = single + triple + double + (projected or channels)
        deep = [wide(n) for n in (96, 128, 256, 512)]
        self._conv("res3a_2", deep[0], deep[1])
        self._norms(deep[1], "res3a", "res3b_1", "res3b")
        self._conv("res3b_1", deep[1], deep[1])
        self._conv("res3b_2", deep[1], deep[1])
        for i, stage in ((2, "res4"), (3, "res5")):
            for name, inputs, stride in (
                ("a_1", i - 1, 2),
                ("a_2", i, 1),
                ("a_down", i - 1, 2),
                ("b_1", i, 1),
                ("b_2", i, 1),
            ):
                self._conv(stage + name, deep[inputs], deep[i], stride)
            self._norms(deep[i], *(stage + name for name in ("a_1", "a", "b_1", "b")))
        if full:
            self.fc_final = nn.Linear(channels + deep[3], num_classes)

    def _unit(self, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def _conv(self, name: str, inputs: int, outputs: int, stride: int = 1) -> None:
        self.add_module(name, nn.Conv3d(inputs, outputs, 3, stride, 1))

    def _norms(self, channels: int, *names: str) -> None:
        for name in names:
            self.add_module(f"{name}_bn", nn.BatchNorm3d(channels))

    def unit(self, name: str, x: Tensor) -> Tensor:
        """Convolution, batch norm, ReLU."""
        return self.active(name, self.get_submodule(name)(x))

    def active(self, name: str, x: Tensor) -> Tensor:
        """Batch norm, ReLU."""
        return F.relu(self.get_submodule(f"{name}_bn")(x), inplace=True)

    def inception(self, name: str, x: Tensor, inner: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C_out, H/s, W/s)."""
        module = f"inception_{name}_"
        if inner is None:
            inner = self.inner(module, x)
        ends = [
            self.unit(f"{module}3x3", self.unit(f"{module}3x3_reduce", x)),
            self.unit(f"{module}double_3x3_2", inner),
        ]
        if name in STRIDED:
            return torch.cat([*ends, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
        pooled = F.max_pool2d(x, 3, 1, 1) if name == "5b" else F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.unit(f"{module}1x1", x), *ends, self.unit(f"{module}pool_proj", pooled)], 1)

    def inner(self, module: str, x: Tensor) -> Tensor:
        """The first two convolutions of the double branch."""
        return self.unit(f"{module}double_3x3_1", self.unit(f"{module}double_3x3_reduce", x))

    def blocks(self, stage: str, total: Tensor) -> Tensor:
        """From the first residual sum of a stage to its end."""
        x = self.active(f"{stage}a", total)
        total = total + self.get_submodule(f"{stage}b_2")(self.unit(f"{stage}b_1", x))
        return self.active(f"{stage}b", total)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (N, 3, T, H, W) -> logits of the Full, features of the Lite."""
        n, _, t, h, w = (int(size) for size in x.shape)
        x = x.transpose(1, 2).reshape(n * t, 3, h, w)
        x = F.max_pool2d(self.unit("conv1_7x7_s2", x), 3, 2, ceil_mode=True)
        x = self.unit("conv2_3x3", self.unit("conv2_3x3_reduce", x))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = self.inception("3b", self.inception("3a", x))
        inner = self.inner("inception_3c_", x)
        deep = inner.reshape(n, t, *(int(size) for size in inner.shape[1:])).transpose(1, 2)
        deep = self.blocks("res3", self.get_submodule("res3a_2")(deep))
        for stage in ("res4", "res5"):
            branch = self.get_submodule(f"{stage}a_2")(self.unit(f"{stage}a_1", deep))
            deep = self.blocks(stage, branch + self.get_submodule(f"{stage}a_down")(deep))
        deep = deep.mean((2, 3, 4))
        if not self.full:
            return self.dropout(deep)
        x = self.inception("3c", x, inner)
        for name in ("4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            x = self.inception(name, x)
        flat = self.dropout(x.mean((2, 3))).reshape(n, t, -1).mean(1)
        return self.fc_final(torch.cat((flat, self.dropout_3d(deep)), 1))


class ECOFull(nn.Module):
    """Clips (N, 3, T, H, W), T a multiple of 4 -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.6, dropout_3d: float = 0.5) -> None:
        super().__init__()
        self.base_model = BaseModel(num_classes, width, dropout, dropout_3d, full=True)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.base_model(x)


class ECOLite(nn.Module):
    """Clips (N, 3, T, H, W), T a multiple of 4 -> logits (N, num_classes)."""

    def __init__(self, num_classes: int, width: float = 1.0, dropout: float = 0.6) -> None:
        super().__init__()
        self.base_model = BaseModel(num_classes, width, dropout, 0.0, full=False)
        self.new_fc = nn.Linear(max(1, int(512 * width)), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.new_fc(self.base_model(x))
