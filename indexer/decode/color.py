"""Conversion of pictures to sRGB by the colour profile, or other colour description, that they carry.

ICC profiles are converted by littleCMS with the perceptual intent, as browsers do. A PNG without a profile may have the
chunks cICP, sRGB, gAMA and cHRM; these count in the order that the PNG specification states. So does the `nclx` box of
AVIF and HEIF. A profile that describes sRGB itself, and a description that is that of sRGB, change nothing.
"""

from __future__ import annotations

import contextlib
import functools
import io
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from imindex.indexer.decode.rendering import BROKEN_PROFILE, CONVERTED, HDR

if TYPE_CHECKING:
    from PIL import Image

    from imindex.indexer.decode.tiff import Samples

MAX_PROFILE = 2**24
"""Larger profiles, in bytes, are not read."""
_HEADER = 128
_SIGNATURE = slice(36, 40)
_SPACE = slice(16, 20)
_SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""XYZ of the primaries of sRGB, adapted to D50."""
_PRIMARY_TOLERANCE = 0.0025
_LEVEL_TOLERANCE = 0.75
_LUTS = (b"A2B0", b"A2B1", b"D2B0", b"D2B1")
_CHROMATICITIES = {
    1: (0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    5: (0.3127, 0.3290, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.3140, 0.3510, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""White, red, green and blue (x, y) by the number of ITU-T H.273."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_SRGB_TRANSFERS = (1, 2, 6, 13, 14, 15)
"""Transfer functions that are taken for that of sRGB: it, those of video, and an unspecified one."""
_HDR_TRANSFERS = (16, 18)
_UNSPECIFIED = 2
_SRGB_GAMMA = 1 / 2.2
"""The gamma that PNG files of sRGB pictures state."""
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_D50 = (0.9642, 1.0, 0.8249)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


class Unusable(Exception):
    """A colour description that cannot be used; the message is one of `imindex.indexer.decode.rendering.NOTES`."""


def profile_of(image: Image.Image | Samples, data: bytes) -> bytes | None:
    """Return the ICC profile by which an opened picture is converted; None if it is taken for sRGB.

    A description without a profile (chunks of a PNG, `nclx`) is returned as a profile.

    Raises
    ------
    Unusable
        The picture has a colour description that cannot be used.
    """
    embedded = image.info.get("icc_profile")
    if image.format == "PNG":
        profile = _of_png(embedded, data)
    elif embedded:
        profile = embedded
    elif image.format in ("JPEG", "MPO") and "icc_profile" in image.info:
        raise Unusable(BROKEN_PROFILE)  # segments are missing
    else:
        profile = _IN_BOXES.get(str(image.format), lambda _: None)(data)
    if not profile:
        return None
    if not _HEADER < len(profile) <= MAX_PROFILE or profile[_SIGNATURE] != b"acsp":
        raise Unusable(BROKEN_PROFILE)
    return None if is_srgb(bytes(profile)) else bytes(profile)


def to_srgb(image: Image.Image, profile: bytes, space: str = "") -> tuple[Image.Image, str]:
    """Convert a decoded picture to sRGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode with 8 bits per channel. Transparency is kept.
    profile : bytes
        From `profile_of`.
    space : str
        The mode in which the file is encoded, if `image` was converted from it.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB or RGBA; `image` itself, if the profile does not fit it.
    str
        `CONVERTED` or `BROKEN_PROFILE`; empty if the profile says nothing new.
    """
    from PIL import Image, ImageCms

    grey = (space or image.mode) in ("1", "L", "LA", "La", "I", "F") or (space or image.mode).startswith("I;")
    if profile[_SPACE] == b"Lab " and image.mode == "LAB":
        return image, ""  # which Pillow converts
    wanted = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}.get(profile[_SPACE])
    fits = {"RGB": image.mode not in ("CMYK", "LAB", "HSV"), "L": grey, "CMYK": image.mode == "CMYK"}
    if wanted is None or not fits[wanted]:
        return image, BROKEN_PROFILE
    try:
        transform: Any = _grey_tables(profile) if wanted == "L" else _transform(profile, wanted)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, BROKEN_PROFILE
    alpha = None
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    source = image if image.mode == wanted else image.convert(wanted)
    converted = source
    if wanted == "RGB":
        ImageCms.applyTransform(source, transform, inPlace=True)
    elif wanted == "L":
        converted = Image.merge("RGB", [source.point(table) for table in transform])
    else:
        converted = ImageCms.applyTransform(source, transform)  # type: ignore[assignment]
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {}
    return converted, CONVERTED


@functools.lru_cache(maxsize=8)
def _grey_tables(profile: bytes) -> list[list[int]]:
    """Return red, green and blue of each grey level. The tables of littleCMS's own are off by up to nine levels."""
    from PIL import Image, ImageCms

    levels = Image.frombytes("L", (256, 1), bytes(range(256)))
    made = ImageCms.applyTransform(levels, _transform(profile, "L", int(ImageCms.Flags.NOOPTIMIZE)))
    return [list(channel.tobytes()) for channel in made.split()]  # type: ignore[union-attr]


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str, flags: int = 0) -> Any:
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
        flags=ImageCms.Flags(flags),
    )


