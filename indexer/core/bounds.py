"""The ranges of all numbers that a plan, an option or a function takes.

A number beyond its range would exhaust memory or time, or make an arithmetic without meaning, long after it was given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from imindex.indexer.core.errors import ImindexError


@dataclass(frozen=True)
class Bounds:
    """A range of numbers, ends included. It is for whole numbers if its ends are whole numbers.

    Examples
    --------
    >>> str(Bounds(1, 10_000)), str(Bounds(0.0, 1.0))
    ('a whole number from 1 to 10,000', 'a number from 0 to 1')
    >>> Bounds(1, 10_000).hold(10_000), Bounds(1, 10_000).hold(1.5), Bounds(0.0, 1.0).hold(float("nan"))
    (True, False, False)
    """

    least: float
    most: float

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are in the range."""
        return isinstance(self.least, int)

    def hold(self, value: Any) -> bool:
        """Return whether a value is a number in the range. Numbers of NumPy are; True and False are not."""
        if isinstance(value, bool):
            return False
        try:
            number = value.__index__() if self.whole or isinstance(value, int) else float(value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            return False
        return not isinstance(value, str) and self.least <= number <= self.most

    def check(self, value: Any, name: str) -> None:
        """Refuse a value outside the range.

        Raises
        ------
        ImindexError
            It names the thing, the value and the range.
        """
        if not self.hold(value):
            raise ImindexError(f"{name} is {shown(value)}. Write {self}.")

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number from {self.least:,} to {self.most:,}"
        return f"a number from {self.least:g} to {self.most:g}"


def shown(value: Any) -> str:
    """Return a value for a message, in a length that a person reads."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of {math.ceil(value.bit_length() * math.log10(2))} digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


SHARE = Bounds(1e-6, 1 - 1e-6)
"""Levels of significance and confidence, powers and margins."""
FRACTION = Bounds(0.0, 1.0)
SEED = Bounds(0, 2**63 - 1)
RESAMPLES = Bounds(99, 1_000_000)
NAMES = Bounds(0, 100_000)
"""Invented or further real names, and artists that are tested together."""
SOME_NAMES = Bounds(1, 100_000)
PER_NAME = Bounds(1, 10_000)
"""Pictures per name or prompt, and works per artist."""
CONTROLS = Bounds(0, 100_000)
"""Control pictures from templates without the name."""
PICTURES = Bounds(0, 10_000_000)
"""Pictures of one release together."""
DEMO_WORKS = Bounds(2, 500)
"""Works per artist of the demonstration, which has no more seeds."""
MAX_NAME = 1000
"""Characters of the name of an artist, a release or an encoder."""
MAX_TEXT = 2**20
"""Characters of a prompt, a caption or a path."""
STEPS = Bounds(0, 10_000)
SOME_STEPS = Bounds(1, 10_000)
SCALE = Bounds(-1000.0, 1000.0)
"""Guidance scales, and strengths of LoRA weights."""
SIDE = Bounds(1, 16_384)
"""Width and height of a generated picture."""
BATCH = Bounds(1, 65_536)
PROCESSES = Bounds(1, 100_000)
"""Workers, encoders and pipelines that compute at the same time."""
GPUS = Bounds(0.0, 1024.0)
"""GPUs of one model."""
PORTS = Bounds(0, 65_535)
SIDES = Bounds(16, 4096)
REQUESTS = Bounds(1, 100_000)
MEGABYTES = Bounds(1e-3, 1e6)
NEIGHBOURS = Bounds(1, 100_000)
CSLS_NEIGHBOURS = Bounds(1, 10_000)
"""Neighbours in CSLS: 3 k times a cosine must fit in 63 bits."""
ROWS = Bounds(1, 10**12)
"""Rows of one file of several."""
MAX_PIXELS = Bounds(1, 10**10)
SECONDS = Bounds(1e-3, 86_400.0)
MEMORY = Bounds(2**20, 2**50)
"""Bytes."""
EFFECT = Bounds(-1.0, 1.0)
"""A difference of rank percentiles."""
DEVIATION = Bounds(0.0, 10.0)
WORKS = Bounds(1, 10_000_000)
"""Works that works are compared with."""
RECALL = Bounds(1e-6, 1.0)
RATE = Bounds(1e-4, 1000.0)
"""Requests per second."""
CONNECTIONS = Bounds(1, 1024)
ATTEMPTS = Bounds(0, 20)
"""Retries."""
RATERS = Bounds(1, 1000)
"""Pages of a panel of people."""
PANEL_TRIALS = Bounds(1, 1000)
"""Trials and artists on a page of a panel."""
PANEL_WORKS = Bounds(1, 12)
"""Works that a trial of a panel shows."""
CATCH = Bounds(0, 1000)
"""Catch trials and repeated trials on a page of a panel."""
SOME_ATTEMPTS = Bounds(1, 20)
PER_MINUTE = Bounds(1e-3, 100_000.0)
"""Requests per minute to an API."""
SOME_REQUESTS = Bounds(1, 10_000_000)
"""Requests to an API."""
PRICE = Bounds(0.0, 1000.0)
"""Of one picture, in whatever currency."""
