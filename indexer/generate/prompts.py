"""What a model is asked: artists' names and templates -> the pictures to make, each with its prompt, seed and path."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import safe_name
from imindex.indexer.generate.artists_file import _refuse_twice, _spelled, names_of
from imindex.indexer.generate.remove_name import PLACE, without_name

ARMS = ("artist", "placebo", "nameless", "generic")
"""Tested artists, invented names, the templates with the name removed, prompts that name nobody: in this order."""
DEFAULT_TEMPLATE = "Artwork from {artist}"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to be made.

    Attributes
    ----------
    arm : str
        artist, placebo, nameless or generic.
    artist : str
        The name asked for; empty in the two arms that ask for nobody.
    template : str
        With `{artist}` in it; in the arm generic the prompt itself.
    number : int
        From 0 within artist and template.
    prompt : str
    seed : int
        63 bits.
    path : str
        Relative to the release's folder, with forward slashes.
    """

    arm: str
    artist: str
    template: str
    number: int
    prompt: str
    seed: int
    path: str

    @property
    def kind(self) -> str:
        """As the index has it: imitations or control."""
        return "imitations" if self.arm in ("artist", "placebo") else "control"


def shots(  # noqa: PLR0913 - the keys of a plan's [prompts], one by one
    artists: Sequence[str],
    *,
    placebos: Sequence[str] = (),
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    per_artist: int = 20,
    nameless: int = 0,
    generic: Sequence[str] = (),
    per_generic: int = 20,
    seed: int = 0,
) -> list[Shot]:
    """List the pictures to make, in a fixed order: by arm, name, template, number.

    A picture's seed and path depend on the plan's seed, its name, template and number, and on nothing else: any
    subset in any order asks for the same pictures.

    Parameters
    ----------
    artists, placebos : sequence of str
        Tested artists and invented names, asked for in the same way. Brought to NFC and stripped.
    templates : sequence of str
        Prompts with `{artist}`.
    per_artist : int
        Pictures of every name, the same number by every template.
    nameless : int
        Pictures by the templates with the name removed, all together; an uneven rest goes to the first templates.
    generic : sequence of str
        Prompts that name nobody.
    per_generic : int
        Pictures of each.
    seed : int
        The plan's.

    Returns
    -------
    list of Shot

    Raises
    ------
    ImindexError
        A name or prompt that is empty, stands there twice or holds control characters; a template without `{artist}`;
        a number of pictures that the templates cannot share.
    """
    artists, placebos = names_of(artists), names_of(placebos)
    both = sorted(set(artists) & set(placebos))
    if both:
        raise ImindexError(f"{both[0]!r} is a tested artist and a placebo name. Leave it out of one list.")
    templates = [_checked_template(template) for template in templates]
    generic = [_checked_generic(prompt) for prompt in generic]
    _refuse_twice(templates, "template")
    _refuse_twice(generic, "generic prompt")
    each = _each(per_artist, len(templates), bool(artists or placebos))
    made = [
        _of_name(seed, arm, name, template, number)
        for arm, names in (("artist", artists), ("placebo", placebos))
        for name in names
        for template in templates
        for number in range(each)
    ]
    for position, template in enumerate(templates):
        share = nameless // len(templates) + (position < nameless % len(templates))
        made += [_of_nobody(seed, "nameless", template, number) for number in range(share)]
    made += [
        _of_nobody(seed, "generic", prompt, number) for prompt in generic for number in range(per_generic)
    ]
    _refuse_same_path(made)
    return made


def _each(per_artist: int, n_templates: int, wanted: bool) -> int:
    if not n_templates:
        raise ImindexError(f"No template. Give at least one, such as {DEFAULT_TEMPLATE!r}.")
    if wanted and (per_artist < 1 or per_artist % n_templates):
        below = per_artist - per_artist % n_templates
        ways = [str(n) for n in (below, below + n_templates) if n > 0]
        raise ImindexError(
            f"{per_artist} pictures of every name cannot be shared evenly among {n_templates} "
            f"{'template' if n_templates == 1 else 'templates'}. Ask for {' or '.join(ways)} pictures of every name."
        )
    return per_artist // n_templates


def _of_name(seed: int, arm: str, name: str, template: str, number: int) -> Shot:
    prompt = template.replace(PLACE, name)
    path = f"names/{safe_name(name)}/{safe_name(template.replace(PLACE, ''), template)}-{number:04d}.png"
    return Shot(arm, name, template, number, prompt, picture_seed(seed, name, template, number), path)


def _of_nobody(seed: int, arm: str, template: str, number: int) -> Shot:
    prompt = without_name(template) if arm == "nameless" else template
    path = f"{arm}/{safe_name(template.replace(PLACE, ''), template)}-{number:04d}.png"
    return Shot(arm, "", template, number, prompt, picture_seed(seed, "", template, number), path)


def picture_seed(seed: int, artist: str, template: str, number: int) -> int:
    """Derive a picture's seed: the first 63 bits of the SHA-256 of the canonical JSON of what it is.

    Parameters
    ----------
    seed : int
        The plan's.
    artist : str
        Empty where nobody is named.
    template : str
    number : int

    Returns
    -------
    int
        From 0 to 2**63 - 1.
    """
    said = canonical_json({"seed": seed, "artist": artist, "template": template, "number": number})
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 1


# Names and templates


def _refuse_same_path(made: Sequence[Shot]) -> None:
    taken: dict[str, Shot] = {}
    for shot in made:
        other = taken.setdefault(shot.path, shot)
        if other is not shot:
            first, second = (one.artist or one.template for one in (other, shot))
            raise ImindexError(
                f"{first!r} and {second!r} would be written to the same file {shot.path}. Leave one out."
            )


def _checked_template(template: str) -> str:
    template = _spelled(template, "template")
    if PLACE not in template:
        raise ImindexError(f"The template {template!r} has no {PLACE}. Write it where the name goes.")
    return template


def _checked_generic(prompt: str) -> str:
    prompt = _spelled(prompt, "generic prompt")
    if PLACE in prompt:
        raise ImindexError(
            f"The generic prompt {prompt!r} has {PLACE} in it, but it names nobody. Make it a template."
        )
    return prompt


# Files of names
