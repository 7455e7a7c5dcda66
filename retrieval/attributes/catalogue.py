"""The style attributes that are measured in a picture: their names, units, formulas and sources, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["palette", "line", "texture", "composition"]
GROUPS: tuple[Group, ...] = ("palette", "line", "texture", "composition")


@dataclass(frozen=True)
class Attribute:
    """One attribute of a picture.

    Attributes
    ----------
    key : str
        Unique; the name of the column.
    group : {"palette", "line", "texture", "composition"}
    title : str
        In a table.
    unit : str
        Empty for a ratio or a correlation.
    low, high : str
        How a picture with a low or a high value compares with another one, after "The picture ": "is darker".
    formula : str
    source : str
        Empty if the formula is elementary.
    digits : int
        Decimals that are shown.
    """

    key: str
    group: Group
    title: str
    unit: str
    low: str
    high: str
    formula: str
    source: str = ""
    digits: int = 1

    def compared(self, value: float, other: float, than: str) -> str:
        """Return a sentence that compares a picture, or the pictures of a set, with others.

        Examples
        --------
        >>> ATTRIBUTES[0].compared(40.0, 52.0, "the pictures of invented names")
        'The picture is darker than the pictures of invented names (40.0 against 52.0 of 100).'
        """
        word = self.low if value < other else self.high
        if round(value, self.digits) == round(other, self.digits):
            return f"In {self.title.lower()}, the picture is like {than} ({self.shown(value)})."
        figures = f"{_signed(value, self.digits)} against {self.shown(other)}"
        return f"The picture {word} than {than} ({figures})."

    def shown(self, value: float) -> str:
        """Return a value with its unit.

        Examples
        --------
        >>> ATTRIBUTES[0].shown(40.0)
        '40.0 of 100'
        """
        return f"{_signed(value, self.digits)}{self.unit and f' {self.unit}'}"


def _signed(value: float, digits: int) -> str:
    """Format a value with a minus sign, not a hyphen; a value that rounds to 0 has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


