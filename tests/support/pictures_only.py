"""The back end `pictures-only`: a PyTorch model with random weights that encodes pictures, and no texts.

`pictures-only` or `pictures-only:SEED`. The fixture `pictures_only` of conftest.py registers it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.torch_encoder import TorchEncoder, weights_digest

NAME = "pictures-only"
MODULE = "tests.support.pictures_only"
DIM = 24


class PicturesOnly(TorchEncoder):
    """The features are the output of `network`."""

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.model(prepared)


def network(seed: int) -> torch.nn.Module:
    """Means of 4 x 4 tiles, and a random projection."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, DIM, bias=False)
        )


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    weights = network(int(model.partition(":")[2] or 0))
    info = EncoderInfo(
        model=model,
        pretrained=pretrained or "",
        weights_sha256=weights_digest(weights),
        config={"backend": NAME},
        preprocess=Preprocess(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).as_dict(),
        dim=DIM,
        precision=precision,
    )

    def make(device: torch.device, size: int | None) -> Encoder:
        own = weights if len(devices) == 1 else copy.deepcopy(weights)
        return PicturesOnly(own, info, device=device, batch_size=size)

    return on_devices(make, devices, batch_size)


def knows(model: str, pretrained: str | None) -> bool:
    """Its weights are drawn here, so that no name leads elsewhere."""
    return not pretrained
