"""Whether two pictures have the same outlines: a measure that survives crops, mirroring and recolouring.

The only file that imports OpenCV.

The direction of each edge is compared, and neither its colour nor its sign, so that a recoloured picture, even its
negative, has the outlines of the original. The middle of one picture, and its mirror image, is looked for in the other
one at several sizes and all places. Style leaves the measure low, because the edges of a further work of the artist
run elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float64

Pixels = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]

SHORT = 48
"""Length of the short edge at which a picture is looked for."""
MIDDLE = 36
"""Edge of the square in its middle that is looked for."""
SCALES = (0.85, 0.92, 1.0, 1.06, 1.12, 1.18, 1.24, 1.3, 1.38, 1.46)
"""Sizes of the other picture: at 1.46, a picture that shows 47 % of its area has the size of that part."""
SAME_ASPECT = 1.1
"""Where aspect ratios differ by more than this factor, a work is also squeezed into the aspect of the picture."""
MOST_ASPECT = 3.0
STEPS = 63
"""Outlines are rounded to this many steps, so that sums of their products are whole numbers and exact in float64."""
FAINT = 16.0
"""Edges of this strength, a difference of 2 levels from pixel to pixel, have half the weight of strong ones."""


def outlines(pixels: Pixels) -> Field:
    """Return the outlines of a picture: at each pixel, the doubled angle of the edge, as long as the edge is clear.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8

    Returns
    -------
    ndarray, shape (h, w, 2), float32
        Whole numbers from `-STEPS` to `STEPS`.

    Notes
    -----
    The structure tensor of the slightly blurred picture, summed over channels, has a dominant direction; its doubled
    angle makes opposite gradients equal. The length is s / (s + m), where s is the strength of the edge and m its
    median in this picture, or `FAINT` if that is more. All steps are exact or correctly rounded, so that the result
    does not depend on the machine.
    """
    import cv2

    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    across = cv2.Sobel(blurred, cv2.CV_16S, 1, 0).astype(np.float64)
    down = cv2.Sobel(blurred, cv2.CV_16S, 0, 1).astype(np.float64)
    cosine = (across * across - down * down).sum(axis=2)
    sine = 2 * (across * down).sum(axis=2)
    squared = np.sqrt(cosine * cosine + sine * sine)
    strength = np.sqrt(squared)
    middle = max(float(np.median(strength)), FAINT)
    scale = STEPS * strength / ((strength + middle) * np.maximum(squared, 1.0))
    field: Field = np.rint(np.stack([cosine * scale, sine * scale], axis=2)).astype(np.float32)
    return field


@dataclass(frozen=True, eq=False)
class Sought:
    """The middle of a picture, to be looked for in works.

    Attributes
    ----------
    middle : ndarray, shape (MIDDLE, MIDDLE, 2), int8
    aspect : float
        Width divided by height of the whole picture.
    """

    middle: npt.NDArray[np.int8]
    aspect: float

    @classmethod
    def of(cls, pixels: Pixels, aspect: float = 1.0) -> Sought:
        """Take the middle of a picture.

        Parameters
        ----------
        pixels : ndarray, shape (h, w, 3), uint8
            Of any size, squeezed to any shape.
        aspect : float
            Width divided by height before it was squeezed.
        """
        field = outlines(sized(pixels, aspect, 1.0))
        top, left = ((edge - MIDDLE) // 2 for edge in field.shape[:2])
        return cls(field[top : top + MIDDLE, left : left + MIDDLE].astype(np.int8), aspect)

    @property
    def straight(self) -> Field:
        """The middle."""
        return self.middle.astype(np.float32)

    @property
    def mirrored(self) -> Field:
        """Its mirror image."""
        turned: Field = np.ascontiguousarray(self.straight[:, ::-1] * np.array([1, -1], np.float32))
        return turned


@dataclass(frozen=True, eq=False)
class Searched:
    """The outlines of a work at several sizes, in which pictures are looked for.

    Attributes
    ----------
    fields : tuple of ndarray
        Where it is also squeezed into another aspect, all sizes of both.
    """

    fields: tuple[Field, ...]

    @classmethod
    def of(cls, pixels: Pixels, aspect: float = 1.0, *, sought: float = 1.0) -> Searched:
        """Prepare a work.

        Parameters
        ----------
        pixels, aspect
            As of `Sought.of`.
        sought : float
            Aspect of the pictures that are looked for. If it is another one, they may show the work squeezed.
        """
        shapes = aspects(aspect, sought)
        return cls(tuple(outlines(sized(pixels, one, scale)) for one in shapes for scale in SCALES))


@dataclass(frozen=True)
class Alike:
    """How far the outlines of a picture are those of a work.

    Attributes
    ----------
    value : float
        Cosine of the outlines where they agree best, -1 to 1, to 6 decimals; 0 if the picture has none.
    mirrored : bool
        Whether the mirror image agrees better.
    """

    value: float
    mirrored: bool


def alike(sought: Sought, searched: Searched) -> Alike:
    """Look for a picture in a work.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> work = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    >>> part = 255 - work[4:60, 56:2:-1]  # a mirrored part of its negative
    >>> found = alike(Sought.of(part), Searched.of(work))
    >>> found.value > 0.8, found.mirrored
    (True, True)
    """
    best = Alike(0.0, False)
    for mirrored, middle in ((False, sought.straight), (True, sought.mirrored)):
        for field in searched.fields:
            value = _best(field, middle)
            if value > best.value:
                best = Alike(value, mirrored)
    return best


def _best(field: Field, middle: Field) -> float:
    """Return the highest cosine of a middle with the windows of a field."""
    import cv2

    if min(field.shape[:2]) < MIDDLE:
        return 0.0
    found = cv2.matchTemplate(field, middle, cv2.TM_CCORR_NORMED)
    top, left = np.unravel_index(int(found.argmax()), found.shape)
    # matchTemplate is rounded as the machine pleases; the place it found is compared exactly.
    window: Float64 = field[top : top + MIDDLE, left : left + MIDDLE].astype(np.float64).ravel()
    own: Float64 = middle.astype(np.float64).ravel()
    sizes = float(window @ window) * float(own @ own)
    return round(float(window @ own) / float(np.sqrt(sizes)), 6) if sizes else 0.0


def aspects(aspect: float, sought: float) -> list[float]:
    """Return the aspects in which a work is looked at: its own and, if it is another one, that of the picture."""
    return [aspect] if 1 / SAME_ASPECT <= aspect / sought <= SAME_ASPECT else [aspect, sought]


def sized(pixels: Pixels, aspect: float, scale: float) -> Pixels:
    """Resize a picture: its short edge to `SHORT` times `scale`, its long edge by the aspect, width over height."""
    import cv2

    aspect = min(max(aspect, 1 / MOST_ASPECT), MOST_ASPECT)
    short = round(SHORT * scale)
    width, height = round(short * max(aspect, 1.0)), round(short * max(1 / aspect, 1.0))
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)
