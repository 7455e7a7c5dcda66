"""Two honest baselines for `scripts/bench/encoders`: colours alone, and networks whose weights are random.

`colour-histogram` counts the pixels of a picture in 6 x 6 x 6 bins of red, green and blue, and takes square roots.
`random-weights:MODEL` is a network of timm with the weights that a seed gives: what architecture alone contributes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.registry import register
from imindex.indexer.encoders.torch_encoder import TorchEncoder, unit_vectors, weights_digest

BINS = 6
COLOURS, RANDOM = "colour-histogram", "random-weights"
SEED = 0


class ColourHistogram(Encoder):
    """Encodes a picture as the square roots of its histogram of colours (cosine: the Bhattacharyya coefficient)."""

    def __init__(self, info: EncoderInfo, batch_size: int | None):
        self.info = info
        self.device = torch.device("cpu")
        self.batch_size = batch_size or 256

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        bins = (pixels.long() * BINS) // 256
        place = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
        counts = torch.stack([torch.bincount(one.reshape(-1), minlength=BINS**3) for one in place])
        return unit_vectors(counts.float().sqrt())


class RandomWeights(TorchEncoder):
    """A network of timm without its last layer."""


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    """Load a baseline."""
    kind, _, name = model.partition(":")
    if pretrained or (kind == COLOURS) == bool(name):
        raise ImindexError(f"Write {COLOURS} or {RANDOM}:MODEL, without weights.")
    size = (96, 96) if kind == COLOURS else (224, 224)
    mean, std = ((0.0,) * 3, (1.0,) * 3) if kind == COLOURS else ((0.5,) * 3, (0.5,) * 3)
    preprocess = Preprocess(size=size, mean=mean, std=std, resize_mode="squash").as_dict()
    if kind == COLOURS:
        info = EncoderInfo(
            model=model, pretrained="", weights_sha256=weights_digest(torch.nn.Module()),
            config={"backend": COLOURS, "bins": BINS}, preprocess=preprocess, dim=BINS**3, precision="fp32",
        )  # fmt: skip
        return ColourHistogram(info, batch_size)
    import timm

    state = torch.get_rng_state()
    torch.manual_seed(SEED)
    network = timm.create_model(name, pretrained=False, num_classes=0)
    torch.set_rng_state(state)
    info = EncoderInfo(
        model=model, pretrained="", weights_sha256=weights_digest(network),
        config={"backend": RANDOM, "architecture": name, "seed": SEED}, preprocess=preprocess,
        dim=int(network.num_features), precision=precision,
    )  # fmt: skip
    return RandomWeights(network, info, device=devices[0], batch_size=batch_size)


def register_baselines() -> None:
    """Register both back ends for this process."""
    for name in (COLOURS, RANDOM):
        register(name, __name__)
