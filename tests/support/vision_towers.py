"""Small transformers models with random weights, saved as their authors publish them, and their own forward pass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from tests.support.hostile_models import swapped_tokenizer

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
STAGES = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4, "patch_size": 4}
TEXT = {**SMALL, "vocab_size": 60, "max_position_embeddings": 20, "projection_dim": 24}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
DINO = {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 39}, "resample": 3, **IMAGENET,
        "crop_size": {"height": 32, "width": 32}, "do_center_crop": True}  # fmt: skip
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2}
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32}
SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}, "resample": 3,
          "image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # fmt: skip
CONVNEXT = {
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "size": 32,
    "crop_pct": 0.875,
    "resample": 3,
}
SQUARE = {"image_size": 32, "patch_size": 8}


@dataclass(frozen=True)
class Tower:
    """A model of a type.

    Attributes
    ----------
    config, network : str
        Names in transformers. The network is the one that is saved.
    settings : dict
        Of the configuration.
    processor : dict
        The content of preprocessor_config.json.
    output : str
        Where the library's own forward pass has the vector: `cls`, `mean:N` (without N tokens), or an attribute.
    """

    config: str
    network: str
    settings: dict[str, Any]
    processor: dict[str, Any]
    output: str


STAGED = {"depths": [1, 1], "hidden_sizes": [16, 32], "num_stages": 2}
FAST = {**VIT, "image_processor_type": "DINOv3ViTImageProcessorFast", **IMAGENET}
DEIT = {"image_processor_type": "DeiTImageProcessor", "size": 37, "crop_size": 32, "resample": 3, **IMAGENET}
LARGER = {**SMALL, "image_size": 56, "patch_size": 8}
PLAIN = {**SMALL, **SQUARE}
TOWERS = {
    "beit": Tower(
        "BeitConfig",
        "BeitModel",
        {**PLAIN, "use_relative_position_bias": True},
        {**VIT, "image_processor_type": "BeitImageProcessor", "resample": 3},
        "pooler_output",
    ),
    "clip_vision_model": Tower(
        "CLIPVisionConfig",
        "CLIPVisionModelWithProjection",
        {**PLAIN, "projection_dim": 24},
        CLIP,
        "image_embeds",
    ),
    "convnext": Tower("ConvNextConfig", "ConvNextModel", STAGED, CONVNEXT, "pooler_output"),
    "convnextv2": Tower("ConvNextV2Config", "ConvNextV2Model", STAGED, CONVNEXT, "pooler_output"),
    "deit": Tower("DeiTConfig", "DeiTModel", PLAIN, DEIT, "cls"),
    "dinov2": Tower("Dinov2Config", "Dinov2Model", LARGER, DINO, "cls"),
    "dinov2_with_registers": Tower(
        "Dinov2WithRegistersConfig",
        "Dinov2WithRegistersModel",
        {**LARGER, "num_register_tokens": 3},
        DINO,
        "cls",
    ),
    "dinov3_convnext": Tower(
        "DINOv3ConvNextConfig",
        "DINOv3ConvNextModel",
        {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32], "image_size": 32},
        FAST,
        "pooler_output",
    ),
    "dinov3_vit": Tower(
        "DINOv3ViTConfig", "DINOv3ViTModel", {**PLAIN, "num_register_tokens": 2}, FAST, "pooler_output"
    ),
    "ijepa": Tower("IJepaConfig", "IJepaModel", PLAIN, VIT, "mean:0"),
    "resnet": Tower(
        "ResNetConfig",
        "ResNetModel",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"},
        CONVNEXT,
        "pooler_output",
    ),
    "siglip_vision_model": Tower("SiglipVisionConfig", "SiglipVisionModel", PLAIN, SIGLIP, "pooler_output"),
    "swin": Tower("SwinConfig", "SwinModel", {**STAGES, "image_size": 32}, VIT, "pooler_output"),
    "swinv2": Tower("Swinv2Config", "Swinv2Model", {**STAGES, "image_size": 32}, VIT, "pooler_output"),
    "vit": Tower("ViTConfig", "ViTForImageClassification", PLAIN, VIT, "cls"),
    "vit_msn": Tower("ViTMSNConfig", "ViTMSNModel", PLAIN, VIT, "cls"),
}
"""By model_type. Positions of the DINOv2 ones are interpolated, and their pictures cropped with odd margins."""


def randomize(network: torch.nn.Module, seed: int) -> None:
    """Set every weight at random, such that the vectors of two pictures are far apart."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.state_dict().items():
        if not weight.is_floating_point():
            continue
        noise = torch.randn(weight.shape, generator=generator)
        if name.endswith("running_var"):
            weight.copy_(1 + noise.abs() / 4)
        elif weight.ndim > 1 and not is_token(name):
            weight.copy_(noise * 1.1 / weight[0].numel() ** 0.5)
        else:
            weight.copy_(noise / 8 + (1 if name.endswith("weight") and weight.ndim == 1 else 0))


def is_token(name: str) -> bool:
    return any(part in name for part in ("position", "token", "relative"))


def save_tower(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a vision tower, as its library saves it, with its preprocessor_config.json."""
    tower = TOWERS[kind]
    network = getattr(transformers, tower.network)(getattr(transformers, tower.config)(**tower.settings))
    randomize(network, seed)
    return save(folder, network, tower.processor)


def save(folder: Path, network: Any, processor: dict[str, Any]) -> Path:
    transformers.utils.logging.disable_progress_bar()
    network.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def save_dual(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a model of two towers (clip or siglip) with a tokenizer."""
    name, config = {"clip": ("CLIPModel", "CLIPConfig"), "siglip": ("SiglipModel", "SiglipConfig")}[kind]
    vision = {**SMALL, **SQUARE, "projection_dim": 24}
    tokens = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    settings = getattr(transformers, config)(
        text_config={**TEXT, **tokens}, vision_config=vision, projection_dim=24
    )
    network = getattr(transformers, name)(settings)
    randomize(network, seed)
    swapped_tokenizer(folder)
    return save(folder, network, CLIP if kind == "clip" else SIGLIP)


def own_vector(
    folder: Path,
    kind: str,
    image: Image.Image,
    dtype: torch.dtype,
    *,
    interpolate_pos_encoding: bool = False,
    **told: Any,
) -> np.ndarray:
    """Return the unit vector of a picture by the library's own processor, with other settings if told, and network."""
    tower = TOWERS[kind]
    network = load_own(folder, tower.network, dtype)
    with torch.inference_mode():
        pixels = processor(folder)(images=image.convert("RGB"), return_tensors="pt", **told)[
            "pixel_values"
        ].to(dtype)
        options = {"interpolate_pos_encoding": True} if interpolate_pos_encoding else {}
        base = network.base_model if tower.output == "cls" else network
        output = base(pixel_values=pixels, **options)
    if tower.output == "cls":
        features = output.last_hidden_state[:, 0]
    elif tower.output.startswith("mean:"):
        features = output.last_hidden_state[:, int(tower.output[5:]) :].mean(1)
    else:
        features = output[tower.output].flatten(1)
    return unit(features)


def load_own(folder: Path, network: str, dtype: torch.dtype) -> Any:
    transformers.utils.logging.disable_progress_bar()
    return getattr(transformers, network).from_pretrained(folder, dtype=dtype).eval()


def processor(folder: Path) -> Any:
    """Return the library's processor: of Pillow, except for DINOv3, which has only torchvision's."""
    major = int(transformers.__version__.partition(".")[0])
    options = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    return transformers.AutoImageProcessor.from_pretrained(folder, **options)


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.float(), dim=-1)[0].numpy().astype(np.float64)
