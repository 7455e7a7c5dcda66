"""SSCD, a descriptor of copies (Pizzi et al. 2022). Needs a file that its authors publish.

Their TorchScript files hold code, which is never run: the weights are read by their names, and put into the network
that is defined here, as the authors' `sscd/models/model.py` describes it: a ResNet, generalised-mean pooling, a linear
layer and the L2 norm.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.image_processor import IMAGENET
from imindex.indexer.encoders.model_options import join_options, split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.tensor_archive import Bag, TensorArchive, named_tensors, read_tensors
from imindex.indexer.encoders.torch_encoder import TorchEncoder, tensors_digest
from imindex.indexer.encoders.torchscript import is_torchscript
from imindex.indexer.system.light_imports import light_imports

with light_imports():
    from torchvision.models.resnet import Bottleneck, ResNet

NAME = "sscd"
RESIZES = {"skew_320": 320, "skew_288": 288}
"""The edge of the square to which each choice of `?resize=` squashes a picture."""
DEFAULT_RESIZE = "skew_320"
POWER = 3.0
"""The exponent of the pooling of all published models."""
_LEAST = 1e-6
"""Features are at least this large when they are pooled, as in the authors' `gem_pooling.py`."""
_MOST_BLOCKS = 64
_PUBLISHED = "https://github.com/facebookresearch/sscd-copy-detection"
_BLOCK = re.compile(
    r"backbone\.blocks\.(\d)\.(?:block\d+-)?(\d+)\.(?:_module\.)?(?:convolutional_block\.(\d)|(bn)|downsample\.(\d))\.(\w+)"
)
"""A tensor of Classy Vision's ResNeXt: stage, block, and its place in the block."""
_IN_BLOCK = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}
_ELSEWHERE = {
    "backbone.initial_block._module.0": "conv1",
    "backbone.initial_block._module.1": "bn1",
    "embeddings.1": "fc",
}


class GeneralizedMean(torch.nn.Module):
    """Pools each channel to the cubic mean of its values."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Pool (n, channels, height, width) to (n, channels)."""
        values = maps.flatten(2).float()  # cubes of fp16 would overflow
        return values.clamp(min=_LEAST).pow(POWER).mean(2).pow(1 / POWER).to(maps.dtype)


