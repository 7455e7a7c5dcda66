"""The artists of the demo: twenty-four invented names, each with its own procedural drawing technique.

All artists draw the same subjects in the same palettes, so that only technique distinguishes them, not motif or
colour. A picture depends only on (artist, seed, subject, palette, size).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from imindex.indexer.demo import hands_cells, hands_lines, hands_paint
from imindex.indexer.demo.canvas import Floats, Plate, make_plate, to_bytes
from imindex.indexer.demo.subjects import PALETTES, SUBJECTS, compose

__all__ = ["GENERIC", "NAMES", "PALETTES", "SUBJECTS", "Sitting", "draw", "sitting", "technique"]

GENERIC: Final = "generic"
MIN_SIZE: Final = 32
MAX_SIZE: Final = 2048

Hand = Callable[[Plate], Floats]

_HANDS: Mapping[str, tuple[Hand, str]] = MappingProxyType(
    {
        "Ottilie Varnhem": (hands_lines.flowing_ink, "ribbons of ink along a current"),
        "Davor Plenkovar": (hands_lines.engraved_lines, "swelling level lines"),
        "Saoirse Quillane": (hands_lines.crosshatching, "crosshatched pencil"),
        "Pekka Suolahde": (hands_lines.contour_map, "contour lines and height tints"),
        "Ximena Tolvarez": (hands_lines.looping_scribble, "one looping scribble"),
        "Isidor Vankelmann": (hands_lines.single_spiral, "a single swelling spiral"),
        "Wiremu Tahakura": (hands_lines.linocut, "linocut with gouge marks"),
        "Leocadia Brunsfeld": (hands_cells.stained_glass, "stained glass in heavy leads"),
        "Tiago Morvelho": (hands_cells.faceted_triangles, "flat facets of folded triangles"),
        "Amadou Keressane": (hands_cells.packed_circles, "packed discs with rings"),
        "Rafiq Belmandar": (hands_cells.halftone, "two halftone screens"),
        "Haruka Minobetsu": (hands_cells.wave_scales, "overlapping ringed scales"),
        "Eluned Prysgarth": (hands_cells.truchet_arcs, "winding quarter-ring tiles"),
        "Bao Linh Trevanh": (hands_cells.stitched_grid, "stepped cells of running stitch"),
        "Nilufar Dastanova": (hands_cells.basket_weave, "plain weave of broad bands"),
        "Casimir Ondrasz": (hands_cells.tumbling_blocks, "tumbling blocks"),
        "Zainab Marukele": (hands_cells.nested_squares, "squares within squares"),
        "Giacinta Pellorano": (hands_paint.loaded_brush, "short strokes of a loaded brush"),
        "Yevdokia Strannik": (hands_paint.pointillist, "round touches of pure colour"),
        "Anneke Zilverdal": (hands_paint.wet_wash, "watercolour washes on bare paper"),
        "Mirembe Okullotashe": (hands_paint.paper_theatre, "cut-paper layers in wavy frames"),
        "Kenzo Aramishi": (hands_paint.living_pattern, "grown spots and stripes"),
        "Hyun-ae Podam": (hands_paint.falling_capsules, "columns of rounded bars"),
        "Chaska Wintermoor": (hands_paint.prism_shards, "shards cut by long straight lines"),
    }
)
NAMES: Final[tuple[str, ...]] = tuple(_HANDS)


@dataclass(frozen=True)
class Sitting:
    """What an artist draws for a seed.

    Attributes
    ----------
    artist : str
        One of `NAMES`, or `GENERIC`.
    subject : str
        One of `SUBJECTS`.
    palette : str
        A key of `PALETTES`.
    seed : int
        The seed that subject and palette were drawn from.
    """

    artist: str
    subject: str
    palette: str
    seed: int


def _generator(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _known(kind: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{value!r} is not a demo {kind}. Choose one of: {', '.join(choices)}.")
    return value


def _known_artist(artist: str | None) -> str:
    if artist is None or artist == GENERIC:
        return GENERIC
    return _known("artist", artist, NAMES)


def technique(artist: str | None) -> str:
    """Return a short description of an artist's technique.

    Parameters
    ----------
    artist : str or None
        One of `NAMES`; None or `GENERIC` for the nameless technique.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the artist is not part of the demo.

    Examples
    --------
    >>> technique("Casimir Ondrasz")
    'tumbling blocks'
    """
    name = _known_artist(artist)
    return "plain shaded shapes" if name == GENERIC else _HANDS[name][1]


def sitting(artist: str | None, seed: int) -> Sitting:
    """Return the subject and palette that an artist uses for a seed.

    Parameters
    ----------
    artist : str or None
        One of `NAMES`; None or `GENERIC` for the nameless technique.
    seed : int
        Any integer.

    Returns
    -------
    Sitting
        Subject and palette are independent and uniform over `SUBJECTS` and `PALETTES`.

    Raises
    ------
    ValueError
        If the artist is not part of the demo.
    """
    name = _known_artist(artist)
    rng = _generator("sitting", name, int(seed))
    subject = SUBJECTS[int(rng.integers(len(SUBJECTS)))]
    palette = tuple(PALETTES)[int(rng.integers(len(PALETTES)))]
    return Sitting(name, subject, palette, int(seed))


def draw(
    artist: str | None,
    *,
    seed: int,
    size: int = 256,
    subject: str | None = None,
    palette: str | None = None,
) -> Image.Image:
    """Draw one picture.

    Parameters
    ----------
    artist : str or None
        One of `NAMES`; None or `GENERIC` for the nameless technique.
    seed : int
        Any integer. Two seeds give two different pictures in the same technique.
    size : int
        Width and height in pixels, 32 to 2048.
    subject, palette : str, optional
        Override those of `sitting(artist, seed)`.

    Returns
    -------
    PIL.Image.Image
        RGB, `size` x `size`.

    Raises
    ------
    ValueError
        If artist, subject or palette is not part of the demo, or the size is out of range.

    Examples
    --------
    >>> draw("Casimir Ondrasz", seed=1, size=64).size
    (64, 64)
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size {size} is out of range. Choose a size from {MIN_SIZE} to {MAX_SIZE} pixels.")
    chosen = sitting(artist, seed)
    subject = chosen.subject if subject is None else _known("subject", subject, SUBJECTS)
    palette = chosen.palette if palette is None else _known("palette", palette, tuple(PALETTES))
    name = chosen.artist
    shapes = compose(subject, _generator("composition", name, chosen.seed, subject, palette))
    rng = _generator("hand", name, chosen.seed, subject, palette)
    colours = np.asarray(PALETTES[palette], dtype=np.float32) / np.float32(255)
    times = _oversampling(size)
    plate = make_plate(shapes, colours, size * times, rng)
    hand = hands_paint.plain_shapes if name == GENERIC else _HANDS[name][0]
    picture = _expose(_reduce(hand(plate), times), rng)
    return Image.fromarray(to_bytes(picture))


def _oversampling(size: int) -> int:
    """Return the factor by which a technique oversamples the picture."""
    if size <= 64:
        return 5
    if size <= 128:
        return 3
    return 2 if size <= 1024 else 1


def _reduce(field: Floats, times: int) -> Floats:
    """Average over `times` x `times` blocks, for anti-aliasing."""
    if times == 1:
        return field
    side = field.shape[0] // times
    return np.asarray(field.reshape(side, times, side, times, 3).mean(axis=(1, 3)), dtype=np.float32)


def _expose(picture: Floats, rng: np.random.Generator) -> Floats:
    """Adjust the mean lightness to a target drawn alike for all techniques, so that it identifies none of them."""
    target = float(np.clip(rng.normal(0.52, 0.1), 0.34, 0.7))
    picture = np.clip(picture, 0, 1)
    mean = float(picture.mean())
    gamma = float(np.clip(np.log(target) / np.log(np.clip(mean, 0.05, 0.95)), 0.55, 1.7))
    exposed: Floats = picture ** np.float32(gamma)
    return exposed
