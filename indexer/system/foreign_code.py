"""Load a model without running code that it brings.

Every load of a model, in `imindex.indexer.encoders` and in `imindex.indexer.generate`, happens inside of
`no_foreign_code`. SECURITY.md lists what it closes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NoReturn

from imindex.indexer.core.errors import ImindexError

_DYNAMIC = ("get_class_from_dynamic_module", "get_cached_module_file", "get_class_in_module", "check_imports")
_RUN_CODE = {
    "transformers.dynamic_module_utils": _DYNAMIC,
    "transformers.integrations.hub_kernels": (
        "get_kernel",
        "load_and_register_attn_kernel",
        "load_and_register_kernel",
    ),
    "diffusers.utils.dynamic_modules_utils": _DYNAMIC,
}
"""The functions through which a model's own code or a compiled kernel is fetched, imported and run, by module."""
_MAY_IT = "resolve_trust_remote_code"
"""Decides, and may ask the user at the terminal, whether a model's code is run."""
_OPTIONAL = ("transformers.integrations.hub_kernels",)
"""Older versions of transformers do not have it."""
_LIBRARIES = frozenset(name.partition(".")[0] for name in _RUN_CODE)
_USERS = ("transformers", "diffusers", "timm", "open_clip", "peft")
"""The libraries that may have imported these functions by name."""


class ForeignCode(ImindexError):
    """A model asked to run its own code."""


class _State:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.refused: list[str] = []
        self.closed: set[str] = set()
        """Modules whose functions are wrapped."""
        self.torch: list[tuple[Any, str, Any]] = []
        """Object, attribute and original of the functions of torch that are replaced."""


_state = _State()


@contextlib.contextmanager
def no_foreign_code(model: str) -> Iterator[None]:
    """Refuse to run code that a model brings, while the block runs and whatever in the model asks for it.

    Modules of the model, custom pipelines, compiled kernels, TorchScript and code of `torch.hub` are refused.
    `torch.load` reads tensors only, whatever its caller or an environment variable says. Another thread that loads a
    model in the meantime is under the same rules. Blocks may be nested.

    Parameters
    ----------
    model : str
        The name of the model, for the message.

    Raises
    ------
    ForeignCode
        The block asked for such code, even if it caught the error and went on.

    Examples
    --------
    >>> import torch
    >>> with no_foreign_code("This model"):  # doctest: +ELLIPSIS
    ...     torch.jit.load("network.pt")
    Traceback (most recent call last):
    ...
    imindex...ForeignCode: This model asks to run code of its own (torch.jit.load network.pt), which imindex never ...
    """
    with _state.lock:
        _close()
        _state.depth += 1
        if _state.depth == 1:
            _replace_torch()
            sys.meta_path.insert(0, _on_import)
        before = len(_state.refused)
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    finally:
        with _state.lock:
            refused = _state.refused[before:]
            _state.depth -= 1
            if _state.depth == 0:
                _restore_torch()
                sys.meta_path.remove(_on_import)
                _state.refused.clear()
    if refused:
        raise ForeignCode(
            f"{model} asks to run code of its own ({refused[0]}), which imindex never does. "
            "Use a model that needs only the classes of the installed libraries."
        ) from failure
    if failure is not None:
        raise failure


def _close() -> None:
    """Wrap the functions that run code. Outside of `no_foreign_code` a wrapper only calls its function."""
    for name, functions in _RUN_CODE.items():
        library = name.partition(".")[0]
        if name in _state.closed or not _reachable(library):
            continue
        module = _module(name)
        if module is None:
            continue
        for function in functions:
            original = getattr(module, function, None)
            if callable(original):
                _put(original, _guarded(original, f"{library}: {function}"))
        decide = getattr(module, _MAY_IT, None)
        if callable(decide):
            _put(decide, _never(decide, f"{library}: the code of"))
        _state.closed.add(name)


def _reachable(library: str) -> bool:
    """Whether a library is imported. Of one that is imported later, `_OnImport` tells."""
    return sys.modules.get(library) is not None


class _OnImport(importlib.abc.MetaPathFinder):
    """Wraps the functions that run code as soon as a library that has them is imported, within `no_foreign_code`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _LIBRARIES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            with _state.lock:
                _close()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_on_import = _OnImport()


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name in _OPTIONAL:
            return None
        raise ImindexError(
            f"The installed version of {name.partition('.')[0]} has no {name}, through which imindex keeps a model "
            "from running its own code. Install a version that imindex supports (setup.cfg)."
        ) from error


def _guarded(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _state.depth:
            _refuse(what, args)
        return original(*args, **kwargs)

    return guarded


def _never(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Decide against a model's code: a class of the library takes its place, if there is one."""
    parameters = inspect.signature(original)

    @functools.wraps(original)
    def never(*args: Any, **kwargs: Any) -> Any:
        if not _state.depth:
            return original(*args, **kwargs)
        given = parameters.bind(*args, **kwargs).arguments
        if given.get("has_remote_code") and not given.get("has_local_code"):
            _refuse(what, (given.get("model_name", ""),))
        return original(**{**given, "trust_remote_code": False})

    return never


def _put(original: Callable[..., Any], replacement: Callable[..., Any]) -> None:
    """Replace a function wherever a library holds it, also where it was imported by name earlier."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _USERS:
            held = vars(module)  # getattr would import lazy modules
            for attribute in [key for key, value in held.items() if value is original]:
                held[attribute] = replacement


def _refuse(what: str, args: tuple[Any, ...]) -> NoReturn:
    named = " ".join([what, *map(str, args[:2])])
    with _state.lock:
        _state.refused.append(named)
    raise ForeignCode(f"{named}: this would run code that a model brings, which imindex never does.")


def _replace_torch() -> None:
    import torch

    load = torch.load

    @functools.wraps(load)
    def tensors_only(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **{**kwargs, "weights_only": True})

    def refuse(what: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: _refuse(what, args[:1])

    for holder, name, replacement in (
        (torch, "load", tensors_only),
        (torch.jit, "load", refuse("torch.jit.load")),
        (torch.hub, "load", refuse("torch.hub.load")),
    ):
        _state.torch.append((holder, name, getattr(holder, name)))
        setattr(holder, name, replacement)


def _restore_torch() -> None:
    while _state.torch:
        holder, name, original = _state.torch.pop()
        setattr(holder, name, original)
