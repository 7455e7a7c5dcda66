"""How artists were tested."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Result


class HowTested(Result, kw_only=True, frozen=True):
    """How artists were tested; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names, or patterns of them.
    level : float
        Of the whole family of artists, after correction.
    adjust : str
        Correction for testing many artists: holm, bh or by.
    unit : str
        What is drawn at random under the null: artist or work.
    approximate : bool
        Whether findings rest on the studentised p-values.
    n_resamples : int
        Resamples of every interval and Monte Carlo test.
    confidence_level : float
        Of intervals.
    seed : int
        Of the random numbers.
    """

    placebos: tuple[str, ...]
    level: Level
    adjust: Adjust
    unit: str
    approximate: bool
    n_resamples: Count
    confidence_level: Level
    seed: int