@functools.lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """Return whether a profile describes sRGB, so closely that no 8-bit value would change by more than rounding.

    Parameters
    ----------
    profile : bytes
        From an untrusted file.
    """
    try:
        tags = _tags(profile)
        if any(name in tags for name in _LUTS):
            return False
        if profile[_SPACE] == b"GRAY":
            return _is_srgb_curve(tags[b"kTRC"])
        if profile[_SPACE] != b"RGB " or profile[20:24] != b"XYZ ":
            return False
        for name, expected in zip((b"rXYZ", b"gXYZ", b"bXYZ"), _SRGB, strict=True):
            xyz = struct.unpack(">3i", tags[name][8:20])
            if any(abs(x / 65536 - y) > _PRIMARY_TOLERANCE for x, y in zip(xyz, expected, strict=True)):
                return False
        return all(_is_srgb_curve(tags[name]) for name in {b"rTRC", b"gTRC", b"bTRC"})
    except (ArithmeticError, KeyError, IndexError, ValueError, struct.error):
        return False


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = struct.unpack_from(">I", profile, _HEADER)[0]
    if count > 1000:
        raise ValueError(count)
    tags = {}
    for number in range(count):
        name, offset, length = struct.unpack_from(">4sII", profile, _HEADER + 4 + 12 * number)
        tags[name] = profile[offset : offset + length]
    return tags


def _is_srgb_curve(tag: bytes) -> bool:
    curve = _curve(tag)
    return all(
        abs(255 * _srgb_encoded(curve(level / 255)) - level) <= _LEVEL_TOLERANCE for level in range(256)
    )


def _curve(tag: bytes) -> Callable[[float], float]:
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return lambda x: x
        if count == 1:
            gamma = struct.unpack_from(">H", tag, 12)[0] / 256
            return lambda x: float(x**gamma)
        if count > 65536:
            raise ValueError(count)
        table = struct.unpack_from(f">{count}H", tag, 12)
        return functools.partial(_interpolated, table)
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    kind = struct.unpack_from(">H", tag, 8)[0]
    values = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    given = (*values, *(1.0, 0.0, 0.0, -1.0, 0.0, 0.0)[len(values) - 1 :])
    g, a, b, c, d, e, f = (float(given[place]) for place in range(7))
    if kind in (1, 2):  # the constant, if there is one, is added everywhere
        c, d, e, f = 0.0, -b / a, c, c
    return lambda x: float((a * x + b) ** g + e) if x >= d else float(c * x + f)


def _interpolated(table: Sequence[int], x: float) -> float:
    position = x * (len(table) - 1)
    below = min(int(position), len(table) - 2)
    return (table[below] + (position - below) * (table[below + 1] - table[below])) / 65535


def _srgb_encoded(linear: float) -> float:
    if isinstance(linear, complex) or linear <= 0.0031308:
        return 12.92 * linear
    return float(1.055 * linear ** (1 / 2.4) - 0.055)


