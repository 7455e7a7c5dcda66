"""What an audit starts from, checked before hours go by: works, pictures made elsewhere, placebo names."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.generate.artist_origins import STATED, Origin, origins_of
from imindex.indexer.generate.matched_names import DRAWING, INDEPENDENT, Placebo, matched_placebos
from imindex.indexer.generate.placebo_names import placebo_names
from imindex.indexer.generate.secret_seed import SecretSeed, read_seed
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.local import read_bytes
from imindex.retrieval.audit.plan import BY_ORIGIN, Plan, Release
from imindex.retrieval.audit.rivals import further_rivals, rivals_needed
from imindex.stats.references import references_needed
from imindex.stats.validity import FEWEST

SECRET = "placebo seed"
"""The key of the secret seed among the digests of the inputs."""
FOUND_IN_TEN = 10
"""Under bh and by, `placebos = "auto"` makes it possible to find the artists once one in so many is imitated."""


@dataclass(frozen=True)
class Inputs:
    """What there is before the audit makes anything.

    Attributes
    ----------
    works : tuple of Item
        Of the tested artists (kind works), of all others (background), and control pictures.
    made : mapping from release to tuple of Item
        Pictures made elsewhere.
    placebos : mapping from release to tuple of str
        Its placebo names.
    digests : mapping
        Of `works` and of each release made elsewhere: SHA-256 over names and bytes.
    notes : tuple of str
        What a reader of the results should know before they are there.
    drawing : int
        Version of the drawing of placebo names.
    origins : tuple of Origin
        Of the tested artists, where placebo names are drawn to match them.
    references : mapping from release to mapping from artist to tuple of str
        The placebo names of the artist's own origin, for the artists who are compared with these only. Releases that
        are missing here do not choose.
    rivals : mapping from release to tuple of str
        Its further real names.
    """

    works: tuple[Item, ...]
    made: Mapping[str, tuple[Item, ...]]
    placebos: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, str]
    notes: tuple[str, ...]
    drawing: int = DRAWING
    origins: tuple[Origin, ...] = ()
    references: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    rivals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def background(self) -> tuple[str, ...]:
        """The artists who are candidates only."""
        return tuple(sorted({item.artist for item in self.works if item.kind == "background"}))


def gather(plan: Plan, note: Callable[[str], None] = lambda _: None, *, drawing: int = DRAWING) -> Inputs:
    """Collect and check the pictures that are there, and choose the placebo names and further rivals.

    Parameters
    ----------
    plan : Plan
    note : callable
        Receives what a reader should know.
    drawing : int
        Version of the drawing of placebo names: `imindex.retrieval.audit.register.drawing_of` the audit's folder.

    Raises
    ------
    ImindexError
        Works or pictures that are not there; a tested artist without works or without imitations; a secret seed that
        cannot be read.
    """
    works = _works(plan, note)
    known = {item.artist for item in works}
    made = {one.name: _made(plan, one, note) for one in plan.releases if one.pictures}
    generates = any(one.model for one in plan.releases)
    secret = read_seed(plan.prompts.placebo_seed, plan.folder) if plan.prompts.placebo_seed else None
    rivals = further_rivals(plan, known - set(plan.tested))
    invented, origins = _invented(plan, known, drawing, secret) if generates else ([], ())
    placebos = {
        one.name: tuple(p.name for p in invented) if one.model else _placebos(plan, one, made, known)
        for one in plan.releases
    }
    references = _same_origin(plan, invented, origins) if origins else {}
    digests = {"works": digest_of(works), **{name: digest_of(items) for name, items in made.items()}}
    if secret is not None:
        digests[SECRET] = secret.digest
    notes = [*_notes(plan, works, placebos), *_name_notes(plan, origins, references, rivals, secret)]
    return Inputs(
        tuple(works), made, placebos, digests, tuple(notes),
        drawing=drawing,
        origins=origins,
        references={one.name: references for one in plan.releases if one.model and origins},
        rivals={
            one.name: rivals for one in plan.releases if one.model or isinstance(plan.rivals, tuple)
        },
    )  # fmt: skip


def needed_placebos(plan: Plan) -> int:
    """Placebo names that the level and the correction ask for.

    Holm: enough for one artist alone to be found, number of artists / level. Benjamini-Hochberg and -Yekutieli: enough
    for a tenth of the artists to be found together; Yekutieli's constant, the sum of 1 / i, is a factor.
    """
    n, level = len(plan.tested), plan.tests.level
    if plan.tests.adjust == "holm":
        return references_needed(level, n)
    if plan.tests.adjust == "by":
        level /= sum(1 / i for i in range(1, n + 1))
    together = -(-n // FOUND_IN_TEN)
    return references_needed(level * together / n)


def digest_of(items: Sequence[Item]) -> str:
    """SHA-256 over kind, artist and the bytes of pictures, whatever their order and place."""
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
    plan: Plan, key: str, path: str, kind: str, note: Callable[[str], None], **given: str
) -> list[Item]:
    try:
        return list(find([plan.at(path)], kind=kind, note=note, **given))
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: {key}: {error}") from error


def _works(plan: Plan, note: Callable[[str], None]) -> list[Item]:
    tested = set(plan.tested)
    found = _find(plan, "works.tested", plan.works, "works", note)
    items = [
        item if item.artist in tested else replace(item, kind="background", collection="background")
        for item in found
    ]
    if plan.background:
        others = _find(plan, "works.background", plan.background, "background", note)
        again = sorted({item.artist for item in others} & tested)
        if again:
            raise ImindexError(
                f"{plan.path}: works.background holds {again[0]}, who is tested. Move these works to {plan.works}."
            )
        items += others
    if plan.control:
        items += _find(plan, "works.control", plan.control, "control", note)
    counts = Counter(item.artist for item in items if item.kind == "works")
    missing = [name for name in plan.tested if not counts[name]]
    if missing:
        near = difflib.get_close_matches(missing[0], {item.artist for item in found}, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Put works into {plan.at(plan.works) / 'NAME'}."
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ImindexError(
            f"{plan.path}: artists.tested: {missing[0]}{more} has no works in {plan.at(plan.works)}. {hint}"
        )
    return items


def _made(plan: Plan, release: Release, note: Callable[[str], None]) -> tuple[Item, ...]:
    key = f"the pictures of {release.name}"
    found = _find(plan, key, release.pictures, "imitations", note, collection=release.name)
    items = [
        replace(item, collection=release.name) for item in found if item.kind in ("imitations", "control")
    ]
    require_imitations(plan, release.name, items)
    return tuple(items)


def require_imitations(plan: Plan, release: str, items: Iterable[Item], *, blocked: int = 0) -> None:
    """Refuse a release that leaves a tested artist without imitations.

    Raises
    ------
    ImindexError
    """
    asked = {item.artist for item in items if item.kind == "imitations"}
    missing = [name for name in plan.tested if name not in asked]
    if missing:
        who = "any tested artist" if len(missing) == len(plan.tested) else ", ".join(missing[:3])
        if blocked:
            raise ImindexError(
                f"{plan.path}: {release} has no imitations of {who}: {blocked} pictures were blocked, by a safety "
                "filter or as all of one colour. See its manifest.jsonl; another model or other settings may do."
            )
        more = f" and {len(missing) - 3} more" if who != "any tested artist" and len(missing) > 3 else ""
        raise ImindexError(
            f"{plan.path}: {release} has no imitations of {who}{more}. Add pictures in folders of these names, or take "
            "them out of artists.tested."
        )


def _placebos(
    plan: Plan, release: Release, made: Mapping[str, Sequence[Item]], known: set[str]
) -> tuple[str, ...]:
    """The placebo names of pictures made elsewhere, named by patterns."""
    names = sorted({item.artist for item in made[release.name] if item.kind == "imitations"})
    found: set[str] = set()
    for pattern in release.placebos:
        fits = {name for name in names if fnmatch.fnmatchcase(name, pattern)}
        if not fits:
            raise ImindexError(
                f'{plan.path}: {release.name}.placebos: no pictures were made of a name like "{pattern}".'
            )
        folded = {name.casefold() for name in {*known, *plan.tested}}
        real = sorted(name for name in fits if name.casefold() in folded)
        if real:
            raise ImindexError(
                f"{plan.path}: {release.name}.placebos: {real[0]} has works, and so is no placebo name. Narrow "
                f'"{pattern}".'
            )
        found |= fits
    return tuple(sorted(found))


def _invented(
    plan: Plan, known: set[str], drawing: int, secret: SecretSeed | None
) -> tuple[list[Placebo], tuple[Origin, ...]]:
    """Draw the placebo names of models; and return the origins of the artists that they match, if they do."""
    n, avoid = plan.prompts.placebos, sorted({*known, *plan.tested})
    wanted = n if isinstance(n, int) else needed_placebos(plan)
    if drawing == INDEPENDENT:
        seed = plan.seed if secret is None else secret.key.hex()
        return [Placebo(name, "", "") for name in placebo_names(wanted, seed=seed, avoid=avoid)], ()
    origins = tuple(origins_of(plan.tested, plan.origins))
    by_origin = n == BY_ORIGIN
    if by_origin:
        wanted *= len({one.origin for one in origins})
    if isinstance(plan.rivals, tuple):
        avoid += plan.rivals
    try:
        names = matched_placebos(
            origins,
            wanted,
            seed=plan.seed if secret is None else secret.key,
            avoid=avoid,
            by_origin=by_origin,
        )
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: prompts.placebos: {error}") from error
    return names, origins


def _same_origin(
    plan: Plan, invented: Sequence[Placebo], origins: Sequence[Origin]
) -> dict[str, tuple[str, ...]]:
    """The placebo names of each artist's own origin, where there are as many as the level and the correction need."""
    names: dict[str, list[str]] = {}
    for placebo in invented:
        names.setdefault(placebo.origin, []).append(placebo.name)
    enough = needed_placebos(plan)
    return {
        one.artist: tuple(names[one.origin])
        for one in origins
        if one.origin and len(names.get(one.origin, ())) >= enough
    }


