"""Collect and check the inputs of an audit before long computations begin: works, existing pictures, placebo names."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from imindex.indexer.core.bounds import NAMES
from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.names import alike_note, clean_name
from imindex.indexer.core.paths import merged_roots
from imindex.indexer.generate.artist_origins import STATED, Origin, origins_of
from imindex.indexer.generate.matched_names import DRAWING, INDEPENDENT, Placebo, matched_placebos
from imindex.indexer.generate.placebo_names import placebo_names
from imindex.indexer.generate.secret_seed import SecretSeed, read_seed
from imindex.indexer.image_api.ask import why_withheld
from imindex.indexer.image_api.outcome import PICTURE
from imindex.indexer.image_api.request_log import Request, final_answers, log_digest, read_log
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.sources.urls import IN_FLIGHT
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.asking import (
    check_questions,
    question_collections,
    question_digests,
    question_sources,
    questions_with_pictures,
)
from imindex.retrieval.audit.chosen import protocol_digests
from imindex.retrieval.audit.plan import BY_ORIGIN, Plan, Release
from imindex.retrieval.audit.rivals import further_rivals, rivals_needed
from imindex.retrieval.audit.run import Run
from imindex.retrieval.questions.question import collection_of
from imindex.retrieval.results import BlockedPicture
from imindex.stats.references import references_needed
from imindex.stats.validity import FEWEST

LOG_OF = " / log of requests"
"""What follows the name of a release in the key of its log of requests, among the digests of the inputs."""
SECRET = "placebo seed"
"""The key of the secret seed among the digests of the inputs."""
FOUND_IN_TEN = 10
"""With bh and by, `placebos = "auto"` chooses enough names to find imitated artists if one in this many is imitated."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of an audit.

    Attributes
    ----------
    works : tuple of Item
        Works of the tested artists (kind works) and of all others (background), and control pictures.
    blocked : mapping from release to tuple of BlockedPicture
        Pictures that the manifest of a release in `made` marks as blocked. They are not in `made`.
    asked : mapping from release to mapping from key to tuple of Item
        Existing pictures for the further questions of the plan, blocked ones included.
    made : mapping from release to tuple of Item
        Pictures of the releases that the plan names by their pictures.
    placebos : mapping from release to tuple of str
        Placebo names of each release.
    digests : mapping
        SHA-256 over names and bytes: of `works`, and of each release in `made`.
    notes : tuple of str
        Limits of the design that are known before any result.
    drawing : int
        Version of the drawing of placebo names.
    origins : tuple of Origin
        Origins of the tested artists, if placebo names are drawn to match them.
    references : mapping from release to mapping from artist to tuple of str
        Placebo names of the artist's own origin, for the artists that are compared with these only. Releases that are
        missing here do not choose.
    rivals : mapping from release to tuple of str
        Further real names of each release.
    requests : mapping from release to tuple of Request
        The request that stands for each picture, of the releases in `made` whose log of requests the plan names.
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
    blocked: Mapping[str, tuple[BlockedPicture, ...]] = field(default_factory=dict)
    requests: Mapping[str, tuple[Request, ...]] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, tuple[Item, ...]]] = field(default_factory=dict)

    @property
    def background(self) -> tuple[str, ...]:
        """Artists who are candidates for classification but are not tested."""
        return tuple(sorted({item.artist for item in self.works if item.kind == "background"}))


def roots_of(run: Run) -> dict[str, str]:
    """Return the named roots that an audit may read: where its indexes say that they are, or the user does now."""
    roots: dict[str, str] = {}
    for encoder in run.plan.encoders:
        path = run.workspace.index(encoder)
        if path.exists():
            with Index(path) as index:
                roots = {**index.roots, **roots}
    return merged_roots(roots, run.compute.roots)


def named_roots(run: Run) -> dict[str, str]:
    """Return the roots that the user names now. Manifests may lead to no others: an index may come from a stranger."""
    return merged_roots({}, run.compute.roots)


