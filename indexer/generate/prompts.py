"""List the pictures to generate from artists' names and templates, each with its prompt, seed and path."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from imindex.indexer.core.bounds import CONTROLS, PER_NAME, PICTURES, SEED
from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import safe_name
from imindex.indexer.generate.artists_file import names_of, normalized, refuse_duplicates
from imindex.indexer.generate.remove_name import PLACEHOLDER, without_name

ARMS = ("artist", "placebo", "rival", "nameless", "generic")
"""Tested artists, invented names, further real names, templates with the name removed, and prompts that name no artist,
in this order."""
_NAMED = ("artist", "placebo", "rival")
DEFAULT_TEMPLATE = "Artwork from {artist}"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to generate.

    Attributes
    ----------
    arm : str
        artist, placebo, rival, nameless or generic.
    artist : str
        The name in the prompt; empty in the arms nameless and generic.
    template : str
        The template with `{artist}`; in the arm generic, the prompt itself.
    number : int
        Counts from 0 for each artist and template.
    prompt : str
    seed : int
        A 63-bit integer.
    path : str
        Relative to the folder of the release, with forward slashes.
    negative : str
        The negative prompt; empty for that of the model's settings.
    """

    arm: str
    artist: str
    template: str
    number: int
    prompt: str
    seed: int
    path: str
    negative: str = ""

    @property
    def kind(self) -> str:
        """The kind of the picture in the index: imitations or control."""
        return "imitations" if self.arm in _NAMED else "control"


def shots(  # noqa: PLR0913 - one parameter per key of a plan's [prompts]
    artists: Sequence[str],
    *,
    placebos: Sequence[str] = (),
    rivals: Sequence[str] = (),
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    per_artist: int = 20,
    nameless: int = 0,
    generic: Sequence[str] = (),
    per_generic: int = 20,
    seed: int = 0,
    equal_seeds: bool = False,
) -> list[Shot]:
    """List the pictures to generate, in a fixed order: by arm, name, template and number.

    The seed and path of a picture depend only on the plan's seed, its name, template and number, so any subset in any
    order gives the same pictures. With equal seeds, the seed does not depend on the name.

    Parameters
    ----------
    artists, placebos, rivals : sequence of str
        Tested artists, invented names and further real names, used in the same prompts. They are stripped and
        normalised to NFC.
    templates : sequence of str
        Prompts with `{artist}`.
    per_artist : int
        Pictures per name, split evenly among the templates.
    nameless : int
        Total number of pictures from the templates with the name removed. If the templates do not divide it, the first
        ones get one more.
    generic : sequence of str
        Prompts that name no artist.
    per_generic : int
        Pictures per generic prompt.
    seed : int
        The seed of the plan.
    equal_seeds : bool
        Whether the pictures of all names, and those without a name, have the same seeds for each template and number.

    Returns
    -------
    list of Shot

    Raises
    ------
    ImindexError
        If a name or prompt is empty, listed twice or contains control characters, a template has no `{artist}`, or the
        pictures cannot be split evenly among the templates.
    """
    for value, bounds, name in (
        (per_artist, PER_NAME, "per_artist"), (per_generic, PER_NAME, "per_generic"),
        (nameless, CONTROLS, "nameless"), (seed, SEED, "seed"),
    ):  # fmt: skip
        bounds.check(value, name)
    artists, placebos, rivals = names_of(artists), names_of(placebos), names_of(rivals)
    for first, second, what in (
        (artists, placebos, "a tested artist and also a placebo name"),
        (artists, rivals, "a tested artist and also a rival"),
        (placebos, rivals, "a placebo name and also a rival"),
    ):
        both = sorted(set(first) & set(second))
        if both:
            raise ImindexError(f"{both[0]!r} is {what}. Remove it from one of the lists.")
    templates = [_checked_template(template) for template in templates]
    generic = [_checked_generic(prompt) for prompt in generic]
    refuse_duplicates(templates, "template")
    refuse_duplicates(generic, "generic prompt")
    per_template = _per_template(per_artist, len(templates), bool(artists or placebos or rivals))
    n_pictures = (
        per_template * len(templates) * (len(artists) + len(placebos) + len(rivals))
        + nameless + per_generic * len(generic)
    )  # fmt: skip
    PICTURES.check(n_pictures, "The number of pictures of a release (names x per_artist, with the controls)")
    listed = [
        _with_name(seed, arm, name, template, number, equal_seeds)
        for arm, names in (("artist", artists), ("placebo", placebos), ("rival", rivals))
        for name in names
        for template in templates
        for number in range(per_template)
    ]
    for position, template in enumerate(templates):
        share = nameless // len(templates) + (position < nameless % len(templates))
        listed += [_without_name(seed, "nameless", template, number) for number in range(share)]
    listed += [
        _without_name(seed, "generic", prompt, number) for prompt in generic for number in range(per_generic)
    ]
    _refuse_same_path(listed)
    return listed


