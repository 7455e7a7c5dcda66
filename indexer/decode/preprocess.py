"""Decode a file to RGB pixels at the input size of the encoder.

Plain JPEGs are decoded by torchvision in the calling thread, which is fastest. Pillow decodes all other formats,
during a build in child processes (`imindex.indexer.decode.pool`). Every picture is converted to 8-bit RGB before it
is resized; open_clip's transform resizes first, and therefore uses nearest-neighbour sampling for palette pictures.
Resizing works on uint8, and differs from open_clip's transform of the RGB picture by at most one grey level except at
isolated pixels. Pictures with a colour profile, or another colour description, are converted to sRGB if `color` says
so; open_clip ignores profiles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.preprocess_bounds import AS_ENCODED, REJECT, preprocess_fault
from imindex.indexer.decode import color, jpeg, pillow
from imindex.indexer.decode.limits import NO_MEMORY, Limits
from imindex.indexer.decode.memory import budget
from imindex.indexer.decode.rendering import JUNK, Pixels, Rendering
from imindex.indexer.system.c_stderr import c_stderr
from imindex.indexer.system.light_imports import light_imports

if TYPE_CHECKING:
    from PIL import Image

with light_imports():
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

Elsewhere = Callable[[bytes, int, Rendering], contextlib.AbstractContextManager[Pixels]]

_TRUNCATED = "incomplete or truncated"
"""What torchvision says of a JPEG that ends early."""
_LONG = 8
"""Pictures with a larger aspect ratio are cropped before they are resized, to bound the memory."""


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing of pictures for an encoder; the fields are those of open_clip's `PreprocessCfg`.

    Attributes
    ----------
    size : (int, int)
        Height and width of the input, in pixels.
    mean, std : (float, float, float)
        Mean and standard deviation per channel, for values in [0, 1].
    interpolation : str
        `bicubic` or `bilinear`.
    resize_mode : str
        `shortest` (short edge to size, centre crop), `longest` (long edge to size, padded) or `squash`.
    fill_color : int
        Grey level of the padding, 0 to 255.
    color : {"as-encoded", "srgb"}
        Whether pictures are converted to sRGB by their colour profiles. (Not a field of open_clip's.)
    truncated : {"reject", "accept"}
        Whether a picture whose file ends early is rejected, or decoded with a grey rest. (Not a field of open_clip's.)
    resize_to : int or (int, int), optional
        The edge in pixels to which a picture is resized before the centre crop to `size`: the shorter one with
        `shortest`, both with `squash`. Or height and width: what the picture then covers, with `shortest`, and what
        it becomes, with `squash`. At least as long as each side of `size`. By default a picture is resized to `size`.
        (Not a field of open_clip's.)
    crop_floor : bool
        Whether the offset of the centre crop is rounded down where the margins are odd, as transformers does; by
        default it is rounded half to even, as torchvision does. (Not a field of open_clip's.)
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0
    color: str = AS_ENCODED
    truncated: str = REJECT
    resize_to: int | tuple[int, int] | None = None
    crop_floor: bool = False

    @property
    def rendering(self) -> Rendering:
        """How the pixels of a file are interpreted."""
        return Rendering(self.color, self.truncated)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Preprocess:
        """Create settings from the result of `as_dict`, or from open_clip's preprocessing configuration.

        Raises
        ------
        ImindexError
            A setting is missing, unknown or out of bounds.
        """
        fault = preprocess_fault(config)
        if fault:
            raise ImindexError(
                f"The preprocessing of the encoder {fault}. Use another encoder, or another index."
            )
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
        return cls(
            size=(height, width),
            mean=tuple(float(value) for value in config["mean"]),
            std=tuple(float(value) for value in config["std"]),
            interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
            resize_mode=str(config.get("resize_mode") or "shortest"),
            fill_color=int(config.get("fill_color") or 0),
            color=str(config.get("color") or AS_ENCODED),
            truncated=str(config.get("truncated") or REJECT),
            resize_to=tuple(edge) if isinstance(edge := config.get("resize_to"), (list, tuple)) else edge,
            crop_floor=bool(config.get("crop_floor")),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON-ready values; those that open_clip does not have only where they are set."""
        values = {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }
        defaults = {"color": AS_ENCODED, "truncated": REJECT, "crop_floor": False}
        return {
            key: value for key, value in values.items() if value is not None and value != defaults.get(key)
        }


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes
    ----------
    pixels : uint8 tensor, (3, height, width)
        At the input size of the encoder.
    width, height : int
        Size of the original, in pixels.
    black : bool
        Whether every pixel of the original is black.
    notes : tuple of str
        What is worth telling, of `imindex.indexer.decode.rendering.NOTES`.
    """

    pixels: torch.Tensor
    width: int
    height: int
    black: bool = False
    notes: tuple[str, ...] = ()


def decode(
    data: bytes,
    preprocess: Preprocess,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    elsewhere: Elsewhere | None = None,
) -> Picture:
    """Decode a picture and resize it to the input size of the encoder.

    EXIF rotation is applied, transparency is composited over white, 16-bit values are scaled to 8 bits, and only the
    first frame of an animation is decoded.

    Parameters
    ----------
    data : bytes
        The content of the file, in any of the formats of `imindex.indexer.decode.formats`.
    preprocess : Preprocess
    limits : Limits
        Larger pictures are rejected before they are decoded. The time limit is enforced by `elsewhere`.
    elsewhere : callable, optional
        Decodes bytes to `imindex.indexer.decode.rendering.Pixels` in another process, such as
        `imindex.indexer.decode.pool.Decoders.decoded`. It takes the bytes, the memory that this process needs for
        each pixel, and the rendering; it returns a context manager. It decodes everything except plain JPEGs. By
        default, this process does.

    Returns
    -------
    Picture
        Its `width` and `height` are those of the upright original, in pixels.

    Raises
    ------
    BadPicture
        With the reason for the user.
    """
    with contextlib.ExitStack() as held:
        rendering = preprocess.rendering
        notes: tuple[str, ...] = ()
        values = None
        if jpeg.is_plain_jpeg(data):
            values, notes = _plain_jpeg(data, limits, rendering, held)
        if values is None:
            if elsewhere:
                pixels = held.enter_context(elsewhere(data, _bytes_per_pixel(), rendering))
                array, notes = pixels.values, pixels.notes
            else:
                decoded = pillow.read_noted(data, limits, rendering)
                array, notes = np.array(decoded.image), decoded.notes
            values = torch.from_numpy(array).permute(2, 0, 1)
        height, width = values.shape[-2:]
        return Picture(resize(values, preprocess), width, height, _is_black(values), notes)


def _is_black(values: torch.Tensor) -> bool:
    """Return whether all pixels are black, (3, h, w) uint8. The one in the middle tells most pictures apart at once."""
    height, width = values.shape[-2:]
    return not values[:, height // 2, width // 2].any() and not values.any()


def _bytes_per_pixel() -> int:
    """Return the memory for a picture and its resizing, in bytes per pixel.

    Without a kernel for uint8, which PyTorch has for AVX2 only, a copy in float32 is resized.
    """
    return 8 if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else 20


def _plain_jpeg(
    data: bytes, limits: Limits, rendering: Rendering, held: contextlib.ExitStack
) -> tuple[torch.Tensor | None, tuple[str, ...]]:
    """Decode a plain JPEG with torchvision, and hold its memory; return None if the picture needs Pillow after all.

    Returns
    -------
    uint8 tensor, (3, height, width), or None
    tuple of str
        What is worth telling.
    """
    from PIL import Image

    with pillow.reasons(limits), contextlib.ExitStack() as own:
        image = pillow.identify(data, limits, ("JPEG",))
        assert isinstance(image, Image.Image)
        if image.format != "JPEG" or image.mode not in ("RGB", "L") or not pillow.is_upright(image):
            return None, ()
        if rendering.to_srgb and "icc_profile" in image.info and _has_other_profile(image, data):
            return None, ()
        n_pixels = image.size[0] * image.size[1]
        own.enter_context(budget(limits).picture(n_pixels * _bytes_per_pixel()))
        try:
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            with c_stderr() as warnings:
                pixels: torch.Tensor = decode_jpeg(raw, mode=ImageReadMode.RGB)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error):  # PyTorch's message
                raise BadPicture(f"{NO_MEMORY} while it was decoded") from error
            if _TRUNCATED in str(error):
                return None, ()  # Pillow's decoder tells how much there is
            raise
        held.push(own.pop_all())
        return pixels, (JUNK,) if jpeg.is_damage(b"".join(warnings)) else ()


def _has_other_profile(image: Image.Image, data: bytes) -> bool:
    """Return whether the colour profile of a JPEG has to be looked at by Pillow's decoder."""
    try:
        return color.profile_of(image, data) is not None
    except color.Unusable:
        return True


