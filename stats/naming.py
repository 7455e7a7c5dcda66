"""Test whether the pictures of an artist's name are named as the artist more often than those of placebo names are.

A classifier does not choose its labels evenly: some artists' labels attract pictures of every kind. The share of an
artist's pictures that get the right label says little unless it is compared with the share of other pictures that get
the same label. The pictures of placebo names, which imitate nobody, show that share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.set_scores import Float64, Int64, Sets


@dataclass(frozen=True, eq=False)
class NamingTest:
    """Result of `naming_test` for A artists.

    Attributes
    ----------
    pvalue : ndarray, shape (A,), float64
        (1 + placebo sets named as the artist at least as often) / (1 + placebo sets). NaN without pictures of the
        artist or comparable placebo sets.
    share : ndarray, shape (A,), float64
        Share of the compared pictures of the own set that are named as the artist, ties counting as wrong. NaN without
        pictures.
    placebo_share : ndarray, shape (A,), float64
        Share of all placebo pictures that are named as the artist, a picture that ties between k labels counting 1 / k
        for each. It is the label's bias: how often it is chosen for pictures that imitate nobody. NaN without placebos.
    n_reference, n_at_least : ndarray, shape (A,), int64
        Number of comparable placebo sets, and of those that are named as the artist at least as often.
    n_left_out : ndarray, shape (A,), int64
        Number of placebo sets that are too small, or of another design.
    set_size : ndarray, shape (A,), int64
        Number of pictures compared per set; 0 for artists that are not tested.
    """

    pvalue: Float64
    share: Float64
    placebo_share: Float64
    n_reference: Int64
    n_at_least: Int64
    n_left_out: Int64
    set_size: Int64

    @property
    def resolution(self) -> Float64:
        """Smallest possible p-value of each artist, 1 / (1 + n_reference). NaN without references."""
        return np.where(self.n_reference > 0, 1 / (1 + self.n_reference), np.nan)


def best_labels(scores: npt.NDArray[np.floating]) -> tuple[Int64, Int64]:
    """Return which label, or labels if they tie, has the highest score of each picture.

    Parameters
    ----------
    scores : ndarray, shape (M, L), floating

    Returns
    -------
    picture, label : ndarray, int64
        One entry for each pair, in the order of the pictures.

    Examples
    --------
    >>> [pairs.tolist() for pairs in best_labels(np.array([[0.1, 0.2], [0.5, 0.5]]))]
    [[0, 1, 1], [1, 0, 1]]
    """
    found = [
        np.nonzero(part == part.max(axis=1, keepdims=True))
        for part in np.array_split(scores, 1 + len(scores) // 4096)
    ]
    starts = np.cumsum([0, *(len(part) for part in np.array_split(scores, 1 + len(scores) // 4096))])
    picture = np.concatenate([rows + start for (rows, _), start in zip(found, starts, strict=False)])
    return picture.astype(np.int64), np.concatenate([labels for _, labels in found]).astype(np.int64)


def naming_test(
    sets: Sets,
    imitation_artist: npt.ArrayLike,
    picture: npt.ArrayLike,
    label: npt.ArrayLike,
    placebos: npt.ArrayLike,
    *,
    only: Mapping[int, npt.ArrayLike] | None = None,
) -> NamingTest:
    """Test for each artist whether the own set is named as the artist more often than placebo sets are.

    Parameters
    ----------
    sets : Sets
        Of M pictures.
    imitation_artist : array_like, shape (M,), integers below A
        The artist, or placebo name, in the prompt of each picture.
    picture, label : array_like, integers
        The labels with the highest score of each picture, as `best_labels` returns them. Labels below A are artists.
    placebos : array_like of int
        Numbers of the placebo names.
    only : mapping from int to array_like of int, optional
        For some artists, the placebo names that they are compared with, such as those of the same origin. The choice
        must not depend on the pictures.

    Returns
    -------
    NamingTest

    Notes
    -----
    Assumption: if the name makes no difference to the model, the own set and the placebo sets are exchangeable, as in
    `imindex.stats.references.name_test`. Then P(p <= alpha) <= alpha, however unevenly the classifier chooses its
    labels, and however much pictures of one set or one prompt resemble each other. Only sets with the same number of
    pictures, prompts and templates are compared. Ties count against the finding: an own picture that ties with another
    label is not named as the artist, and a placebo picture that ties is.

    Examples
    --------
    Names 0 and 1 are artists, 2 to 4 are placebos. All pictures but those of name 1 are named as artist 0:

    >>> names = np.repeat(np.arange(5), 4)
    >>> labels = np.where(names == 1, 1, 0)
    >>> sets = Sets(names, 5, compared=[True, True, False, False, False], rng=1)
    >>> result = naming_test(sets, names, np.arange(20), labels, [2, 3, 4])
    >>> result.pvalue[:2].tolist(), result.placebo_share[:2].tolist()
    ([1.0, 0.25], [1.0, 0.0])
    """
    owner = np.asarray(imitation_artist, np.int64)
    pictures, labels = np.asarray(picture, np.int64), np.asarray(label, np.int64)
    n_artists, tied = len(sets.sizes), np.bincount(pictures, minlength=len(owner))
    placebo = np.zeros(n_artists, np.bool_)
    placebo[np.asarray(placebos, np.int64)] = True
    p, share, placebo_share = (np.full(n_artists, np.nan) for _ in range(3))
    n_reference, n_at_least, n_left_out = (np.zeros(n_artists, np.int64) for _ in range(3))
    of_artists = labels < n_artists
    pictures, labels = pictures[of_artists], labels[of_artists]
    of_placebos = placebo[owner[pictures]]
    if placebo[owner].any():
        weights = 1 / tied[pictures[of_placebos]]
        placebo_share = np.bincount(labels[of_placebos], weights, n_artists) / np.count_nonzero(
            placebo[owner]
        )
    own = (labels == owner[pictures]) & (tied[pictures] == 1)
    place = sets.places()[pictures]
    for size in sets.compared_sizes:
        inside = place < size
        right = np.bincount(labels[own & inside], minlength=n_artists)
        named = np.zeros((n_artists, n_artists), np.int32)
        np.add.at(named, (owner[pictures[of_placebos & inside]], labels[of_placebos & inside]), 1)
        designs = sets.designs(size)
        for artist in np.flatnonzero((sets.sizes == size) & ~placebo).tolist():
            others = placebo & (sets.n_imitations > 0)
            if only is not None and artist in only:
                others &= np.isin(np.arange(n_artists), np.asarray(only[artist], np.int64))
            usable = others & (designs == designs[artist])
            n = n_reference[artist] = np.count_nonzero(usable)
            n_left_out[artist] = np.count_nonzero(others) - n
            share[artist] = right[artist] / size
            if n:
                n_at_least[artist] = np.count_nonzero(named[usable, artist] >= right[artist])
                p[artist] = (1 + n_at_least[artist]) / (1 + n)
    sizes = np.where(placebo, 0, sets.sizes)
    return NamingTest(p, share, placebo_share, n_reference, n_at_least, n_left_out, sizes)
