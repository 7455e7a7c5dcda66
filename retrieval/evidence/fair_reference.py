"""What may be claimed by the name test where placebo names are not a fair reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imindex.retrieval.results import Exchangeability, name_test_calls


def reference_warning(
    checks: Sequence[Exchangeability], level: float | None, shown: Callable[[float], str] = "{:.2g}".format
) -> str:
    """State what may and may not be claimed by the name test if the check of the placebo names failed.

    The report, `match`, `compare` and the gate all use this, so that none of them claims more than the others.

    Parameters
    ----------
    checks : sequence of Exchangeability
        The diagnostics of a release.
    level : float or None
        Level of the tests; None if nothing was tested.
    shown : callable, optional
        Formats the p-value.

    Returns
    -------
    str
        One sentence; empty if the check passed or was not made.
    """
    calls = name_test_calls(checks, level)
    if not calls:
        return ""
    p = shown(min(one.p or 0.0 for one in checks if one.failed(level)))
    if calls == "too often":
        return (
            f"The invented names are not a fair reference here (check failed, p = {p}): it may not be claimed that a "
            "name has an effect, nor that an artist is imitated; only how near the pictures are to the works, and "
            "whether they are nearer than pictures made for other real names."
        )
    return (
        f"The invented names are not a fair reference here (check failed, p = {p}): the tests find too little, so the "
        "effects that they find may be claimed, but nothing may be concluded about the other artists."
    )