class SscdEncoder(TorchEncoder):
    """Encodes pictures with a ResNet whose pooling is the generalised mean."""


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    """Load an SSCD model, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `sscd`, with the option `?resize=`, one of `RESIZES`.
    pretrained : str
        A file of the authors: `.torchvision.pt`, `.classy.pt` or `.torchscript.pt`; or the same weights as safetensors.
    devices, precision, batch_size
        See `imindex.indexer.encoders.base.Backend`.

    Raises
    ------
    ImindexError
        The file is missing, is damaged, or is not of this network.
    """
    name, options = split_options(model, ("resize",))
    resize = options.get("resize", DEFAULT_RESIZE)
    if name != NAME:
        raise ImindexError(f"The back end {NAME} has one model. Use --model {NAME} --pretrained FILE.")
    if resize == "small_288":
        raise ImindexError(
            "small_288 keeps the aspect ratio of each picture and crops nothing, so that pictures have other sizes, "
            f"and imindex encodes pictures of one size. Use the authors' other way, ?resize={DEFAULT_RESIZE}."
        )
    if resize not in RESIZES:
        raise ImindexError(f"{model}: there is no resize {resize}. Use one of {', '.join(RESIZES)}.")
    if not pretrained or not Path(pretrained).is_file():
        raise ImindexError(
            f"--model {NAME} needs a file of weights{f', and {pretrained} is none' if pretrained else ''}. Download "
            f"sscd_disc_mixup.torchscript.pt or another from {_PUBLISHED}, and pass it with --pretrained FILE."
        )
    tensors = torchvision_names(_read(pretrained))
    network, settings = _network(pretrained, tensors)
    edge = RESIZES[resize]
    mean, std = IMAGENET
    info = EncoderInfo(
        model=join_options(NAME, options),
        pretrained=pretrained,
        weights_sha256=tensors_digest(network.state_dict()),
        config={"backend": NAME, **settings, "pooling": f"generalized mean {POWER:g}"},
        preprocess=Preprocess((edge, edge), mean, std, "bilinear", "squash").as_dict(),
        dim=int(network.fc.out_features),
        precision=precision,
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return SscdEncoder(own, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def _read(file: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, by the names that it has."""
    if not is_torchscript(file):
        return read_tensors(file)
    with TensorArchive(file) as archive:
        tensors = archive.tensors(
            {name: ref for name, ref in named_tensors(archive.value).items() if 0 not in ref.shape}
        )
        if not tensors:
            raise ImindexError(
                f"{file} is a TorchScript archive whose weights have no names: they are constants of its code (it was "
                f"frozen), and imindex never runs code. Use the .torchvision.pt or .classy.pt file of {_PUBLISHED}."
            )
        powers = {float(power) for power in _attributes(archive.value, "pooling_param")}
        if powers - {POWER}:
            raise ImindexError(
                f"{file} pools with the exponent {', '.join(f'{power:g}' for power in sorted(powers))}, and the "
                f"published models with {POWER:g}. Use one of {_PUBLISHED}."
            )
        return tensors


def _attributes(value: object, name: str) -> list[float]:
    """Return the numbers of an attribute of this name, of the parts of a module."""
    found: list[float] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Bag):  # named_tensors has seen that there is an end
            number = part.attributes.get(name)
            if isinstance(number, (int, float)):
                found.append(number)
            waiting += [inner for inner in part.attributes.values() if isinstance(inner, Bag)]
    return found


def torchvision_names(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of an SSCD model by the names of torchvision's ResNet, whichever of the two files they are of.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        By torchvision's names, or by those of Classy Vision, after `backbone.` and `embeddings.`. A name of neither is
        kept.

    Examples
    --------
    >>> list(torchvision_names({"backbone.blocks.1.block1-0.convolutional_block.3.weight": torch.zeros(1)}))
    ['layer2.0.conv2.weight']
    """
    return {_torchvision_name(name): tensor for name, tensor in tensors.items()}


def _torchvision_name(name: str) -> str:
    stem, _, last = name.rpartition(".")
    if stem in _ELSEWHERE:
        return f"{_ELSEWHERE[stem]}.{last}"
    found = _BLOCK.fullmatch(name)
    if found is None:
        return name.removeprefix("backbone.")
    stage, block, inside, bn, shortcut, parameter = found.groups()
    place = (
        "bn3" if bn else f"downsample.{shortcut}" if shortcut else _IN_BLOCK.get(inside, f"unknown{inside}")
    )
    return f"layer{int(stage) + 1}.{block}.{place}.{parameter}"


def _network(file: str, tensors: Mapping[str, torch.Tensor]) -> tuple[ResNet, dict[str, object]]:
    """Return the network that the weights fit, with all of them, and what an index records of it."""
    blocks = [
        len({name.split(".")[1] for name in tensors if name.startswith(f"layer{stage}.")})
        for stage in range(1, 5)
    ]
    middle, last = tensors.get("layer1.0.conv2.weight"), tensors.get("fc.weight")
    if not all(1 <= n <= _MOST_BLOCKS for n in blocks) or middle is None or last is None:
        raise _other(file, f"it has no {'fc.weight' if last is None else 'residual blocks'}")
    if middle.ndim != 4 or last.ndim != 2 or 0 in middle.shape:
        raise _other(file, "its layers have other shapes")
    groups = middle.shape[0] // middle.shape[1]
    width = middle.shape[0] // max(groups, 1)
    expected = {
        name: tuple(tensor.shape) for name, tensor in _sketch(blocks, groups, width, last.shape[0]).items()
    }
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if given != expected:
        missing, more = sorted(expected.keys() - given), sorted(given.keys() - expected)
        shapes = [name for name in expected if name in given and expected[name] != given[name]]
        raise _other(
            file,
            f"of its {len(expected)} tensors {len(missing)} are missing{_some(missing)}, {len(more)} have no place"
            f"{_some(more)} and {len(shapes)} have another shape{_some(shapes)}",
        )
    with torch.device("meta"):
        network = _made(blocks, groups, width, last.shape[0])
    network.load_state_dict(
        {name: tensor if "num_batches" in name else tensor.float() for name, tensor in tensors.items()},
        assign=True,
    )
    settings = {"architecture": "resnet", "blocks": blocks, "groups": groups, "width_per_group": width}
    return network.eval(), settings


def _made(blocks: Sequence[int], groups: int, width: int, dim: int) -> ResNet:
    network = ResNet(Bottleneck, list(blocks), num_classes=dim, groups=groups, width_per_group=width)
    network.avgpool = GeneralizedMean()
    return network


def _sketch(blocks: Sequence[int], groups: int, width: int, dim: int) -> dict[str, torch.Tensor]:
    """Return the tensors of the network, without memory."""
    if not (1 <= groups <= 1 << 10 and 1 <= width <= 1 << 10 and 1 <= dim <= 1 << 16):
        return {}
    with torch.device("meta"):
        return dict(_made(blocks, groups, width, dim).state_dict())


def _other(file: str, reason: str) -> ImindexError:
    script = is_torchscript(file)
    kind = "is a TorchScript archive of another network" if script else "holds the weights of another network"
    remedy = " (imindex never runs the code of such an archive)" if script else ""
    return ImindexError(
        f"{file} {kind} than SSCD's{remedy}: {reason}. Use a file of {_PUBLISHED}, or a back end for this network."
    )


def _some(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
