"""An open_clip model with random weights, small enough to create in a test."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import safetensors.torch
import torch

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}

LONG = {**TINY, "text_cfg": {**TINY["text_cfg"], "context_length": 200}}
"""The same, which reads longer texts."""


def save_model(folder: Path, seed: int = 0, config: dict = TINY) -> Path:
    """Write an open_clip `local-dir` with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "open_clip_model.safetensors")
    return folder
