"""MegaStyle-Encoder (Gao et al. 2026), a SigLIP image tower fine-tuned to tell styles apart. Needs the authors' file.

What the authors publish as `style_score.py` establishes: the network is transformers' SiglipVisionModel in the sizes of
google/siglip-so400m-patch14-384, its vector is the normalised pooler_output, pictures are prepared by that model's
processor, and the file is a state dictionary, alone or under the key `model`. The names of the tensors in the file were
not seen; those of SiglipVisionModel are required, all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.csd import TRAINING, weights_file
from imindex.indexer.encoders.image_processor import preprocess_of
from imindex.indexer.encoders.model_options import split_options
from imindex.indexer.encoders.multi_device import on_devices
from imindex.indexer.encoders.tensor_archive import file_sha256, read_tensors
from imindex.indexer.encoders.torch_encoder import TorchEncoder, tensors_digest
from imindex.indexer.encoders.torchscript import refuse_torchscript
from imindex.indexer.encoders.transformers import filled, quiet_transformers

NAME = "megastyle"
ARCHITECTURE: Mapping[str, int] = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""Of google/siglip-so400m-patch14-384."""
_PARTS = ("vision_model.", "embeddings.", "encoder.", "post_layernorm.", "head.")
"""How the names of the tower begin, in older and newer versions of transformers."""
_SOURCE = "https://huggingface.co/Gaojunyao/MegaStyle (megastyle_encoder.pth)"


class MegaStyleEncoder(TorchEncoder):
    """Encodes pictures with a SigLIP image tower, as its pooler_output."""

    def features(self, prepared: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model(pixel_values=prepared).pooler_output
        return features


def load(
    model: str,
    pretrained: str | None,
    *,
    devices: Sequence[torch.device],
    precision: str,
    batch_size: int | None,
) -> Encoder:
    """Load MegaStyle-Encoder, see `imindex.indexer.encoders.base.Backend`.

    Parameters
    ----------
    model : str
        `megastyle`.
    pretrained : str
        The authors' file, or its weights as safetensors.
    devices, precision, batch_size
        See `imindex.indexer.encoders.base.Backend`.

    Raises
    ------
    ImindexError
        The file is missing, is damaged, or is not of this network.
    """
    name, _ = split_options(model, ())
    if name != NAME:
        raise ImindexError(f"The back end {NAME} has one model. Use --model {NAME} --pretrained FILE.")
    file = weights_file(NAME, pretrained, _SOURCE)
    refuse_torchscript(NAME, file)
    tensors = _tower(file)
    from transformers import SiglipVisionConfig

    with quiet_transformers():
        network = filled(
            file,
            "SiglipVisionModel",
            SiglipVisionConfig(**ARCHITECTURE),
            tensors,
            f"Use the file of {_SOURCE}.",
        )
    side = ARCHITECTURE["image_size"]
    processor = {"image_processor_type": "SiglipImageProcessor", "size": {"height": side, "width": side}}
    info = EncoderInfo(
        model=NAME,
        pretrained=file,
        weights_sha256=tensors_digest(tensors),
        config={
            "backend": NAME,
            "architecture": "siglip_vision_model",
            "pooling": "pooler",
            "model": dict(ARCHITECTURE),
        },
        preprocess=preprocess_of(processor, NAME).as_dict(),
        dim=ARCHITECTURE["hidden_size"],
        precision=precision,
        pretrained_sha256=file_sha256(file),
    )

    def make(device: torch.device, batch_size: int | None) -> Encoder:
        own = network if len(devices) == 1 else copy.deepcopy(network)
        return MegaStyleEncoder(own, info, device=device, batch_size=batch_size)

    return on_devices(make, devices, batch_size)


def _tower(file: str) -> dict[str, torch.Tensor]:
    """Return the tensors of the image tower; others have no effect in the authors' script either."""

    def part(value: Any) -> object:
        return value.get("model", value) if isinstance(value, Mapping) else value

    tensors = read_tensors(file, part, TRAINING)
    tower = {name: tensor for name, tensor in tensors.items() if name.startswith(_PARTS)}
    if not tower:
        raise ImindexError(
            f"{file} holds no tensors of a SigLIP image tower (of {len(tensors)}, none begins with {_PARTS[0]}). Use "
            f"the file of {_SOURCE}."
        )
    return tower
