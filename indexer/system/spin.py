"""How long the threads of OpenMP spin while they wait for each other."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from types import MappingProxyType

SPINS = 1_000
"""Turns of libgomp's waiting loop before a thread sleeps. Its own default is 300,000."""
BLOCK_MILLISECONDS = 1
"""Milliseconds before a thread of LLVM's and Intel's OpenMP sleeps. Their own default is 200."""

_SETTINGS = MappingProxyType(
    {
        "GOMP_SPINCOUNT": (str(SPINS), ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")),
        "KMP_BLOCKTIME": (str(BLOCK_MILLISECONDS), ("OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY")),
    }
)
"""For each variable that is set: its value, and the variables by which a user decides about it."""
VARIABLES = tuple(sorted({name for _, (_, decided_by) in _SETTINGS.items() for name in decided_by}))
"""All variables that say how threads wait."""


def bound_spin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads of OpenMP that wait for each other sleep soon, except where the user has decided about it.

    By default a waiting thread spins for some 10 ms (libgomp, with PyTorch for Linux and with FAISS) or 200 ms (LLVM's
    and Intel's, with other builds of PyTorch). Beside other work it then takes the processor from the very thread that
    it waits for. The results do not depend on it.

    The runtime reads the variables when it is loaded. So this has an effect only before PyTorch and FAISS are imported;
    child processes inherit it.

    Parameters
    ----------
    environment : mutable mapping of str to str
        Changed in place.
    """
    for name, (value, decided_by) in _SETTINGS.items():
        if not any(other in environment for other in decided_by):
            environment[name] = value
