"""Measure the style attributes of a picture from its pixels. Arrays in, arrays out.

`imindex.retrieval.attributes.catalogue` states the formula, unit and source of each. All pictures that are compared
must have the same working size (`working_size`): detail that one of them cannot show would otherwise look like style.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import scipy

from imindex.retrieval.attributes.catalogue import KEYS
from imindex.retrieval.vectors.blocks import Float64

Pixels = npt.NDArray[np.uint8]

SIDES = (192, 128, 96, 64, 48, 32)
"""Working sizes: a picture is brought to the area of a square of this edge."""
MOST_ASPECT = 4.0
"""More elongated pictures are squeezed to this aspect ratio."""
EDGE = 4.0
"""Gradient of L* from which a pixel counts as an edge, a pixel."""
COLOURED = 5.0
"""Chroma from which a hue is defined."""
EMPTY = 2.0
"""Standard deviation of L* below which a place is empty."""
BANDS = 16
"""Bands of frequency for the spectral slope."""
_ROUNDING = (100 / 255) ** 2 / 12
"""Variance of L* from rounding to 8 bits, which keeps logarithms and ratios of blank pictures finite."""
_WHITE = np.array([0.95047, 1.0, 1.08883])
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def working_side(widths: npt.ArrayLike, heights: npt.ArrayLike) -> int:
    """Return the working size at which no picture has to be enlarged.

    Parameters
    ----------
    widths, heights : array_like of int
        Of all pictures that are compared, in pixels.

    Returns
    -------
    int
        The largest of `SIDES` that is at most the square root of the area of the smallest picture, or the smallest of
        `SIDES` if there is none.

    Examples
    --------
    >>> working_side([1024, 100], [768, 120]), working_side([16], [16])
    (96, 32)
    """
    size = np.sqrt(np.asarray(widths, np.float64) * np.asarray(heights, np.float64))
    smallest = float(size.min()) if size.size else 0.0
    return next((side for side in SIDES if side <= smallest + 0.5), SIDES[-1])


def working_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the height and width at which a picture is measured: its own aspect ratio, and `side` squared pixels.

    Examples
    --------
    >>> working_size(400, 100, 128), working_size(64, 64, 128)
    ((64, 256), (128, 128))
    """
    aspect = min(max(width / max(height, 1), 1 / MOST_ASPECT), MOST_ASPECT)
    return max(8, round(side / np.sqrt(aspect))), max(8, round(side * np.sqrt(aspect)))


