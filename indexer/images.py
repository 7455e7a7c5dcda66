"""Bytes -> RGB pixels at the encoder's size, or the reason why not.

The fast way for plain JPEG is torchvision; Pillow opens everything else. Every picture becomes 8-bit RGB first and
is resized after (open_clip's transform does it the other way round, and so takes palette pictures by nearest
neighbour). Resizing works on uint8 and stays within one grey level of open_clip's own transform of the RGB picture,
but for isolated pixels. Colour profiles are ignored, as open_clip ignores them.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from indexer.errors import BadPicture

MAX_PIXELS = 178_956_970
"""Pictures with more pixels are rejected (Pillow's own limit against decompression bombs)."""

_ORIENTATION = 0x0112
_LONG = 8
"""A picture more elongated than this is cropped before it is resized, to bound the memory."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the encoder's input (open_clip's `PreprocessCfg`).

    Attributes
    ----------
    size : (int, int)
        Height and width of the input, pixels.
    mean, std : (float, float, float)
        Per channel, of values in [0, 1].
    interpolation : str
        `bicubic` or `bilinear`.
    resize_mode : str
        `shortest` (short edge to size, centre crop), `longest` (long edge to size, padded) or `squash`.
    fill_color : int
        Grey level of the padding, 0 to 255.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> Preprocess:
        """Read open_clip's preprocessing configuration (or one stored in an index)."""
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
        return cls(
            size=(height, width),
            mean=tuple(float(value) for value in config["mean"]),
            std=tuple(float(value) for value in config["std"]),
            interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
            resize_mode=str(config.get("resize_mode") or "shortest"),
            fill_color=int(config.get("fill_color") or 0),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `pixels` is (3, height, width) uint8 at the encoder's size."""

    pixels: torch.Tensor
    width: int
    height: int


def decode(data: bytes, preprocess: Preprocess, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture and bring it to the encoder's size.

    EXIF rotation is applied, transparency laid over white, 16-bit scaled to 8, of animations the first
    frame taken.

    Parameters
    ----------
    data : bytes
        The file's content, in any format that Pillow opens.
    preprocess : Preprocess
    max_pixels : int
        Larger pictures are refused before they are decoded.

    Returns
    -------
    Picture
        `width` and `height` are those of the upright original, in pixels.

    Raises
    ------
    BadPicture
        With the reason, in words fit for the user.
    """
    pixels = _decode(data, max_pixels)
    height, width = pixels.shape[-2:]
    return Picture(resize(pixels, preprocess), width, height)


def _decode(data: bytes, max_pixels: int) -> torch.Tensor:
    if not data:
        raise BadPicture("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; what matters raises
            image = Image.open(io.BytesIO(data))
            width, height = image.size
            if width * height > max_pixels:
                raise BadPicture(f"{width} x {height} pixels are more than the limit of {max_pixels}")
            if image.format == "JPEG" and image.mode in ("RGB", "L") and _upright(image):
                raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                pixels: torch.Tensor = decode_jpeg(raw, mode=ImageReadMode.RGB)
                return pixels
            return torch.from_numpy(np.array(_to_rgb(image))).permute(2, 0, 1)
    except BadPicture:
        raise
    except UnidentifiedImageError as error:
        raise BadPicture("not a picture in any format that Pillow opens") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BadPicture(f"too large to decode: {_first_line(error)}") from error
    except Exception as error:  # decoders raise anything on broken input; the reason is kept, nothing is lost
        raise BadPicture(f"cannot be decoded: {_first_line(error)}") from error


def _upright(image: Image.Image) -> bool:
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # broken EXIF says nothing about the rotation
        return True


def _to_rgb(image: Image.Image) -> Image.Image:
    image.seek(0)
    image.load()
    if not _upright(image):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _from_high_depth(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_high_depth(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (and 32-bit files that hold 16 bits, or floats in [0, 1] or [0, 255]) to 8 bits."""
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("F"):
        if not math.isfinite(low) or not math.isfinite(high) or low < 0 or high > 255:
            raise BadPicture("floating-point pixels outside [0, 255]: convert it to 8 or 16 bits")
        scale = 255.0 if high <= 1 else 1.0
    else:
        if low < 0 or high > 65535:
            raise BadPicture("32-bit pixels outside [0, 65535]: convert it to 8 or 16 bits")
        scale = 255.0 / 65535.0
    return Image.fromarray(np.rint(values * scale).astype(np.uint8)).convert("RGB")


def resize(pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Bring (3, h, w) uint8 pixels to the encoder's size, as open_clip's transform does for a PIL image.

    Parameters
    ----------
    pixels : uint8 tensor, (3, h, w)
    preprocess : Preprocess

    Returns
    -------
    uint8 tensor, (3, *preprocess.size)
    """
    height, width = preprocess.size
    mode = InterpolationMode.BILINEAR if preprocess.interpolation == "bilinear" else InterpolationMode.BICUBIC
    resized: torch.Tensor
    if preprocess.resize_mode == "squash":
        resized = F.resize(pixels, [height, width], interpolation=mode, antialias=True)
    elif preprocess.resize_mode == "longest":
        resized = _scale(pixels, preprocess, mode, min)
    elif height == width:
        resized = F.resize(_middle(pixels), [height], interpolation=mode, antialias=True)
    else:
        resized = _scale(_middle(pixels), preprocess, InterpolationMode.BICUBIC, max)
    if resized.shape[-2:] == (height, width):
        return resized
    if preprocess.resize_mode == "longest":
        return _pad(resized, preprocess)
    cropped: torch.Tensor = F.center_crop(resized, [height, width])
    return cropped


def _scale(pixels: torch.Tensor, preprocess: Preprocess, mode: InterpolationMode, pick: Any) -> torch.Tensor:
    factor = pick(size / edge for size, edge in zip(preprocess.size, pixels.shape[-2:], strict=True))
    target = [max(1, round(edge * factor)) for edge in pixels.shape[-2:]]
    scaled: torch.Tensor = F.resize(pixels, target, interpolation=mode, antialias=True)
    return scaled


def _pad(pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    (height, width), (h, w) = preprocess.size, pixels.shape[-2:]
    left, top = (width - w) // 2, (height - h) // 2
    margins = [left, top, width - w - left, height - h - top]
    padded: torch.Tensor = F.pad(pixels, margins, fill=[preprocess.fill_color] * len(pixels))
    return padded


def _middle(pixels: torch.Tensor) -> torch.Tensor:
    """Cut the ends off a very elongated picture; the centre crop would not have shown them."""
    h, w = pixels.shape[-2:]
    short, long = min(h, w), max(h, w)
    if long <= _LONG * short:
        return pixels
    length = _LONG * short
    length += (long - length) % 2  # the same middle
    start = (long - length) // 2
    return pixels[:, start : start + length] if h > w else pixels[:, :, start : start + length]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
