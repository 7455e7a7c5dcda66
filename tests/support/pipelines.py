"""Tiny text-to-image pipelines with random weights: real diffusers classes, saved to disk, loaded without a network."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import open_clip
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

SIZE = 32
"""Default width and height of the pictures, in pixels."""
KINDS = ("sd", "sd-ddim", "sd-checked", "sdxl", "sd3")
UNSAFE = 0.33
"""Cosine above which the safety checker of `sd-checked` flags a picture: about half of them."""
_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 77,
    "projection_dim": 16,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}


def save_pipeline(folder: Path, *, seed: int = 0, kind: str = "sd") -> Path:
    """Write a pipeline as `imindex generate --model FOLDER` takes it.

    Parameters
    ----------
    folder : Path
    seed : int
        Seed of the weights: a different seed gives a different model.
    kind : str
        sd (StableDiffusionPipeline, PNDM), sd-ddim, sd-checked (with a safety checker that flags about half of the
        pictures), sdxl (StableDiffusionXLPipeline, Euler) or sd3 (StableDiffusion3Pipeline, flow matching).

    Returns
    -------
    Path
        `folder`.
    """
    torch.manual_seed(seed)
    build = {
        "sd": lambda: _stable_diffusion(_pndm()),
        "sd-ddim": lambda: _stable_diffusion(_ddim()),
        "sd-checked": lambda: _stable_diffusion(_pndm(), checked=True),
        "sdxl": _stable_diffusion_xl,
        "sd3": _stable_diffusion_3,
    }[kind]
    with _quiet():
        build().save_pretrained(folder, safe_serialization=True)
    return folder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.disable(before)
        diffusers.utils.logging.enable_progress_bar()
        transformers.utils.logging.enable_progress_bar()


@functools.cache
def tokenizer() -> Any:
    """CLIP's tokenizer, from the file that open_clip ships."""
    packed = (Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    merges = gzip.decompress(packed).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = list(bytes_to_unicode().values())
    words = letters + [letter + "</w>" for letter in letters] + ["".join(m.split()) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
        (Path(folder) / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
        (Path(folder) / "tokenizer_config.json").write_text(
            json.dumps(
                {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
            )
        )
        return transformers.CLIPTokenizer.from_pretrained(folder)


def _text_encoder(*, projected: bool = False) -> Any:
    config = transformers.CLIPTextConfig(**_TEXT)
    network = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return _spread(network(config))


def _vae(channels: int = 4) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=SIZE,
        shift_factor=0.0,
    )


def _unet(**more: Any) -> Any:
    settings = {"cross_attention_dim": 16, "attention_head_dim": 4, **more}
    network = diffusers.UNet2DConditionModel(
        sample_size=SIZE // 2,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        **settings,
    )
    return _louder(network, "attn2.to_v", "attn2.to_out", "add_embedding")


def _louder(network: Any, *layers: str) -> Any:
    """Make the prompt matter: with the initial weights it changes a picture by less than a grey level."""
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if any(layer in name for layer in layers):
                weights *= 6
    return network


def _spread(network: Any) -> Any:
    """Make the embeddings of random texts differ as much as those of a trained encoder."""
    for name, weights in network.named_parameters():
        if "embedding" in name:
            torch.nn.init.normal_(weights, std=1.0)
    return network


_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def _pndm() -> Any:
    return diffusers.PNDMScheduler(skip_prk_steps=True, **_BETAS)


def _ddim() -> Any:
    return diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **_BETAS)


def _stable_diffusion(scheduler: Any, *, checked: bool = False) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(),
        tokenizer=tokenizer(),
        unet=_unet(),
        scheduler=scheduler,
        safety_checker=_safety_checker() if checked else None,
        feature_extractor=_feature_extractor() if checked else None,
        requires_safety_checker=checked,
    )


def _safety_checker() -> Any:
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config=_TEXT, vision_config={**vision, "image_size": SIZE, "patch_size": 8}, projection_dim=16
    )
    checker = StableDiffusionSafetyChecker(config)
    rng = torch.Generator().manual_seed(0)  # transformers has changed what it draws
    for name, weights in sorted(checker.named_parameters(), key=lambda named: named[0]):
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=1.0 if "embed" in name else 0.25, generator=rng)
    torch.nn.init.ones_(checker.special_care_embeds_weights)
    torch.nn.init.constant_(checker.concept_embeds_weights, UNSAFE)
    return checker


def _feature_extractor() -> Any:
    return transformers.CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    )


def _stable_diffusion_xl() -> Any:
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(),
        text_encoder_2=_text_encoder(projected=True),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=_unet(
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
            use_linear_projection=True,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(timestep_spacing="leading", **_BETAS),
        add_watermarker=False,
    )


def _stable_diffusion_3() -> Any:
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=SIZE // 2,
            patch_size=2,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pooled_projection_dim=32,
            out_channels=4,
            pos_embed_max_size=32,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=_text_encoder(projected=True),
        tokenizer=tokenizer(),
        text_encoder_2=_text_encoder(projected=True),
        tokenizer_2=tokenizer(),
        text_encoder_3=_t5(),
        tokenizer_3=_t5_tokenizer(),
    )


def _t5() -> Any:
    config = transformers.T5Config(
        vocab_size=len(_t5_tokenizer()), d_model=32, d_ff=32, d_kv=8, num_heads=2, num_layers=1
    )
    return _spread(transformers.T5EncoderModel(config))


def _t5_tokenizer() -> Any:
    letters = [chr(code) for code in range(33, 127)]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    return transformers.T5Tokenizer(
        vocab=special + [(letter, -3.0) for letter in letters], extra_ids=0, model_max_length=77
    )
