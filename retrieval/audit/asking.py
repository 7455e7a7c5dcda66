"""The further questions of a plan, and the pictures that they need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import slug
from imindex.indexer.generate.prompts import Shot
from imindex.retrieval.audit.plan import Plan, Release
from imindex.retrieval.audit.run import Workspace
from imindex.retrieval.questions.question import Asking, collection_of
from imindex.retrieval.questions.registry import asked

SCORES = ("name_adds", "prompt_classes", "erasure", "together")
"""Questions whose every figure rests on a score that is learned from works of several artists."""


def asking_of(
    plan: Plan,
    release: Release,
    placebos: tuple[str, ...],
    rivals: tuple[str, ...],
    background: Mapping[str, int] | None = None,
) -> Asking:
    """Return what the questions of a plan may depend on, for one release."""
    return Asking(
        release=release.name,
        base=plan.base,
        releases=tuple(one.name for one in plan.releases),
        tested=plan.tested,
        placebos=tuple(placebos),
        rivals=tuple(rivals),
        templates=tuple(plan.prompts.templates),
        per_artist=plan.prompts.per_artist,
        nameless=plan.prompts.nameless,
        equal_seeds=plan.prompts.equal_seeds and not release.api,
        seed=plan.seed,
        generates=bool(release.model),
        folder=plan.folder,
        training_images=plan.training_images,
        logged=tuple(one.name for one in plan.releases if one.api or one.requests),
        generic=len(plan.prompts.generic) * plan.prompts.per_generic,
        background=background or {},
    )


def check_questions(
    plan: Plan,
    placebos: Mapping[str, tuple[str, ...]],
    rivals: Mapping[str, tuple[str, ...]],
    background: Mapping[str, int],
) -> None:
    """Refuse questions that cannot be answered; `background` is the number of works of each background artist.

    Raises
    ------
    ImindexError
    """
    _check_collections(plan)
    for release in plan.releases:
        asking = asking_of(plan, release, placebos[release.name], rivals.get(release.name, ()), background)
        for question, settings in asked(plan.questions):
            try:
                _check_works(asking, question.key)
                question.check(asking, settings)
            except ImindexError as error:
                raise ImindexError(f"{plan.path}: {error}") from error


def _check_works(asking: Asking, key: str) -> None:
    """Refuse a question that scores pictures where there are works of one artist only, before anything is generated."""
    if key in SCORES and len({*asking.tested, *asking.background}) < 2:
        raise ImindexError(
            f"questions.{key} scores how much more pictures are like an artist’s works than like those of others, but "
            f"there are works of {asking.tested[0] if asking.tested else 'nobody'} only. Add artists to "
            "artists.tested, or works of others as works.background."
        )


def _check_collections(plan: Plan) -> None:
    """Refuse a release that is called like the pictures of a question, which would be taken for its own."""
    taken: dict[str, str] = {}
    for release in plan.releases:
        for question, _ in asked(plan.questions):
            taken[collection_of(release.name, question.key).casefold()] = question.key
            taken[f"{slug(release.name)}-{question.key}".casefold()] = question.key
    for release in plan.releases:
        key = taken.get(release.name.casefold()) or taken.get(slug(release.name).casefold())
        if key:
            raise ImindexError(
                f"{plan.path}: releases: {release.name!r} is what the pictures of questions.{key} are called. "
                "Use another name for the release."
            )


def question_digests(
    plan: Plan, placebos: Mapping[str, tuple[str, ...]], rivals: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Return the digests of files that questions read, by their names in the register."""
    digests: dict[str, str] = {}
    for release in plan.releases:
        asking = asking_of(plan, release, placebos[release.name], rivals.get(release.name, ()))
        for question, settings in asked(plan.questions):
            try:
                digests.update(question.digests(asking, settings))
            except ImindexError as error:
                raise ImindexError(f"{plan.path}: {error}") from error
    return digests


def question_shots(
    plan: Plan, release: Release, placebos: tuple[str, ...], rivals: tuple[str, ...]
) -> dict[str, list[Shot]]:
    """List the pictures that the questions need of a release, by the key of the question."""
    asking = asking_of(plan, release, placebos, rivals)
    wanted = {
        question.key: list(question.shots(asking, settings)) for question, settings in asked(plan.questions)
    }
    return {key: shots for key, shots in wanted.items() if shots}


def question_sources(plan: Plan, release: Release) -> dict[str, str]:
    """Return the sources of existing pictures that questions are about, by the key of the question."""
    asking = asking_of(plan, release, (), ())
    named = {question.key: question.given(asking, settings) for question, settings in asked(plan.questions)}
    return {key: source for key, source in named.items() if source}


def questions_with_pictures(plan: Plan) -> set[str]:
    """Return the keys of the questions that cannot be answered by the main pictures."""
    return {question.key for question, _ in asked(plan.questions) if question.own_pictures}


def question_folder(workspace: Workspace, release: Release, key: str) -> Path:
    """Return the folder of the generated pictures of a question."""
    folder = workspace.pictures(release)
    return folder.with_name(f"{folder.name}-{key}")


def question_collections(plan: Plan, release: Release) -> dict[str, str]:
    """Return the collections of the questions' pictures, by the key of the question."""
    return {question.key: collection_of(release.name, question.key) for question, _ in asked(plan.questions)}