def _name_notes(
    plan: Plan,
    origins: Sequence[Origin],
    references: Mapping[str, Sequence[str]],
    rivals: Sequence[str],
    secret: SecretSeed | None,
) -> Iterable[str]:
    if secret is not None:
        yield from secret.warnings
    guessed = [one for one in origins if one.origin and one.source != STATED]
    if guessed:
        listed = "; ".join(f"{one.artist}: {one.origin} ({one.source})" for one in guessed[:8])
        more = f"; and {len(guessed) - 8} more" if len(guessed) > 8 else ""
        yield (
            f"Origins of {len(guessed)} of {len(origins)} names were guessed, for placebo names that match: {listed}"
            f"{more}. State them in a column `origin` or in artists.origins."
        )
    unknown = [one for one in origins if not one.origin]
    if unknown:
        listed = "; ".join(f"{one.artist} ({one.source})" for one in unknown[:5])
        more = f"; and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        yield f"Placebo names of all origins stand in for artists of unknown origin: {listed}{more}."
    if origins:
        yield (
            f"{len(references)} of {len(origins)} artists are compared with the placebo names of their own origin, the "
            f"others with all placebo names; an origin counts if it has {needed_placebos(plan):,} placebo names."
        )
    if rivals:
        yield (
            f"{len(rivals)} further real names are asked for, as references of the rival test: "
            f"{', '.join(rivals[:5])}{' and others' if len(rivals) > 5 else ''}. Level {plan.tests.level:g} needs "
            f"{rivals_needed(plan.tests.level)} rivals, other tested artists included."
        )


def _notes(plan: Plan, works: Sequence[Item], placebos: Mapping[str, Sequence[str]]) -> Iterable[str]:
    counts = Counter(item.artist for item in works if item.kind == "works")
    few = [name for name in plan.tested if counts[name] < FEWEST]
    if few:
        yield (
            f"{', '.join(few[:5])}{' and others' if len(few) > 5 else ''}: fewer than {FEWEST} works, so nothing can "
            "be tested."
        )
    if len({item.artist for item in works if item.artist}) < 2:
        yield "There is one artist only: an encoder cannot be judged by whom it tells from whom."
    needed = needed_placebos(plan)
    for release, names in placebos.items():
        if len(names) < needed:
            together = 1 if plan.tests.adjust == "holm" else -(-len(plan.tested) // FOUND_IN_TEN)
            yield (
                f"{release}: {len(names)} placebo names; finding {together} of {len(plan.tested)} artists at level "
                f"{plan.tests.level:g} with {plan.tests.adjust}, if no more of them "
                f"are imitated, takes {needed:,}."
            )


def works_of(path: Path) -> list[str]:
    """The artists of a folder of works, for a new plan; empty if it is not there."""
    return (
        sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        if path.is_dir()
        else []
    )
