"""Measure how well a generative image model imitates named artists, and how sure one may be.

>>> import imindex
>>> imindex.open("audit.h5").query("picture.png")  # doctest: +SKIP

`open`, `build`, `compare`, `audit`, `Encoder`, `Testing` and the types that they return are loaded when first used
(docs/python.md). `main` is the command line, a click group.
"""

from __future__ import annotations

import importlib
from typing import Any

from imindex.indexer.system.spin import bound_spin as _bound_spin

__version__ = "0.1.0"

DOOR = (
    "Asking", "BuildReport", "Encoder", "ImindexError", "Items", "Limits", "OpenIndex", "Place", "Prepared", "Queries",
    "Testing", "Workers", "audit", "build", "compare", "compare_encoders", "confirm_copies", "copy_candidates",
    "forecast", "forecast_panel", "make_panel", "open", "pull", "read_audit", "read_panel",
)  # fmt: skip
"""Names of `imindex.retrieval.api` that are names of this package too."""

_FRONT = ("COMMANDS", "LazyGroup", "main")
"""Names of the command line. It is loaded when first used, so that Ctrl-C is handled before."""

_bound_spin()  # acts only before PyTorch and FAISS are imported


def __getattr__(name: str) -> Any:
    if name in DOOR:
        return getattr(importlib.import_module("imindex.retrieval.api"), name)
    if name in _FRONT:
        return getattr(importlib.import_module("imindex.indexer.terminal.front"), name)
    raise AttributeError(f"module 'imindex' has no attribute {name!r}")


def __dir__() -> list[str]:
    modules = ("indexer", "retrieval", "stats")
    return sorted({*DOOR, *modules, "main", *(name for name in globals() if name.startswith("__"))})
