"""The inputs of an audit, checked before the long stages: works, existing pictures, and placebo names."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.local import read_bytes
from imindex.retrieval.audit.plan import Plan, Release
from imindex.stats.references import references_needed
from imindex.stats.validity import FEWEST

ONE_IN = 10
"""Under bh and by, `placebos = "auto"` gives enough names to find the artists if one in this many is imitated."""


@dataclass(frozen=True)
class Inputs:
    """What exists before an audit generates anything.

    Attributes
    ----------
    works : tuple of Item
        Works of the tested artists (kind works) and of all others (background), and control pictures.
    made : mapping from release to tuple of Item
        Existing pictures, by release.
    placebos : mapping from release to tuple of str
        Placebo names, by release.
    digests : mapping
        SHA-256 over the names and bytes of `works`, and of each release with existing pictures.
    notes : tuple of str
        Warnings about what the results cannot show.
    """

    works: tuple[Item, ...]
    made: Mapping[str, tuple[Item, ...]]
    placebos: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def background(self) -> tuple[str, ...]:
        """The artists who are candidates but are not tested."""
        return tuple(sorted({item.artist for item in self.works if item.kind == "background"}))


def gather(plan: Plan, note: Callable[[str], None] = lambda _: None) -> Inputs:
    """Collect and check the existing pictures, and choose the placebo names.

    Raises
    ------
    ImindexError
        If works or pictures do not exist, or a tested artist has no works or no imitations.
    """
    works = _works(plan, note)
    known = {item.artist for item in works}
    made = {release.name: _made(plan, release, note) for release in plan.releases if release.pictures}
    placebos = {release.name: _placebos(plan, release, made, known) for release in plan.releases}
    digests = {"works": digest_of(works), **{name: digest_of(items) for name, items in made.items()}}
    return Inputs(tuple(works), made, placebos, digests, tuple(_notes(plan, works, placebos)))


def needed_placebos(plan: Plan) -> int:
    """Return how many placebo names the level and the correction require.

    With Holm, enough to find a single artist: number of artists / level. With Benjamini-Hochberg and
    Benjamini-Yekutieli, enough to find a tenth of the artists together; Yekutieli multiplies by the sum of 1 / i.
    """
    n, level = len(plan.tested), plan.tests.level
    if plan.tests.adjust == "holm":
        return references_needed(level, n)
    if plan.tests.adjust == "by":
        level /= sum(1 / i for i in range(1, n + 1))
    together = -(-n // ONE_IN)
    return references_needed(level * together / n)


def digest_of(items: Sequence[Item]) -> str:
    """Return the SHA-256 over kind, artist and bytes of pictures, which does not depend on their order and location."""
    with ThreadPoolExecutor() as pool:
        lines = sorted(
            f"{item.kind}\0{item.artist}\0{bytes_}"
            for item, bytes_ in zip(items, pool.map(_bytes_digest, items), strict=True)
        )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _bytes_digest(item: Item) -> str:
    try:
        return hashlib.sha256(read_bytes(item.path)).hexdigest()
    except (OSError, BadPicture):
        return "unreadable"


def _find(
    plan: Plan, key: str, path: str, kind: str, note: Callable[[str], None], **options: str
) -> list[Item]:
    try:
        return list(find([plan.at(path)], kind=kind, note=note, **options))
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: {key}: {error}") from error


def _works(plan: Plan, note: Callable[[str], None]) -> list[Item]:
    tested = set(plan.tested)
    works = _find(plan, "works.tested", plan.works, "works", note)
    items = [
        item if item.artist in tested else replace(item, kind="background", collection="background")
        for item in works
    ]
    if plan.background:
        others = _find(plan, "works.background", plan.background, "background", note)
        overlap = sorted({item.artist for item in others} & tested)
        if overlap:
            raise ImindexError(
                f"{plan.path}: works.background has works of {overlap[0]}, who is tested. Move them to {plan.works}."
            )
        items += others
    if plan.control:
        items += _find(plan, "works.control", plan.control, "control", note)
    counts = Counter(item.artist for item in items if item.kind == "works")
    missing = [name for name in plan.tested if not counts[name]]
    if missing:
        near = difflib.get_close_matches(missing[0], {item.artist for item in works}, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Put works into {plan.at(plan.works) / 'NAME'}."
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ImindexError(
            f"{plan.path}: artists.tested: {missing[0]}{more} has no works in {plan.at(plan.works)}. {hint}"
        )
    return items


def _made(plan: Plan, release: Release, note: Callable[[str], None]) -> tuple[Item, ...]:
    key = f"the pictures of {release.name}"
    pictures = _find(plan, key, release.pictures, "imitations", note, collection=release.name)
    items = [
        replace(item, collection=release.name) for item in pictures if item.kind in ("imitations", "control")
    ]
    require_imitations(plan, release.name, items)
    return tuple(items)


def require_imitations(plan: Plan, release: str, items: Iterable[Item], *, blocked: int = 0) -> None:
    """Refuse a release that has no imitations of a tested artist.

    Raises
    ------
    ImindexError
    """
    imitated = {item.artist for item in items if item.kind == "imitations"}
    missing = [name for name in plan.tested if name not in imitated]
    if missing:
        who = "any tested artist" if len(missing) == len(plan.tested) else ", ".join(missing[:3])
        if blocked:
            raise ImindexError(
                f"{plan.path}: {release} has no imitations of {who}: {blocked} pictures were blocked by a safety "
                "filter or are of a single colour. See its manifest.jsonl, and try another model or other settings."
            )
        more = f" and {len(missing) - 3} more" if who != "any tested artist" and len(missing) > 3 else ""
        raise ImindexError(
            f"{plan.path}: {release} has no imitations of {who}{more}. Add pictures in folders of these names, or "
            "remove the names from artists.tested."
        )


def _placebos(
    plan: Plan, release: Release, made: Mapping[str, Sequence[Item]], known: set[str]
) -> tuple[str, ...]:
    """Return a release's placebo names: invented for a model, selected by patterns from existing pictures."""
    if release.model:
        from imindex.indexer.generate.placebo_names import placebo_names

        n = plan.prompts.placebos
        n_names = n if isinstance(n, int) else needed_placebos(plan)
        return tuple(placebo_names(n_names, seed=plan.seed, avoid=sorted({*known, *plan.tested})))
    names = sorted({item.artist for item in made[release.name] if item.kind == "imitations"})
    placebos: set[str] = set()
    for pattern in release.placebos:
        matches = {name for name in names if fnmatch.fnmatchcase(name, pattern)}
        if not matches:
            raise ImindexError(
                f'{plan.path}: {release.name}.placebos: no name with pictures matches "{pattern}".'
            )
        folded = {name.casefold() for name in {*known, *plan.tested}}
        real = sorted(name for name in matches if name.casefold() in folded)
        if real:
            raise ImindexError(
                f"{plan.path}: {release.name}.placebos: {real[0]} has works, so it is not a placebo name. Narrow "
                f'"{pattern}".'
            )
        placebos |= matches
    return tuple(sorted(placebos))


def _notes(plan: Plan, works: Sequence[Item], placebos: Mapping[str, Sequence[str]]) -> Iterable[str]:
    counts = Counter(item.artist for item in works if item.kind == "works")
    few = [name for name in plan.tested if counts[name] < FEWEST]
    if few:
        yield (
            f"{', '.join(few[:5])}{' and others' if len(few) > 5 else ''}: fewer than {FEWEST} works, so they "
            "cannot be tested."
        )
    if len({item.artist for item in works if item.artist}) < 2:
        yield "There is only one artist, so whether an encoder can tell artists apart cannot be measured."
    needed = needed_placebos(plan)
    for release, names in placebos.items():
        if len(names) < needed:
            together = 1 if plan.tests.adjust == "holm" else -(-len(plan.tested) // ONE_IN)
            yield (
                f"{release}: {len(names)} placebo names. If {together} of {len(plan.tested)} artists are imitated, "
                f"finding them at level {plan.tests.level:g} with {plan.tests.adjust} requires {needed:,}."
            )


def works_of(path: Path) -> list[str]:
    """Return the artists of a folder of works, for a new plan; an empty list if it does not exist."""
    return (
        sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        if path.is_dir()
        else []
    )
