"""The formats that are opened, in one order, whatever plug-ins a process has loaded; and the names of others."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

from PIL import Image

from imindex.indexer.core.errors import BadPicture

COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")
"""Formats available without loading Pillow's other plug-ins."""
OTHERS = (
    "TIFF", "WEBP", "AVIF", "JPEG2000", "BLP", "DIB", "CUR", "PCX", "DCX", "DDS", "FITS", "FLI", "FTEX", "GBR", "ICNS",
    "ICO", "MCIDAS", "MSP", "PIXAR", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "XVTHUMB", "IM", "IMT", "PCD", "SPIDER",
    "TGA",
)  # fmt: skip
"""The other formats of Pillow, in the order in which they are tried; those without a magic number come last.

EPS, a program for Ghostscript, is not among them; nor is IPTC, which can contain any format, including EPS; nor WMF,
which Windows renders; nor formats that Pillow identifies, but cannot decode (BUFR, GRIB, HDF5, MPEG)."""


@dataclass(frozen=True)
class Extra:
    """A format that another package decodes.

    Attributes
    ----------
    name : str
        For the user.
    module : str
        What is imported.
    """

    name: str
    module: str


EXTRAS = {"HEIF": Extra("HEIC", "pillow_heif"), "JXL": Extra("JPEG XL", "pillow_jxl")}
"""By the name of Pillow's plug-in."""
EXTRA_NAME = "formats"
"""The extra of imindex that installs the packages."""
_MISSING = "needs the extra"
_BOX = b"ftyp"
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_UNSUPPORTED = (
    (0, b"%PDF", "a PDF document"),
    (0, b"8BPS\0\2", "a PSB picture of Photoshop"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"#?RGBE", "a Radiance HDR picture"),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"FUJIFILMCCD-RAW", "raw sensor data of a camera"),
    (0, b"IIRO", "raw sensor data of a camera"),
    (0, b"IIU\0", "raw sensor data of a camera"),
    (8, b"CR\x02", "raw sensor data of a camera"),
    (4, b"ftypcrx ", "raw sensor data of a camera"),
    (4, b"ftypqt  ", "a video"),
    (4, b"ftypisom", "a video"),
    (4, b"ftypmp4", "a video"),
    (4, b"ftypM4V", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"gimp xcf", "a picture of GIMP"),
    (0, b"BPG\xfb", "a BPG picture"),
    (0, b"FLIF", "a FLIF picture"),
)
_SVG = (b"<svg", b"<?xml", b"<!DOCTYPE svg")


class Sandbox:
    """Whether this process is a decoder process, which alone imports the packages of `EXTRAS`."""

    inside = False


def extra_of(data: bytes) -> str:
    """Return the key in `EXTRAS` of the format of a file; empty if it is none of them."""
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JXL"
    return "HEIF" if _brand(data) == "HEIF" else ""


def _brand(data: bytes) -> str:
    """Return the format of a file in boxes, by its major brand, or else by the others; empty if none is known."""
    if data[4:8] != _BOX:
        return ""
    end = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[8:12], *(data[place : place + 4] for place in range(16, end, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "")


def load_extra(key: str) -> None:
    """Import the package that decodes a format, and let it decode in one thread.

    Raises
    ------
    BadPicture
        It is not installed, or this is not a decoder process.
    """
    extra = EXTRAS[key]
    if not Sandbox.inside:
        raise BadPicture(f"{extra.name} pictures are decoded in a decoder process only")
    try:
        module = importlib.import_module(extra.module)
    except ImportError as error:
        raise BadPicture(missing(key)) from error
    if key == "HEIF":
        module.register_heif_opener(thumbnails=False, decode_threads=1)


def missing(key: str) -> str:
    """Return the reason for rejecting a picture whose package is not installed."""
    return f"{EXTRAS[key].name} {_MISSING} {EXTRA_NAME}: pip install 'imindex[{EXTRA_NAME}]'"


def is_missing(reason: str) -> str:
    """Return the module that a rejected picture lacked; empty if it was rejected for another reason."""
    return next((extra.module for key, extra in EXTRAS.items() if reason == missing(key)), "")


def unsupported(data: bytes) -> str:
    """Return what a file is that no decoder opens, if it is known; empty otherwise."""
    for offset, magic, name in _UNSUPPORTED:
        if data.startswith(magic, offset):
            return f"{name}, which is not supported: convert it to PNG"
    if data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_SVG) and b"<svg" in data[:4096]:
        return "an SVG drawing, which is not supported: convert it to PNG"
    return ""


def openable() -> list[str]:
    """Return the formats of Pillow beyond `COMMON` that this process can open, in order.

    Plug-ins that replace one of Pillow's own are left out: they may decode otherwise, and run outside of a sandbox.
    """
    Image.init()
    if (avif := sys.modules.get("PIL.AvifImagePlugin")) is not None:
        vars(avif)["DEFAULT_MAX_THREADS"] = 1  # each decoder has one processor
    return [name for name in OTHERS if name in Image.OPEN and _is_own(name)]


def _is_own(name: str) -> bool:
    factory = Image.OPEN[name][0]
    return str(getattr(factory, "__module__", "")).startswith("PIL.")
