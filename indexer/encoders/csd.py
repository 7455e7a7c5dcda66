"""CSD, contrastive style descriptors (Somepalli et al. 2024). Needs the checkpoint of its authors, a file.

The network is OpenAI's image tower of CLIP, fine-tuned, without its projection, and two matrices in its place: one for
style, one for content. It is defined here, and loaded strictly.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import MAX_SIDE
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.image_processor import OPENAI
from imindex.indexer.encoders.model_options import join_options, split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.tensor_archive import file_sha256, read_tensors
from imindex.indexer.encoders.torch_encoder import TorchEncoder, tensors_digest
from imindex.indexer.encoders.torchscript import refuse_torchscript

NAME = "csd"
HEADS = ("style", "content", "backbone")
"""`backbone` is the vector before both matrices."""
TRAINING = (
    "_codecs.encode", "argparse.Namespace", "numpy.dtype", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)  # fmt: skip
"""What a checkpoint of a training holds beside tensors: arguments, and settings of optimizers."""
_MATRICES = {"style": "last_layer_style", "content": "last_layer_content"}
_HEAD_WIDTH = 64
"""Of OpenAI's towers: their number of heads is their width divided by it."""
_LARGEST = 1 << 13
_SOURCE = (
    "https://huggingface.co/tomg-group-umd/CSD-ViT-L (pytorch_model.bin) or https://github.com/learn2hash/CSD"
)


class QuickGelu(torch.nn.Module):
    """The activation of OpenAI's CLIP, which approximates GELU."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return values times their sigmoid at 1.702."""
        return values * torch.sigmoid(1.702 * values)


class Block(torch.nn.Module):
    """A residual block of attention and one of two layers, with the names of OpenAI's CLIP."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.attn = torch.nn.MultiheadAttention(width, max(1, width // _HEAD_WIDTH), batch_first=True)
        self.ln_1 = torch.nn.LayerNorm(width)
        self.mlp = torch.nn.Sequential(
            OrderedDict(
                c_fc=torch.nn.Linear(width, hidden), gelu=QuickGelu(), c_proj=torch.nn.Linear(hidden, width)
            )
        )
        self.ln_2 = torch.nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Transform (n, tokens, width)."""
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        transformed: torch.Tensor = tokens + self.mlp(self.ln_2(tokens))
        return transformed


@dataclass(frozen=True)
class Sizes:
    """The sizes of a tower, as its weights tell them."""

    width: int
    patch: int
    grid: int
    layers: int
    hidden: int


class Tower(torch.nn.Module):
    """OpenAI's image tower of CLIP without its projection: pictures to the class token after the last layer norm."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.width
        self.conv1 = torch.nn.Conv2d(3, width, sizes.patch, stride=sizes.patch, bias=False)
        self.class_embedding = torch.nn.Parameter(torch.empty(width))
        self.positional_embedding = torch.nn.Parameter(torch.empty(sizes.grid**2 + 1, width))
        self.ln_pre = torch.nn.LayerNorm(width)
        blocks = [Block(width, sizes.hidden) for _ in range(sizes.layers)]
        self.transformer = torch.nn.ModuleDict({"resblocks": torch.nn.Sequential(*blocks)})
        self.ln_post = torch.nn.LayerNorm(width)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Encode (n, 3, height, width) as (n, width)."""
        patches = self.conv1(pictures).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.positional_embedding
        tokens = self.transformer["resblocks"](self.ln_pre(tokens))
        encoded: torch.Tensor = self.ln_post(tokens[:, 0])
        return encoded


