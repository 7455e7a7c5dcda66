"""Words that the statements of several questions use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from imindex.stats.multiple import Method, fewest_findable


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


def counted(n: int, noun: str) -> str:
    """Format a number with its noun.

    Examples
    --------
    >>> counted(1, "picture"), counted(1200, "picture")
    ('1 picture', '1,200 pictures')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def meant(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the remedy for a name that is not known: the known name that is nearly the same, or else another remedy.

    Examples
    --------
    >>> meant("Ada Exampel", ["Ada Example", "Bo Sample"], "Remove the line.")
    'Did you mean Ada Example?'
    >>> meant("Cy", ["Ada Example", "Bo Sample"], "Remove the line.")
    'Remove the line.'
    """
    near = difflib.get_close_matches(name, list(known), 1, 0.8)
    return f"Did you mean {near[0]}?" if near else otherwise


def percent(share: float, digits: int = 0) -> str:
    """Format a share in words, as the report does.

    Examples
    --------
    >>> percent(0.643), percent(0.0213, 1)
    ('64 %', '2.1 %')
    """
    return f"{100 * share:.{digits}f} %"


def cost(value: float) -> str:
    """Format a log-likelihood-ratio cost: a value that differs from 1, which is no information, is never shown as 1.

    Examples
    --------
    >>> cost(0.8125), cost(0.9981), cost(1.0), cost(1.00002)
    ('0.81', '0.998', '1.00', '1.00002')
    """
    digits = 2
    while digits < 8 and value != 1 and float(f"{value:.{digits}f}") == 1:
        digits += 1
    return f"{value:.{digits}f}"


def reach(
    resolution: Sequence[float], *, level: float, method: Method, references: str = "invented names"
) -> str:
    """Say how many findings a design can have at least, as a part of a sentence; empty if a single one is possible.

    Parameters
    ----------
    resolution : sequence of float
        Smallest possible p-value of each test.
    level : float
    method : {"holm", "bh", "by"}
    references : str
        What the tests compare with.

    Examples
    --------
    >>> reach([1 / 20] * 24, level=0.05, method="bh")
    'with so few invented names, either at least 24 are found together or none'
    >>> reach([1 / 20] * 24, level=0.05, method="holm"), reach([1 / 500] * 24, level=0.05, method="bh")
    ('with so few invented names, none can be found', '')
    """
    fewest = fewest_findable(resolution, level=level, method=method) if len(resolution) else 1
    if fewest is None:
        return f"with so few {references}, none can be found"
    return (
        f"with so few {references}, either at least {fewest} are found together or none" if fewest > 1 else ""
    )
