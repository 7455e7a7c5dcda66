"""Scores of pictures by the works of each artist: prototypes and nearest neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import BLOCK_BYTES, Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_artists, check_pair
from imindex.retrieval.vectors.exact_sums import unit_means
from imindex.retrieval.vectors.hubs import HubTerms, hub_terms
from imindex.retrieval.vectors.row_ranks import nearest_in_rows, ranks_in_rows
from imindex.retrieval.vectors.similarity import similarity_blocks


def prototype_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    exclude: npt.ArrayLike | None = None,
    csls_k: int | None = None,
) -> Float64:
    """Compute scores by prototype: the cosine of each image to the mean direction of each artist's works.

    The prototype is the mean of the artist's unit vectors, normalised and cast to float16. The prototype of a single
    work is that work, unchanged. This is the nearest class mean classifier (Mensink et al. 2013,
    doi:10.1109/TPAMI.2013.83).

    Parameters
    ----------
    images : array_like, shape (N, d), float16, unit norm
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    n_artists : int
    exclude : array_like, shape (N,) integers or (N, W) bool, optional
        Works to exclude for each image: the row of one work (-1 for none), or a mask. Required if the images are among
        the works, so that no image matches itself.
    csls_k : int, optional
        Correct for hubs (`imindex.retrieval.vectors.hubs`): take off half the mean cosine of the prototype to the
        `csls_k` nearest works of other artists. Works that an image excludes count in no term for it.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for artists without works, or with all works excluded.

    Raises
    ------
    ValueError
        If the vectors are invalid (see `imindex.retrieval.vectors.similarity.similarities`), there are no works, or the
        works of an artist cancel out.

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
    rows, excluded = _excluded_pairs(exclude, len(pictures), len(references))
    counts = np.bincount(artist, minlength=n_artists)
    sums = np.zeros((n_artists, references.shape[1]))
    for block_rows in blocks(len(references), references.shape[1]):
        np.add.at(sums, artist[block_rows], references[block_rows].astype(np.float64))
    present = np.flatnonzero(counts)
    scores = np.full((len(pictures), n_artists), -np.inf)
    prototypes = unit_means(sums[present], counts[present], lambda row: f"artist {present[row]}")
    terms = None
    if csls_k is not None:
        spare = _most(rows)
        terms = hub_terms(prototypes, references, csls_k, artists=(present, artist), spare=spare)
    for image_rows, block in similarity_blocks(pictures, prototypes, names=("images", "prototypes")):
        if terms is not None:
            _take_off(block, image_rows, terms, rows, excluded)
        scores[image_rows, present] = block

    # If an image excludes works of an artist, this pair has a separate prototype. The sums are exact, and remain exact
    # after subtraction.
    for author in np.unique(artist[excluded]).tolist():
        affected = artist[excluded] == author
        image, slot = np.unique(rows[affected], return_inverse=True)
        reduced = np.repeat(sums[[author]], len(image), axis=0)
        np.subtract.at(reduced, slot, references[excluded[affected]].astype(np.float64))
        remaining = counts[author] - np.bincount(slot)
        scores[image, author] = -np.inf
        image, reduced, remaining = image[remaining > 0], reduced[remaining > 0], remaining[remaining > 0]
        own = unit_means(reduced, remaining, f"artist {author} without the excluded works, {{}}".format)
        wide = pictures[image].astype(np.float64)
        scores[image, author] = np.einsum("ij,ij->i", wide, own.astype(np.float64))
        if csls_k is not None:
            labels = np.full(len(own), author), artist
            scores[image, author] -= _terms_for(
                hub_terms(own, references, csls_k, artists=labels, spare=_most(rows)), image, rows, excluded
            )
    return scores


