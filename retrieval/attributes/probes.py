"""Text probes: pairs of words whose cosines with a picture are subtracted, and pairs that mean nothing.

A probe has a measured counterpart, so that it can be checked on the works at hand whether an encoder knows the words
(`imindex.stats.attributes.known_probes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float64
from imindex.stats.keyed import generator

Pair = tuple[str, str]
TEMPLATES = ("a picture that is {word}", "artwork, {word}", "this image looks {word}")
NONSENSE = 39
"""Groups of nonsense pairs: the smallest p-value is 1 / 40."""
_ONSETS = (
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "bl",
    "dr",
    "gr",
    "kl",
    "pl",
    "tr",
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ou")
_CODAS = ("b", "d", "g", "k", "l", "m", "n", "p", "r", "sk", "t", "x", "nd", "rn")


@dataclass(frozen=True)
class Probe:
    """Words for a measured attribute.

    Attributes
    ----------
    key : str
        The measured counterpart.
    pairs : tuple of (str, str)
        Wordings: the word for a low value, and the word for a high one.
    """

    key: str
    pairs: tuple[Pair, ...]


PROBES = (
    Probe("lightness", (("dark", "bright"), ("dim", "light"), ("gloomy", "luminous"))),
    Probe("contrast", (("low in contrast", "high in contrast"), ("flat in tone", "contrasting"), ("faded", "bold"))),
    Probe("chroma", (("grey", "colourful"), ("muted", "vivid"), ("desaturated", "saturated"))),
    Probe("warmth", (("cool in colour", "warm in colour"), ("blue", "orange"), ("bluish", "reddish"))),
    Probe("hues", (("of one colour", "of many colours"), ("monochrome", "rainbow-coloured"),
                   ("uniform in colour", "multicoloured"))),
    Probe("edges", (("plain", "detailed"), ("simple", "busy"), ("sparse", "crowded"))),
    Probe("line_width", (("finely drawn", "broadly drawn"), ("thin-lined", "thick-lined"), ("delicate", "heavy"))),
    Probe("straightness", (("swirling", "straight-lined"), ("curved", "straight"), ("wavy", "linear"))),
    Probe("slope", (("soft", "sharp"), ("blurred", "crisp"), ("smooth", "rough"))),
    Probe("symmetry", (("asymmetrical", "symmetrical"), ("lopsided", "mirrored"), ("unbalanced", "balanced"))),
    Probe("empty", (("full", "empty"), ("filled", "spare"), ("crowded", "blank"))),
)  # fmt: skip
WORDINGS = 3
"""Pairs of words of each probe."""


def nonsense_pairs(n: int = NONSENSE) -> list[tuple[Pair, ...]]:
    """Return groups of pairs of words that mean nothing; always the same.

    Examples
    --------
    >>> nonsense_pairs(1)[0][0] == nonsense_pairs(5)[0][0], len(nonsense_pairs(2)[1])
    (True, 3)
    """
    rng = generator(0, "nonsense words")

    def word() -> str:
        parts = [_ONSETS, _VOWELS, _ONSETS[:14], _VOWELS[:5], _CODAS]
        return "".join(part[int(rng.integers(len(part)))] for part in parts)

    return [tuple((word(), word()) for _ in range(WORDINGS)) for _ in range(n)]


def texts_of(groups: Sequence[Sequence[Pair]], templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Return the texts of groups of pairs, in the order that `directions` takes."""
    return [
        template.replace("{word}", word)
        for pairs in groups
        for pair in pairs
        for word in pair
        for template in templates
    ]


def directions(vectors: npt.ArrayLike, n_groups: int, n_templates: int = len(TEMPLATES)) -> Float64:
    """Return the direction of each pair: its high word minus its low word, mean over templates.

    Parameters
    ----------
    vectors : array_like, shape (n_groups * WORDINGS * 2 * n_templates, d)
        Unit vectors of `texts_of`.
    n_groups, n_templates : int

    Returns
    -------
    ndarray, shape (n_groups, WORDINGS, d), float64

    Examples
    --------
    >>> directions(np.eye(6), 1, 1)[0, 0].tolist()
    [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    table = np.asarray(vectors, np.float64)
    by_word = table.reshape(n_groups, WORDINGS, 2, n_templates, table.shape[1]).mean(axis=3)
    return np.asarray(by_word[:, :, 1] - by_word[:, :, 0])


def probe_values(pictures: npt.ArrayLike, along: Float64) -> Float64:
    """Return the difference of cosines of each picture for each pair, shape (N, n_groups, WORDINGS).

    Parameters
    ----------
    pictures : array_like, shape (N, d)
        Unit vectors.
    along : ndarray, shape (n_groups, WORDINGS, d), float64
        See `directions`.
    """
    return np.asarray(np.einsum("nd,grd->ngr", np.asarray(pictures, np.float64), along))
