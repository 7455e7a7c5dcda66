"""Where the checkout and its test data are, and how a child process finds the helpers."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
DATA = ROOT / "tests" / "data"


def child_environment(**variables: str) -> dict[str, str]:
    """Return the environment for a child process that imports `tests.support`."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
