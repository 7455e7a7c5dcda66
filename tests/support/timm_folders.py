"""Small timm networks with random weights, saved as timm saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models._hub import save_for_hf

SMALL: dict[str, dict[str, Any]] = {
    "vit_small_patch14_reg4_dinov2": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 56},
    "vit_small_patch16_dinov3": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 64},
    "vit_base_patch16_siglip_224": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 64},
    "vit_pe_core_tiny_patch16_384": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 64},
    "eva02_tiny_patch14_224": {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 56},
    "convnext_atto": {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]},
}
"""Architectures and the arguments that make them small: registers, rope, attention pooling, and convolutions."""
DATA: dict[str, Any] = {
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25], "interpolation": "bicubic",
    "crop_pct": 1.0, "crop_mode": "center",
}  # fmt: skip


def side_of(architecture: str) -> int:
    """Return the side of the pictures of a network in `SMALL`."""
    return int(SMALL[architecture].get("img_size", 64))


def network(architecture: str, **arguments: Any) -> torch.nn.Module:
    """Make a small network whose features differ from picture to picture, always the same one."""
    model = timm.create_model(architecture, **{**SMALL[architecture], **arguments}).eval()
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in sorted(model.state_dict().items()):
            if not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.copy_(1 + torch.rand(value.shape, generator=noise))
            elif value.ndim < 2:
                centre = 0.0 if name.endswith("bias") or "running" in name else 1.0
                value.copy_(centre + 0.2 * torch.randn(value.shape, generator=noise))
            else:
                spread = (
                    1 / max(1, value[0].numel()) ** 0.5
                    if "token" not in name and "embed" not in name
                    else 0.3
                )
                value.copy_(spread * torch.randn(value.shape, generator=noise))
    return model


def save(folder: Path, architecture: str, *, data: dict[str, Any] | None = None, **arguments: Any) -> Path:
    """Let timm save a small network: `config.json` and `model.safetensors`."""
    model: Any = network(architecture, **arguments)
    side = side_of(architecture)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, side, side), **DATA, **(data or {})}
    save_for_hf(model, folder, model_args={**SMALL[architecture], **arguments}, safe_serialization=True)
    return folder
