"""Inception-v3 as TensorFlow's graph of 2015-12-05 has it, up to its last pooling, under the names of its weights.

It differs from torchvision's: average pools leave padding out of their mean, the last block pools by maximum, and there
are 1,008 classes. A block is a table of convolutions and the ways through them, whose ends are joined.

Letters: M images; c channels going in.
Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision"; names as in the weights
file of torch-fidelity and pytorch-fid.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = int | tuple[int, int]
Convs = Mapping[str, tuple[int, int, Size]]  # name -> channels in, channels out, kernel
Path = Sequence[str | tuple[str, ...]]  # names one after another; a tuple: side by side, joined
AVERAGE, MAXIMUM, HALVE = "average", "maximum", "halve"


class Conv(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, c: int, out: int, kernel: Size, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """`paths` through `convs`, joined. Convolutions keep the size, but those named in `halving`."""

    def __init__(self, convs: Convs, paths: Sequence[Path], halving: Sequence[str] = ()) -> None:
        super().__init__()
        self.paths = paths
        for name, (c, out, kernel) in convs.items():
            half = name in halving
            high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
            same: Size = 0 if half else (high // 2, wide // 2)
            self.add_module(name, Conv(c, out, kernel, stride=2 if half else 1, padding=same))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._along(path, x) for path in self.paths], dim=1)

    def _along(self, path: Path, x: Tensor) -> Tensor:
        for step in path:
            x = torch.cat([self._step(name, x) for name in step], 1) if isinstance(step, tuple) else self._step(step, x)
        return x

    def _step(self, name: str, x: Tensor) -> Tensor:
        if name == AVERAGE:
            return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        if name == MAXIMUM:
            return F.max_pool2d(x, 3, stride=1, padding=1)
        if name == HALVE:
            return F.max_pool2d(x, 3, stride=2)
        return self.get_submodule(name)(x)


def _a(c: int, pool: int) -> Block:
    convs: Convs = {
        "branch1x1": (c, 64, 1),
        "branch5x5_1": (c, 48, 1),
        "branch5x5_2": (48, 64, 5),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3),
        "branch3x3dbl_3": (96, 96, 3),
        "branch_pool": (c, pool, 1),
    }
    double = ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]
    return Block(convs, [["branch1x1"], ["branch5x5_1", "branch5x5_2"], double, [AVERAGE, "branch_pool"]])


def _b(c: int) -> Block:
    convs: Convs = {
        "branch3x3": (c, 384, 3),
        "branch3x3dbl_1": (c, 64, 1),
        "branch3x3dbl_2": (64, 96, 3),
        "branch3x3dbl_3": (96, 96, 3),
    }
    double = ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]
    return Block(convs, [["branch3x3"], double, [HALVE]], halving=("branch3x3", "branch3x3dbl_3"))


def _c(c: int, c7: int) -> Block:
    across, along = (1, 7), (7, 1)
    convs: Convs = {
        "branch1x1": (c, 192, 1),
        "branch7x7_1": (c, c7, 1),
        "branch7x7_2": (c7, c7, across),
        "branch7x7_3": (c7, 192, along),
        "branch7x7dbl_1": (c, c7, 1),
        "branch7x7dbl_2": (c7, c7, along),
        "branch7x7dbl_3": (c7, c7, across),
        "branch7x7dbl_4": (c7, c7, along),
        "branch7x7dbl_5": (c7, 192, across),
        "branch_pool": (c, 192, 1),
    }
    single = [f"branch7x7_{place}" for place in (1, 2, 3)]
    double = [f"branch7x7dbl_{place}" for place in (1, 2, 3, 4, 5)]
    return Block(convs, [["branch1x1"], single, double, [AVERAGE, "branch_pool"]])


def _d(c: int) -> Block:
    convs: Convs = {
        "branch3x3_1": (c, 192, 1),
        "branch3x3_2": (192, 320, 3),
        "branch7x7x3_1": (c, 192, 1),
        "branch7x7x3_2": (192, 192, (1, 7)),
        "branch7x7x3_3": (192, 192, (7, 1)),
        "branch7x7x3_4": (192, 192, 3),
    }
    seven = [f"branch7x7x3_{place}" for place in (1, 2, 3, 4)]
    return Block(convs, [["branch3x3_1", "branch3x3_2"], seven, [HALVE]], halving=("branch3x3_2", "branch7x7x3_4"))


def _e(c: int, pool: str) -> Block:
    across, along = (1, 3), (3, 1)
    convs: Convs = {
        "branch1x1": (c, 320, 1),
        "branch3x3_1": (c, 384, 1),
        "branch3x3_2a": (384, 384, across),
        "branch3x3_2b": (384, 384, along),
        "branch3x3dbl_1": (c, 448, 1),
        "branch3x3dbl_2": (448, 384, 3),
        "branch3x3dbl_3a": (384, 384, across),
        "branch3x3dbl_3b": (384, 384, along),
        "branch_pool": (c, 192, 1),
    }
    single: Path = ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]
    double: Path = ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]
    return Block(convs, [["branch1x1"], single, double, [pool, "branch_pool"]])


class Inception(nn.Module):
    """[M, 3, 299, 299], normalized, -> [M, 2048]. `fc`, the classes, is there for the names of the weights alone."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        blocks: dict[str, Any] = {"5b": _a(192, 32), "5c": _a(256, 64), "5d": _a(288, 64), "6a": _b(288)}
        blocks |= {name: _c(768, c7) for name, c7 in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192))}
        blocks |= {"7a": _d(768), "7b": _e(1280, AVERAGE), "7c": _e(2048, MAXIMUM)}
        for name, block in blocks.items():
            self.add_module(f"Mixed_{name}", block)
        self.mixed = [f"Mixed_{name}" for name in blocks]
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))
