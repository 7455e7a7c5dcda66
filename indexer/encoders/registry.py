"""The table of back ends: from the name of a model to the module that loads it.

Nothing here imports torch or the library of a back end until an encoder is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Backend

BACKENDS = {
    "open_clip": "imindex.indexer.encoders.open_clip",
    "transformers": "imindex.indexer.encoders.transformers",
}
"""The module of each back end, by the name that starts `--model`: `NAME` alone, or `NAME:MODEL`."""
DEFAULT = "open_clip"
"""Loads every other name of a model, and made every index whose configuration names no back end."""
DEFAULT_MODEL = "ViT-B-32"
DEMO_MODEL = "demo"
"""The small encoder that comes with imindex."""


def register(name: str, module: str) -> None:
    """Add a back end for this process.

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
    """
    name = model.partition(":")[0]
    return name if name in BACKENDS else DEFAULT


def name_of(info: EncoderInfo) -> str:
    """Return the name of the back end that made an encoder; it may be one that is not registered here."""
    return str(info.config.get("backend", DEFAULT))


def backend(name: str) -> Backend:
    """Import a back end.

    Raises
    ------
    ImindexError
        No back end has this name, or the library that it needs is not installed.
    """
    if name not in BACKENDS:
        raise ImindexError(
            f"The index was made with the back end {name}, and this version of imindex has {', '.join(BACKENDS)} "
            "only. Update imindex, or build a new index."
        )
    try:
        return cast("Backend", importlib.import_module(BACKENDS[name]))
    except ModuleNotFoundError as error:
        if error.name and BACKENDS[name].startswith(error.name):
            raise ImindexError(
                f"The registry lists {BACKENDS[name]} for the back end {name}, and there is no such module. "
                "Correct the line in indexer/encoders/registry.py."
            ) from error
        raise ImindexError(
            f"The back end {name} needs {error.name}, which is not installed. Install it with pip, "
            "or use another --model."
        ) from error


def knows(model: str, pretrained: str | None) -> bool:
    """Whether a back end knows an encoder by name, so that loading it reads no file or repository of its user's choice.

    A back end may define `knows(model, pretrained) -> bool`. Without it, its name alone is known, and `NAME:MODEL` is
    not.

    Parameters
    ----------
    model, pretrained : str
        As `--model` and `--pretrained` take them.
    """
    name = name_for(model)
    decide = getattr(backend(name), "knows", None)
    return bool(decide(model, pretrained)) if decide else model == name and not pretrained


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
    return index.mismatch(other, getattr(backend(mine), "compared_config", None))


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
