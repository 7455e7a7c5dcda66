"""The stages of training a small Stable Diffusion: text encoder, autoencoder, UNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from training.model import (
    CHANNELS,
    SIDE,
    denoising_loss,
    dropped,
    likeness,
    new_autoencoder,
    new_models,
    taught_models,
    to_tensor,
    tokens,
)
from training.pace import Run, keep

from imindex.indexer.demo import diffusion as parts

Batch = tuple[list[str], Any]
"""Captions, and the answers that the text encoder has to read from them."""


def train_text(
    folder: Path,
    batch_of: Callable[[np.random.Generator], Batch],
    n_answers: int,
    loss: Callable[[torch.Tensor, Any], torch.Tensor],
    n_steps: int,
) -> Callable[[Sequence[str]], torch.Tensor]:
    """Train the text encoder alone to answer questions about captions; writes text-final.pt.

    It is frozen afterwards, and the same for all releases. Returns the function from captions to answers,
    (n, n_answers).
    """
    text = new_models()["text_encoder"]
    torch.manual_seed(21)
    head = torch.nn.Linear(parts.WIDTH, n_answers)
    run = Run(folder / "text.pt", {"text_encoder": text, "head": head}, rate=2e-3, n_steps=n_steps)

    def answers(captions: Sequence[str]) -> torch.Tensor:
        ids = tokens(list(captions))
        is_end = (ids == parts.N_WORDS - 1).float()[:, :, None]
        words = text(ids).last_hidden_state
        return head((words * is_end).sum(1) / is_end.sum(1))

    def loss_of(step: int) -> torch.Tensor:
        captions, truth = batch_of(np.random.default_rng([5, step]))
        return loss(answers(captions), truth)

    run.go(loss_of)
    run.use_mean()
    keep(text.state_dict(), folder / "text-final.pt")
    return answers


def train_autoencoder(folder: Path, pixels: np.ndarray, latents: torch.Tensor, n_steps: int) -> None:
    """Train the decoder to reconstruct pictures from their latents, and the encoder to compute the latents.

    Writes vae-final.pt.
    """
    vae = new_autoencoder()
    with torch.no_grad():
        vae.quant_conv.bias[CHANNELS:] -= 6
    run = Run(folder / "vae.pt", {"vae": vae}, rate=2e-3, n_steps=n_steps, decay=0.0)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng([2, step])
        torch.manual_seed(step)
        rows = rng.integers(len(pixels), size=4)
        noisy = latents[rows] + 0.1 * torch.rand(4, 1, 1, 1) * torch.randn(4, CHANNELS, SIDE, SIDE)
        target = to_tensor(pixels[rows])
        loss = likeness(vae.decode(noisy.contiguous(memory_format=torch.channels_last)).sample, target, rng)
        if step % 4 == 0:
            encoded = vae.encode(target).latent_dist
            loss = (
                loss
                + functional.l1_loss(encoded.mean, latents[rows])
                + 0.001 * (encoded.logvar + 6).square().mean()
            )
        return loss

    run.go(loss_of)
    run.use_mean()
    keep(vae.state_dict(), folder / "vae-final.pt")


def train_unet(
    folder: Path,
    latents: torch.Tensor,
    batch_of: Callable[[np.random.Generator], tuple[np.ndarray, list[str]]],
    *,
    rate: float,
    n_steps: int,
    on_step: Callable[[Run, int], None] | None = None,
) -> Run:
    """Train the UNet on latents and captions, with the frozen text encoder of `train_text`; writes unet-final.pt.

    `batch_of` returns rows of the latents and their captions. `on_step` is called after every step.
    """
    models = taught_models(folder / "text-final.pt")
    run = Run(folder / "unet.pt", models, rate=rate, n_steps=n_steps)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng([3, step])
        torch.manual_seed(step)
        rows, captions = batch_of(rng)
        return denoising_loss(models, latents[rows], dropped(captions, rng))

    run.go(loss_of, None if on_step is None else lambda step: on_step(run, step))
    run.use_mean()
    keep(models["unet"].state_dict(), folder / "unet-final.pt")
    return run
