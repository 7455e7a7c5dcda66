"""Import torchvision and open_clip without the libraries that take longest and are not needed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch  # noqa: F401 - it must be imported whole before parts of it are left out

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")
"""torchvision imports PyTorch's compiler, which takes longer than all the rest, for two functions of it."""


@contextlib.contextmanager
def light_imports(*optional: str) -> Iterator[None]:
    """Let imports of torchvision leave out PyTorch's compiler, and those of open_clip the `optional` libraries.

    What is imported already stays. Afterwards everything can be imported as usual.
    """
    hidden: dict[str, ModuleType | None] = {name: None for name in optional if name not in sys.modules}
    if "torch._dynamo" not in sys.modules and "torchvision.ops" not in sys.modules:
        hidden.update((name, ModuleType(name)) for name in _COMPILER)
        vars(hidden["torch._dynamo"])["disable"] = _as_it_is
        vars(hidden["torch._dynamo.utils"])["is_compile_supported"] = _is_compile_supported
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in hidden.items():
            if sys.modules.get(name, module) is module:
                sys.modules.pop(name, None)


def _as_it_is(function: Any, *_: Any, **__: Any) -> Any:
    """Stand in for the compiler's `disable`, which has no effect on functions that are not compiled."""
    return function


def _is_compile_supported(device_type: str) -> bool:
    supported: bool = importlib.import_module("torch._dynamo.utils").is_compile_supported(device_type)
    return supported