def gather(
    plan: Plan,
    note: Callable[[str], None] = lambda _: None,
    *,
    drawing: int = DRAWING,
    roots: Mapping[str, str] | None = None,
) -> Inputs:
    """Collect and check the existing pictures, and choose the placebo names and further rivals.

    Parameters
    ----------
    plan : Plan
    note : callable
        Receives messages for the user.
    drawing : int
        Version of the drawing of placebo names: `imindex.retrieval.audit.register.drawing_of` the audit's folder.
    roots : mapping of str to str, optional
        Absolute folders, by name, that the paths of manifests may lead to.

    Raises
    ------
    ImindexError
        Works or pictures do not exist, a tested artist has no works or no imitations, or a secret seed cannot be read.
    """
    works = _works(plan, note, roots)
    known = {item.artist for item in works}
    if alike := alike_note(sorted(known | set(plan.tested))):
        note(alike)
    listed = {
        release.name: _made(plan, release, note, roots) for release in plan.releases if release.pictures
    }
    made = {name: tuple(item for item in items if not item.blocked) for name, items in listed.items()}
    logs = {one.name: _log(plan, one) for one in plan.releases if one.requests}
    for name, items in made.items():
        require_imitations(plan, name, items, blocked=len(listed[name]) - len(items), some=name in logs)
    generates = any(release.model for release in plan.releases)
    secret = read_seed(plan.prompts.placebo_seed, plan.folder) if plan.prompts.placebo_seed else None
    rivals = further_rivals(plan, known - set(plan.tested))
    invented, origins = _invented(plan, known, drawing, secret) if generates else ([], ())
    placebos = {
        release.name: tuple(placebo.name for placebo in invented)
        if release.model
        else _placebos(plan, release, made, known)
        for release in plan.releases
    }
    references = _same_origin(plan, invented, origins) if origins else {}
    digests = {"works": digest_of(works)}
    for release in plan.releases:
        if release.pictures:
            digests[release.name] = _release_digest(plan, release, made[release.name])
        if release.requests:
            digests[log_of(release.name)] = log_digest(plan.at(release.requests))
    digests |= protocol_digests(plan)
    asked = _asked(plan, note, roots)
    digests |= {
        collection_of(release, key): _asked_digest(items)
        for release, by_key in asked.items()
        for key, items in by_key.items()
    }
    if secret is not None:
        digests[SECRET] = secret.digest
    notes = [
        *_arm_notes(plan, made),
        *_notes(plan, works, placebos),
        *_name_notes(plan, origins, references, rivals, secret),
    ]
    rivals_of = {
        one.name: rivals if one.model or isinstance(plan.rivals, tuple) else tuple(of_arm)
        for one in plan.releases
        if (of_arm := sorted(_of_arm(made.get(one.name, ()), "rival") - set(plan.tested)))
        or one.model
        or isinstance(plan.rivals, tuple)
    }
    background = Counter(item.artist for item in works if item.kind == "background")
    check_questions(plan, placebos, rivals_of, background)
    digests |= question_digests(plan, placebos, rivals_of)
    return Inputs(
        tuple(works), made, placebos, digests, tuple(notes),
        drawing=drawing,
        origins=origins,
        references={one.name: references for one in plan.releases if one.model and origins},
        rivals=rivals_of,
        asked=asked,
        requests=logs,
        blocked={
            name: _withheld(logs[name]) if name in logs else blocked_of(plan, items)
            for name, items in listed.items()
        },
    )  # fmt: skip


def blocked_of(plan: Plan, items: Iterable[Item]) -> tuple[BlockedPicture, ...]:
    """Return the pictures that a manifest marks as blocked."""
    return tuple(
        BlockedPicture(
            path=item.path if is_url(item.path) else os.path.relpath(item.path, plan.folder),
            prompt=item.prompt,
            reason=item.blocked,
        )
        for item in items
        if item.blocked
    )


