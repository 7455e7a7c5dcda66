"""The table of back ends: from the name of a model to the module that loads it.

Back ends of other packages are found by their metadata (`imindex.indexer.encoders.plugins`). Nothing here imports
torch, the library of a back end or another package until an encoder is loaded.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from typing import TYPE_CHECKING, cast

from imindex.indexer.core.errors import ImindexError, was_interrupted
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.plugins import Plugin, plugin

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Backend

BACKENDS = {
    "csd": "imindex.indexer.encoders.csd",
    "megastyle": "imindex.indexer.encoders.megastyle",
    "open_clip": "imindex.indexer.encoders.open_clip",
    "sscd": "imindex.indexer.encoders.sscd",
    "timm": "imindex.indexer.encoders.timm",
    "transformers": "imindex.indexer.encoders.transformers",
}
"""The module of each back end, by the name that starts `--model`: `NAME` alone, or `NAME:MODEL`."""
DEFAULT = "open_clip"
"""Loads every other name of a model, and made every index whose configuration names no back end."""
DEFAULT_MODEL = "ViT-B-32"
DEMO_MODEL = "demo"
"""The small encoder that comes with imindex."""
STYLE_MODEL = "demo-style"
"""The small image-only encoder that comes with imindex. The timm back end loads it."""


def register(name: str, module: str) -> None:
    """Add a back end for this process. An installed package adds one by an entry point instead.

    Parameters
    ----------
    name : str
        What `--model` starts with, up to a colon.
    module : str
        The full name of a module as `imindex.indexer.encoders.base.Backend` describes it.

    Raises
    ------
    ValueError
        Another back end has this name, or the name is empty or contains a colon.
    """
    if not name or ":" in name:
        raise ValueError(f"{name!r} cannot name a back end: it is empty or contains a colon")
    if BACKENDS.setdefault(name, module) != module:
        raise ValueError(f"the back end {name} is already registered: {BACKENDS[name]}")


def name_for(model: str) -> str:
    """Return the name of the back end that loads a model.

    Parameters
    ----------
    model : str
        As `--model` takes it.

    Examples
    --------
    >>> name_for("open_clip:ViT-B-32"), name_for("ViT-B-32"), name_for("local-dir:clip")
    ('open_clip', 'open_clip', 'open_clip')
    >>> name_for("timm:resnet18"), name_for("demo-style")
    ('timm', 'timm')

    Raises
    ------
    ImindexError
        A back end of another package has the name of one of imindex, or two packages have back ends of this name.
    """
    name = re.split("[:?]", model, maxsplit=1)[0]
    if name == STYLE_MODEL:
        return "timm"
    return name if plugin(name, BACKENDS) or name in BACKENDS else DEFAULT


def open_clip_spelling(model: str) -> str:
    """Return the name of an open_clip model as open_clip lists it, also where it is spelled as OpenAI spells it.

    Examples
    --------
    >>> open_clip_spelling("open_clip:ViT-B/32"), open_clip_spelling("ViT-L/14@336px-quickgelu")
    ('ViT-B-32', 'ViT-L-14-336-quickgelu')
    >>> open_clip_spelling("local-dir:ViT-B/32")
    'local-dir:ViT-B/32'
    """
    model, options = options_apart(model.removeprefix(f"{DEFAULT}:"))
    if name_for(model) == DEFAULT and ":" not in model and not model.endswith(".json"):
        model = re.sub(r"@(\d+)px", r"-\1", model.replace("/", "-"))
    return model + options


def options_apart(model: str) -> tuple[str, str]:
    """Split a model's name into the name proper and its options as they are written; no option is checked.

    A question mark that is followed by no `KEY=VALUE` belongs to the name.

    Examples
    --------
    >>> options_apart("folder/model.json?tower=image"), options_apart("local-dir:what?/it")
    (('folder/model.json', '?tower=image'), ('local-dir:what?/it', ''))
    """
    name, mark, tail = model.rpartition("?")
    return (name, mark + tail) if mark and "=" in tail else (model, "")


def name_of(info: EncoderInfo) -> str:
    """Return the name of the back end that made an encoder; it may be one that is not registered here."""
    return str(info.config.get("backend", DEFAULT))


def plugin_of(name: str) -> Plugin | None:
    """Return the back end of another package that has a name; None if it is of imindex, of this program or missing.

    Raises
    ------
    ImindexError
        Two packages have back ends of this name, or the metadata of the package is not valid.
    """
    return None if name in BACKENDS else plugin(name, BACKENDS)


def backend(name: str, package: str = "") -> Backend:
    """Import a back end.

    Parameters
    ----------
    name : str
    package : str
        The package and version that an index records for it, if any; for the message.

    Raises
    ------
    ImindexError
        No back end has this name, the library that it needs is not installed, or its module cannot be imported.
    """
    other = plugin_of(name)
    if other is not None:
        return _import_plugin(other)
    if name not in BACKENDS:
        raise ImindexError(_missing(name, package))
    try:
        return cast("Backend", importlib.import_module(BACKENDS[name]))
    except ModuleNotFoundError as error:
        if _is_missing(error, BACKENDS[name]):
            raise ImindexError(
                f"The registry lists {BACKENDS[name]} for the back end {name}, and there is no such module. "
                "Correct the line in indexer/encoders/registry.py."
            ) from error
        raise ImindexError(_needs(name, error)) from error


def _missing(name: str, package: str) -> str:
    if package:
        known = package.partition(" ")[0]
        return (
            f"The index was made with the back end {name} of the package {package}, which is not installed here. "
            f"If you trust that package, install it (pip install {known}); otherwise build a new index."
        )
    return (
        f"The index was made with the back end {name}, and this version of imindex has {', '.join(BACKENDS)} "
        "only. Update imindex, or build a new index."
    )


def _needs(name: str, error: ModuleNotFoundError) -> str:
    return (
        f"The back end {name} needs {error.name}, which is not installed. Install it with pip, "
        "or use another --model."
    )


def _is_missing(error: ModuleNotFoundError, module: str) -> bool:
    """Return whether a module, or a package that it is in, is what could not be found."""
    return bool(error.name) and f"{module}.".startswith(f"{error.name}.")


def _import_plugin(other: Plugin) -> Backend:
    try:
        module = importlib.import_module(other.module)
    except ModuleNotFoundError as error:
        if not _is_missing(error, other.module):
            raise ImindexError(_needs(f"{other.name} of {other.package}", error)) from error
        raise ImindexError(
            f"{other.package} names the module {other.module} for the back end {other.name}, and there is no such "
            "module. Install the package again, or tell its authors."
        ) from error
    except (Exception, SystemExit) as error:  # whatever another package does when it is imported
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise ImindexError(
            f"The back end {other.name} of {other.package} cannot be imported: {type(error).__name__}: "
            f"{str(error)[:300]}. Update the package, uninstall it, or use another --model."
        ) from error
    if not callable(getattr(module, "load", None)):
        raise ImindexError(
            f"{other.package} names the module {other.module} for the back end {other.name}, which defines no load. "
            "Tell the authors of the package."
        )
    return cast("Backend", module)


def knows(model: str, pretrained: str | None) -> bool:
    """Whether a back end knows an encoder by name, so that loading it reads no file or repository of its user's choice.

    A back end may define `knows(model, pretrained) -> bool`. Without it, its name alone is known, and `NAME:MODEL` is
    not. Whatever a back end of another package answers, it knows no name that may be a file, a folder, a repository or
    an address.

    Parameters
    ----------
    model, pretrained : str
        As `--model` and `--pretrained` take them.
    """
    name = name_for(model)
    other = plugin_of(name)
    if other is not None and any(map(_may_be_a_place, (model[len(name) + 1 :], pretrained or ""))):
        return False
    decide = getattr(backend(name), "knows", None)
    if decide is None:
        return model == name and not pretrained
    try:
        return bool(decide(model, pretrained))
    except Exception as error:
        if other is None:
            raise
        raise ImindexError(_failed(other, error)) from error


def _may_be_a_place(name: str) -> bool:
    """Return whether a name may be a file, a folder, a repository or an address."""
    return bool(re.search(r"[/\\:~\0]|\.\.", name)) or any(
        part and os.path.lexists(part) for part in (name, name.partition("?")[0])
    )


def failed(name: str, error: Exception) -> ImindexError | None:
    """Return the error to show if the back end of another package failed; None if it is of imindex or this program."""
    other = plugin_of(name)
    return None if other is None else ImindexError(_failed(other, error))


def _failed(other: Plugin, error: Exception) -> str:
    return (
        f"The back end {other.name} of {other.package} failed: {type(error).__name__}: {str(error)[:300]}. "
        "Update the package, tell its authors, or use another --model."
    )


def takes_preprocess_from(module: Backend) -> bool:
    """Whether the `load` of a back end has the keyword `preprocess_from`, which back ends need not have."""
    try:
        return "preprocess_from" in inspect.signature(module.load).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def differences(index: EncoderInfo, other: EncoderInfo) -> list[str]:
    """Name what makes the vectors of two encoders incomparable.

    Two configurations can describe the same network, so a back end may define `compared_config(config)`, which
    returns the parts that vectors depend on, by name. Without it configurations are compared as a whole.

    Parameters
    ----------
    index, other : EncoderInfo

    Returns
    -------
    list of str
        Such as `precision fp32 against bf16`; empty if the vectors are comparable.
    """
    if index.identity() == other.identity():
        return []
    mine, theirs = name_of(index), name_of(other)
    if mine != theirs:
        return [f"back end {mine} against {theirs}"]
    return index.mismatch(other, getattr(backend(mine, index.package), "compared_config", None))


def require_same(index: EncoderInfo, other: EncoderInfo) -> None:
    """Refuse an encoder whose vectors are not comparable with those of an index.

    Parameters
    ----------
    index : EncoderInfo
        The encoder that made the index.
    other : EncoderInfo
        The encoder to be used with it.

    Raises
    ------
    ImindexError
        They differ in what vectors depend on.
    """
    found = differences(index, other)
    if found:
        raise ImindexError(
            f"The index was encoded with {index.name()}, not {other.name()} "
            f"(index against this: {'; '.join(found)}). "
            "Name that encoder with --model and --pretrained, or build a new index."
        )