_FOLLOWS_GREY = "Gradients are Gaussian derivatives of L* with a standard deviation of 1 pixel."
ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "lightness", "palette", "Lightness", "of 100", "is darker", "is lighter",
        "Mean of CIELAB L* over pixels (sRGB, white point D65).",
        "CIE 15:2004",
    ),
    Attribute(
        "contrast", "palette", "Contrast", "L*", "has less contrast", "has more contrast",
        "Standard deviation of L* over pixels.",
        "Peli 1990, doi:10.1364/JOSAA.7.002032",
    ),
    Attribute(
        "chroma", "palette", "Chroma", "C*", "has greyer colours", "has stronger colours",
        "Mean of CIELAB chroma C* = sqrt(a*^2 + b*^2) over pixels.",
        "CIE 15:2004",
    ),
    Attribute(
        "warmth", "palette", "Warmth", "", "has cooler colours", "has warmer colours",
        "Mean of -0.5 + 0.02 C*^1.07 cos(h - 50 degrees) over pixels, where h is the hue angle. Above -0.5 warm hues "
        "(red to yellow) prevail.",
        "Ou et al. 2004, doi:10.1002/col.20010",
        2,
    ),
    Attribute(
        "hues", "palette", "Number of hues", "hues", "keeps to fewer hues", "uses more hues",
        "Exponential of the entropy of the histogram of hue angles, 36 bins of 10 degrees, each pixel weighted by C*. "
        "Pixels with C* below 5 are left out; 0 if there are no others.",
        "Hill 1973, doi:10.2307/1934352",
    ),
    Attribute(
        "colours", "palette", "Number of colours", "colours", "uses fewer colours", "uses more colours",
        "Exponential of the entropy of the histogram of L*, a*, b* in cubes of edge 10.",
        "Hill 1973, doi:10.2307/1934352",
    ),
    Attribute(
        "edges", "line", "Edges", "% of the picture", "has fewer edges", "has more edges",
        f"Share of pixels with a gradient above 4 L* a pixel: a step of 10 L*. {_FOLLOWS_GREY}",
        "Canny 1986, doi:10.1109/TPAMI.1986.4767851",
    ),
    Attribute(
        "line_width", "line", "Width of strokes", "% of the picture's size", "has narrower strokes and patches",
        "has wider strokes and patches",
        "Twice the area of the rarer tone divided by the length of its outline: L*, smoothed by a Gaussian of 0.7 "
        "pixels, is split at Otsu's threshold, and the length of the outline follows from the number of crossings in "
        "four directions (Cauchy-Crofton), to about 10 %. A stripe has its width, a disc its radius. "
        "The picture's size is the square root of its area.",
        "Otsu 1979, doi:10.1109/TSMC.1979.4310076; Underwood 1970, Quantitative Stereology",
        2,
    ),
    Attribute(
        "straightness", "line", "Straightness", "", "has strokes that turn more", "has straighter, parallel strokes",
        "Coherence of the structure tensor, ((l1 - l2) / (l1 + l2)), averaged over pixels with the weight l1 + l2; the "
        f"tensor is smoothed by a Gaussian of 3 pixels. 1 if all edges nearby run in one direction. {_FOLLOWS_GREY}",
        "Bigun & Granlund 1987",
        2,
    ),
    Attribute(
        "alignment", "line", "One direction", "", "has edges in more directions", "has edges in fewer directions",
        "Length of the mean of exp(2i t) over pixels, weighted by the gradient, where t is its angle: 0 if all "
        f"directions are alike, 1 if there is one. {_FOLLOWS_GREY}",
        "Mardia & Jupp 2000, Directional Statistics",
        2,
    ),
    Attribute(
        "verticality", "line", "Vertical or horizontal", "", "has more horizontal edges", "has more vertical edges",
        f"Mean of cos(2 t), weighted by the gradient: 1 if all edges are vertical, -1 if horizontal. {_FOLLOWS_GREY}",
        "",
        2,
    ),
    Attribute(
        "uprightness", "line", "Upright or diagonal", "", "has more diagonal edges",
        "has more upright and level edges",
        "Mean of cos(4 t), weighted by the gradient: 1 if all edges are vertical or horizontal, -1 if all are "
        f"diagonal. {_FOLLOWS_GREY}",
        "",
        2,
    ),
    Attribute(
        "slope", "texture", "Spectral slope", "", "is softer: it has less fine detail for its broad forms",
        "is rougher: it has more fine detail for its broad forms",
        "Slope of the logarithm of the power spectrum of L* on the logarithm of the frequency, from 4 cycles a picture "
        "to 0.35 cycles a pixel, in 16 bands of equal ratio, with a Hann window. White noise has 0, a photograph "
        "about -2.",
        "Field 1987, doi:10.1364/JOSAA.4.002379",
        2,
    ),
    Attribute(
        "fine_contrast", "texture", "Contrast of fine texture", "L*", "has a smoother surface", "has a rougher surface",
        "Standard deviation of the difference of L* smoothed by Gaussians of 0.7 and 1.4 pixels.",
        "Peli 1990, doi:10.1364/JOSAA.7.002032",
    ),
    Attribute(
        "coarse_contrast", "texture", "Contrast of broad forms", "L*", "has flatter broad forms",
        "has stronger broad forms",
        "Standard deviation of the difference of L* smoothed by Gaussians of 1/32 and 1/16 of the picture's size.",
        "Peli 1990, doi:10.1364/JOSAA.7.002032",
    ),
    Attribute(
        "grain", "texture", "Grain", "L*", "has less grain", "has more grain",
        "Median of the absolute response of L* to the mask (1 -2 1; -2 4 -2; 1 -2 1), divided by 6 x 0.6745: the "
        "standard deviation of white Gaussian noise on a smooth picture.",
        "Immerkaer 1996, doi:10.1006/cviu.1996.0060",
        2,
    ),
    Attribute(
        "weight_height", "composition", "Height of the weight", "% of the height", "has its weight lower",
        "has its weight higher",
        f"Height of the centre of mass of the gradient, from 0 at the bottom to 100 at the top. {_FOLLOWS_GREY}",
        "Datta et al. 2006, doi:10.1007/11744078_23",
    ),
    Attribute(
        "weight_side", "composition", "Side of the weight", "% of the width", "has its weight further left",
        "has its weight further right",
        f"The same from left (0) to right (100). {_FOLLOWS_GREY}",
        "Datta et al. 2006, doi:10.1007/11744078_23",
    ),
    Attribute(
        "symmetry", "composition", "Symmetry", "", "is less symmetrical", "is more symmetrical",
        "Correlation of L*, smoothed by a Gaussian of 1/32 of the picture's size, with its mirror image, left to "
        "right; 1 for a blank picture.",
        "",
        2,
    ),
    Attribute(
        "empty", "composition", "Empty space", "% of the picture", "leaves less space empty",
        "leaves more space empty",
        "Share of pixels where the standard deviation of L* in a square of about 1/16 of the picture's size is "
        "below 2.",
        "",
    ),
    Attribute(
        "centring", "composition", "Weight in the middle", "times an even share", "has less in the middle",
        "has more in the middle",
        f"Share of the gradient in the middle ninth of the picture, times 9. {_FOLLOWS_GREY}",
        "Datta et al. 2006, doi:10.1007/11744078_23",
        2,
    ),
    Attribute(
        "thirds", "composition", "Weight on the thirds", "times an even share",
        "has less along the lines of the thirds", "has more along the lines of the thirds",
        "Share of the gradient within 1/24 of the picture of a line that divides width or height in thirds, divided "
        f"by the share of the area. {_FOLLOWS_GREY}",
        "Datta et al. 2006, doi:10.1007/11744078_23",
        2,
    ),
)  # fmt: skip
"""All attributes, in the order of the columns of `imindex.retrieval.attributes.measure.measure`."""
KEYS: tuple[str, ...] = tuple(attribute.key for attribute in ATTRIBUTES)
BY_KEY = {attribute.key: attribute for attribute in ATTRIBUTES}
