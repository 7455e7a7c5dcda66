"""Settings of the tests."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Result, Seed, Sha256, Share


class HowTested(Result, kw_only=True, frozen=True):
    """Settings of the tests of artists; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names, or patterns that match them.
    level : float
        Significance level of the whole family of artists, after correction.
    adjust : str
        Multiple-testing correction: holm, bh or by.
    unit : str
        Unit randomized under the null hypothesis: artist or work.
    statistic : str
        Measure of how near a set of imitations is to an artist: lda, direction, softmax or rank.
    approximate : bool
        Whether findings rest on the studentised p-values.
    n_resamples : int
        Number of resamples of every interval and Monte Carlo test.
    confidence_level : float
        Confidence level of intervals.
    seed : int
        Seed of the random numbers.
    csls_k : int or None
        Number of neighbours in CSLS, which corrects ranks for hubs; None if ranks are by cosine.
    whiten : bool
        Whether vectors are whitened, by what is learnt on works.
    """

    placebos: tuple[str, ...]
    level: Level
    adjust: Adjust
    unit: str
    statistic: str = "rank"
    approximate: bool
    n_resamples: Count
    confidence_level: Level
    seed: Seed
    csls_k: Count | None = None
    whiten: bool = False


class WhitenedBy(Result, kw_only=True, frozen=True):
    """How vectors were whitened; see `imindex.stats.whitening`.

    Attributes
    ----------
    n_works, n_artists : int
        The works that the whitening was learnt on, and their artists.
    shrinkage : float
        Weight of the identity in their covariance.
    sha256 : str
        Digest of the mean and the matrix.
    """

    n_works: Count
    n_artists: Count
    shrinkage: Share
    sha256: Sha256


def adjusted(csls_k: int | None, whitened: WhitenedBy | None) -> str:
    """Say how similarities were adjusted, as the end of a sentence or a title; empty if they were not."""
    said = [f"adjusted for hubs (CSLS, k = {csls_k})"] if csls_k else []
    if whitened is not None:
        said.append(f"whitened by {whitened.n_works:,} works of {whitened.n_artists:,} artists")
    return " and ".join(said)
