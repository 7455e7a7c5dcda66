"""How a release is tested: reference names, level, correction, resamples."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imindex.indexer.core.arguments import one_of, several
from imindex.indexer.core.bounds import CSLS_NEIGHBOURS, RESAMPLES, SEED, SHARE, WORKS, Bounds
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import as_stored, clean_name
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.compared import BACKGROUND
from imindex.retrieval.results import Adjust, HowTested
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.set_statistics import DEFAULT, STATISTICS, Statistic

ADJUSTMENTS = ("holm", "bh", "by")
UNITS = ("artist", "work")
TESTS = 2
"""Version of the statistics and rules behind the findings. An audit's register records it with the plan.

1: sets are scored by rank, one correction covers both tests, and the gap decides who can be judged. 2: the statistic is
learned from works, findings come in two steps, and a test on held-out works decides who can be judged. 3: with several
encoders, findings rest on all of them in one test (`imindex.stats.combination`): scores are combined by the sum of
normal tails, with weight 1 for encoders that tell held-out works of the artist and 0 for others. With one encoder, 3
is 2.
"""
TESTS_TOGETHER = 3
MIN_PROMPTS = 5
"""With fewer prompts than this they are held fixed: intervals are for these prompts, and the output says so."""


@dataclass(frozen=True)
class Testing:
    """Settings of the tests.

    Attributes
    ----------
    placebos : sequence of str
        Placebo names, or patterns of them such as ``placebo *``. If empty, the names of the arm placebo in the index.
    level : float
        Significance level of the whole family of artists, after `adjust`.
    adjust : str
        `holm` controls the probability of any false finding; `bh` and `by` the expected share of false findings.
    unit : str
        `artist`, or `work` for the work-level test, which has too many false positives.
    statistic : str
        Measure of how near a set is to an artist: `lda`, `linear`, `direction`, `softmax` or `rank`, see
        `imindex.stats.set_statistics`.
    approximate : bool
        Base findings on studentised p-values, which can be below 1 / (1 + references) and are valid if scores are
        normal.
    n_resamples : int
    confidence_level : float
    seed : int
        Every test of every artist draws from a stream of its own, keyed by the seed, the test and the artist's name
        (`imindex.stats.keyed.generator`). Releases and encoders share these streams.
    rivals : sequence of str
        Further real names among the imitations: references of the rival test, and neither tested nor candidates in
        classification. Names that the release was not asked for are ignored. If empty, those of the arm rival in the
        index.
    unknown : sequence of str
        Real names among the imitations that the release cannot know, for the diagnostic of exchangeability.
    references : mapping from artist to sequence of str, optional
        The placebo names that some artists are compared with, of the same origin; the others are compared with all.
        None if there is no choice. The choice must be made before the pictures are.
    background : int
        Most works by artists that no release was asked for, with which works are compared for the gap and the check of
        an artist's own works. Of more works a sample is drawn by `seed`, see `imindex.retrieval.evidence.compared`.
    csls_k : int, optional
        Rank by CSLS with this many neighbours, which corrects for hubs, instead of by cosine. It moves ranks, and tests
        by the statistic `rank`; the others do not use ranks.
    whiten : bool
        Whiten all vectors by what is learnt on works (`imindex.stats.whitening`).
    """

    __test__ = False  # pytest collects classes of this name as tests
    placebos: Sequence[str] = ()
    level: float = 0.05
    adjust: Adjust = "holm"
    unit: str = "artist"
    statistic: Statistic = DEFAULT
    approximate: bool = False
    n_resamples: int = 9999
    confidence_level: float = 0.95
    seed: int = 0
    rivals: Sequence[str] = ()
    unknown: Sequence[str] = ()
    references: Mapping[str, Sequence[str]] | None = None
    background: int = BACKGROUND
    csls_k: int | None = None
    whiten: bool = False

    def __post_init__(self) -> None:
        for name in ("placebos", "rivals", "unknown"):
            object.__setattr__(self, name, several(getattr(self, name), name))
        one_of(self.adjust, ADJUSTMENTS, "adjust")
        one_of(self.unit, UNITS, "unit")
        one_of(self.statistic, STATISTICS, "statistic")
        SHARE.check(self.level, "level")
        SHARE.check(self.confidence_level, "confidence_level")
        Bounds(1, RESAMPLES.most).check(self.n_resamples, "n_resamples")
        SEED.check(self.seed, "seed")
        WORKS.check(self.background, "background")
        if self.csls_k is not None:
            CSLS_NEIGHBOURS.check(self.csls_k, "csls_k")

    def record(self) -> HowTested:
        """Return these settings as a result type."""
        values = {name: getattr(self, name) for name in HowTested.__struct_fields__}
        return HowTested(**{**values, "placebos": tuple(self.placebos)})


def version_of_tests(n_encoders: int) -> int:
    """Return the version of the tests (`TESTS`) that an audit with so many encoders uses."""
    return TESTS if n_encoders < 2 else TESTS_TOGETHER


def placebo_numbers(index: Index, patterns: Sequence[str], imitations: Pictures) -> list[int]:
    """Return the numbers of the placebo names among the artists of the imitations.

    Raises
    ------
    ImindexError
        A pattern that fits nobody with imitations, or somebody with works.
    """
    kinds = [c.kind in ("works", "background") for c in index.collections]
    is_work = np.array(kinds, dtype=np.bool_)[index.column("collection")]
    with_works = set(index.column("artist")[is_work].tolist())
    with_set = set(imitations.artist.tolist())
    found: set[int] = set()
    for pattern in patterns:
        written = {pattern, clean_name(pattern)}
        fits = with_set & {
            n
            for n, name in enumerate(index.artists)
            if any(
                fnmatch.fnmatchcase(spelling, one) for spelling in {name, clean_name(name)} for one in written
            )
        }
        if not fits:
            raise ImindexError(
                f'No imitations were made of a name like "{pattern}". '
                f"See `imindex info --artists -i {index.path}` for the names."
            )
        real = sorted(index.artists[n] for n in fits & with_works)
        if real:
            raise ImindexError(
                f"{real[0]} has works, so it is not a placebo name. Narrow placebos (--placebo): "
                "placebo names are invented."
            )
        found |= fits
    return sorted(found)


def numbers_of(index: Index, names: Sequence[str], imitations: Pictures) -> list[int]:
    """Return the numbers of those of the names that have imitations, ascending."""
    wanted, with_set = set(as_stored(names, index.artists)), set(imitations.artist.tolist())
    return [n for n, name in enumerate(index.artists) if name in wanted and n in with_set]


def reference_numbers(index: Index, testing: Testing, imitations: Pictures) -> dict[int, list[int]]:
    """Return the numbers of the placebo names of the same origin, for the artists that are compared with these only."""
    return {
        index.artists.index(artist): numbers_of(index, names, imitations)
        for artist, names in (testing.references or {}).items()
        if artist in index.artists
    }


def prompt_labels(index: Index, chosen: Pictures) -> Int64:
    """A number for each picture's prompt; a picture without one has a number of its own."""
    column = index.column("prompt")
    # Digits enough that texts sort as rows do: the order within an artist is then the same in any index.
    texts = np.array([column[row] or f"\0{row:020d}" for row in chosen.rows.tolist()])
    return np.unique(texts, return_inverse=True)[1].astype(np.int64)


