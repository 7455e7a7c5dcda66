"""Options in the name of a model, after a question mark: `timm:vit_small_patch14_dinov2.lvd142m?pooling=avg`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from imindex.indexer.core.errors import ImindexError

_KEY = re.compile(r"[a-z][a-z0-9_-]*")


def split_options(model: str, known: Collection[str] | None = None) -> tuple[str, dict[str, str]]:
    """Split the name of a model into the name proper and its options.

    Options follow the last question mark: `KEY=VALUE`, joined by `&`. The name of a folder or file that has a question
    mark itself is followed by another one: `timm:local-dir:what?/model?`.

    Parameters
    ----------
    model : str
        As `--model` takes it.
    known : collection of str, optional
        The keys that the back end understands; by default any.

    Returns
    -------
    name : str
        Without the options.
    options : dict of str to str
        Each option by its key, in the order given.

    Raises
    ------
    ImindexError
        A key is unknown or is given twice, or an option is not of the form `KEY=VALUE`.

    Examples
    --------
    >>> split_options("timm:resnet50?pooling=avg&size=256x192")
    ('timm:resnet50', {'pooling': 'avg', 'size': '256x192'})
    >>> split_options("timm:resnet50")
    ('timm:resnet50', {})
    """
    name, mark, tail = model.rpartition("?")
    if not mark:
        return model, {}
    options: dict[str, str] = {}
    for part in tail.split("&") if tail else ():
        key, equals, value = part.partition("=")
        if not equals or not value or not _KEY.fullmatch(key):
            raise ImindexError(
                f"{model}: {part!r} after the question mark is not an option of the form KEY=VALUE. "
                f"{_known(known)}If the question mark belongs to the name, add another one at the end: {model}?"
            )
        if known is not None and key not in known:
            raise ImindexError(
                f"{model}: the option {key} is unknown. {_known(known)}Correct it, or drop the option."
            )
        if key in options:
            raise ImindexError(
                f"{model}: the option {key} is given twice. {_known(known)}Give each option once."
            )
        options[key] = value
    return name, options


def join_options(name: str, options: Mapping[str, str]) -> str:
    """Return the name of a model with its options, sorted by key: what `split_options` splits.

    Examples
    --------
    >>> join_options("timm:resnet50", {"size": "256x192", "pooling": "avg"})
    'timm:resnet50?pooling=avg&size=256x192'
    >>> join_options("timm:local-dir:what?", {})
    'timm:local-dir:what??'
    """
    tail = "&".join(f"{key}={options[key]}" for key in sorted(options))
    return f"{name}?{tail}" if tail or "?" in name else name


FOLDERS = ("local-dir:", "timm:local-dir:", "transformers:")
"""What the name of a model starts with where a folder follows; after the last, it may be a repository."""


def with_folder(model: str, at: Callable[[str], Path]) -> str:
    """Return the name of a model with an absolute path for its folder and its options sorted, as an index records it.

    Parameters
    ----------
    model : str
        As `--model` takes it.
    at : callable
        Takes the path as it was written, and returns where it is.

    Examples
    --------
    >>> with_folder("timm:local-dir:vit?size=64&pooling=avg", Path("/models").joinpath)
    'timm:local-dir:/models/vit?pooling=avg&size=64'
    >>> with_folder("transformers:org/repo", Path("/models").joinpath)
    'transformers:org/repo'
    """
    prefix = next((prefix for prefix in FOLDERS if model.startswith(prefix)), None)
    if prefix is None:
        return model
    name, options = (model, {}) if prefix == FOLDERS[0] else split_options(model)
    path = at(name.removeprefix(prefix))
    if prefix == "transformers:" and not path.is_dir():
        return model
    name = f"{prefix}{os.path.normpath(path.absolute())}"
    return name if prefix == FOLDERS[0] else join_options(name, options)


def _known(known: Collection[str] | None) -> str:
    if known is None:
        return ""
    if not known:
        return "The model takes no options. "
    return f"The options of this model are {', '.join(sorted(known))}. "