class Network(torch.nn.Module):
    """A tower and, unless the head is `backbone`, the matrix of a head."""

    def __init__(self, sizes: Sizes, dim: int):
        super().__init__()
        self.backbone = Tower(sizes)
        self.head = torch.nn.Parameter(torch.empty(sizes.width, dim)) if dim else None

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Encode (n, 3, height, width) as (n, dim), of any length."""
        features: torch.Tensor = self.backbone(pictures)
        return features if self.head is None else features @ self.head


class CsdEncoder(TorchEncoder):
    """Encodes pictures with a head of CSD."""


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    """Load CSD, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `csd`, with the option `?head=`, one of `HEADS`; by default `style`.
    pretrained : str
        The authors' checkpoint, or its weights as safetensors.
    devices, precision, batch_size
        See `imindex.indexer.encoders.base.Backend`.

    Raises
    ------
    ImindexError
        The file is missing, is damaged, or is not of this network.
    """
    name, options = split_options(model, ("head",))
    head = options.get("head", HEADS[0])
    if name != NAME:
        raise ImindexError(f"The back end {NAME} has one model. Use --model {NAME} --pretrained FILE.")
    if head not in HEADS:
        raise ImindexError(f"{model}: there is no head {head}. Use one of {', '.join(HEADS)}.")
    file = weights_file(NAME, pretrained, _SOURCE)
    refuse_torchscript(NAME, file)
    network, sizes = _network(file, _state(file), head)
    side = sizes.grid * sizes.patch
    mean, std = OPENAI
    info = EncoderInfo(
        model=join_options(NAME, options),
        pretrained=file,
        weights_sha256=tensors_digest(network.state_dict()),
        config={
            "backend": NAME,
            "architecture": f"CLIP ViT of width {sizes.width} and {sizes.layers} layers, quick_gelu",
            "pooling": f"class token, {head}",
        },
        preprocess=Preprocess((side, side), mean, std).as_dict(),
        dim=sizes.width if network.head is None else int(network.head.shape[1]),
        precision=precision,
        pretrained_sha256=file_sha256(file),
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return CsdEncoder(own, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def weights_file(name: str, pretrained: str | None, source: str) -> str:
    """Return the file of weights that the user passed, or say where to get it."""
    if not pretrained or not Path(pretrained).is_file():
        raise ImindexError(
            f"--model {name} needs a file of weights{f', and {pretrained} is none' if pretrained else ''}. Download it "
            f"from {source}, and pass it with --pretrained FILE."
        )
    return pretrained


def _state(file: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by the names of the authors' model, without those of optimizers."""

    def part(value: Any) -> object:
        state = value.get("model_state_dict", value) if isinstance(value, Mapping) else value
        return state

    tensors = read_tensors(file, part, TRAINING)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _network(file: str, tensors: Mapping[str, torch.Tensor], head: str) -> tuple[Network, Sizes]:
    """Return the network with the weights of a file."""
    tower = {
        name.removeprefix("backbone."): tensor
        for name, tensor in tensors.items()
        if name.startswith("backbone.")
    }
    # A content head of another form (`content_proj_head=custom` of the authors) is not needed for style.
    others = [name for name in tensors if not name.startswith(("backbone.", *_MATRICES.values()))]
    matrix = tensors.get(_MATRICES.get(head, ""))
    sizes = _sizes(tower)
    if others or sizes is None:
        fault = (
            f"{len(others)} tensors have no place{_some(others)}" if others else "its tower has other tensors"
        )
        raise _other(file, fault)
    if head in _MATRICES and (
        matrix is None
        or matrix.ndim != 2
        or matrix.shape[0] != sizes.width
        or not 0 < matrix.shape[1] <= _LARGEST
    ):
        found = "none" if matrix is None else f"one of the shape {tuple(matrix.shape)}"
        raise _other(file, f"the matrix {_MATRICES[head]} is missing or of another shape ({found})")
    with torch.device("meta"):
        network = Network(sizes, 0 if matrix is None else matrix.shape[1])
    given = {f"backbone.{name}": tensor for name, tensor in tower.items()} | (
        {} if matrix is None else {"head": matrix}
    )
    expected = network.state_dict()
    missing, more = sorted(expected.keys() - given), sorted(given.keys() - expected)
    shapes = [name for name in expected if name in given and expected[name].shape != given[name].shape]
    if missing or more or shapes:
        raise _other(
            file,
            f"of its {len(expected)} tensors {len(missing)} are missing{_some(missing)}, {len(more)} have no place"
            f"{_some(more)} and {len(shapes)} have another shape{_some(shapes)}",
        )
    network.load_state_dict({name: tensor.float() for name, tensor in given.items()}, assign=True)
    return network.eval(), sizes


def _sizes(tower: Mapping[str, torch.Tensor]) -> Sizes | None:
    """Return the sizes of a tower, or None if its weights are not those of one."""
    conv, positions = tower.get("conv1.weight"), tower.get("positional_embedding")
    hidden = tower.get("transformer.resblocks.0.mlp.c_fc.weight")
    if conv is None or positions is None or hidden is None:
        return None
    if conv.ndim != 4 or positions.ndim != 2 or hidden.ndim != 2:
        return None
    grid = math.isqrt(max(positions.shape[0] - 1, 0))
    layers = len({name.split(".")[2] for name in tower if name.startswith("transformer.resblocks.")})
    width, patch = conv.shape[0], conv.shape[-1]
    if grid**2 + 1 != positions.shape[0] or not 1 <= grid * patch <= MAX_SIDE or layers > 100:
        return None
    if width % _HEAD_WIDTH or not 1 <= width <= _LARGEST or not 1 <= hidden.shape[0] <= 4 * _LARGEST:
        return None
    return Sizes(width, patch, grid, layers, hidden.shape[0])


def _other(file: str, reason: str) -> ImindexError:
    return ImindexError(
        f"{file} holds the weights of another network than CSD's: {reason}. Use the file of {_SOURCE}."
    )


def _some(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