def shared_prompts(index: Index, chosen: Pictures) -> Int64:
    """Number what the pictures of several artists may share: the prompt up to the name, or the prompt and the seed.

    Figures over all artists draw it jointly, with one weight for all artists. With fewer than `MIN_PROMPTS` different
    templates these are held fixed, and pictures with the same template and the same recorded seed share a number.

    Returns
    -------
    ndarray, shape (n,), int64
        A picture that shares nothing has a number of its own.
    """
    prompts, seeds = index.column("prompt"), index.column("seed")
    rows, names = chosen.rows.tolist(), (index.artists[a] for a in chosen.artist.tolist())
    templates = [str(prompts[row]).replace(name, "{artist}") for row, name in zip(rows, names, strict=True)]
    if len({template for template in templates if template}) >= MIN_PROMPTS:
        texts = [template or f"\0{row:020d}" for template, row in zip(templates, rows, strict=True)]
    else:
        texts = [
            f"{template}\0{seeds[row]}" if seeds[row] >= 0 else f"\0{row:020d}"
            for template, row in zip(templates, rows, strict=True)
        ]
    return np.unique(np.array(texts), return_inverse=True)[1].astype(np.int64)


def enough_prompts(prompts: Int64) -> tuple[Int64 | None, bool]:
    """Return the prompts of a set as clusters or None, and whether None is because there are too few prompts."""
    n = len(np.unique(prompts))
    repeated = n < len(prompts)
    return (prompts if repeated and n >= MIN_PROMPTS else None), repeated and n < MIN_PROMPTS
