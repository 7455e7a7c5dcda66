"""Prompts with two names: which pairs are asked, and what each prompt names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imindex.indexer.core.bounds import PICTURES
from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import safe_name
from imindex.indexer.generate.artists_file import normalized
from imindex.indexer.generate.prompts import Shot, picture_seed
from imindex.retrieval.questions.settings import Together
from imindex.retrieval.questions.wording import meant
from imindex.stats.keyed import generator

FIRST, SECOND = "{artist}", "{other}"
Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPrompts:
    """The prompts that the question `together` asks.

    Attributes
    ----------
    pairs : tuple of (str, str)
        Pairs of tested artists.
    placebos : tuple of str
        Placebo names that take the place of each name in turn.
    placebo_pairs : tuple of (str, str)
    names : tuple of (str, str)
        Every ordered pair of names, as asked.
    by_prompt : mapping from str to (str, (str, str))
        Template and names of each prompt.
    """

    pairs: tuple[Pair, ...]
    placebos: tuple[str, ...]
    placebo_pairs: tuple[Pair, ...]
    names: tuple[Pair, ...]
    by_prompt: Mapping[str, tuple[str, Pair]]

    @classmethod
    def of(cls, settings: Together, tested: Sequence[str], placebos: Sequence[str], seed: int) -> PairPrompts:
        """Compose the prompts.

        Raises
        ------
        ImindexError
            A pair or template is invalid, or two pairs have the same prompt.
        """
        pairs = pairs_of(settings, tested, seed)
        references = tuple(placebos[: settings.placebos])
        calibrating = tuple(zip(placebos[::2], placebos[1::2], strict=False))[: settings.placebo_pairs]
        names = tuple(dict.fromkeys(_ordered(pairs, references, calibrating, both=settings.both_orders)))
        by_prompt: dict[str, tuple[str, Pair]] = {}
        for template in templates_of(settings):
            for pair in names:
                prompt = composed(template, pair)
                if prompt in by_prompt:
                    first, second = by_prompt[prompt][1], pair
                    raise ImindexError(
                        f"questions.together: {' and '.join(map(repr, first))} have the same prompt as "
                        f"{' and '.join(map(repr, second))}: {prompt!r}. Change the template."
                    )
                by_prompt[prompt] = template, pair
        return cls(pairs, references, calibrating, names, by_prompt)

    def shots(self, settings: Together, tested: Sequence[str], seed: int) -> list[Shot]:
        """List the pictures to generate. All prompts of a template and number have the same seed."""
        each = settings.per_pair // len(settings.templates)
        PICTURES.check(
            each * len(self.by_prompt), "The number of pictures of questions.together (prompts x per_pair)"
        )
        own = set(tested)
        return [
            Shot(
                "artist" if pair[0] in own else "placebo",
                pair[0],
                template,
                number,
                prompt,
                picture_seed(seed, "", template, number),
                f"names/{safe_name(pair[0])}/{safe_name(pair[1], json_digest([template, *pair]))}-{number:04d}.png",
            )
            for prompt, (template, pair) in self.by_prompt.items()
            for number in range(each)
        ]


def _ordered(
    pairs: Sequence[Pair], placebos: Sequence[str], calibrating: Sequence[Pair], *, both: bool
) -> Iterator[Pair]:
    """Yield every ordered pair of names to ask."""
    for first, second in pairs:
        replaced = [*((name, second) for name in placebos), *((first, name) for name in placebos)]
        for pair in ((first, second), *replaced):
            yield from (pair, pair[::-1]) if both else (pair,)
    for pair in calibrating:
        yield from (pair, pair[::-1]) if both else (pair,)


def composed(template: str, names: Pair) -> str:
    """Return a prompt with two names.

    Examples
    --------
    >>> composed("Artwork from {artist} and {other}", ("Ada Example", "Bo Sample"))
    'Artwork from Ada Example and Bo Sample'
    """
    values = dict(zip((FIRST, SECOND), names, strict=True))
    return re.sub(r"\{artist\}|\{other\}", lambda found: values[found[0]], template)


def templates_of(settings: Together) -> list[str]:
    """Return the templates.

    Raises
    ------
    ImindexError
        There is none, one is listed twice, or one lacks a placeholder.
    """
    templates = [normalized(template, "template") for template in settings.templates]
    if not templates:
        raise ImindexError(
            f'questions.together.templates is empty. Write at least one, such as "Artwork from {FIRST} and {SECOND}".'
        )
    for template in templates:
        for placeholder in (FIRST, SECOND):
            if placeholder not in template:
                raise ImindexError(
                    f"questions.together.templates: {template!r} has no {placeholder}. Write it where the "
                    f"{'first' if placeholder == FIRST else 'second'} name goes."
                )
        if templates.count(template) > 1:
            raise ImindexError(f"questions.together.templates: {template!r} is listed twice. Remove one.")
    return templates


def pairs_of(settings: Together, tested: Sequence[str], seed: int) -> tuple[Pair, ...]:
    """Return the pairs of artists.

    Raises
    ------
    ImindexError
        A pair names an artist that is not tested, or one artist twice, or is listed twice; or artists are too few.
    """
    if isinstance(settings.pairs, str):
        if settings.pairs != "auto":
            raise ImindexError(
                f'questions.together.pairs is {settings.pairs!r}. Write "auto", or a list of pairs of names: '
                '[["Ada Example", "Bo Sample"]].'
            )
        if len(tested) < 2:
            raise ImindexError("questions.together needs two tested artists. List more under artists.tested.")
        names = sorted(tested)
        order = generator(seed, "together", "pairs").permutation(len(names)).tolist()
        n = min(settings.n, len(names) // 2)
        return tuple((names[order[2 * i]], names[order[2 * i + 1]]) for i in range(n))
    if not settings.pairs:
        raise ImindexError('questions.together.pairs is empty. List a pair of artists, or write "auto".')
    pairs = [(normalized(first, "name"), normalized(second, "name")) for first, second in settings.pairs]
    seen: set[frozenset[str]] = set()
    for place, pair in enumerate(pairs, 1):
        where = f"questions.together.pairs[{place}]"
        for name in pair:
            if name not in tested:
                raise ImindexError(
                    f"{where}: {name!r} is not a tested artist. "
                    + meant(name, tested, "List it under artists.tested, or name another.")
                )
        if pair[0] == pair[1]:
            raise ImindexError(f"{where} names {pair[0]!r} twice. Name two artists.")
        if frozenset(pair) in seen:
            raise ImindexError(
                f"{where}: {pair[0]!r} and {pair[1]!r} are listed twice. Remove one of the pairs."
            )
        seen.add(frozenset(pair))
    return tuple(pairs)