def measure(pixels: Pixels) -> Float64:
    """Measure all attributes of a picture.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, 3), uint8
        sRGB, at the working size.

    Returns
    -------
    ndarray, shape (K,), float64
        In the order of `imindex.retrieval.attributes.catalogue.ATTRIBUTES`. All are finite.

    Raises
    ------
    ValueError
        If the array is not a picture of at least 8 x 8 pixels.

    Examples
    --------
    >>> stripes = np.zeros((128, 128, 3), np.uint8)
    >>> stripes[:, np.arange(128) % 8 < 4] = 255  # of 4 of 128 pixels, 3.1 %
    >>> found = dict(zip(KEYS, measure(stripes).round(1).tolist()))
    >>> found["line_width"], found["verticality"], found["colours"]
    (3.4, 1.0, 2.0)
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or min(pixels.shape[:2]) < 8:
        raise ValueError(
            f"pixels: expected shape (height, width, 3), uint8, at least 8 x 8, not {pixels.shape}, {pixels.dtype}. "
            "Decode the picture as RGB at the working size."
        )
    colour = lab(pixels)
    lightness = colour[..., 0]
    across, down = _gradient(lightness)
    broad = _smooth(lightness, float(np.sqrt(lightness.size)) / 32)
    found = {
        **_palette(colour),
        **_line(lightness, across, down),
        **_texture(lightness, broad),
        **_composition(lightness, np.hypot(across, down), broad),
    }
    return np.array([found[key] for key in KEYS])


@functools.cache
def _linear() -> Float64:
    level = np.arange(256) / 255
    return np.asarray(np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4))


def lab(pixels: Pixels) -> Float64:
    """Return CIELAB L*, a*, b* of sRGB pixels, white point D65; shape (h, w, 3).

    Examples
    --------
    >>> lab(np.full((1, 1, 3), 255, np.uint8)).round(1)[0, 0].tolist()[0]
    100.0
    """
    ratio = _linear()[pixels] @ _XYZ.T / _WHITE
    small = 6 / 29
    f = np.where(ratio > small**3, np.cbrt(ratio), ratio / (3 * small**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _palette(colour: Float64) -> dict[str, float]:
    lightness, a, b = colour[..., 0], colour[..., 1], colour[..., 2]
    chroma, hue = np.hypot(a, b), np.arctan2(b, a)
    warm = -0.5 + 0.02 * chroma**1.07 * np.cos(hue - np.deg2rad(50))
    coloured = chroma >= COLOURED
    bins = np.floor(np.rad2deg(hue[coloured]) % 360 / 10).astype(np.int64) % 36
    cubes = np.floor(colour.reshape(-1, 3) / 10 + np.array([0, 20, 20])).astype(np.int64)
    _, counts = np.unique(cubes @ [10_000, 100, 1], return_counts=True)
    return {
        "lightness": float(lightness.mean()),
        "contrast": float(lightness.std()),
        "chroma": float(chroma.mean()),
        "warmth": float(warm.mean()),
        "hues": _effective(np.bincount(bins, chroma[coloured], 36).astype(np.float64))
        if coloured.any()
        else 0.0,
        "colours": _effective(counts.astype(np.float64)),
    }


def _effective(weights: Float64) -> float:
    """Return the exponential of the entropy: how many equal parts would be as diverse."""
    share = weights[weights > 0] / weights.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _gradient(lightness: Float64) -> tuple[Float64, Float64]:
    """Return derivatives to the right and downwards, in L* a pixel."""
    across = scipy.ndimage.gaussian_filter(lightness, 1.0, order=(0, 1), mode="reflect")
    down = scipy.ndimage.gaussian_filter(lightness, 1.0, order=(1, 0), mode="reflect")
    return across, down


def _smooth(values: Float64, sigma: float) -> Float64:
    smooth: Float64 = scipy.ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=3.0)
    return smooth


def _line(lightness: Float64, across: Float64, down: Float64) -> dict[str, float]:
    strength, angle = np.hypot(across, down), np.arctan2(down, across)
    # Unclear directions, of gradients as weak as rounding, have little weight.
    weight = np.where(strength > np.sqrt(_ROUNDING), strength, 0.0)
    total = max(float(weight.sum()), 1e-12)
    double = (
        float((weight * np.cos(2 * angle)).sum()) / total,
        float((weight * np.sin(2 * angle)).sum()) / total,
    )
    xx, yy, xy = (_smooth(product, 3.0) for product in (across * across, down * down, across * down))
    energy = xx + yy
    coherent = np.hypot(xx - yy, 2 * xy)
    return {
        "edges": 100 * float((strength > EDGE).mean()),
        "line_width": line_width(lightness),
        "straightness": float(coherent.sum() / (energy.sum() + energy.size * _ROUNDING)),
        "alignment": float(np.hypot(*double)),
        "verticality": double[0],
        "uprightness": float((weight * np.cos(4 * angle)).sum()) / total,
    }


def line_width(lightness: Float64) -> float:
    """Return the mean width of strokes and patches in per cent of the square root of the area; 100 if there are none.

    Parameters
    ----------
    lightness : ndarray, shape (h, w)
    """
    smooth = _smooth(lightness, 0.7)
    if smooth.max() - smooth.min() < 4 * np.sqrt(_ROUNDING):
        return 100.0
    dark = smooth <= otsu(smooth)
    area = min(float(dark.sum()), float((~dark).sum()))
    # Cauchy-Crofton with lines at four angles, through all pixels: those at 45 degrees lie denser by sqrt(2).
    straight = np.count_nonzero(dark[:, 1:] != dark[:, :-1]) + np.count_nonzero(dark[1:] != dark[:-1])
    diagonal = np.count_nonzero(dark[1:, 1:] != dark[:-1, :-1]) + np.count_nonzero(
        dark[1:, :-1] != dark[:-1, 1:]
    )
    outline = np.pi / 8 * (straight + diagonal / np.sqrt(2))
    return min(100.0, 200 * area / max(float(outline), 1e-12) / float(np.sqrt(dark.size)))


def otsu(values: Float64) -> float:
    """Return the threshold that separates two classes of values best: the largest variance between them.

    Examples
    --------
    >>> 1 < otsu(np.array([0.0, 0.0, 1.0, 9.0, 9.0, 10.0])) < 9
    True
    """
    counts, ends = np.histogram(values, bins=256)
    middle = (ends[:-1] + ends[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    moment = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(
        between >= between.max() * (1 - 1e-12)
    )  # a gap between the classes: take its middle
    return float((ends[best[0] + 1] + ends[best[-1] + 1]) / 2)


def _texture(lightness: Float64, broad: Float64) -> dict[str, float]:
    size = float(np.sqrt(lightness.size))
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    response = scipy.ndimage.convolve(lightness, mask, mode="reflect")
    return {
        "slope": spectral_slope(lightness),
        "fine_contrast": float((_smooth(lightness, 0.7) - _smooth(lightness, 1.4)).std()),
        "coarse_contrast": float((broad - _smooth(broad, np.sqrt(3) * size / 32)).std()),
        "grain": float(np.median(np.abs(response))) / (6 * 0.6744897501960817),
    }


def spectral_slope(lightness: Float64) -> float:
    """Return the slope of log power on log frequency.

    Parameters
    ----------
    lightness : ndarray, shape (h, w)
    """
    height, width = lightness.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    mean = float((lightness * window).sum() / window.sum())
    power = np.abs(np.fft.rfft2((lightness - mean) * window)) ** 2 + _ROUNDING * float((window**2).sum())
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    low, high = 4 / float(np.sqrt(lightness.size)), 0.35
    band = np.floor(np.log(np.maximum(frequency, 1e-9) / low) / np.log(high / low) * BANDS).astype(np.int64)
    inside = (band >= 0) & (band < BANDS)
    counts = np.bincount(band[inside], minlength=BANDS)
    filled = counts > 0
    level = np.log((np.bincount(band[inside], power[inside], BANDS)[filled]) / counts[filled])
    place = np.bincount(band[inside], np.log(frequency[inside]), BANDS)[filled] / counts[filled]
    return float(np.polyfit(place, level, 1)[0])


def _composition(lightness: Float64, strength: Float64, broad: Float64) -> dict[str, float]:
    height, width = lightness.shape
    size = float(np.sqrt(lightness.size))
    weight = strength + 1e-9  # a blank picture has its weight everywhere
    total = float(weight.sum())
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    middle_x, middle_y = np.abs(x - 0.5) < 1 / 6, np.abs(y - 0.5) < 1 / 6
    near_x, near_y = (np.abs(np.abs(at - 0.5) - 1 / 6) < 1 / 24 for at in (x, y))
    middle = middle_y[:, None] & middle_x
    lines = near_y[:, None] | near_x
    window = 2 * round(size / 32) + 1
    mean = scipy.ndimage.uniform_filter(lightness, window, mode="reflect")
    square = scipy.ndimage.uniform_filter(lightness * lightness, window, mode="reflect")
    return {
        "weight_height": 100 * (1 - float((weight.sum(axis=1) * y).sum()) / total),
        "weight_side": 100 * float((weight.sum(axis=0) * x).sum()) / total,
        "symmetry": _correlation(broad, broad[:, ::-1]),
        "empty": 100 * float((square - mean * mean < EMPTY**2).mean()),
        "centring": float(weight[middle].sum()) / total / max(float(middle.mean()), 1e-12),
        "thirds": float(weight[lines].sum()) / total / max(float(lines.mean()), 1e-12),
    }


def _correlation(first: Float64, second: Float64) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-6 * a.size else 1.0
