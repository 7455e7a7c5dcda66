"""The preprocessing and activation of a file of weights that does not state them: those of published weights.

A file of weights holds tensors. How pictures are brought to its network, and which activation the network has, is
stated by whoever published the weights. Where all published weights of a model agree, a file of weights of that model
takes what they state; otherwise the user has to say which it comes from. Plain data, for any back end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from imindex.indexer.core.errors import ImindexError

OPTION = "--preprocess-from"
_SHOWN = 6
"""Tags that a message names per group."""


@dataclass(frozen=True)
class Settings:
    """What a file of weights does not say.

    Attributes
    ----------
    mean, std : (float, float, float)
        As in `imindex.indexer.decode.preprocess.Preprocess`, and so are the next two.
    interpolation : str
    resize_mode : str
    size : (int, int), optional
        Height and width; None if the network says it.
    activation : str
        Such as `gelu` and `quick_gelu`; empty if the model's name or the weights say it.
    other : tuple of (str, str)
        Name and value of whatever else vectors depend on, such as the share of a picture that a crop keeps.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    size: tuple[int, int] | None = None
    activation: str = ""
    other: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Taken:
    """Settings, and where they were taken from.

    Attributes
    ----------
    settings : Settings
    source : str
        For messages, and for what an index stores: `the 3 published tags of RN50, which agree: openai, ...`.
    """

    settings: Settings
    source: str


def taken(
    model: str, preprocess_from: str | None, published: Callable[[str], Mapping[str, Settings]]
) -> Taken:
    """Return the settings for a file of weights of a model.

    Parameters
    ----------
    model : str
        The model's name.
    preprocess_from : str, optional
        What the user passes as `--preprocess-from`: a tag of the model, or `MODEL:TAG` for one of another model.
    published : callable
        Takes the name of a model and returns the settings of its published weights by their tags; empty if there
        are none.

    Raises
    ------
    ImindexError
        Without a choice: there are no published weights, or they differ. With one: there is no such tag.

    Examples
    --------
    >>> half = Settings((0.5,) * 3, (0.5,) * 3)
    >>> taken("small", None, lambda name: {"first": half, "second": half}).source
    'the 2 published tags of small, which agree: first, second'
    >>> taken("small", "large:first", lambda name: {"first": half}).source
    'the tag first of large, as chosen'
    """
    if preprocess_from is None:
        return agreed(model, published(model))
    name, _, tag = preprocess_from.rpartition(":")
    tags = published(name or model)
    if tag in tags:
        return Taken(tags[tag], f"the tag {tag} of {name or model}, as chosen")
    known = ", ".join(tags)
    raise ImindexError(
        f"{OPTION} {preprocess_from} names no published weights: {name or model} has "
        f"{f'the tags {known}' if known else 'none'}. Pass {'one of these' if known else 'MODEL:TAG of another model'}."
    )


def agreed(model: str, tags: Mapping[str, Settings]) -> Taken:
    """Return the settings of all published weights of a model, or refuse weights that do not say whose they are.

    Parameters
    ----------
    model : str
    tags : mapping of str to Settings

    Raises
    ------
    ImindexError
        There are no published weights, or their settings differ. The message lists which say what.
    """
    groups: dict[Settings, list[str]] = {}
    for tag, settings in tags.items():
        groups.setdefault(settings, []).append(tag)
    if len(groups) == 1:
        said = (
            f"{len(tags)} published tags of {model}, which agree"
            if len(tags) > 1
            else f"only published tag of {model}"
        )
        return Taken(next(iter(groups)), f"the {said}: {', '.join(tags)}")
    if not groups:
        raise ImindexError(
            f"A file of weights does not say how pictures are prepared for it (mean, standard deviation, resizing), "
            f"and {model} has no published weights to take that from. Pass {OPTION} MODEL:TAG if the weights were "
            "trained as published ones of another model were, or state it in a configuration (--model FILE.json with "
            "model_cfg and preprocess_cfg)."
        )
    differing = [
        field.name for field in fields(Settings) if len({getattr(group, field.name) for group in groups}) > 1
    ]
    said = "; ".join(
        f"{_listed(members)}: {', '.join(f'{name} {_shown(getattr(group, name))}' for name in differing)}"
        for group, members in groups.items()
    )
    raise ImindexError(
        f"A file of weights does not say how pictures are prepared for it, and the {len(tags)} published weights of "
        f"{model} differ: {said}. Pass {OPTION} TAG with the tag that the weights come from, or were trained from "
        "(MODEL:TAG for one of another model)."
    )


def _listed(tags: Sequence[str]) -> str:
    more = len(tags) - _SHOWN
    return ", ".join(tags[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shown(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], tuple):
        return " ".join(f"{name} {one}" for name, one in value)
    if isinstance(value, tuple):
        return "/".join(f"{number:.4g}" for number in value)
    return str(value or "unknown")
