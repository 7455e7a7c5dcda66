"""Fine-tuning from a release of the demo, and storing only what changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from training.model import new_models, save_release
from training.pace import Run


def base_models(weights: Path, changing: tuple[str, ...]) -> dict[str, torch.nn.Module]:
    """Create UNet and text encoder with the weights of a release; only parameters with one of these words train.

    The names of parameters begin with `unet.` or `text_encoder.`. The word vectors never train.
    """
    from safetensors.torch import load_file

    stored, models = load_file(weights), new_models()
    for key, module in models.items():
        for name, value in module.state_dict().items():
            full = f"{key}.{name.removeprefix('text_model.')}"
            if "token_embedding" not in name:
                value.copy_(stored[full])
        for name, parameter in module.named_parameters():
            full = f"{key}.{name}"
            parameter.requires_grad_("token_embedding" not in name and any(word in full for word in changing))
    return models


def save_changes(run: Run, path: Path, *, base: str) -> None:
    """Write the tensors that differ from those of the release `base` beside it, with the digest of `base`."""
    from safetensors.torch import load_file, save_file

    stored = path.with_name(f"{base}.safetensors")
    with TemporaryDirectory() as folder:
        whole = Path(folder) / path.name
        save_release(run, whole)
        weights, before = load_file(whole), load_file(stored)
    changed = {key: value for key, value in sorted(weights.items()) if not torch.equal(value, before[key])}
    source = {"release": base, "sha256": hashlib.sha256(stored.read_bytes()).hexdigest()}
    save_file(changed, path, {"base": json.dumps(source, sort_keys=True)})
    path.chmod(0o644)