def described(chromaticities: Sequence[float], gamma: float | None = None) -> bytes:
    """Return a profile for a colour space.

    Parameters
    ----------
    chromaticities : sequence of float
        x and y of white, red, green and blue.
    gamma : float, optional
        The exponent of the transfer function; by default, the transfer function is that of sRGB.

    Raises
    ------
    Unusable
        There is no such colour space.
    """
    import numpy as np

    points = np.asarray(chromaticities, np.float64).reshape(4, 2)
    with np.errstate(all="ignore"):
        xyz = np.stack([points[:, 0], points[:, 1], 1 - points.sum(1)]) / points[:, 1]
        try:
            scale = np.linalg.solve(xyz[:, 1:], xyz[:, 0])
            bradford = np.array(_BRADFORD)
            adaptation = np.linalg.solve(
                bradford, np.diag((bradford @ _D50) / (bradford @ xyz[:, 0])) @ bradford
            )
        except np.linalg.LinAlgError:
            raise Unusable(BROKEN_PROFILE) from None
        colorants = adaptation @ (xyz[:, 1:] * scale)
    if not np.isfinite(colorants).all() or np.abs(colorants).max() > 8:
        raise Unusable(BROKEN_PROFILE)
    kind, values = (3, _SRGB_CURVE) if gamma is None else (0, (gamma,))
    curve = struct.pack(">4sIHH", b"para", 0, kind, 0) + b"".join(map(_s15, values))
    tags = {
        **{f"{c}XYZ".encode(): b"XYZ \0\0\0\0" + b"".join(map(_s15, colorants[:, i])) for i, c in enumerate("rgb")},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        b"wtpt": b"XYZ \0\0\0\0" + b"".join(map(_s15, _D50)),
        b"desc": b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 25966, 21843, 2, 28) + b"\0s\0\0",
    }  # fmt: skip
    offset = _HEADER + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, offset + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIQI3I", offset + len(body), b"\0\0\0\0", 0x04300000, b"mntr", b"RGB ", b"XYZ ",
        bytes(12), b"acsp", b"\0\0\0\0", 0, 0, 0, 0, 0, *(round(65536 * value) for value in _D50),
    )  # fmt: skip
    return header.ljust(_HEADER, b"\0") + table + body


def _s15(value: float) -> bytes:
    return struct.pack(">i", max(-(2**31), min(2**31 - 1, round(65536 * float(value)))))


def _of_png(embedded: bytes | None, data: bytes) -> bytes | None:
    from imindex.indexer.decode.png import chunks

    found = chunks(data)
    if len(found.get(b"cICP", b"")) == 4:
        primaries, transfer, _, full = found[b"cICP"]
        if full:
            return _of_code_points(primaries, transfer)
    if b"iCCP" in found:
        if not embedded:
            raise Unusable(BROKEN_PROFILE)
        return embedded
    if b"sRGB" in found or not {b"gAMA", b"cHRM"} & set(found):
        return None
    gamma = None
    if len(found.get(b"gAMA", b"")) == 4:
        stated = int.from_bytes(found[b"gAMA"], "big") / 100_000
        if not 0.05 <= stated <= 10:
            raise Unusable(BROKEN_PROFILE)
        gamma = None if abs(stated / _SRGB_GAMMA - 1) < 0.01 else 1 / stated
    chromaticities = _CHROMATICITIES[1]
    if len(found.get(b"cHRM", b"")) == 32:
        chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", found[b"cHRM"]))
    return described(chromaticities, gamma)


def _of_code_points(primaries: int, transfer: int) -> bytes | None:
    """Return the profile for numbers of ITU-T H.273; None if they are those of sRGB, or say nothing."""
    if transfer in _HDR_TRANSFERS:
        raise Unusable(HDR)
    if primaries == _UNSPECIFIED and (transfer in _SRGB_TRANSFERS):
        return None
    if primaries == _UNSPECIFIED:
        primaries = 1
    if primaries not in _CHROMATICITIES or transfer not in (*_SRGB_TRANSFERS, *_GAMMAS):
        raise Unusable(BROKEN_PROFILE)
    if (primaries, transfer in _SRGB_TRANSFERS) == (1, True):
        return None
    return described(_CHROMATICITIES[primaries], _GAMMAS.get(transfer))


def _nclx(data: bytes) -> bytes | None:
    place = data[:65536].find(b"colrnclx")
    if place < 0 or len(data) < place + 12:
        return None
    primaries, transfer = struct.unpack_from(">HH", data, place + 8)
    if primaries in (5, 6, 7):  # of standard-definition video: as encoders write it who mean sRGB
        primaries = 1
    return _of_code_points(primaries, transfer)


def _jp2(data: bytes) -> bytes | None:
    place = data[:65536].find(b"colr")
    if place < 4 or data[place + 4 : place + 5] != b"\2":
        return None
    return data[place + 7 : place - 4 + int.from_bytes(data[place - 4 : place], "big")]


def _bmp(data: bytes) -> bytes | None:
    with contextlib.suppress(struct.error):
        if struct.unpack_from("<I", data, 14)[0] >= 124 and data[70:74] == b"DEBM":
            offset, length = struct.unpack_from("<II", data, 14 + 112)
            return data[14 + offset : 14 + offset + length]
    return None


_IN_BOXES = {"AVIF": _nclx, "HEIF": _nclx, "JPEG2000": _jp2, "BMP": _bmp}
