"""Random generators keyed by their purpose.

A single stream for all artists would couple them: adding an artist, or reordering the tests, would change the draws,
and so the results, of every later artist. Instead, each test of each artist has its own stream, derived from a seed
and a key. The draws of an artist depend on nothing else: not on the other artists, their order, the encoder, the
number of workers or earlier draws.

Streams with different keys are independent in practice, since they are seeded by SHA-256. A key always gives the same
stream, so a caller that needs two independent streams must use two keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np

STREAMS = 2
"""Version of everything that determines the random draws. Cached results with another version are recomputed."""

Rng = np.random.Generator | int | None
"""As in scipy: a generator, a seed, or None for fresh entropy."""

Rngs = Rng | Sequence[np.random.Generator]
"""One generator per artist, or a generator or seed from which they are spawned; see `one_each`."""


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the generator of a seed and a key, at the start of its stream.

    Parameters
    ----------
    seed : int
        The seed of the audit or command.
    *key : str or int
        The purpose of the draws: the name of the test, then the name of the artist, then anything else that
        distinguishes them. Statistics over all artists omit the artist. The order matters, and ``1`` and ``"1"`` are
        different keys.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    TypeError
        If a part of the key is neither a string nor an integer.

    Notes
    -----
    To reproduce the generator in another program:

    1. Write ``[seed, *key]`` as a JSON array without spaces, with everything except printable ASCII escaped:
       `json.dumps` with ``separators=(",", ":")``. Names are used unchanged; an index stores them in Unicode NFC.
    2. Compute the SHA-256 digest of these bytes, and interpret it as a big-endian integer.
    3. Seed `numpy.random.PCG64` with it (through `numpy.random.SeedSequence`, as NumPy does for any integer).

    The result is the same on every platform and Python version, whatever the hash seed. NumPy keeps the bits of PCG64
    stable; the methods of `Generator` may use them differently in another version of NumPy (NEP 19).

    Examples
    --------
    >>> generator(7, "gap", "Ada Example").integers(0, 1000, 3).tolist()
    [726, 385, 627]
    """
    text = json.dumps([_plain(seed), *map(_plain, key)], separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def generators(seed: int, test: str, names: Iterable[str]) -> list[np.random.Generator]:
    """Return the generator of a test for each artist: ``generator(seed, test, name)``, in the order of the names.

    Examples
    --------
    >>> ada, bo = generators(7, "gap", ["Ada Example", "Bo Sample"])
    >>> ada.random() == generator(7, "gap", "Ada Example").random()
    True
    """
    return [generator(seed, test, name) for name in names]


def one_each(rng: Rngs, n: int) -> list[np.random.Generator]:
    """Return n generators: the given ones, or n generators spawned from a single one.

    Parameters
    ----------
    rng : sequence of n generators, generator, int or None
        Spawned generators are keyed by position: the first k are the same for every n >= k.
    n : int

    Raises
    ------
    ValueError
        If the sequence does not have length n.

    Examples
    --------
    >>> few, many = one_each(1, 2), one_each(1, 5)
    >>> [a.random() == b.random() for a, b in zip(few, many)]
    [True, True]
    """
    if rng is None or isinstance(rng, int | np.integer | np.random.Generator):
        return list(np.random.default_rng(rng).spawn(n))
    if len(rng) != n:
        raise ValueError(f"rng: expected {n} generators, one per artist, not {len(rng)}.")
    return list(rng)


def _plain(part: str | int) -> str | int:
    if isinstance(part, bool | np.bool_) or not isinstance(part, str | int | np.integer):
        raise TypeError(f"A key consists of strings and integers, not {part!r}.")
    return str(part) if isinstance(part, str) else int(part)
