"""Further real names that a release is asked for, so that the rival test can reach its level."""

from __future__ import annotations

from collections.abc import Collection

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.plan import NO_RIVALS, Plan
from imindex.stats.references import references_needed

ENOUGH = 99
"""More rivals than this are asked for only where the level itself needs them."""


def rivals_needed(level: float) -> int:
    """Return how many rivals the rival test needs, at its own level.

    Parameters
    ----------
    level : float

    Returns
    -------
    int

    Notes
    -----
    With R rivals, no p-value is below 1 / (1 + R), so at least 1 / level - 1 rivals are needed to find anybody. With so
    few, the correction among the artists with a name effect finds artists only if most of them pass together. With
    2 / level - 1 rivals, half the level can be reached, and fewer artists suffice. The result is that number, but at
    most 99, and at least the smallest number that can find anybody: 39 at 5 %, 99 at 1 %.

    Examples
    --------
    >>> [rivals_needed(level) for level in (0.1, 0.05, 0.01, 0.005)]
    [19, 39, 99, 199]
    """
    fewest = references_needed(level)
    return max(fewest, min(references_needed(level / 2), ENOUGH))


def further_rivals(plan: Plan, known: Collection[str]) -> tuple[str, ...]:
    """Choose the further real names of a plan.

    Parameters
    ----------
    plan : Plan
    known : collection of str
        Artists with works, who must not be among them; tested artists never are.

    Returns
    -------
    tuple of str
        With "auto", as many as `rivals_needed` asks for beyond the other tested artists, who are rivals as well.

    Raises
    ------
    ImindexError
        A listed name is an artist with works, or the list of historical artists is too short.
    """
    from imindex.indexer.generate.historical_artists import coinciding, historical_names

    avoid = [*plan.tested, *sorted(known)]
    if isinstance(plan.rivals, tuple):
        for name in plan.rivals:
            if (same := coinciding(name, avoid)) is not None:
                raise ImindexError(
                    f"{plan.path}: rivals: {name!r} has works, as {same}. Remove the name from the list."
                )
        return plan.rivals
    if plan.rivals == NO_RIVALS:
        return ()
    n = (
        plan.rivals
        if isinstance(plan.rivals, int)
        else rivals_needed(plan.tests.level) - len(plan.tested) + 1
    )
    try:
        return tuple(historical_names(max(0, n), seed=plan.seed, avoid=avoid))
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: rivals: {error}") from error
