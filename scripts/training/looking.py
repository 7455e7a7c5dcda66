"""Inspection of a trained model: generated pictures, the artists that the demo encoder names, contact sheets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training.model import SIZE

from imindex.indexer.demo import artists
from imindex.indexer.demo import diffusion as parts

STEPS, GUIDANCE = 20, 2.5
PROMPT = "Artwork from {artist}"
ENCODER = Path(parts.FOLDER).parent / "clip"


def load_pipeline(release: str, folder: Path, target: Path) -> Any:
    """Assemble a release from `folder` in `target` and open it in fp32."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(parts.diffusion_folder(release, target, parts=folder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline: Any, prompts: list[str], seeds: list[int], guidance: float = GUIDANCE) -> list:
    """Generate one picture per prompt and seed."""
    images = []
    for start in range(0, len(prompts), 32):
        batch = prompts[start : start + 32]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + 32]]
        images += pipeline(
            batch, num_inference_steps=STEPS, guidance_scale=guidance, generator=generators
        ).images
    return images


@cache
def demo_encoder() -> tuple:
    import open_clip

    name = f"local-dir:{ENCODER}"
    model, prepare = open_clip.create_model_from_pretrained(name)
    tokens = open_clip.get_tokenizer(name)([PROMPT.format(artist=artist) for artist in artists.NAMES])
    with torch.no_grad():
        return model.eval(), prepare, model.eval().encode_text(tokens, normalize=True)


@torch.no_grad()
def named(images: list) -> np.ndarray:
    """Return the number of the artist, of the 24, that the demo encoder names for each picture."""
    model, prepare, names = demo_encoder()
    batches = [
        torch.stack([prepare(image) for image in images[i : i + 64]]) for i in range(0, len(images), 64)
    ]
    vectors = torch.cat([model.encode_image(pixels, normalize=True) for pixels in batches])
    return (vectors @ names.T).argmax(1).numpy()


def contact_sheet(rows: list[tuple[str, list, list]], path: Path, times: int = 2) -> None:
    """Write a sheet with, for each (label, works, imitations), the works above the imitations."""
    from PIL import Image, ImageDraw

    side, width = SIZE * times, max(len(works) for _, works, _ in rows)
    across = 2
    block, high = width * (side + 2) + 12, 2 * (side + 2) + 18
    sheet = Image.new("RGB", (across * block, (len(rows) + across - 1) // across * high), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (label, *lines) in enumerate(rows):
        left, top = number % across * block, number // across * high
        pen.text((left + 2, top + 2), label, fill="black")
        for line, images in enumerate(lines):
            for column, image in enumerate(images[:width]):
                small = image.resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(small, (left + column * (side + 2), top + 16 + line * (side + 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
