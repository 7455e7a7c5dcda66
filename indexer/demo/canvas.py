"""Drawing tools shared by all techniques of the demo: the plate with the composition, noise, and anti-aliased marks.

Positions are in units of the picture's side: x runs right and y down, both over [0, 1]. Colours are float32 in [0,
1]. A technique works at `Plate.side` pixels, which is larger than the finished picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = NDArray[np.float32]
Colour = Floats
Points = NDArray[np.float64]
Numbers = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Plate:
    """One composition at working size, the input of a technique.

    Attributes
    ----------
    side : int
        Working width and height in pixels.
    x, y : ndarray of float32, shape (side, side)
        Pixel centres in units of the side.
    labels : ndarray of int32, shape (side, side)
        Number of the topmost shape; higher numbers were drawn later.
    tone : ndarray of float32, shape (side, side)
        From 0 (darkest) to 1 (lightest).
    local : ndarray of float32, shape (side, side, 3)
        The local colour, softly shaded.
    palette : ndarray of float32, shape (6, 3)
        Six colours, light to dark.
    rng : numpy.random.Generator
        The random generator of the picture.
    """

    side: int
    x: Floats
    y: Floats
    labels: NDArray[np.int32]
    tone: Floats
    local: Floats
    palette: Floats
    rng: np.random.Generator

    def indices(self, u: Numbers, v: Numbers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the pixels nearest to the points (u, v)."""
        limit = self.side - 1
        columns = np.clip(np.asarray(u) * self.side, 0, limit).astype(np.intp)
        rows = np.clip(np.asarray(v) * self.side, 0, limit).astype(np.intp)
        return rows, columns

    def colour_at(self, u: Numbers, v: Numbers) -> Floats:
        """Return the local colour at the points (u, v)."""
        return self.local[self.indices(u, v)]

    def tone_at(self, u: Numbers, v: Numbers) -> Floats:
        """Return the tone at the points (u, v)."""
        return self.tone[self.indices(u, v)]

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between `low` and `high`, for a parameter of the technique."""
        return float(self.rng.uniform(low, high))


@dataclass(frozen=True, eq=False)
class Shape:
    """A polygon with its palette slot and its tone gradient."""

    points: Points
    slot: int
    slope: tuple[float, float] = (0.0, 0.0)


def make_plate(shapes: list[Shape], palette: Floats, side: int, rng: np.random.Generator) -> Plate:
    """Rasterise shapes into the maps that a technique reads.

    Parameters
    ----------
    shapes : list of Shape
        From back to front; at most 255.
    palette : ndarray, shape (6, 3)
        Colours in [0, 1], light to dark.
    side : int
        Working size in pixels.
    rng : numpy.random.Generator
        Passed on to the technique.

    Returns
    -------
    Plate
    """
    image = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(image)
    for number, shape in enumerate(shapes):
        pen.polygon((shape.points * side).ravel().tolist(), fill=number)
    labels = np.asarray(image, dtype=np.int32)
    axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    x, y = (np.ascontiguousarray(a) for a in np.meshgrid(axis, axis))
    slots = np.array([s.slot for s in shapes])
    middles = np.array([np.clip(s.points, 0, 1).mean(axis=0) for s in shapes], dtype=np.float32)
    slopes = np.array([s.slope for s in shapes], dtype=np.float32)
    slope = slopes[labels]
    middle = middles[labels]
    shade = -slope[..., 0] * (x - middle[..., 0]) - slope[..., 1] * (y - middle[..., 1])
    shade = np.clip(shade, -0.14, 0.14)
    tones = (1.0 - slots / 5.0).astype(np.float32)
    tone = np.clip(0.06 + 0.88 * tones[labels] + shade, 0, 1)
    local = np.clip(palette[slots][labels] * (1 + shade[..., None]), 0, 1)
    return Plate(side, x, y, labels, tone.astype(np.float32), local.astype(np.float32), palette, rng)


@dataclass(frozen=True, eq=False)
class Inks:
    """A ground colour, an ink colour, and the ink density of each pixel (0 to 1)."""

    ground: Colour
    ink: Colour
    density: Floats
    light_ground: bool


def choose_inks(plate: Plate, *, contrast: float = 1.0) -> Inks:
    """Choose at random dark ink on a light ground or the reverse; the tones stay the same."""
    light_ground = bool(plate.rng.random() < 0.5)
    near, far = int(plate.rng.integers(0, 2)), int(plate.rng.integers(4, 6))
    ink_amount = 1.0 - plate.tone if light_ground else plate.tone
    density = np.clip((ink_amount - 0.5) * contrast + 0.5, 0, 1)
    ground, ink = (near, far) if light_ground else (far, near)
    return Inks(plate.palette[ground], plate.palette[ink], density, light_ground)


def mix(first: Numbers, second: Numbers, share: Numbers | float) -> Floats:
    """Blend `first` with a fraction `share` of `second`; colours broadcast over maps of shares."""
    weight = np.asarray(share, dtype=np.float32)
    if weight.ndim == 2 or (weight.ndim == 1 and max(first.ndim, second.ndim) == 2):
        weight = weight[..., None]
    return (first + (second - first) * weight).astype(np.float32)


def flat_field(plate: Plate, colour: Colour) -> Floats:
    """Return a field of a single colour, at working size."""
    return np.broadcast_to(colour, (plate.side, plate.side, 3)).astype(np.float32)


def noise(rng: np.random.Generator, side: int, cells: int, *, octaves: int = 1) -> Floats:
    """Return smooth noise of about unit range around 0, with `cells` bumps across in the first octave."""
    total = np.zeros((side, side), dtype=np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        count = cells * 2**octave + 3
        knots = rng.uniform(-1, 1, (count, count)).astype(np.float32)
        total += weight * enlarge(knots, side)
        weights += weight
        weight *= 0.5
    total /= np.float32(weights)
    return total


def enlarge(field: Floats, side: int) -> Floats:
    """Resize a square field smoothly to `side` pixels."""
    small = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)


def blur(field: Floats, width: float) -> Floats:
    """Gaussian blur; `width` is its standard deviation in units of the side."""
    side = field.shape[0]
    work = min(side, max(64, int(2.5 / max(width, 1e-6))))
    if field.ndim == 3:
        return np.stack([blur(field[..., c], width) for c in range(field.shape[2])], axis=-1)
    small = enlarge(field, work) if work < side else field
    smooth = ndimage.gaussian_filter(small, width * work, mode="nearest", truncate=3.0)
    return enlarge(smooth, side) if work < side else smooth


def edge_distance(labels: NDArray[np.int32]) -> Floats:
    """Return the distance to the nearest border between shapes, in units of the side."""
    side = labels.shape[0]
    step = max(1, side // 256)
    coarse = labels[::step, ::step]
    inside = np.ones(coarse.shape, dtype=bool)
    inside[:, 1:] &= coarse[:, 1:] == coarse[:, :-1]
    inside[1:, :] &= coarse[1:, :] == coarse[:-1, :]
    if inside.all():
        inside[0, 0] = False
    distance = ndimage.distance_transform_edt(inside) / coarse.shape[0]
    return enlarge(distance.astype(np.float32), side)


def coverage(depth: Numbers, side: int) -> Floats:
    """Return the fraction of a pixel covered by a mark, given its depth inside the outline (negative: outside)."""
    share: Floats = np.clip(depth * np.float32(side) + np.float32(0.5), 0, 1).astype(np.float32)
    return share


def rotate(plate: Plate, degrees: float) -> tuple[Floats, Floats]:
    """Return the coordinates rotated about the centre of the picture."""
    angle = np.deg2rad(degrees)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x, y = plate.x - np.float32(0.5), plate.y - np.float32(0.5)
    return c * x + s * y, c * y - s * x


def to_bytes(colours: Floats) -> NDArray[np.uint8]:
    """Convert colours in [0, 1] to bytes."""
    return (np.clip(colours, 0, 1) * 255 + 0.5).astype(np.uint8)


def fills(colours: Floats) -> list[tuple[int, int, int]]:
    """Convert colours to Pillow's format."""
    return [(int(r), int(g), int(b)) for r, g, b in to_bytes(colours)]