def log_of(release: str) -> str:
    """Return the key of the log of requests of a release among the digests of the inputs."""
    return f"{release}{LOG_OF}"


def _log(plan: Plan, release: Release) -> tuple[Request, ...]:
    """Return the requests that stand for the pictures of a release."""
    try:
        return final_answers(read_log(plan.at(release.requests)))
    except FileNotFoundError:
        raise ImindexError(
            f"{plan.path}: {release.name}.requests: {plan.at(release.requests)} does not exist. Correct the path."
        ) from None


def _withheld(requests: Sequence[Request]) -> tuple[BlockedPicture, ...]:
    """Return the pictures that a log of another program says were not made."""
    return tuple(
        BlockedPicture(path=one.path, prompt=one.prompt, reason=why_withheld(one))
        for one in final_answers(requests)
        if one.outcome != PICTURE
    )


def _asked(
    plan: Plan, note: Callable[[str], None], roots: Mapping[str, str] | None
) -> dict[str, dict[str, tuple[Item, ...]]]:
    """Return the existing pictures of the questions: those of their collections in the manifests of the releases, and
    those that the questions name."""
    asked: dict[str, dict[str, tuple[Item, ...]]] = {}
    for release in plan.releases:
        collections = question_collections(plan, release)
        if not release.pictures or not collections:
            continue
        items = _find(plan, f"the pictures of {release.name}", release.pictures, "imitations", note, roots)
        found = {
            key: tuple(
                item for item in items if item.collection == name and item.kind in ("imitations", "control")
            )
            for key, name in collections.items()
        }
        asked[release.name] = {key: own for key, own in found.items() if own}
        known = {
            name for one in plan.releases for name in (one.name, *question_collections(plan, one).values())
        }
        others = sorted({item.collection for item in items} - known)
        for key in sorted(questions_with_pictures(plan) - asked[release.name].keys()):
            note(_without_pictures(release, key, collections[key], others))
    for release in plan.releases:
        for key, source in question_sources(plan, release).items():
            name = collection_of(release.name, key)
            items = _find(plan, f"questions.{key}", source, "imitations", note, roots, collection=name)
            asked.setdefault(release.name, {})[key] = tuple(replace(item, collection=name) for item in items)
    return asked


def _without_pictures(release: Release, key: str, collection: str, others: Sequence[str]) -> str:
    """Say that the pictures of a question are missing; `others` are collections that nothing in the plan is about."""
    near = difflib.get_close_matches(collection, others, 1, 0.8)
    remedy = f"Correct {near[0]!r} to that" if near else "List them, with their prompts, arms and seeds"
    return (
        f"{release.name}: {release.pictures} lists no pictures of the collection {collection!r}, so questions.{key} "
        f"will not be answered. {remedy}, or remove the question."
    )


def _asked_digest(items: Sequence[Item]) -> str:
    """Return a SHA-256 over pictures of a question, each with its arm, prompt and seed.

    They are bound to the picture: the prompt says to which class, or pair, a picture belongs, and exchanging those of
    two pictures after the results were seen would change the answer.
    """
    return json_digest(
        sorted(
            [item.kind, item.artist, item.arm, item.prompt, item.seed, item.blocked, bytes_]
            for item, bytes_ in zip(items, _bytes_digests(items), strict=True)
        )
    )


