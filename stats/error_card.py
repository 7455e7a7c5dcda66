"""Error rates of an audit's own tests, measured with placebo names in the artists' places.

The placebo sets of a release imitate nobody. If such a set is put in the place of an artist's own set, every finding is
false. Repeating this with all placebo sets shows how often the tests of this audit, with its works, pictures, prompts
and correction, find an effect where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.hierarchical import two_steps
from imindex.stats.keyed import Rng
from imindex.stats.multiple import Method
from imindex.stats.references import TIE
from imindex.stats.set_scores import Float64, Int64

LEVELS = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class ErrorCard:
    """Result of `error_card`.

    Attributes
    ----------
    levels : tuple of float
        Uncorrected levels of `name` and `rival`.
    name, rival : tuple of float
        Share of pairs of an artist and a placebo name whose p-value is at or below each level. The shares of `name` are
        at most the levels by construction; NaN for `rival` without rivals.
    any_name_effect, any_imitated : float
        Share of repetitions with at least one false finding after correction, with a placebo set in every artist's
        place: of a name effect, and of "imitated".
    mean_name_effects, mean_imitated : float
        Mean number of false findings per repetition.
    n_artists, n_placebos, n_rivals, n_repeats : int
        `n_rivals` is the smallest number over artists.
    """

    levels: tuple[float, ...]
    name: tuple[float, ...]
    rival: tuple[float, ...]
    any_name_effect: float
    any_imitated: float
    mean_name_effects: float
    mean_imitated: float
    n_artists: int
    n_placebos: int
    n_rivals: int
    n_repeats: int


def error_card(  # noqa: PLR0913
    table: npt.ArrayLike,
    artists: npt.ArrayLike,
    placebos: npt.ArrayLike,
    rivals: npt.ArrayLike,
    *,
    level: float = 0.05,
    method: Method = "bh",
    n_repeats: int = 1000,
    rng: Rng = None,
) -> ErrorCard | None:
    """Put placebo sets in the artists' places, and count what is found.

    Parameters
    ----------
    table : array_like, shape (A, A), float64
        Row a, column s: score of set s for artist a, of sets of one size and design. NaN where undefined.
    artists : array_like of int
        Numbers of the artists that are judged.
    placebos, rivals : array_like of int
        Numbers of the placebo sets and of the sets of real names. An artist's own set is not a rival of that artist.
    level, method
        Of the findings; see `imindex.stats.hierarchical.two_steps`.
    n_repeats : int
        Number of random assignments of placebo sets to artists.
    rng : Generator or int, optional

    Returns
    -------
    ErrorCard or None
        None without artists, or with fewer than two placebo sets.

    Notes
    -----
    A placebo set is tested against the other placebo sets and against the rivals, as the own set is. In one
    repetition, artists get different placebo sets as long as there are enough.

    Examples
    --------
    >>> scores = np.random.default_rng(1).normal(size=(60, 60))
    >>> card = error_card(scores, range(5), range(20, 60), range(20), rng=1)
    >>> card.name, card.n_placebos
    ((0.0, 0.05, 0.1), 40)
    """
    scores = np.asarray(table, np.float64)
    judged, placebo, rival = (np.asarray(list(n), np.int64) for n in (artists, placebos, rivals))  # type: ignore[arg-type]
    if not len(judged) or len(placebo) < 2:
        return None
    p_name = np.array([_among(scores[a, placebo]) for a in judged.tolist()])
    against = [rival[rival != a] for a in judged.tolist()]
    p_rival = np.array(
        [_against(scores[a, placebo], scores[a, b]) for a, b in zip(judged.tolist(), against, strict=True)]
    )
    p_nearest = np.array(
        [_nearest(scores[a, placebo], scores[a, b]) for a, b in zip(judged.tolist(), against, strict=True)]
    )
    return card_of(
        p_name,
        p_rival,
        p_nearest,
        np.array([len(b) for b in against]),
        level=level,
        method=method,
        n_repeats=n_repeats,
        rng=rng,
    )


def card_of(  # noqa: PLR0913
    p_name: Float64,
    p_rival: Float64,
    p_nearest: Float64,
    n_rivals: Int64,
    *,
    level: float = 0.05,
    method: Method = "bh",
    n_repeats: int = 1000,
    rng: Rng = None,
) -> ErrorCard:
    """Count what is found with placebo sets in the artists' places, given the p-values that each of them would have.

    Parameters
    ----------
    p_name, p_rival, p_nearest : ndarray, shape (A, K)
        Of each of K placebo sets in the place of each of A artists; see `two_steps`.
    n_rivals : ndarray, shape (A,), int64
        Number of rivals of each artist.
    level, method, n_repeats, rng
        As in `error_card`.

    Returns
    -------
    ErrorCard
    """
    n_artists, n_placebos = p_name.shape
    resolution = np.where(n_rivals > 0, 1 / (1 + n_rivals), np.nan)
    random = np.random.default_rng(rng)
    found = np.zeros((n_repeats, 2), np.int64)
    everybody = np.arange(n_artists)
    for repeat in range(n_repeats):
        drawn = random.choice(n_placebos, n_artists, replace=n_placebos < n_artists)
        steps = two_steps(
            p_name[everybody, drawn],
            p_rival[everybody, drawn],
            resolution,
            p_nearest=p_nearest[everybody, drawn],
            level=level,
            method=method,
        )
        found[repeat] = np.count_nonzero(steps.name_called), np.count_nonzero(steps.rival_called)
    any_found, mean_found = (found > 0).mean(axis=0), found.mean(axis=0)
    return ErrorCard(
        levels=LEVELS,
        name=_rates(p_name),
        rival=_rates(p_rival),
        any_name_effect=float(any_found[0]),
        any_imitated=float(any_found[1]),
        mean_name_effects=float(mean_found[0]),
        mean_imitated=float(mean_found[1]),
        n_artists=n_artists,
        n_placebos=n_placebos,
        n_rivals=int(n_rivals.min()),
        n_repeats=n_repeats,
    )


def _among(scores: Float64) -> Float64:
    """Return the p-value of each set against the others, ties counting against the finding."""
    room = TIE * np.maximum(1.0, np.abs(scores))
    ordered = np.sort(scores)
    at_least: Int64 = len(scores) - np.searchsorted(ordered, scores - room)
    return np.asarray(at_least / len(scores), np.float64)


def _against(scores: Float64, references: Float64) -> Float64:
    """Return the p-value of each set against the references; NaN without references."""
    known = references[~np.isnan(references)]
    if not len(known):
        return np.full(len(scores), np.nan)
    room = TIE * np.maximum(1.0, np.abs(scores))
    at_least = len(known) - np.searchsorted(np.sort(known), scores - room)
    return np.asarray((1 + at_least) / (1 + len(known)), np.float64)


def _nearest(scores: Float64, rivals: Float64) -> Float64:
    """Return the p-value against the other sets that the nearest of each set and the rivals would have."""
    nearest = np.maximum(scores, np.nanmax(rivals, initial=-np.inf))
    room = TIE * np.maximum(1.0, np.abs(nearest))
    at_least = len(scores) - np.searchsorted(np.sort(scores), nearest - room)
    itself = scores >= nearest - room
    return np.asarray((at_least + ~itself) / len(scores), np.float64)


def _rates(p: Float64) -> tuple[float, ...]:
    known = p[~np.isnan(p)]
    return tuple(float(np.mean(known <= level * (1 + 1e-9))) if len(known) else np.nan for level in LEVELS)
