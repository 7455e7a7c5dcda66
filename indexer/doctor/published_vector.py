"""A published vector of a picture: whoever loads the same encoder can check that it computes the same."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from imindex.indexer.core.bounds import MAX_NAME
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.decode.pool import picture_of
from imindex.indexer.doctor.machine import FAULT, OK, Check
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import read_text

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

PROBE = "probe"
"""The name of the built-in picture."""
TOLERANCE = 0.999
"""The least cosine, unless the file says another. Processors and precisions round differently."""
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Expected:
    """What a file of a published vector says.

    Attributes
    ----------
    picture : str
        `probe`, or the path of a picture inside of the file's folder.
    vector : ndarray, shape (d,), float64
        Of any length but 0.
    source : str
        Who computed it, with what.
    tolerance : float
        The least cosine that counts as the same.
    folder : Path
        The file's folder.
    """

    picture: str
    vector: npt.NDArray[np.float64]
    source: str
    tolerance: float
    folder: Path


def probe() -> npt.NDArray[np.uint8]:
    """Return the built-in picture: RGB, shape (360, 480, 3).

    With x from 0 to 479 and y from 0 to 359, red is x * 255 // 479 and green is y * 255 // 359. Blue is 255 where
    x // 40 + y // 40 is odd, and x * y % 256 elsewhere. It is wider than high, so that resizing and cropping show.
    """
    y, x = np.mgrid[0:360, 0:480]
    blue = np.where((x // 40 + y // 40) % 2 == 1, 255, x * y % 256)
    return np.stack([x * 255 // 479, y * 255 // 359, blue], axis=2).astype(np.uint8)


def read_expected(path: Path) -> Expected:
    """Read a file of a published vector.

    Parameters
    ----------
    path : Path
        JSON: `picture`, `vector`, and optionally `source` and `tolerance`. Other keys are ignored.

    Raises
    ------
    ImindexError
        The file cannot be read, or a value is missing or not valid.
    """
    try:
        content = parse_json(read_text(path), finite=True)
    except (OSError, ValueError) as error:
        raise ImindexError(f"{path} cannot be read as a published vector: {error}. Correct it.") from error
    if not isinstance(content, Mapping):
        raise ImindexError(f"{path} is not a published vector: it is not a JSON object. {_REMEDY}")
    picture, vector = content.get("picture", PROBE), content.get("vector")
    source, tolerance = content.get("source", ""), content.get("tolerance", TOLERANCE)
    if not isinstance(vector, list) or not 0 < len(vector) <= _LARGEST or not all(map(_is_number, vector)):
        raise ImindexError(f"{path}: vector is not a list of 1 to {_LARGEST:,} numbers. {_REMEDY}")
    values = np.array(vector, np.float64)
    norm = np.linalg.norm(values)
    if not (math.isfinite(norm) and norm > 0):
        raise ImindexError(f"{path}: vector has the length {norm:g}, so it has no direction. {_REMEDY}")
    if not _is_number(tolerance) or not 0 < tolerance <= 1:
        raise ImindexError(f"{path}: tolerance is {tolerance!r}, not a cosine above 0, up to 1. {_REMEDY}")
    if not isinstance(source, str) or len(source) > MAX_NAME:
        raise ImindexError(f"{path}: source is not a text of up to {MAX_NAME} characters. {_REMEDY}")
    if not isinstance(picture, str) or not _is_inside(picture):
        raise ImindexError(
            f"{path}: picture is {str(picture)[:80]!r}, neither {PROBE} nor a path inside of the file's folder. "
            f"{_REMEDY}"
        )
    return Expected(picture, values, source, float(tolerance), path.absolute().parent)


_REMEDY = 'It has the form {"picture": "probe", "vector": [...], "source": "...", "tolerance": 0.999}.'


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _is_inside(picture: str) -> bool:
    path = PurePosixPath(picture)
    is_place = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", picture) or "\\" in picture or "\0" in picture
    return bool(picture) and not is_place and not path.is_absolute() and ".." not in path.parts


def vector_of(encoder: Encoder, picture: str, folder: Path) -> npt.NDArray[np.float64]:
    """Return the vector of a picture, or of the probe.

    Raises
    ------
    ImindexError
        The picture cannot be read.
    """
    if picture == PROBE:
        file = io.BytesIO()
        Image.fromarray(probe()).save(file, "PNG")
        data = file.getvalue()
    else:
        try:
            data = read_bytes(str(folder / picture))
        except (BadPicture, OSError) as error:
            raise ImindexError(
                f"{folder / picture} cannot be read: {error}. Put the picture there."
            ) from error
    try:
        pixels = picture_of(data, encoder.preprocess).pixels
    except BadPicture as error:
        raise ImindexError(f"{folder / picture} is not a picture: {error}. Replace it.") from error
    vector: npt.NDArray[np.float64] = encoder.encode_images(pixels[None])[0].astype(np.float64)
    return vector


def compare(encoder: Encoder, expected: Expected) -> Check:
    """Check that an encoder gives a picture the published vector."""
    name, source = "published vector", f" of {expected.source}" if expected.source else ""
    vector = vector_of(encoder, expected.picture, expected.folder)
    if len(vector) != len(expected.vector):
        return Check(
            name,
            FAULT,
            f"The vector{source} has {len(expected.vector)} dimensions, and this encoder {len(vector)}.",
            "Load the encoder that the vector was computed with.",
        )
    with np.errstate(invalid="ignore"):
        cosine = float(vector @ expected.vector / np.linalg.norm(vector) / np.linalg.norm(expected.vector))
    figures = {"cosine": cosine, "limit": expected.tolerance}
    # A cosine of equal vectors may be 1 - 1e-16.
    if cosine >= expected.tolerance - 1e-12:
        message = f"{expected.picture} has the vector{source}: cosine {cosine:.6f}, at least {expected.tolerance:g}."
        return Check(name, OK, message, figures=figures)
    bound = f"below {expected.tolerance:g}"
    message = f"{expected.picture} has another vector than the one{source}: cosine {cosine:.6f}, {bound}."
    remedy = (
        "Weights, preprocessing, activation or pooling differ from those of the published vector: compare the lines "
        "above with what its source says."
    )
    return Check(name, FAULT, message, remedy, figures)


def write_expected(encoder: Encoder, path: Path) -> Check:
    """Write the vector of the probe, for others to compare with."""
    info = encoder.info
    vector = vector_of(encoder, PROBE, path.parent)
    if not np.isfinite(vector).all():
        return Check("published vector", FAULT, "The probe has no finite vector.", "Try --precision fp32.")
    content = {
        "picture": PROBE,
        "vector": [round(value, 8) for value in vector.tolist()],
        "source": f"imindex, {info.short_name()} at {info.precision}",
        "tolerance": TOLERANCE,
        "encoder": info.identity(),
    }
    write_file(path, f"{json_text(content, indent=1)}\n".encode())
    return Check("published vector", OK, f"Wrote the vector of the probe, {len(vector)} numbers, to {path}.")
