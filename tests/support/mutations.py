"""An endless supply of broken pictures: small pictures of every format that Pillow writes, mutated at random."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

from PIL import Image, features

from tests.support import profiles

_SMALL = Image.merge(
    "RGB", [Image.radial_gradient("L").resize((40, 32)).rotate(turn) for turn in (0, 60, 200)]
)


def seeds() -> dict[str, bytes]:
    """A small picture of each kind, by name."""
    grey16 = Image.new("I;16", (24, 16), 777)
    adobe, printer = profiles.rgb(profiles.ADOBE, 2.2), profiles.cmyk()
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (_SMALL, "JPEG", {}),
        "jpeg 4:4:4": (_SMALL, "JPEG", {"subsampling": 0, "quality": 95}),
        "jpeg grey": (_SMALL.convert("L"), "JPEG", {"optimize": True}),
        "jpeg restarts": (_SMALL, "JPEG", {"restart_marker_rows": 1}),
        "jpeg progressive": (_SMALL, "JPEG", {"progressive": True}),
        "jpeg cmyk": (_SMALL.convert("CMYK"), "JPEG", {}),
        "jpeg exif": (_SMALL, "JPEG", {"exif": _exif()}),
        "jpeg profile": (_SMALL, "JPEG", {"icc_profile": adobe}),
        "jpeg cmyk profile": (_SMALL.convert("CMYK"), "JPEG", {"icc_profile": printer}),
        "png profile": (_SMALL.convert("RGBA"), "PNG", {"icc_profile": adobe}),
        "tiff profile": (_SMALL.convert("L"), "TIFF", {"icc_profile": profiles.grey([0, 9000, 65535])}),
        "tiff float": (_SMALL.convert("F").point(lambda value: value / 255), "TIFF", {}),
        "tiff 32": (_SMALL.convert("I"), "TIFF", {"compression": "tiff_lzw"}),
        "png": (_SMALL, "PNG", {}),
        "png rgba": (_SMALL.convert("RGBA"), "PNG", {"exif": _exif()}),
        "png palette": (_SMALL.quantize(16), "PNG", {"transparency": 3}),
        "png 16": (grey16, "PNG", {}),
        "png 1": (_SMALL.convert("1"), "PNG", {}),
        "apng": (_SMALL, "PNG", {"save_all": True, "append_images": [_SMALL.rotate(9)]}),
        "gif": (
            _SMALL.quantize(32),
            "GIF",
            {"save_all": True, "append_images": [_SMALL.rotate(9).quantize(9)]},
        ),
        "webp": (_SMALL, "WEBP", {}),
        "webp lossless": (_SMALL.convert("RGBA"), "WEBP", {"lossless": True}),
        "webp animated": (_SMALL, "WEBP", {"save_all": True, "append_images": [_SMALL.rotate(9)]}),
        "bmp": (_SMALL, "BMP", {}),
        "ico": (_SMALL, "ICO", {}),
        "ico bmp": (_SMALL, "ICO", {"bitmap_format": "bmp"}),
        "icns": (_SMALL.resize((32, 32)), "ICNS", {}),
        "ppm": (_SMALL, "PPM", {}),
        "tga": (_SMALL, "TGA", {"compression": "tga_rle"}),
        "pcx": (_SMALL, "PCX", {}),
        "sgi": (_SMALL, "SGI", {}),
        "dds": (_SMALL, "DDS", {}),
        "im": (_SMALL, "IM", {}),
        "xbm": (_SMALL.convert("1"), "XBM", {}),
        "msp": (_SMALL.convert("1"), "MSP", {}),
        "spider": (_SMALL.convert("F"), "SPIDER", {}),
        "blp": (_SMALL.quantize(16), "BLP", {}),
        "eps": (_SMALL, "EPS", {}),
        "tiff 16": (grey16, "TIFF", {}),
    }
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        kinds[f"tiff {name}"] = (_SMALL, "TIFF", {"compression": name})
    kinds["tiff group4"] = (_SMALL.convert("1"), "TIFF", {"compression": "group4"})
    if features.check("jpg_2000"):
        kinds["jpeg 2000"] = (_SMALL, "JPEG2000", {})
    if features.check("avif"):
        kinds["avif"] = (_SMALL, "AVIF", {})
    made = {name: _saved(*kind) for name, kind in kinds.items()}
    made["psd"] = b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3" + bytes(14) + bytes(3 * 256)
    made["fli"] = b"\x80\0\0\0\x12\xaf\1\0\x10\0\x10\0\x08\0" + bytes(114)
    made["qoi"] = b"qoif\0\0\0\x10\0\0\0\x10\3\0" + b"\xfe\1\2\3" * 256 + bytes(7) + b"\1"
    return made


def mutations(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the name of a seed and a broken copy, endlessly; the same for equal numbers."""
    rng = random.Random(seed)
    kinds = sorted(seeds().items())
    while True:
        for name, data in kinds:
            yield name, mutated(data, rng)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, most often near the beginning, where sizes and tables are."""
    broken = bytearray(data)
    for _ in range(1 + int(rng.expovariate(0.5))):
        at = rng.randrange(min(len(broken), rng.choice((32, 256, len(broken))))) if broken else 0
        length = 1 + int(rng.expovariate(0.2))
        what = rng.randrange(7)
        if what == 0:
            broken[at : at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            broken[at : at + 1] = bytes([broken[at] ^ 1 << rng.randrange(8)]) if broken else b""
        elif what == 2:
            broken[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\xff\xff"))
        elif what == 3:
            del broken[at : at + length]
        elif what == 4:
            broken[at:at] = broken[at : at + 8 * length]
        elif what == 5:
            other = rng.randrange(max(1, len(broken)))
            broken[at : at + length] = broken[other : other + length]
        elif rng.random() < 0.3:
            del broken[at:]
    return bytes(broken)


def _saved(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return exif