def resize(pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    """Resize (3, h, w) uint8 pixels to the input size of the encoder, as open_clip's transform does for a PIL image.

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
    edge = preprocess.resize_to
    if preprocess.resize_mode == "squash":
        sides = list(edge) if isinstance(edge, tuple) else [edge, edge] if edge else [height, width]
        resized = F.resize(pixels, sides, interpolation=mode, antialias=True)
    elif isinstance(edge, tuple):
        resized = _cover(_middle(pixels), edge, mode)
    elif edge:
        resized = F.resize(_middle(pixels), [edge], interpolation=mode, antialias=True)
    elif preprocess.resize_mode == "longest":
        resized = _scale(pixels, preprocess.size, mode, min)
    elif height == width:
        resized = F.resize(_middle(pixels), [height], interpolation=mode, antialias=True)
    else:
        resized = _scale(_middle(pixels), preprocess.size, InterpolationMode.BICUBIC, max)
    if resized.shape[-2:] == (height, width):
        return resized
    if preprocess.resize_mode == "longest":
        return _pad(resized, preprocess)
    if preprocess.crop_floor:
        top, left = (resized.shape[-2] - height) // 2, (resized.shape[-1] - width) // 2
        return resized[..., top : top + height, left : left + width]
    cropped: torch.Tensor = F.center_crop(resized, [height, width])
    return cropped


def _scale(pixels: torch.Tensor, size: tuple[int, int], mode: InterpolationMode, pick: Any) -> torch.Tensor:
    factor = pick(side / edge for side, edge in zip(size, pixels.shape[-2:], strict=True))
    target = [max(1, round(edge * factor)) for edge in pixels.shape[-2:]]
    scaled: torch.Tensor = F.resize(pixels, target, interpolation=mode, antialias=True)
    return scaled


def _cover(pixels: torch.Tensor, size: tuple[int, int], mode: InterpolationMode) -> torch.Tensor:
    """Resize to the smallest picture that covers a size. Its sides are rounded as timm's ResizeKeepRatio does."""
    ratio = min(edge / side for side, edge in zip(size, pixels.shape[-2:], strict=True))
    target = [round(edge / ratio) for edge in pixels.shape[-2:]]
    covering: torch.Tensor = F.resize(pixels, target, interpolation=mode, antialias=True)
    return covering


def _pad(pixels: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    (height, width), (h, w) = preprocess.size, pixels.shape[-2:]
    left, top = (width - w) // 2, (height - h) // 2
    margins = [left, top, width - w - left, height - h - top]
    padded: torch.Tensor = F.pad(pixels, margins, fill=[preprocess.fill_color] * len(pixels))
    return padded


def _middle(pixels: torch.Tensor) -> torch.Tensor:
    """Cut off the ends of a very elongated picture, which the centre crop would discard anyway."""
    h, w = pixels.shape[-2:]
    short, long = min(h, w), max(h, w)
    if long <= _LONG * short:
        return pixels
    length = _LONG * short
    length += (long - length) % 2  # keeps the centre
    start = (long - length) // 2
    return pixels[:, start : start + length] if h > w else pixels[:, :, start : start + length]