def _per_template(per_artist: int, n_templates: int, has_names: bool) -> int:
    if not n_templates:
        raise ImindexError(f"No template. Pass at least one, such as {DEFAULT_TEMPLATE!r}.")
    if has_names and (per_artist < 1 or per_artist % n_templates):
        below = per_artist - per_artist % n_templates
        choices = [str(n) for n in (below, below + n_templates) if n > 0]
        raise ImindexError(
            f"{per_artist} pictures per name cannot be split evenly among {n_templates} "
            f"{'template' if n_templates == 1 else 'templates'}. Choose {' or '.join(choices)} pictures per name."
        )
    return per_artist // n_templates


def _with_name(seed: int, arm: str, name: str, template: str, number: int, equal_seeds: bool) -> Shot:
    prompt = template.replace(PLACEHOLDER, name)
    path = (
        f"names/{safe_name(name)}/{safe_name(template.replace(PLACEHOLDER, ''), template)}-{number:04d}.png"
    )
    seeded = picture_seed(seed, "" if equal_seeds else name, template, number)
    return Shot(arm, name, template, number, prompt, seeded, path)


def question_shot(
    arm: str, name: str, template: str, number: int, prompt: str, *, seed: int, negative: str = ""
) -> Shot:
    """Return a picture for a further question, whose seed depends on the template and the number only.

    Parameters
    ----------
    arm : str
        artist, placebo, rival, nameless or generic.
    name : str
        The name that the picture is credited to; empty in the arms nameless and generic.
    template : str
        A text that identifies the kind of prompt, the same for all names.
    number : int
        Counts from 0 for each name and template.
    prompt : str
    seed : int
        The seed of the plan.
    negative : str
        The negative prompt.

    Returns
    -------
    Shot
        Pictures of the same template and number have the same seed, whatever the name.
    """
    folder = f"names/{safe_name(name)}" if name else arm
    path = f"{folder}/{safe_name(template.replace(PLACEHOLDER, ''), template)}-{number:04d}.png"
    return Shot(arm, name, template, number, prompt, picture_seed(seed, "", template, number), path, negative)


def _without_name(seed: int, arm: str, template: str, number: int) -> Shot:
    prompt = without_name(template) if arm == "nameless" else template
    path = f"{arm}/{safe_name(template.replace(PLACEHOLDER, ''), template)}-{number:04d}.png"
    return Shot(arm, "", template, number, prompt, picture_seed(seed, "", template, number), path)


def picture_seed(seed: int, artist: str, template: str, number: int) -> int:
    """Derive the seed of a picture: the first 63 bits of the SHA-256 of the canonical JSON of all parameters.

    Parameters
    ----------
    seed : int
        The seed of the plan.
    artist : str
        Empty if the prompt names no artist.
    template : str
    number : int

    Returns
    -------
    int
        From 0 to 2**63 - 1.
    """
    key = canonical_json({"seed": seed, "artist": artist, "template": template, "number": number})
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


# Names and templates


def _refuse_same_path(listed: Sequence[Shot]) -> None:
    by_path: dict[str, Shot] = {}
    for shot in listed:
        other = by_path.setdefault(shot.path, shot)
        if other is not shot:
            first, second = (s.artist or s.template for s in (other, shot))
            raise ImindexError(
                f"{first!r} and {second!r} would be written to the same file {shot.path}. Remove one of them."
            )


def _checked_template(template: str) -> str:
    template = normalized(template, "template")
    if PLACEHOLDER not in template:
        raise ImindexError(f"The template {template!r} has no {PLACEHOLDER}. Write it where the name goes.")
    return template


def _checked_generic(prompt: str) -> str:
    prompt = normalized(prompt, "generic prompt")
    if PLACEHOLDER in prompt:
        raise ImindexError(
            f"The generic prompt {prompt!r} contains {PLACEHOLDER}, but generic prompts name no artist. Pass it as a "
            "template."
        )
    return prompt
