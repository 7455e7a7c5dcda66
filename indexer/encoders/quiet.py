"""Silence libraries while they load a model."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

_QUIET = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the log messages of libraries and of the hub; what matters arrives as an exception."""
    with _QUIET:
        before = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)
