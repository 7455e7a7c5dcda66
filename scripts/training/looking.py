"""Looking at what was trained: pictures asked for, whom the demo's encoder names in them, and contact sheets."""

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
    """A release put together from `folder` in `target`, and opened, in fp32."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(parts.diffusion_folder(release, target, parts=folder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline: Any, prompts: list[str], seeds: list[int], guidance: float = GUIDANCE) -> list:
    """One picture for each prompt and seed."""
    made = []
    for start in range(0, len(prompts), 32):
        own = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + 32]]
        asked = prompts[start : start + 32]
        made += pipeline(asked, num_inference_steps=STEPS, guidance_scale=guidance, generator=own).images
    return made


@cache
def demo_encoder() -> tuple:
    import open_clip

    place = f"local-dir:{ENCODER}"
    model, prepare = open_clip.create_model_from_pretrained(place)
    words = open_clip.get_tokenizer(place)([PROMPT.format(artist=name) for name in artists.NAMES])
    with torch.no_grad():
        return model.eval(), prepare, model.eval().encode_text(words, normalize=True)


@torch.no_grad()
def named(images: list) -> np.ndarray:
    """Whom of the 24 the demo's encoder names for each picture."""
    model, prepare, names = demo_encoder()
    made = [torch.stack([prepare(image) for image in images[i : i + 64]]) for i in range(0, len(images), 64)]
    vectors = torch.cat([model.encode_image(pixels, normalize=True) for pixels in made])
    return (vectors @ names.T).argmax(1).numpy()


def contact_sheet(rows: list[tuple[str, list, list]], path: Path, times: int = 2) -> None:
    """Of each (label, works, imitations): the works above the imitations."""
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
            for place, image in enumerate(images[:width]):
                small = image.resize((side, side), Image.Resampling.NEAREST)
                sheet.paste(small, (left + place * (side + 2), top + 16 + line * (side + 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
