"""The order in which pictures are asked for: names are interleaved, because a service may change while it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.indexer.generate.prompts import Shot
from imindex.stats.keyed import generators


def request_order(shots: Sequence[Shot], *, seed: int = 0) -> list[Shot]:
    """Return the shots in a keyed random order in which every name is spread evenly over the whole run.

    The pictures of a name are shuffled, and the k-th of n is placed at random within the k-th of n equal parts of the
    run. So a change of the service meets all names alike: the places of a name with n pictures have the same
    distribution as those of every other name with n pictures. They depend on nothing but the seed and the name, so
    adding a name moves no other one relative to the rest.

    Parameters
    ----------
    shots : sequence of Shot
    seed : int

    Returns
    -------
    list of Shot

    Examples
    --------
    >>> from imindex.indexer.generate.prompts import shots
    >>> listed = shots(["Ada Example", "Bo Sample"], per_artist=2)
    >>> sorted(shot.artist for shot in request_order(listed)[:2])
    ['Ada Example', 'Bo Sample']
    """
    groups: dict[str, list[Shot]] = {}
    for shot in shots:
        groups.setdefault(shot.artist or f"{shot.arm}\0{shot.template}", []).append(shot)
    placed: list[tuple[float, str, Shot]] = []
    for group, rng in zip(groups.values(), generators(seed, "order of requests", groups), strict=True):
        places = (rng.permutation(len(group)) + rng.random(len(group))) / len(group)
        placed += [(place, shot.path, shot) for place, shot in zip(places.tolist(), group, strict=True)]
    return [shot for _, _, shot in sorted(placed, key=lambda one: one[:2])]