def knn_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    k: int = 15,
    exclude: npt.ArrayLike | None = None,
    csls_k: int | None = None,
) -> Float64:
    """Compute scores by vote: the number of an image's k nearest works that are by each artist.

    Artists are ordered by votes, then by the cosine of their nearest work. The score encodes this order without loss,
    as the integer ``votes * n_artists + place``. `place` (0 to n_artists - 1) is the number of artists whose nearest
    work is strictly further. ``score // n_artists`` is the number of votes, and two scores are equal if and only if
    both votes and cosines are equal.

    Parameters
    ----------
    images, works, work_artist, n_artists, exclude
        See `prototype_scores`.
    k : int
        Number of works that vote, at least 1; fewer if fewer works remain. Of equally near works, the first vote.
    csls_k : int, optional
        Correct for hubs: a work's cosine is lessened by half its mean cosine to the `csls_k` nearest works of other
        artists.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for artists without works, or with all works excluded.

    Raises
    ------
    ValueError
        If `k` is below 1, or the arguments are invalid (see `prototype_scores`).

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
    rows, excluded = _excluded_pairs(exclude, len(pictures), len(references))
    k = min(k, len(references))
    by_artist = np.argsort(artist, kind="stable")
    present, starts = np.unique(artist[by_artist], return_index=True)
    scores = np.full((len(pictures), n_artists), -np.inf)
    terms = None
    if csls_k is not None:
        terms = hub_terms(references, references, csls_k, artists=(artist, artist), spare=_most(rows))
    for image_rows, block in similarity_blocks(pictures, references, limit_bytes=BLOCK_BYTES):
        if terms is not None:
            _take_off(block, image_rows, terms, rows, excluded)
        here = (rows >= image_rows.start) & (rows < image_rows.stop)
        block[rows[here] - image_rows.start, excluded[here]] = -np.inf
        image, neighbour = np.nonzero(nearest_in_rows(block, k))
        votes = _votes(image, artist[neighbour], len(block), n_artists)
        best = np.maximum.reduceat(block[:, by_artist], starts, axis=1)
        scores[image_rows, present] = _by_votes(votes[:, present], best, n_artists)
    return scores


def _most(images: Int64) -> int:
    """Return the largest number of works that an image excludes."""
    return int(np.bincount(images).max(initial=0))


def _take_off(block: Float64, image_rows: slice, terms: HubTerms, images: Int64, excluded: Int64) -> None:
    """Take the half hub terms off the cosines of some images; works that an image excludes count in no term for it."""
    block -= terms.half
    here = (images >= image_rows.start) & (images < image_rows.stop)
    for image in np.unique(images[here]).tolist():
        items, half = terms.without(excluded[images == image])
        block[image - image_rows.start, items] += terms.half[items] - half


def _terms_for(terms: HubTerms, image: Int64, images: Int64, excluded: Int64) -> Float64:
    """Return the half hub term of each of n items, each of which is scored by one image."""
    half: Float64 = terms.half.copy()
    for place, number in enumerate(image.tolist()):
        items, without = terms.without(excluded[images == number])
        half[place] = without[items == place][0] if (items == place).any() else half[place]
    return half


def knn_scores_of(best: Float64, nearest: Int64, work_artist: Int64) -> Float64:
    """Compute `knn_scores` from the nearest works of each image and the nearest work of each artist.

    Parameters
    ----------
    best : ndarray, shape (N, n_artists), float64
        Cosine of each artist's nearest work; -inf without works. Overwritten by the scores.
    nearest : ndarray, shape (N, k), int64
        The k nearest works of each image, which vote; padded with -1 if there are fewer.
    work_artist : ndarray, shape (W,), int64

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        `best`.
    """
    n_artists = best.shape[1]
    present = np.unique(work_artist)
    for rows in blocks(len(best), n_artists):
        image, place = np.nonzero(nearest[rows] >= 0)
        voters = work_artist[nearest[rows][image, place]]
        votes = _votes(image, voters, len(best[rows]), n_artists)
        best[rows, present] = _by_votes(votes[:, present], best[rows, present], n_artists)
    return best


def _votes(image: Int64, artist: Int64, n_images: int, n_artists: int) -> Int64:
    """Count the votes of each image for each artist, given the image and the artist of each vote."""
    size = n_images * n_artists
    return np.bincount(image * n_artists + artist, minlength=size).reshape(-1, n_artists)


def _by_votes(votes: Int64, best: Float64, n_artists: int) -> Float64:
    """Compute scores from votes and the cosines of the nearest works, for artists with works."""
    place = best.shape[1] - ranks_in_rows(best)[0]
    return np.where(np.isneginf(best), -np.inf, votes * n_artists + place)


def _check_works(
    images: npt.ArrayLike, works: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int
) -> tuple[Float16, Float16, Int64]:
    pictures, references = check_pair(images, works, ("images", "works"))
    if not len(references):
        raise ValueError("There are no works to compare with. Add works, or classify by name.")
    return pictures, references, check_artists(work_artist, len(references), n_artists, "work_artist")


def _excluded_pairs(exclude: npt.ArrayLike | None, n_images: int, n_works: int) -> tuple[Int64, Int64]:
    """Return pairs of an image and a work that it excludes, as two arrays of rows."""
    array = np.asarray(np.full(n_images, -1) if exclude is None else exclude)
    if array.dtype == np.bool_ and array.shape == (n_images, n_works):
        image, work = np.nonzero(array)
        return image, work
    if array.shape != (n_images,) or (n_images and array.dtype.kind not in "iu"):
        expected = f"integers of shape ({n_images},) or bool of shape ({n_images}, {n_works})"
        raise ValueError(f"exclude: expected {expected}, not {array.dtype} of the shape {array.shape}.")
    bad = np.flatnonzero((array < -1) | (array >= n_works))
    if len(bad):
        raise ValueError(
            f"exclude: image {bad[0]} excludes work {array[bad[0]]}, but there are {n_works} works. Pass -1 for none."
        )
    image = np.flatnonzero(array >= 0)
    return image, array[image].astype(np.int64)
