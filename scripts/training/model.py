"""The parts of a small Stable Diffusion: configurations, losses, and how weights are stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from training.pace import Run

from imindex.indexer.demo import diffusion as parts

SIZE, DOWN, CHANNELS = 64, 4, 12
SIDE = SIZE // DOWN
DROPPED = 0.12  # share of captions left empty, for classifier-free guidance

VAE_CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (16, 32, 64),
    "layers_per_block": 1,
    "latent_channels": CHANNELS,
    "norm_num_groups": 8,
    "sample_size": SIZE,
    "mid_block_add_attention": False,
    "scaling_factor": 1.0,
}
UNET_CONFIG = {
    "sample_size": SIDE,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "layers_per_block": 1,
    "block_out_channels": (48, 96),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "cross_attention_dim": parts.WIDTH,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}
TEXT_CONFIG = {
    "hidden_size": parts.WIDTH,
    "intermediate_size": 4 * parts.WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": parts.N_TOKENS,
    "vocab_size": parts.N_WORDS,
    "projection_dim": parts.WIDTH,
    "bos_token_id": parts.N_WORDS - 2,
    "eos_token_id": parts.N_WORDS - 1,
    "pad_token_id": parts.N_WORDS - 1,
}
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Convert uint8 (n, h, w, 3) to (n, 3, h, w) in the range -1 to 1."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return scaled.contiguous(memory_format=torch.channels_last)


def new_autoencoder() -> torch.nn.Module:
    from diffusers import AutoencoderKL

    torch.manual_seed(20)
    return AutoencoderKL(**VAE_CONFIG).to(memory_format=torch.channels_last)


def strokes(picture: torch.Tensor, shift: tuple[int, int], side: int = 16) -> torch.Tensor:
    """Return the magnitude of each spatial frequency in each block, whatever the position of the strokes."""
    n, c, h, w = picture.shape
    rolled = torch.roll(picture.contiguous(), shift, (2, 3))
    blocks = rolled.reshape(n, c, h // side, side, w // side, side).transpose(3, 4)
    return torch.fft.rfft2(blocks, norm="ortho").abs()


def likeness(reconstruction: torch.Tensor, target: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Loss of a reconstruction: difference of the grey levels, and of the magnitudes of `strokes`."""
    shift = (int(rng.integers(16)), int(rng.integers(16)))
    return functional.l1_loss(reconstruction, target) + 0.2 * functional.l1_loss(
        strokes(reconstruction, shift), strokes(target, shift)
    )


def patches(pixels: np.ndarray) -> torch.Tensor:
    """Convert (n, 64, 64, 3) uint8 to (n, 16, 16, 48): the values of each 4 x 4 patch."""
    n = len(pixels)
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).float() / 127.5 - 1
    cut = scaled.reshape(n, SIDE, DOWN, SIDE, DOWN, 3).transpose(2, 3)
    return cut.reshape(n, SIDE, SIDE, DOWN * DOWN * 3)


@dataclass(frozen=True)
class Latents:
    """Latents that need no training: the first principal components of small patches, scaled.

    Each component is divided by the square root of its standard deviation, half way between the picture's own scale
    and unit scale. UNet and autoencoder can therefore be trained at the same time.
    """

    basis: torch.Tensor
    centre: torch.Tensor

    @classmethod
    def fit(cls, pixels: np.ndarray) -> Latents:
        """Fit to (n, 64, 64, 3) uint8, from 1,000 of the pictures."""
        rows = np.random.default_rng(0).choice(len(pixels), min(len(pixels), 1000), replace=False)
        sample = patches(pixels[rows]).flatten(0, 2)
        centre = sample.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((sample - centre).T))
        basis = vectors.flip(1)[:, :CHANNELS] / values.flip(0)[:CHANNELS] ** 0.25
        return cls(basis / ((sample - centre) @ basis).var(0).mean().sqrt(), centre)

    def of(self, pixels: np.ndarray) -> torch.Tensor:
        """Convert (n, 64, 64, 3) uint8 to latents (n, 12, 16, 16)."""
        blocks = [
            ((patches(pixels[i : i + 500]) - self.centre) @ self.basis).permute(0, 3, 1, 2)
            for i in range(0, len(pixels), 500)
        ]
        return torch.cat(blocks).contiguous()