class Easel:
    """A Pillow drawing in picture units, read back as a float field."""

    def __init__(self, plate: Plate, ground: Floats) -> None:
        self.side = plate.side
        field = ground if ground.ndim == 3 else flat_field(plate, ground)
        self.image = Image.fromarray(to_bytes(field))
        self.pen = ImageDraw.Draw(self.image)

    def polygon(self, points: NDArray[np.floating], fill: tuple[int, int, int]) -> None:
        """Draw a filled polygon; `points` has shape (n, 2)."""
        self.pen.polygon((points * self.side).ravel().tolist(), fill=fill)

    def line(
        self, points: NDArray[np.floating], fill: tuple[int, int, int], width: float, *, closed: bool = False
    ) -> None:
        """Draw a line through `points`, `width` units thick."""
        path = np.concatenate([points, points[:2]]) if closed else points
        thick = max(1, round(width * self.side))
        joint = "curve" if thick > 4 else None
        self.pen.line((path * self.side).ravel().tolist(), fill=fill, width=thick, joint=joint)

    def discs(
        self, centres: NDArray[np.floating], radii: Iterable[float], colours: Sequence[tuple[int, int, int]]
    ) -> None:
        """Draw filled discs, one colour each."""
        for (u, v), radius, fill in zip((centres * self.side).tolist(), radii, colours, strict=True):
            r = radius * self.side
            self.pen.ellipse((u - r, v - r, u + r, v + r), fill=fill)

    def field(self) -> Floats:
        """Return the drawing as float32 in [0, 1]."""
        pixels: Floats = np.asarray(self.image, dtype=np.float32) / np.float32(255)
        return pixels


def jittered_grid(rng: np.random.Generator, count: int, jitter: float, *, margin: float = 0.0) -> Floats:
    """Return about `count` x `count` points over the picture, each moved by up to `jitter` cells."""
    steps = (np.arange(count) + 0.5) / count
    u, v = np.meshgrid(steps, steps)
    points = np.stack([u.ravel(), v.ravel()], axis=1)
    points = (points - 0.5) * (1 + 2 * margin) + 0.5
    points += rng.uniform(-jitter, jitter, points.shape) / count
    return points.astype(np.float32)
