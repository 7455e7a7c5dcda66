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
    With R rivals no p is below 1 / (1 + R), so that 1 / level - 1 rivals are the fewest with which anybody can be
    found. Where several artists are tested, Benjamini-Hochberg among those whose name test passed calls nobody at a p
    of exactly the level unless it calls all of them. Half the level is reached with 2 / level - 1 rivals, and then it
    is enough that half of these artists are called. That many rivals are asked for, up to 99, or the fewest if these
    are more: 39 at 5 %, 99 at 1 %.

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
