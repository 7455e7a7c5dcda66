"""Releases that can only be reached by HTTP: their pictures, and the log of the requests for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.image_api.ask import ask, known_answers, unanswered, why_withheld
from imindex.indexer.image_api.outcome import OUTCOMES, PICTURE
from imindex.indexer.image_api.request_log import LOG, LOST, Request, final_answers, log_digest, read_log
from imindex.indexer.image_api.settings import NO_SEEDS, SEEDS_SENT, ApiSettings
from imindex.indexer.sources.find import find
from imindex.indexer.system.atomic import make_folder
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.plan import Release
from imindex.retrieval.results import BlockedPicture, RequestRecord

if TYPE_CHECKING:
    from imindex.retrieval.audit.run import Run


def api_settings(release: Release) -> ApiSettings:
    """Return what the API of a release is asked for."""
    return ApiSettings(release.api, release.model, **dict(release.settings))


def missing_by_api(release: Release, wanted: Sequence[Shot], folder: Path) -> list[Shot]:
    """Return the pictures that have no outcome yet."""
    return unanswered(wanted, folder, api_settings(release))


def ask_for(
    run: Run,
    release: Release,
    wanted: Sequence[Shot],
    folder: Path,
    collection: str,
    progress: Callable[[int, int], None],
) -> None:
    """Ask the API of a release for the pictures that have no outcome yet.

    Raises
    ------
    ImindexError
        The key is missing or refused, or pictures still have no outcome.
    """
    make_folder(folder, inside=run.workspace.folder)
    report = ask(
        wanted,
        folder,
        api_settings(release),
        asking=run.compute.asking,
        release=collection,
        seed=run.plan.seed,
        limits=run.compute.limits,
        command=run.command,
        progress=progress,
    )
    for note in report.notes:
        run.show.note(note)
    if report.lost:
        run.show.note(
            f"{collection}: {report.lost} requests of earlier runs had no answer written when the process ended. They "
            "were sent again, and may have been charged twice."
        )
    if report.unanswered:
        raise ImindexError(
            f"{collection}: {report.unanswered} of {len(wanted)} pictures have no outcome yet, as {folder / LOG} says. "
            "Run the audit again to ask for them again."
        )


def made_by_api(release: Release, folder: Path, wanted: Sequence[Shot], collection: str) -> Made:
    """Describe the pictures that an API has made, and those that it withheld."""
    settings = api_settings(release)
    requests = read_log(folder / LOG, written_here=True)
    answers = known_answers(requests, folder, settings)
    lacking = [shot for shot in wanted if shot.path not in answers]
    if lacking:
        raise ImindexError(
            f"{folder} lacks {len(lacking)} of the {len(wanted)} pictures of {collection}. Restore them from a backup, "
            "or run the audit again."
        )
    own = {shot.path: answers[shot.path] for shot in wanted}
    items = tuple(replace(item, collection=collection) for item in find([folder / "manifest.jsonl"]))
    there = sum(one.outcome == PICTURE for one in own.values())
    if len(items) != there:
        raise ImindexError(
            f"{folder / 'manifest.jsonl'} lists {len(items)} of the {there} pictures, so it has changed since it was "
            "written. Delete it and run the audit again."
        )
    log = log_digest(folder / LOG)
    return Made(
        release=release,
        items=items,
        revision="",
        digest=json_digest({"log": log, "pictures": {path: one.sha256 for path, one in own.items()}}),
        settings=settings.about(),
        text_encoders=(),
        blocked=tuple(
            BlockedPicture(path=path, prompt=one.prompt, reason=why_withheld(one))
            for path, one in own.items()
            if one.outcome != PICTURE
        ),
        requests=tuple(own.values()),
        log=request_record(requests, log, seeds=SEEDS_SENT if settings.send_seeds else NO_SEEDS),
    )


def request_record(requests: Sequence[Request], digest: str, *, seeds: str) -> RequestRecord:
    """Return what a report says of a log of requests."""
    finals = final_answers(requests)
    outcomes = Counter(one.outcome for one in finals)
    times = sorted(one.time for one in requests if one.time)
    return RequestRecord(
        log_sha256=digest,
        n_requests=len(requests),
        n_lost=sum(one.outcome == LOST for one in requests),
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        codes=dict(Counter(one.code for one in finals if one.code).most_common()),
        models=tuple(sorted({one.reported_model for one in requests if one.reported_model})),
        n_revised=sum(bool(one.revised_prompt) and one.revised_prompt != one.prompt for one in finals),
        first=times[0] if times else "",
        last=times[-1] if times else "",
        seeds=seeds,
    )


def log_digests(made: Sequence[Made]) -> Mapping[str, str]:
    """Return the digests of the logs of releases by API, and of their questions, by collection."""
    digests: dict[str, str] = {}
    for one in made:
        if not one.release.api:
            continue
        for key, part in (("", one), *one.questions.items()):
            if part.log is not None:
                digests[f"{one.release.name} / {key}" if key else one.release.name] = part.log.log_sha256
    return digests
