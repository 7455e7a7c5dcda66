"""Decoding: every format, the correct pixels, and a reason for each unusable picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import RENDERING
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.preprocess import Preprocess, decode, resize
from imindex.indexer.encoders.base import Encoder
from tests.support.pictures import encoded, picture, png16

PREPROCESS = Preprocess((224, 224), (0.5,) * 3, (0.5,) * 3)


def stock(image: Image.Image, encoder: Encoder) -> np.ndarray:
    """Encode as open_clip does: its own transform, its own encode_image, fp32."""
    own = {key: value for key, value in encoder.info.preprocess.items() if key not in RENDERING}
    config = PreprocessCfg(**{**own, "size": tuple(encoder.preprocess.size)})
    transform = image_transform_v2(config, is_train=False)
    with torch.inference_mode():
        features = encoder.model.encode_image(transform(image)[None])
        return torch.nn.functional.normalize(features, dim=-1)[0].numpy()


PHOTO = picture(3, (200, 160))
RGB = np.asarray(PHOTO).astype(np.uint16)
FORMATS: dict[str, Callable[[], tuple[bytes, Image.Image | None]]] = {
    "jpeg": lambda: (encoded(PHOTO, "JPEG", quality=90), None),
    "progressive jpeg": lambda: (encoded(PHOTO, "JPEG", progressive=True), None),
    "grey jpeg": lambda: (encoded(PHOTO.convert("L"), "JPEG"), None),
    "cmyk jpeg": lambda: (encoded(PHOTO.convert("CMYK"), "JPEG"), None),
    "png": lambda: (encoded(PHOTO, "PNG"), None),
    # open_clip resizes palette pictures with nearest neighbour unless they are converted to RGB first, as its
    # training pipeline does ("pilrgb"); imindex converts them too.
    "palette png": lambda: (encoded(PHOTO.quantize(32), "PNG"), PHOTO.quantize(32).convert("RGB")),
    "webp": lambda: (encoded(PHOTO, "WEBP", quality=90), None),
    "gif": lambda: (encoded(PHOTO.quantize(64), "GIF"), PHOTO.quantize(64).convert("RGB")),
    "bmp": lambda: (encoded(PHOTO, "BMP"), None),
    "tiff": lambda: (encoded(PHOTO, "TIFF"), None),
    "16-bit rgb png": lambda: (png16(RGB * 257), None),
    # open_clip clips 16-bit grey to white; the reference is the same picture in 8 bits.
    "16-bit grey png": lambda: (
        png16(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257),
        PHOTO.convert("L"),
    ),
    "opaque rgba png": lambda: (encoded(PHOTO.convert("RGBA"), "PNG"), PHOTO),
}


@pytest.mark.parametrize("name", FORMATS)
def test_vectors_equal_open_clips_own(name: str, tiny_encoder: Encoder) -> None:
    data, reference = FORMATS[name]()
    ours = tiny_encoder.encode_images(decode(data, tiny_encoder.preprocess).pixels[None])[0].astype(float)
    theirs = stock(reference or Image.open(io.BytesIO(data)), tiny_encoder)
    assert ours @ theirs / np.linalg.norm(ours) >= 0.9999


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(200, 160), (90, 300), (37, 41), (640, 480)])
@pytest.mark.parametrize("target", [64, (48, 80)])
def test_resizing_is_within_one_grey_level_of_open_clip(
    mode: str, interpolation: str, size: tuple[int, int], target: object
) -> None:
    config = PreprocessCfg(
        size=target,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        resize_mode=mode,
        interpolation=interpolation,
        fill_color=7,
    )
    preprocess = Preprocess.from_dict(
        {"size": target, "mean": [0] * 3, "std": [1] * 3, "resize_mode": mode, "interpolation": interpolation,
         "fill_color": 7}
    )  # fmt: skip
    image = picture(11, size)
    theirs = image_transform_v2(config, is_train=False)(image) * 255
    ours = resize(torch.from_numpy(np.array(image)).permute(2, 0, 1), preprocess).float()
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs()
    assert difference.mean() < 0.5
    assert (difference > 1).float().mean() < 0.005  # torch and Pillow round between the two passes otherwise


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("floor", [False, True])
@pytest.mark.parametrize("size", [(200, 160), (91, 300), (37, 41), (64, 71), (71, 64)])
@pytest.mark.parametrize("target", [(64, 64), (48, 61)])
@pytest.mark.parametrize("edge", [71, (71, 66)])
def test_pictures_are_resized_to_an_edge_and_cropped_at_the_centre(
    mode: str, floor: bool, size: tuple[int, int], target: tuple[int, int], edge: int | tuple[int, int]
) -> None:
    """As Pillow does, with the offset that torchvision and transformers have where the margins are odd."""
    settings = {"size": target, "mean": [0] * 3, "std": [1] * 3, "resize_mode": mode, "resize_to": edge}
    preprocess = Preprocess.from_dict({**settings, "crop_floor": floor})
    assert Preprocess.from_dict(preprocess.as_dict()) == preprocess
    image = picture(11, size)
    short = min(size)
    if mode == "squash":
        scaled = (edge, edge) if isinstance(edge, int) else edge[::-1]
    elif isinstance(edge, int):
        scaled = tuple(edge * side // short for side in size)
    else:  # Pillow's sizes are width and height
        ratio = min(size[0] / edge[1], size[1] / edge[0])
        scaled = tuple(round(side / ratio) for side in size)
    values = np.asarray(image.resize(scaled, Image.Resampling.BICUBIC)).astype(int)
    margins = [whole - part for whole, part in zip(values.shape, target, strict=False)]
    top, left = (margin // 2 if floor else round(margin / 2) for margin in margins)
    theirs = values[top : top + target[0], left : left + target[1]]
    ours = resize(torch.from_numpy(np.array(image)).permute(2, 0, 1), preprocess).permute(1, 2, 0).numpy()
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    assert difference.mean() < 0.5 and (difference > 1).mean() < 0.005


@pytest.mark.parametrize(("orientation", "turn"), [
    (2, Image.Transpose.FLIP_LEFT_RIGHT), (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270),
    (8, Image.Transpose.ROTATE_90),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied(kind: str, orientation: int, turn: Image.Transpose) -> None:
    left, right = Image.new("RGB", (64, 32), (30, 60, 200)), Image.new("RGB", (16, 16), (250, 220, 10))
    left.paste(right, (0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(encoded(left, kind, exif=exif), PREPROCESS)
    upright = left.transpose(turn)
    assert (turned.width, turned.height) == upright.size
    expected = decode(encoded(upright, "PNG"), PREPROCESS)
    assert (turned.pixels.int() - expected.pixels.int()).abs().float().mean() < 6


def test_transparency_is_composited_over_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert (decode(encoded(clear, "PNG"), PREPROCESS).pixels == 255).all()
    half = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert (decode(encoded(half, "PNG"), PREPROCESS).pixels.int() - 127).abs().max() <= 1
    grey = Image.new("LA", (20, 20), (0, 0))
    assert (decode(encoded(grey, "PNG"), PREPROCESS).pixels == 255).all()
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([10, 20, 30])
    assert (decode(encoded(palette, "PNG", transparency=0), PREPROCESS).pixels == 255).all()


def test_animations_yield_their_first_frame() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        red, green, blue = decode(data, PREPROCESS).pixels.float().mean((1, 2))
        assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (3, 5000)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    decoded = decode(encoded(Image.new("RGB", size, (9, 99, 199)), "PNG"), PREPROCESS)
    assert decoded.pixels.shape == (3, 224, 224)
    assert (decoded.pixels.float().mean((1, 2)) - torch.tensor([9.0, 99, 199])).abs().max() < 1


def test_elongated_pictures_show_their_centre() -> None:
    values = np.zeros((10, 1001, 3), np.uint8)
    values[:, 450:551] = 200
    assert (decode(encoded(Image.fromarray(values), "PNG"), PREPROCESS).pixels == 200).all()


JPEG = encoded(PHOTO, "JPEG")
BAD = {
    "empty": (b"", "empty file"),
    "text": (b"hello", "not a picture"),
    "truncated jpeg": (JPEG[: len(JPEG) // 2], r"the file ends early: \d+ % of the lines were read"),
    "truncated png": (encoded(PHOTO, "PNG")[:500], r"the file ends early: \d+ % of the lines were read"),
    "truncated webp": (encoded(PHOTO, "WEBP")[:300], r"the file ends early: \d+ % of the bytes are there"),
    "floats beyond 255": (encoded(Image.fromarray(np.full((4, 4), 1e9, np.float32)), "TIFF"), "outside"),
    "floats not finite": (
        encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
        "not finite",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_give_a_reason(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(BadPicture, match=reason):
        decode(data, PREPROCESS)


def test_large_pictures_are_refused_before_they_are_decoded() -> None:
    data = encoded(Image.new("1", (4000, 4000)), "PNG")
    with pytest.raises(BadPicture, match="16000000 pixels are more than the limit of 1000000"):
        decode(data, PREPROCESS, limits=Limits(max_pixels=1_000_000))


def test_open_clip_still_clips_16_bit_grey() -> None:
    """Justifies the 8-bit reference above; when this fails, open_clip or Pillow has fixed the bug."""
    assert open_clip.__version__
    image = Image.open(io.BytesIO(png16(np.full((4, 4), 0x4000, np.uint16))))
    assert np.asarray(image.convert("RGB")).min() == 255


def test_pillow_limit_is_restored() -> None:
    """The limit is global to the process, so this also holds while threads with other limits decode."""
    before, data = Image.MAX_IMAGE_PIXELS, picture_bytes()
    limits = [Limits(max_pixels=n) for n in (8_100, 10**6, 10**9)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda n: decode(data, PREPROCESS, limits=limits[n % 3]), range(300)):
            pass
    assert before == Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadPicture, match="3072 pixels are more than the limit of 3000"):
        decode(data, PREPROCESS, limits=Limits(max_pixels=3000))
    assert before == Image.MAX_IMAGE_PIXELS


def picture_bytes() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "JPEG")
    return out.getvalue()
