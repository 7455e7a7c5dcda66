"""Random generators that are keyed by what they are for.

One stream that runs through all artists couples them: with one more artist, or with the tests in another order, every
later artist gets other draws, and so other figures. Here each test of each artist has a stream of its own, derived
from a seed and a key. An artist's draws depend on nothing else: not on the other artists, their order, the encoder,
the number of workers or what was drawn before.

Streams with different keys are independent in practice (they are seeded by SHA-256). One key always gives the same
stream, so a caller that needs two independent streams uses two keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np

STREAMS = 1
"""Version of all that decides which numbers are drawn. Kept results name it; results of another are computed again."""

Rng = np.random.Generator | int | None
"""As scipy's `rng`: a generator, a seed, or None for fresh entropy."""

Rngs = Rng | Sequence[np.random.Generator]
"""One generator per artist, or what they are spawned from; see `one_each`."""


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the generator of a seed and a key, at the start of its stream.

    Parameters
    ----------
    seed : int
        Of the audit or command.
    *key : str or int
        What is drawn: the name of the test, then the artist's name, then whatever else tells draws apart. Figures
        over all artists leave the artist out. The order matters, and ``1`` is another key than ``"1"``.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    TypeError
        A part of the key is neither a string nor an integer.

    Notes
    -----
    The construction, so that others can repeat it:

    1. Write ``[seed, *key]`` as a JSON array without spaces, all but printable ASCII escaped: `json.dumps` with
       ``separators=(",", ":")``. Names are taken as they are; an index stores them in Unicode NFC.
    2. Take the SHA-256 digest of these bytes and read it as one big-endian integer.
    3. Seed `numpy.random.PCG64` with it (through `numpy.random.SeedSequence`, as NumPy does for any integer).

    The same on every platform and Python version, whatever the hash seed. NumPy keeps the bits of PCG64 stable; what
    the methods of `Generator` make of them may change from one version of NumPy to another (NEP 19).

    Examples
    --------
    >>> generator(7, "gap", "Ada Example").integers(0, 1000, 3).tolist()
    [726, 385, 627]
    """
    text = json.dumps([_plain(seed), *map(_plain, key)], separators=(",", ":"))
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
    """Return n generators: those given, or n that are spawned from one.

    Parameters
    ----------
    rng : sequence of n generators, generator, int or None
        What is spawned is keyed by position: the first k of n are those of any other n.
    n : int

    Raises
    ------
    ValueError
        A sequence of another length.

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
        raise TypeError(f"A key is made of strings and integers, not of {part!r}.")
    return str(part) if isinstance(part, str) else int(part)
