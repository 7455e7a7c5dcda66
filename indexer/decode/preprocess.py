"""Bytes -> RGB pixels at the encoder's size, or the reason why not.

The fast way for plain JPEG is torchvision, in the thread that asks; Pillow opens everything else, in a build in
processes of its own (`indexer.decode.pool`). Every picture becomes 8-bit RGB first and is resized after (open_clip's
transform does it the other way round, and so takes palette pictures by nearest neighbour). Resizing works on uint8 and
stays within one grey level of open_clip's own transform of the RGB picture, but for isolated pixels. Colour profiles
are ignored, as open_clip ignores them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import pillow as rgb
from imindex.indexer.decode.limits import NO_MEMORY, Limits

_LONG = 8
"""A picture more elongated than this is cropped before it is resized, to bound the memory."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the encoder's input; the fields are those of open_clip's `PreprocessCfg`.

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
    def from_dict(cls, config: Mapping[str, Any]) -> Preprocess:
        """Read what `as_dict` returns and an index stores, or open_clip's preprocessing configuration."""
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


def decode(
    data: bytes,
    preprocess: Preprocess,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    elsewhere: Callable[[bytes], npt.NDArray[np.uint8]] | None = None,
) -> Picture:
    """Decode a picture and bring it to the encoder's size.

    EXIF rotation is applied, transparency laid over white, 16-bit scaled to 8, of animations the first
    frame taken.

    Parameters
    ----------
    data : bytes
        The file's content, in any format that Pillow decodes by itself (see `indexer.decode.pillow.NOT_OPENED`).
    preprocess : Preprocess
    limits : Limits
        Larger pictures are refused before they are decoded. The time limit is that of `elsewhere`.
    elsewhere : callable, optional
        Bytes -> (height, width, 3) uint8, as `imindex.indexer.decode.pillow.read` in another process: an
        `imindex.indexer.decode.pool.Decoders`. Decodes what is no plain JPEG; by default this process does.

    Returns
    -------
    Picture
        `width` and `height` are those of the upright original, in pixels.

    Raises
    ------
    BadPicture
        With the reason, in words fit for the user.
    """
    pixels = _plain_jpeg(data, limits) if rgb.is_plain_jpeg(data) else None
    if pixels is None:
        values = elsewhere(data) if elsewhere else np.array(rgb.read(data, limits))
        pixels = torch.from_numpy(values).permute(2, 0, 1)
    height, width = pixels.shape[-2:]
    return Picture(resize(pixels, preprocess), width, height)


def _plain_jpeg(data: bytes, limits: Limits) -> torch.Tensor | None:
    """Decode the quick way; None if the picture turns out to need the other."""
    with rgb.reasons(limits):
        image = rgb.identify(data, limits, ("JPEG",))
        if image.format != "JPEG" or image.mode not in ("RGB", "L") or not rgb.is_upright(image):
            return None
        try:
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            pixels: torch.Tensor = decode_jpeg(raw, mode=ImageReadMode.RGB)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error):  # PyTorch's own words
                raise BadPicture(f"{NO_MEMORY} while it was decoded") from error
            raise
        return pixels


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
