"""Settings of the tests of a release: reference names, level, correction and resampling."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.results import Adjust, HowTested
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.select import Pictures

ADJUSTMENTS = ("holm", "bh", "by")
MIN_PROMPTS = 5
"""Minimum number of prompts to resample. With fewer, prompts are held fixed: intervals hold for these prompts only."""


@dataclass(frozen=True)
class Testing:
    """Settings of the tests.

    Attributes
    ----------
    placebos : sequence of str
        Placebo names, or patterns for them such as ``placebo *``.
    level : float
        Error rate for the whole family of artists, after correction by `adjust`.
    adjust : str
        `holm` (controls the family-wise error rate), or `bh` or `by` (control the false discovery rate).
    unit : str
        `artist`, or `work` for the work-level test, which has too many false positives.
    approximate : bool
        Whether findings use the studentised p-values. These assume normal scores, and can be below
        1 / (1 + references).
    n_resamples : int
    confidence_level : float
    seed : int
        Each test of each artist draws from its own stream, keyed by the seed, the test and the artist's name
        (`imindex.stats.keyed.generator`). Releases and encoders share these streams.
    """

    __test__ = False  # pytest collects classes of this name as tests
    placebos: Sequence[str] = ()
    level: float = 0.05
    adjust: Adjust = "holm"
    unit: str = "artist"
    approximate: bool = False
    n_resamples: int = 9999
    confidence_level: float = 0.95
    seed: int = 0

    def record(self) -> HowTested:
        """Return these settings as a result type."""
        return HowTested(**{**asdict(self), "placebos": tuple(self.placebos)})


def placebo_numbers(index: Index, patterns: Sequence[str], imitations: Pictures) -> list[int]:
    """Return the numbers of the placebo names among the artists of the imitations.

    Raises
    ------
    ImindexError
        If a pattern matches no name with imitations, or matches an artist with works.
    """
    kinds = [c.kind in ("works", "background") for c in index.collections]
    is_work = np.array(kinds, dtype=np.bool_)[index.column("collection")]
    with_works = set(index.column("artist")[is_work].tolist())
    with_imitations = set(imitations.artist.tolist())
    placebos: set[int] = set()
    for pattern in patterns:
        matches = {n for n, name in enumerate(index.artists) if fnmatch.fnmatchcase(name, pattern)}
        matches &= with_imitations
        if not matches:
            raise ImindexError(
                f'There are no imitations of a name like "{pattern}". '
                f"See `imindex info --artists -i {index.path}` for the names."
            )
        real = sorted(index.artists[n] for n in matches & with_works)
        if real:
            raise ImindexError(
                f"{real[0]} has works, so it is not a placebo name. Narrow --placebo to invented names."
            )
        placebos |= matches
    return sorted(placebos)


def prompt_labels(index: Index, chosen: Pictures) -> Int64:
    """Return a number for each picture's prompt. Pictures without a prompt have distinct numbers."""
    column = index.column("prompt")
    # Zero-padded, so that texts sort like rows: the order within an artist is then the same in any index.
    texts = np.array([column[row] or f"\0{row:020d}" for row in chosen.rows.tolist()])
    return np.unique(texts, return_inverse=True)[1].astype(np.int64)


def enough_prompts(prompts: Int64) -> tuple[Int64 | None, bool]:
    """Return the prompts of a set as clusters or None, and whether None is because there are too few prompts."""
    n = len(np.unique(prompts))
    repeated = n < len(prompts)
    return (prompts if repeated and n >= MIN_PROMPTS else None), repeated and n < MIN_PROMPTS
