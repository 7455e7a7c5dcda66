"""SSCD networks with random weights, as their authors define and publish them, with fewer blocks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet


class GlobalGeMPool2d(nn.Module):
    """As sscd/models/gem_pooling.py."""

    def __init__(self, pooling_param: float):
        super().__init__()
        self.pooling_param = pooling_param

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.size()
        mean = x.reshape(n, c, h * w).clamp(min=1e-6).pow(self.pooling_param).mean(dim=2)
        return mean.pow(1.0 / self.pooling_param)


class L2Norm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x)


class Torchvision(nn.Module):
    """As `Model` of sscd/models/model.py with a torchvision backbone."""

    def __init__(
        self, blocks: Sequence[int], dims: int, groups: int = 1, width: int = 64, power: float = 3.0
    ):
        super().__init__()
        self.backbone = ResNet(
            Bottleneck, list(blocks), num_classes=dims, groups=groups, width_per_group=width
        )
        self.backbone.avgpool = GlobalGeMPool2d(power)
        self.embeddings = L2Norm()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embeddings(self.backbone(x))


class Layer(nn.Module):
    """As `BottleneckLayer` of classy_vision/models/resnext.py."""

    def __init__(self, planes: int, out: int, stride: int, middle: int, groups: int):
        super().__init__()
        self.convolutional_block = nn.Sequential(
            nn.Conv2d(planes, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, out, 1, bias=False),
        )
        self.bn = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or planes != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(planes, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn(self.convolutional_block(x)) + residual)


class InitialBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self._module = nn.Sequential(conv, nn.BatchNorm2d(64), nn.ReLU(inplace=True), pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._module(x)


class Trunk(nn.Module):
    """As `ResNeXt` of Classy Vision: four stages of named blocks."""

    def __init__(self, blocks: Sequence[int], groups: int, width: int):
        super().__init__()
        self.initial_block = InitialBlock()
        stages, planes = [], 64
        for stage, n in enumerate(blocks):
            out, layers = 256 * 2**stage, nn.Sequential()
            for number in range(n):
                stride = 2 if stage and not number else 1
                layer = Layer(planes, out, stride, width * groups * 2**stage, groups)
                layers.add_module(f"block{stage}-{number}", layer)
                planes = out
            stages.append(layers)
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.initial_block(x))


class Classy(nn.Module):
    """As `Model` of sscd/models/model.py with a Classy Vision backbone."""

    def __init__(self, blocks: Sequence[int], dims: int, groups: int = 1, width: int = 64):
        super().__init__()
        self.backbone = Trunk(blocks, groups, width)
        self.embeddings = nn.Sequential(GlobalGeMPool2d(3.0), nn.Linear(2048, dims), L2Norm())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embeddings(self.backbone(x))


def scripted(network: nn.Module, way: str = "script") -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if way == "trace":
            return torch.jit.trace(network, torch.rand(1, 3, 64, 64))
        module = torch.jit.script(network)
        return torch.jit.freeze(module) if way == "freeze" else module


def save_script(network: nn.Module, path: Path, way: str = "script") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(scripted(network, way), str(path))
    return path