def load_autoencoder(path: Path) -> torch.nn.Module:
    vae = new_autoencoder()
    vae.load_state_dict(torch.load(path, weights_only=True))
    return vae.eval()


@cache
def tokenizer() -> Any:
    from tempfile import TemporaryDirectory

    from transformers import CLIPTokenizer

    with TemporaryDirectory() as folder:
        parts.write_tokenizer(Path(folder))
        return CLIPTokenizer.from_pretrained(folder)


def tokens(captions: list[str]) -> torch.Tensor:
    full = {"padding": "max_length", "truncation": True, "max_length": parts.N_TOKENS}
    return torch.tensor(tokenizer()(captions, **full)["input_ids"])


def new_models() -> dict[str, torch.nn.Module]:
    """Create UNet and text encoder; the word vectors are fixed."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(20)
    unet = UNet2DConditionModel(**UNET_CONFIG).to(memory_format=torch.channels_last)
    text = CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG))
    words = text.get_input_embeddings().weight
    words.requires_grad_(False)
    words.copy_(torch.from_numpy(parts.word_vectors()).float())
    return {"unet": unet, "text_encoder": text}


def taught_models(text: Path) -> dict[str, torch.nn.Module]:
    """Create a new UNet, and load the text encoder from the file `text`, frozen."""
    models = new_models()
    models["text_encoder"].load_state_dict(torch.load(text, weights_only=True))
    models["text_encoder"].requires_grad_(False)
    return models


@cache
def signal() -> torch.Tensor:
    """Return the squared share of the picture in the noisy input, at every time of the schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULE).alphas_cumprod


def denoising_loss(
    models: dict[str, torch.nn.Module], latents: torch.Tensor, captions: list[str]
) -> torch.Tensor:
    """Velocity prediction, weighted by min-SNR with gamma 5 (Hang et al. 2023, arXiv:2303.09556)."""
    n = len(latents)
    times = torch.randint(0, len(signal()), (n,))
    alphas = signal()[times].view(n, 1, 1, 1)
    noise = torch.randn(latents.shape)
    noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
    target = alphas.sqrt() * noise - (1 - alphas).sqrt() * latents
    words = models["text_encoder"](tokens(captions)).last_hidden_state
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    predicted = models["unet"](noisy, times, encoder_hidden_states=words).sample
    snr = (alphas / (1 - alphas)).flatten()
    weight = snr.clamp(max=5) / (snr + 1)
    return (weight * ((predicted - target) ** 2).mean((1, 2, 3))).mean()


def dropped(captions: list[str], rng: np.random.Generator) -> list[str]:
    return ["" if rng.random() < DROPPED else caption for caption in captions]


def half(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value.detach().half().contiguous() for key, value in state.items()}


def save_release(run: Run, path: Path) -> None:
    """Write the running mean of the weights of UNet and text encoder as fp16, without the word vectors."""
    from safetensors.torch import save_file

    current = [weight.detach().clone() for weight in run.weights]
    run.use_mean()
    state = {
        f"{key}.{name.removeprefix('text_model.')}": value
        for key, module in run.modules.items()
        for name, value in half(module.state_dict()).items()
        if "token_embedding" not in name
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    with torch.no_grad():
        for weight, value in zip(run.weights, current, strict=True):
            weight.copy_(value)


def save_shared(vae: torch.nn.Module, folder: Path) -> None:
    """Write the parts shared by all releases: the autoencoder, and the configurations of all parts."""
    from tempfile import TemporaryDirectory

    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
    from safetensors.torch import save_file

    models = new_models()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=models["text_encoder"],
        tokenizer=tokenizer(),
        unet=models["unet"],
        scheduler=DPMSolverMultistepScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with TemporaryDirectory() as whole:
        pipeline.save_pretrained(whole)
        for name in parts._CONFIGS:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            settings = json.loads((Path(whole) / name).read_text(encoding="utf-8"))
            settings.pop("_name_or_path", None)
            (folder / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    save_file(half(vae.state_dict()), folder / "vae.safetensors")
    (folder / "vae.safetensors").chmod(0o644)


def load_shipped_autoencoder() -> torch.nn.Module:
    """Load the autoencoder that comes with the package, in fp32."""
    from safetensors.torch import load_file

    vae = new_autoencoder()
    vae.load_state_dict(
        {key: value.float() for key, value in load_file(parts.FOLDER / "vae.safetensors").items()}
    )
    return vae.eval()