def needed_placebos(plan: Plan) -> int:
    """Return the number of placebo names that the level and the correction require.

    Holm: enough to find a single artist, number of artists / level. Benjamini-Hochberg and Benjamini-Yekutieli: enough
    to find a tenth of the artists together; for Benjamini-Yekutieli, multiplied by the sum of 1 / i.
    """
    n, level = len(plan.tested), plan.tests.level
    if plan.tests.adjust == "holm":
        return references_needed(level, n)
    if plan.tests.adjust == "by":
        level /= sum(1 / i for i in range(1, n + 1))
    together = -(-n // FOUND_IN_TEN)
    return references_needed(level * together / n)


def digest_of(items: Sequence[Item]) -> str:
    """Return a SHA-256 over kind, artist and bytes of pictures, independent of their order and location."""
    lines = sorted(
        f"{item.kind}\0{item.artist}\0{bytes_}"
        for item, bytes_ in zip(items, _bytes_digests(items), strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _bytes_digests(items: Sequence[Item]) -> list[str]:
    with ThreadPoolExecutor(IN_FLIGHT if any(is_url(item.path) for item in items) else None) as pool:
        return list(pool.map(bytes_digest, items))


def _release_digest(plan: Plan, release: Release, items: Sequence[Item]) -> str:
    """Return a SHA-256 over the pictures of a release, and the names that its manifest chose for the comparison.

    Names that the plan lists are registered with the plan. Those that the arms of a manifest say would otherwise be
    open to change after the results were seen; so would the prompts and seeds, which say whose pictures are compared.
    """
    pictures = digest_of(items)
    chosen = {
        "placebo": [] if release.placebos else sorted(_of_arm(items, "placebo")),
        "rival": [] if isinstance(plan.rivals, tuple) else sorted(_of_arm(items, "rival")),
    }
    asked = sorted([item.artist, item.prompt, item.seed] for item in items)
    return json_digest([pictures, chosen, asked]) if any(chosen.values()) else pictures


def bytes_digest(item: Item) -> str:
    """Return the SHA-256 of a picture's bytes."""
    try:
        return hashlib.sha256(read_bytes(item.path)).hexdigest()
    except (OSError, BadPicture):
        return "unreadable"


def _find(  # noqa: PLR0913
    plan: Plan,
    key: str,
    path: str,
    kind: str,
    note: Callable[[str], None],
    roots: Mapping[str, str] | None,
    *,
    collection: str | None = None,
    artist: str | None = None,
) -> list[Item]:
    try:
        return list(
            find([plan.source(path)], kind=kind, collection=collection, artist=artist, roots=roots, note=note)
        )
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: {key}: {error}") from error


def _works(plan: Plan, note: Callable[[str], None], roots: Mapping[str, str] | None) -> list[Item]:
    tested = set(plan.tested)
    works = _find(plan, "works.tested", plan.works, "works", note, roots)
    works = _of_kinds(works, "works", "background")
    items = [
        item
        if item.artist in tested and item.kind == "works"
        else replace(item, kind="background", collection="background")
        for item in works
        if item.kind == "works" or plan.background != plan.works  # the same manifest lists them below
    ]
    if plan.background:
        others = _find(plan, "works.background", plan.background, "background", note, roots)
        others = _of_kinds(others, "background")
        both = sorted({item.artist for item in others} & tested)
        if both:
            raise ImindexError(
                f"{plan.path}: works.background contains the tested artist {both[0]}. Move these works to {plan.works}."
            )
        items += others
    if plan.control:
        controls = _of_kinds(_find(plan, "works.control", plan.control, "control", note, roots), "control")
        items += _of_no_release(plan, controls)
    background = sorted({item.artist for item in items if item.kind == "background"} & tested)
    if background:
        raise ImindexError(
            f"{plan.path}: works.tested lists pictures of the tested artist {background[0]} as background. Correct "
            "their kind."
        )
    items = [item for item in items if not item.blocked]
    counts = Counter(item.artist for item in items if item.kind == "works")
    missing = [name for name in plan.tested if not counts[name]]
    if missing:
        near = difflib.get_close_matches(missing[0], {item.artist for item in works} - tested, 1)
        place = plan.source(plan.works)
        put = (
            f"Put works into {place}/NAME, or list them in the manifest."
            if is_url(place)
            else f"List works of this artist in {place}."
            if Path(place).is_file()
            else f"Put works into {Path(place) / 'NAME'}."
        )
        hint = f"Did you mean {near[0]}?" if near else put
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ImindexError(f"{plan.path}: artists.tested: {missing[0]}{more} has no works in {place}. {hint}")
    return items


def _of_kinds(items: Iterable[Item], *kinds: str) -> list[Item]:
    """Leave out the pictures of other kinds, which a manifest of everything lists as well. No work is blocked."""
    return [item for item in items if item.kind in kinds]


def _of_no_release(plan: Plan, controls: Sequence[Item]) -> list[Item]:
    """Leave out the control pictures of a release, which come with its imitations."""
    releases = {release.name for release in plan.releases if release.pictures == plan.control}
    return [item for item in controls if item.collection not in releases]


def _of_release(plan: Plan, release: Release, items: Sequence[Item]) -> Sequence[Item]:
    """Leave out the pictures of other releases, which the manifest names in its column `collection`.

    Raises
    ------
    ImindexError
        If the manifest lists several releases, but none of this name.
    """
    releases = {item.collection for item in items if item.kind == "imitations"}
    if len(releases) > 1 and release.name not in releases:
        raise ImindexError(
            f"{plan.path}: {release.pictures} lists the releases {', '.join(sorted(releases)[:5])}, but none is "
            f"called {release.name}. Correct the name of the release, or the column `collection`."
        )
    if release.name not in releases:
        return items
    own = [item for item in items if item.collection == release.name]
    if any(item.kind == "control" for item in own):
        return own
    return [*own, *(item for item in items if item.collection not in releases)]  # controls of no release


def _made(
    plan: Plan, release: Release, note: Callable[[str], None], roots: Mapping[str, str] | None
) -> tuple[Item, ...]:
    key = f"the pictures of {release.name}"
    pictures = _find(plan, key, release.pictures, "imitations", note, roots, collection=release.name)
    items = [
        replace(item, collection=release.name)
        for item in _of_release(plan, release, _of_kinds(pictures, "imitations", "control"))
    ]
    return tuple(items)


def require_imitations(
    plan: Plan, release: str, items: Iterable[Item], *, blocked: int = 0, some: bool = False
) -> None:
    """Refuse a release without imitations of a tested artist; with `some`, only one without any of them.

    A log of requests says which pictures were refused, so that an artist without pictures is an outcome.

    Raises
    ------
    ImindexError
    """
    imitated = {item.artist for item in items if item.kind == "imitations"}
    missing = [name for name in plan.tested if name not in imitated]
    if some and len(missing) < len(plan.tested):
        return
    if missing:
        who = "any tested artist" if len(missing) == len(plan.tested) else ", ".join(missing[:3])
        if blocked:
            raise ImindexError(
                f"{plan.path}: {release} has no imitations of {who}: {blocked} pictures were blocked, because a safety "
                "filter rejected them or they have a single colour. See its manifest.jsonl, and try another model or "
                "other settings."
            )
        more = f" and {len(missing) - 3} more" if who != "any tested artist" and len(missing) > 3 else ""
        raise ImindexError(
            f"{plan.path}: {release} has no imitations of {who}{more}. Add pictures in folders of these names, or "
            "remove the names from artists.tested."
        )


def _placebos(
    plan: Plan, release: Release, made: Mapping[str, Sequence[Item]], known: set[str]
) -> tuple[str, ...]:
    """Return the placebo names of a release of existing pictures: by the plan's patterns, or else by its manifest."""
    if not release.placebos:
        return tuple(_refuse_works(plan, release, _of_arm(made[release.name], "placebo"), known))
    names = sorted({item.artist for item in made[release.name] if item.kind == "imitations"})
    placebos: set[str] = set()
    for pattern in release.placebos:
        fits = {name for name in names if fnmatch.fnmatchcase(name, clean_name(pattern))}
        if not fits:
            raise ImindexError(
                f'{plan.path}: {release.name}.placebos: no pictures have a name that matches "{pattern}". '
                f"Correct the pattern, or add the pictures to {release.pictures}."
            )
        placebos.update(_refuse_works(plan, release, fits, known, pattern))
    return tuple(sorted(placebos))


def _of_arm(items: Iterable[Item], arm: str) -> set[str]:
    return {item.artist for item in items if item.arm == arm}


def _refuse_works(
    plan: Plan, release: Release, names: Iterable[str], known: set[str], pattern: str = ""
) -> list[str]:
    """Return placebo names, sorted, if none of them is an artist with works."""
    folded = {name.casefold() for name in {*known, *plan.tested}}
    real = sorted(name for name in names if name.casefold() in folded)
    if real:
        remedy = (
            f'Narrow "{pattern}".'
            if pattern
            else "Correct its arm in the manifest, or list them in the plan."
        )
        raise ImindexError(
            f"{plan.path}: {release.name}.placebos: {real[0]} has works, so it is not a placebo name. {remedy}"
        )
    return sorted(names)


def _arm_notes(plan: Plan, made: Mapping[str, Sequence[Item]]) -> Iterable[str]:
    """Say which names a manifest made placebo names, and where the plan contradicts a manifest."""
    for release in plan.releases:
        of_arm = _of_arm(made.get(release.name, ()), "placebo")
        if of_arm and not release.placebos:
            yield f"{release.name}: {len(of_arm)} placebo names, from the manifest."
        patterns = release.placebos
        others = {
            item.artist: item.arm for item in made.get(release.name, ()) if item.arm not in ("", "placebo")
        }
        wrong = sorted(
            name for name in others if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        )
        if wrong:
            yield (
                f"{release.name}.placebos takes {wrong[0]} for a placebo name, but the manifest says "
                f"{others[wrong[0]]} ({len(wrong)} such names)."
            )
        left = sorted(
            name for name in of_arm if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        )
        if patterns and left:
            yield (
                f"{release.name}.placebos leaves out {left[0]}, which the manifest calls a placebo name ({len(left)} "
                "such names)."
            )


def _invented(
    plan: Plan, known: set[str], drawing: int, secret: SecretSeed | None
) -> tuple[list[Placebo], tuple[Origin, ...]]:
    """Draw the placebo names of models; and return the origins of the artists that they match, if they do."""
    n, avoid = plan.prompts.placebos, sorted({*known, *plan.tested})
    wanted = n if isinstance(n, int) else needed_placebos(plan)
    if wanted > NAMES.most:
        raise ImindexError(
            f"{plan.path}: prompts.placebos is {n!r}, which takes {wanted:,} names at tests.level "
            f"{plan.tests.level:g} with {plan.tests.adjust}. Write {NAMES}, or a higher level."
        )
    if drawing == INDEPENDENT:
        seed = plan.seed if secret is None else secret.key.hex()
        return [Placebo(name, "", "") for name in placebo_names(wanted, seed=seed, avoid=avoid)], ()
    origins = tuple(origins_of(plan.tested, plan.origins))
    by_origin = n == BY_ORIGIN
    if by_origin:
        wanted *= len({one.origin for one in origins})
        NAMES.check(wanted, f"{plan.path}: prompts.placebos: the number of names of all origins")
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
    if rivals and any(release.model for release in plan.releases):
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
            f"{', '.join(few[:5])}{' and others' if len(few) > 5 else ''}: not tested, because a test needs at least "
            f"{FEWEST} works."
        )
    if len({item.artist for item in works if item.artist}) < 2:
        yield "There is only one artist with works, so it cannot be tested whether the encoder distinguishes artists."
    needed = needed_placebos(plan)
    for release, names in placebos.items():
        if len(names) < needed:
            together = 1 if plan.tests.adjust == "holm" else -(-len(plan.tested) // FOUND_IN_TEN)
            yield (
                f"{release}: {len(names)} placebo names. Finding {together} of {len(plan.tested)} artists at level "
                f"{plan.tests.level:g} with {plan.tests.adjust}, if no more are imitated, takes {needed:,}."
            )
