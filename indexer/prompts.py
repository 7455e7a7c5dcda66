"""What a model is asked: artists' names and templates -> the pictures to make, each with its prompt, seed and path."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.contents import canonical_json
from indexer.errors import ImindexError
from indexer.nameless import PLACE, without_name

ARMS = ("artist", "placebo", "nameless", "generic")
"""Tested artists, invented names, the templates with the name removed, prompts that name nobody: in this order."""
DEFAULT_TEMPLATE = "Artwork from {artist}"
_SLUG = 40
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""What Windows takes for devices."""


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


def safe_name(readable: str, whole: str | None = None) -> str:
    """Name a file for any text: up to 40 letters and figures of it, and 8 hex figures of its SHA-256.

    Distinct texts have distinct names where case does not count either; no name is reserved, hidden or leads elsewhere.

    Parameters
    ----------
    readable : str
    whole : str, optional
        What the digest is of, if the readable part is not all of it.
    """
    plain = unicodedata.normalize("NFKD", readable).encode("ascii", "ignore").decode().casefold()
    slug = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:_SLUG].strip("-") or "name"
    return f"{slug}-{hashlib.sha256((whole or readable).encode()).hexdigest()[:8]}"


def slug(name: str) -> str:
    """Name a file or folder for a release or an encoder: as it is called, where that is safe, else `safe_name`.

    Distinct names have distinct slugs, also where case does not count.
    """
    plain = re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,39}", name) and not name.endswith(".")
    if plain and name.partition(".")[0] not in _RESERVED and not re.search("-[0-9a-f]{8}$", name):
        return name
    return safe_name(name)


# Names and templates


def names_of(names: Iterable[str]) -> list[str]:
    """Bring names to one spelling (NFC, no space around) and refuse what cannot be asked for.

    Raises
    ------
    ImindexError
        Empty, twice, or with control characters, line breaks or lone surrogates.
    """
    spelled = [_spelled(name, "name") for name in names]
    _refuse_twice(spelled, "name")
    return spelled


def _spelled(text: str, what: str) -> str:
    spelled = unicodedata.normalize("NFC", text.strip())
    if not spelled:
        raise ImindexError(f"A {what} is empty. Fill it in, or leave it out.")
    strange = next((c for c in spelled if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), "")
    if strange:
        kind = "half of a character" if unicodedata.category(strange) == "Cs" else "a control character"
        raise ImindexError(f"The {what} {spelled!a} holds {kind} (U+{ord(strange):04X}). Remove it.")
    return spelled


def _refuse_twice(texts: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ImindexError(f"The {what} {text!r} stands there twice. Leave one out.")
        seen.add(text)


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


def read_artists(path: Path) -> list[str]:
    """Read names from a file.

    Parameters
    ----------
    path : Path
        CSV with a column `artist`, or with one name a line; JSONL of objects with `artist`, or of strings; any other
        file has one name a line. UTF-8, with or without a byte order mark; lines with nothing on them are passed over.

    Returns
    -------
    list of str
        In NFC and without space around, in the file's order.

    Raises
    ------
    ImindexError
        No such file, not UTF-8, no name in it, or a name that is empty, stands there twice or cannot be asked for.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Give a file with one artist a line.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    reader = {".csv": _csv_names, ".jsonl": _jsonl_names}.get(path.suffix.lower(), _lines)
    first: dict[str, int] = {}
    for line, name in reader(path, text):
        try:
            spelled = _spelled(name, "name")
        except ImindexError as error:
            raise ImindexError(f"{path}, line {line}: {error}") from error
        if spelled in first:
            raise ImindexError(
                f"{path}, line {line}: {spelled!r} stands in line {first[spelled]} already. Leave one out."
            )
        first[spelled] = line
    if not first:
        raise ImindexError(f"{path} names nobody. Write one artist a line.")
    return list(first)


def _lines(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _csv_names(path: Path, text: str) -> Iterator[tuple[int, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    column: int | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if column is None:
                header = [cell.strip().casefold() for cell in row]
                column = header.index("artist") if "artist" in header else -1
                if column >= 0:
                    continue
            if column < 0 and len(row) > 1:
                raise ImindexError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, and no column is called `artist`. Name "
                    "it so in the first line, or put names with commas in quotes."
                )
            yield reader.line_num, row[max(column, 0)] if max(column, 0) < len(row) else ""
    except csv.Error as error:
        raise ImindexError(f"{path}, line {reader.line_num}: {error}. Check its quotes.") from error


def _jsonl_names(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in _lines(path, text):
        try:
            said: Any = json.loads(line)
        except ValueError as error:
            raise ImindexError(
                f"{path}, line {number}: not JSON: {error}. Write one object a line."
            ) from error
        name = said.get("artist") if isinstance(said, dict) else said
        if not isinstance(name, str):
            raise ImindexError(
                f'{path}, line {number}: no name. Write {{"artist": "Ada Example"}} or "Ada Example".'
            )
        yield number, name
