"""Prompts of classes: a template, a name, and what of the name the template uses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import Shot, question_shot
from imindex.retrieval.questions.settings import PromptClass

MAIN = "main prompts"
"""What the main prompts of the audit are called among the ways of asking."""
PLACEHOLDERS = ("{artist}", "{surname}", "{initials}", "{alias}")
"""What a template may use of a name."""


@dataclass(frozen=True)
class ClassPrompt:
    """One kind of prompt.

    Attributes
    ----------
    group : str
        The name of its class.
    template, negative : str
    """

    group: str
    template: str
    negative: str

    @property
    def identity(self) -> str:
        """A text that no other kind of prompt of the plan has."""
        return f"{self.template} [negative: {self.negative}]" if self.negative else self.template


def filled(text: str, name: str, alias: str) -> str:
    """Fill a template with a name.

    Examples
    --------
    >>> filled("{initials}, or {surname}, or {alias}", "Ada May Example", "A. E.")
    'A. M. Example, or Example, or A. E.'
    """
    *given, surname = name.split()
    initials = " ".join([*(f"{word[0]}." for word in given), surname])
    values = dict(zip(PLACEHOLDERS, (name, surname, initials, alias), strict=True))
    return re.sub("|".join(map(re.escape, PLACEHOLDERS)), lambda found: values[found[0]], text)


def check_classes(key: str, classes: Sequence[PromptClass], per_name: int) -> None:
    """Refuse classes that cannot be told apart, or whose prompts name nobody.

    Raises
    ------
    ImindexError
    """
    if not classes:
        raise ImindexError(
            f"{key}.classes is empty. Write [[{key}.classes]] with a name and templates for each class of prompts."
        )
    names: set[str] = set()
    kinds: dict[str, str] = {}
    for one in classes:
        where = f"{key}.classes: {one.name}"
        if one.name.casefold() in names:
            raise ImindexError(f"{where} is listed twice. Use another name.")
        if one.name.casefold() == MAIN:
            raise ImindexError(
                f"{where} is what the prompts of the audit itself are called. Use another name."
            )
        names.add(one.name.casefold())
        if not one.templates:
            raise ImindexError(f"{where} has no templates. Write at least one.")
        if per_name % len(one.templates):
            raise ImindexError(
                f"{where}: {per_name} pictures per name cannot be split evenly among {len(one.templates)} templates. "
                f"Write per_name = {per_name + len(one.templates) - per_name % len(one.templates)}, or other templates."
            )
        for prompt in kinds_of(one):
            if not any(placeholder in prompt.template + prompt.negative for placeholder in PLACEHOLDERS):
                raise ImindexError(
                    f"{where}: {prompt.template!r} names nobody. Write one of {', '.join(PLACEHOLDERS)} where the "
                    "name goes."
                )
            other = kinds.setdefault(prompt.identity, one.name)
            if other != one.name:
                raise ImindexError(
                    f"{where}: {prompt.template!r} is also in {other}. Remove it from one of them."
                )
        if len(set(one.templates)) < len(one.templates):
            raise ImindexError(f"{where}: a template is listed twice. Remove one of them.")


def kinds_of(one: PromptClass) -> list[ClassPrompt]:
    """Return the kinds of prompts of a class."""
    return [ClassPrompt(one.name, template, one.negative) for template in one.templates]


def aliases_of(names: Sequence[str], placebos: Sequence[str], stated: Mapping[str, str]) -> dict[str, str]:
    """Return the alias of every name; that of a placebo name is another placebo name, invented like any other."""
    others = dict(zip(placebos, [*placebos[1:], *placebos[:1]], strict=True))
    return {name: stated.get(name, name) for name in names} | others


def class_shots(
    classes: Sequence[PromptClass],
    *,
    tested: Sequence[str],
    placebos: Sequence[str],
    aliases: Mapping[str, str],
    per_name: int,
    seed: int,
) -> list[Shot]:
    """List the pictures of all names in all classes, in a fixed order."""
    alias = aliases_of(tested, placebos, aliases)
    return [
        question_shot(
            arm,
            name,
            kind.identity,
            number,
            filled(kind.template, name, alias[name]),
            seed=seed,
            negative=filled(kind.negative, name, alias[name]),
        )
        for arm, names in (("artist", tested), ("placebo", placebos))
        for name in names
        for one in classes
        for kind in kinds_of(one)
        for number in range(per_name // len(one.templates))
    ]
