"""Scores of pictures against the works of each artist: prototypes and nearest neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import BLOCK_BYTES, Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_artists, check_pair
from imindex.retrieval.vectors.exact_sums import unit_means
from imindex.retrieval.vectors.row_ranks import nearest_in_rows, ranks_in_rows
from imindex.retrieval.vectors.similarity import similarity_blocks


def prototype_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    exclude: npt.ArrayLike | None = None,
) -> Float64:
    """Scores by prototype: the cosine of each image to the mean direction of each artist's works.

    The prototype is the mean of the artist's unit vectors, normalised and cast to float16 (a single work
    is taken as it is). Source: nearest class mean, Mensink et al. 2013 (doi:10.1109/TPAMI.2013.83).

    Parameters
    ----------
    images : array_like, shape (N, d), float16, unit norm
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    n_artists : int
    exclude : array_like, shape (N,) integers or (N, W) bool, optional
        Works to leave out for each image: the row of one (-1: none), or True for each. Needed where the
        images are among the works, lest each find itself.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for an artist without works, or without any left.

    Raises
    ------
    ValueError
        As `similarities`; no works at all; an artist's works cancel out.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [0, 1], [0, 1]], np.float16)
    >>> prototype_scores(works[:1], works, [0, 0, 1], 3).tolist()
    [[0.70703125, 0.0, -inf]]
    >>> prototype_scores(works[:1], works, [0, 0, 1], 3, exclude=[0]).tolist()
    [[0.0, 0.0, -inf]]
    """
    pictures, references, artist = _check_works(images, works, work_artist, n_artists)
    rows, left_out = _excluded_pairs(exclude, len(pictures), len(references))
    counts = np.bincount(artist, minlength=n_artists)
    sums = np.zeros((n_artists, references.shape[1]))
    for some in blocks(len(references), references.shape[1]):
        np.add.at(sums, artist[some], references[some].astype(np.float64))
    present = np.flatnonzero(counts)
    scores = np.full((len(pictures), n_artists), -np.inf)
    prototypes = unit_means(sums[present], counts[present], lambda row: f"artist {present[row]}")
    for some, block in similarity_blocks(pictures, prototypes, names=("images", "prototypes")):
        scores[some, present] = block

    # Where an image leaves out works of an artist, that pair has a prototype of its own: the sums are
    # exact, and so they are still after a subtraction.
    for author in np.unique(artist[left_out]).tolist():
        affected = artist[left_out] == author
        image, slot = np.unique(rows[affected], return_inverse=True)
        reduced = np.repeat(sums[[author]], len(image), axis=0)
        np.subtract.at(reduced, slot, references[left_out[affected]].astype(np.float64))
        remaining = counts[author] - np.bincount(slot)
        scores[image, author] = -np.inf
        image, reduced, remaining = image[remaining > 0], reduced[remaining > 0], remaining[remaining > 0]
        own = unit_means(reduced, remaining, f"artist {author} less the works left out, {{}}".format)
        wide = pictures[image].astype(np.float64)
        scores[image, author] = np.einsum("ij,ij->i", wide, own.astype(np.float64))
    return scores


def knn_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    k: int = 15,
    exclude: npt.ArrayLike | None = None,
) -> Float64:
    """Scores by vote: how many of an image's k nearest works are by each artist.

    Artists are ordered by votes, then by the cosine of their nearest work; those without votes follow by
    that cosine. The score says this order without loss: ``votes * n_artists + place``, where `place`
    (0 to n_artists - 1) counts the artists whose nearest work is strictly further. It is a whole number:
    ``score // n_artists`` are the votes, and scores are equal exactly where votes and cosines are.

    Parameters
    ----------
    images, works, work_artist, n_artists, exclude
        As for `prototype_scores`.
    k : int
        How many works vote, at least 1; fewer where fewer are left. Of equally near ones the first vote.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for an artist without works, or without any left. Errors too are as for `prototype_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float16)
    >>> scores = knn_scores(works[:1], works, [0, 1, 1, 2], 4, k=3)
    >>> scores.tolist(), (scores[:, :3] // 4).tolist()
    ([[6.0, 9.0, 0.0, -inf]], [[1.0, 2.0, 0.0]])
    """
    pictures, references, artist = _check_works(images, works, work_artist, n_artists)
    if k < 1:
        raise ValueError(f"k is {k}. At least one work must vote.")
    rows, left_out = _excluded_pairs(exclude, len(pictures), len(references))
    k = min(k, len(references))
    by_artist = np.argsort(artist, kind="stable")
    present, starts = np.unique(artist[by_artist], return_index=True)
    scores = np.full((len(pictures), n_artists), -np.inf)
    for some, block in similarity_blocks(pictures, references, limit_bytes=BLOCK_BYTES):
        here = (rows >= some.start) & (rows < some.stop)
        block[rows[here] - some.start, left_out[here]] = -np.inf
        image, neighbour = np.nonzero(nearest_in_rows(block, k))
        votes = _votes(image, artist[neighbour], len(block), n_artists)
        best = np.maximum.reduceat(block[:, by_artist], starts, axis=1)
        scores[some, present] = _by_votes(votes[:, present], best, n_artists)
    return scores


def knn_scores_of(best: Float64, nearest: Int64, work_artist: Int64) -> Float64:
    """`knn_scores`, given the nearest works of each image and the nearest work of each artist.

    Parameters
    ----------
    best : ndarray, shape (N, n_artists), float64
        Cosine of each artist's nearest work; -inf without works. It is overwritten by the scores.
    nearest : ndarray, shape (N, k), int64
        The k nearest works of each image, which vote; -1 where there are fewer.
    work_artist : ndarray, shape (W,), int64

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        `best`.
    """
    n_artists = best.shape[1]
    present = np.unique(work_artist)
    for some in blocks(len(best), n_artists):
        image, place = np.nonzero(nearest[some] >= 0)
        voters = work_artist[nearest[some][image, place]]
        votes = _votes(image, voters, len(best[some]), n_artists)
        best[some, present] = _by_votes(votes[:, present], best[some, present], n_artists)
    return best


def _votes(image: Int64, artist: Int64, n_images: int, n_artists: int) -> Int64:
    """How many votes each artist has of each image, given a pair of both for each vote."""
    size = n_images * n_artists
    return np.bincount(image * n_artists + artist, minlength=size).reshape(-1, n_artists)


def _by_votes(votes: Int64, best: Float64, n_artists: int) -> Float64:
    """Scores by votes, then by the cosine of the nearest work; for artists with works only."""
    place = best.shape[1] - ranks_in_rows(best)[0]
    return np.where(np.isneginf(best), -np.inf, votes * n_artists + place)


def _check_works(
    images: npt.ArrayLike, works: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int
) -> tuple[Float16, Float16, Int64]:
    pictures, references = check_pair(images, works, ("images", "works"))
    if not len(references):
        raise ValueError("works: none given, so none can be nearest. Add works, or classify by name.")
    return pictures, references, check_artists(work_artist, len(references), n_artists, "work_artist")


def _excluded_pairs(exclude: npt.ArrayLike | None, n_images: int, n_works: int) -> tuple[Int64, Int64]:
    """Rows of images, and of the works that each is to leave out, as pairs."""
    array = np.asarray(np.full(n_images, -1) if exclude is None else exclude)
    if array.dtype == np.bool_ and array.shape == (n_images, n_works):
        image, work = np.nonzero(array)
        return image, work
    if array.shape != (n_images,) or (n_images and array.dtype.kind not in "iu"):
        wanted = f"({n_images},) rows of works or ({n_images}, {n_works}) bool"
        raise ValueError(f"exclude: expected {wanted}, not {array.dtype} of the shape {array.shape}.")
    bad = np.flatnonzero((array < -1) | (array >= n_works))
    if len(bad):
        raise ValueError(f"exclude: image {bad[0]} names work {array[bad[0]]} of {n_works}; -1 is for none.")
    image = np.flatnonzero(array >= 0)
    return image, array[image].astype(np.int64)
