"""Ticks for axes whose range depends on the data."""

from __future__ import annotations

import math


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return about `n` round values that cover a range, in equal steps of 1, 2 or 5 times a power of ten.

    Parameters
    ----------
    low, high : float
        Finite; the range may be empty.
    n : int

    Returns
    -------
    list of float
        Ascending, at least two; the first is at most `low`, and the last at least `high`.

    Examples
    --------
    >>> nice_ticks(-3.2, 11.0)
    [-5.0, 0.0, 5.0, 10.0, 15.0]
    >>> nice_ticks(1.0, 1.0)
    [0.5, 1.0, 1.5]
    """
    if not high > low:
        low, high = low - 0.5, high + 0.5
        n = 3
    rough = (high - low) / max(1, n - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(place * step, digits) for place in range(first, last + 1)]
