"""Force what `--precision auto` resolves to on the CPU, so the tests can run as on another processor.

    pytest --precision-auto bf16
    IMINDEX_PRECISION_AUTO=fp32 scripts/test

Processors with bf16 instructions resolve `auto` to bf16, others to fp32. Both precisions run everywhere; only their
speed differs. Only the tests read the environment variable; imindex itself does not.
"""

from __future__ import annotations

import functools
import os

from imindex.indexer.encoders import precision as precisions

VARIABLE = "IMINDEX_PRECISION_AUTO"
CHOICES = ("bf16", "fp32")
FP32 = ("--precision", "fp32")
"""Options for commands in tests whose expectations must not depend on the processor's precision."""


def force(precision: str | None = None) -> None:
    """Resolve `auto` to this precision in this process, and in child processes that call `force()`.

    Parameters
    ----------
    precision : str, optional
        bf16 or fp32; by default the value of the environment variable. If that is unset, nothing is forced.

    Raises
    ------
    ValueError
        If the precision is another one.
    """
    precision = precision or os.environ.get(VARIABLE)
    if not precision:
        return
    if precision not in CHOICES:
        raise ValueError(f"{VARIABLE} is {precision!r}. Use one of {', '.join(CHOICES)}.")
    os.environ[VARIABLE] = precision

    @functools.wraps(precisions._cpu_computes_bf16)  # inspect.unwrap() finds the real one
    def computes_bf16() -> bool:
        return precision == "bf16"

    precisions._cpu_computes_bf16 = computes_bf16
