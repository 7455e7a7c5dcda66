"""Words that the statements of several questions use."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], most: int = 5) -> str:
    """List names in words.

    Examples
    --------
    >>> listed(["Ada", "Bo"]), listed(["Ada", "Bo", "Cy"], most=2)
    ('Ada and Bo', 'Ada, Bo and 1 other')
    """
    shown = list(names[:most])
    more = len(names) - len(shown)
    if more:
        shown.append(f"{more} {'other' if more == 1 else 'others'}")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"
