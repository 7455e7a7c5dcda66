"""Audits: findings, reports, candidates for copies, and comparisons."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from msgspec.structs import replace
from pydantic import Field

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval import api
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.report.text import change, meaning
from imindex.retrieval.results import GatedComparison, RegisterEntry
from imindex.retrieval.results.base import Result, to_json
from imindex.retrieval.serve.audits import (
    ArtistInAudit,
    Audit,
    AuditSummary,
    Candidate,
    artist_in,
    history,
    summary,
)
from imindex.retrieval.serve.openapi import answers, document_also, files
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.state import Here, State, answer

router = APIRouter(prefix="/api/v1", tags=["audits"])
_MEDIA = {
    "report.html": "text/html; charset=utf-8",
    "report.json": "application/json",
    "artists.csv": "text/csv; charset=utf-8",
    "register.jsonl": "application/x-ndjson",
    "runs.jsonl": "application/x-ndjson",
}
_REPORT_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-popups allow-downloads"
)
"""The report is one file with its own scripts, and runs in an origin of its own, from which it reaches nothing here."""


class AuditList(Result, kw_only=True, frozen=True):
    """The audits that are served."""

    audits: tuple[AuditSummary, ...]


class Register(Result, kw_only=True, frozen=True):
    """The register of an audit, oldest entry first."""

    entries: tuple[RegisterEntry, ...]


class FindingMeaning(Result, kw_only=True, frozen=True):
    """What a finding says.

    Attributes
    ----------
    finding, meaning : str
    significant : bool
        Whether an effect is shown.
    """

    finding: str
    meaning: str
    significant: bool


class FindingList(Result, kw_only=True, frozen=True):
    """All findings, strongest first."""

    findings: tuple[FindingMeaning, ...]


class CompareResponse(Result, kw_only=True, frozen=True):
    """A comparison of two releases.

    Attributes
    ----------
    sentence : str
        What changed over all artists, as a report says it.
    result : GatedComparison
        As `imindex compare --json` prints it.
    """

    sentence: str
    result: GatedComparison


class CandidateList(Result, kw_only=True, frozen=True):
    """Pairs of pictures that an audit's report lists, candidates for copies first."""

    candidates: tuple[Candidate, ...]


@document_also
class Decision(Result, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person says of a candidate.

    Attributes
    ----------
    release, picture : str
        As in the list of candidates: the release, and the path of the imitation.
    imitation_sha256, work_sha256 : str
        Of the two pictures that the person looked at, as in the list.
    copy : bool
    by : str
        Name of the person.
    note : str
    """

    release: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    picture: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    imitation_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    work_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    copy: bool
    by: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    note: Annotated[str, msgspec.Meta(max_length=10_000)] = ""


_DECISION: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Decision"},
                "example": {
                    "release": "final", "picture": "imitations/final/Ada Example/1.png", "imitation_sha256": "0" * 64,
                    "work_sha256": "1" * 64, "copy": False, "by": "Eve Example",
                },
            }
        },
    }
}  # fmt: skip


@router.get("/audits", operation_id="list_audits", response_model=None, responses=answers(AuditList))
def list_audits(here: Here) -> Response:
    """List the audits, also unfinished ones."""
    return answer(AuditList(audits=tuple(_summary(here, audit) for audit in here.catalog.audits.values())))


@router.get("/findings", operation_id="list_findings", response_model=None, responses=answers(FindingList))
def list_findings(together: bool = False) -> Response:
    """List the findings and what each says; `together` is for several encoders in one test."""
    return answer(
        FindingList(
            findings=tuple(
                FindingMeaning(
                    finding=str(one), meaning=meaning(one, together=together), significant=one in SIGNIFICANT
                )
                for one in Finding
            )
        )
    )


@router.get(
    "/audits/{audit}", operation_id="get_audit", response_model=None, responses=answers(AuditSummary, 404)
)
def get_audit(here: Here, audit: str) -> Response:
    """Return one audit."""
    return answer(_summary(here, here.catalog.audit(audit)))


@router.get(
    "/audits/{audit}/register",
    operation_id="get_register",
    response_model=None,
    responses=answers(Register, 404),
)
def get_register(here: Here, audit: str) -> Response:
    """Return the register: plans, amendments and decisions."""
    return answer(Register(entries=here.catalog.audit(audit).current().entries))


@router.get(
    "/audits/{audit}/artists/{artist:path}", operation_id="get_artist_in_audit", response_model=None,
    responses=answers(ArtistInAudit, 404, 409),
)  # fmt: skip
def get_artist_in_audit(here: Here, audit: str, artist: str) -> Response:
    """Return what an audit says of an artist, over releases and encoders."""
    return answer(artist_in(here.catalog.audit(audit), artist))


@router.get(
    "/audits/{audit}/report", operation_id="get_report", response_model=None, responses=files("text/html")
)
def get_report(here: Here, audit: str) -> Response:
    """Return the report as the page that the audit wrote."""
    return _file(here, here.catalog.audit(audit), "report.html", inline=True)


@router.get(
    "/audits/{audit}/files/{name}", operation_id="get_audit_file", response_model=None,
    responses=files(*dict.fromkeys(media.partition(";")[0] for media in _MEDIA.values())),
)  # fmt: skip
def get_audit_file(here: Here, audit: str, name: str) -> Response:
    """Return a file of an audit: report.html, report.json, artists.csv, register.jsonl or runs.jsonl."""
    if name not in _MEDIA:
        raise Problem(404, f"{name!r} is no file that is served. There are: {', '.join(_MEDIA)}.")
    return _file(here, here.catalog.audit(audit), name)


@router.get(
    "/audits/{audit}/candidates", operation_id="list_candidates", response_model=None,
    responses=answers(CandidateList, 404, 409),
)  # fmt: skip
def list_candidates(here: Here, audit: str) -> Response:
    """List candidates for copies, with what people said of them. None is a copy until a person confirms it."""
    return answer(_candidates(here, here.catalog.audit(audit)))


@router.post(
    "/audits/{audit}/decisions", operation_id="decide", response_model=None, openapi_extra=dict(_DECISION),
    responses=answers(CandidateList, 404, 409, 429),
)  # fmt: skip
async def decide(here: Here, request: Request, audit: str) -> Response:
    """Record in the audit's register that a candidate is a copy, or that it is none. Nothing is removed from it."""
    one = here.catalog.audit(audit)
    try:
        decision = msgspec.json.decode(await request.body(), type=Decision)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(422, f"The decision cannot be read: {error}.") from error
    if not decision.by.strip():
        raise Problem(422, "A decision has a name to it. Say whose it is in the field `by`.")
    if any(not character.isprintable() for character in decision.by):
        raise Problem(422, "by: the name has characters that cannot be printed.")
    async with here.work.slot():  # what has begun is recorded, also if the client goes away
        return answer(await here.work.decode(lambda: _decided(here, one, decision)))


@router.get(
    "/compare", operation_id="compare", response_model=None, responses=answers(CompareResponse, 404, 409, 429)
)  # fmt: skip
async def compare(
    here: Here,
    base: Annotated[str, Query(max_length=600, description="AUDIT:RELEASE, with the audit's identifier.")],
    new: Annotated[str, Query(max_length=600, description="AUDIT:RELEASE.")],
    encoder: Annotated[str, Query(max_length=300)] = "",
    fail_if: Annotated[
        list[Annotated[str, Field(max_length=300)]],
        Query(max_length=32, description="Conditions, as of `imindex compare --fail-if`."),
    ] = [],  # noqa: B006
) -> Response:
    """Compare two releases of audits, as `imindex compare` does with their reports."""
    words = [_word(here, one) for one in (base, new)]
    # The two reports decide the answer, so it is kept until one changes.
    key = (
        *words,
        encoder,
        tuple(fail_if),
        *(here.catalog.audit(one.partition(":")[0]).report().digest for one in (base, new)),
    )
    made = here.comparisons.of(
        key, lambda: here.work.slow(lambda: _compared(words, encoder, fail_if, here.catalog.without_folders))
    )
    async with here.work.slot():
        late = "The releases are still being compared after {:g} s. Ask again: the answer is kept."
        kept = await here.work.in_time(asyncio.shield(made), late)
    return Response(kept, media_type="application/json")


def _compared(
    words: list[str], encoder: str, conditions: list[str], without_folders: Callable[[str], str]
) -> bytes:
    try:
        result = api.compare(words[0], words[1], fail_if=conditions, encoder=encoder or None)
    except ImindexError as error:
        raise Problem(422, str(error)) from error
    base, new = (replace(side, index=_name(side.index)) for side in (result.base, result.new))
    result = replace(result, base=base, new=new, notes=tuple(map(without_folders, result.notes)))
    return to_json(CompareResponse(sentence=change(result), result=result))


def _name(index: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return Path(index).name if isinstance(index, str) else tuple(Path(one).name for one in index)


def _word(here: State, given: str) -> str:
    """Return what `imindex.compare` takes for AUDIT:RELEASE."""
    id, _, release = given.partition(":")
    audit = here.catalog.audit(id)
    names = [one.name for one in audit.report().releases]
    if release and release not in names:
        raise Problem(404, f"The audit {audit.name} has no release {release!r}. It has {', '.join(names)}.")
    if not release and len(names) > 1:
        raise Problem(422, f"The audit {audit.name} has several releases. Name one: {id}:{names[0]}.")
    return f"{audit.folder / 'report.json'}:{release or names[0]}"


def _summary(here: State, audit: Audit) -> AuditSummary:
    made = summary(audit, tuple(one.id for one in here.catalog.indexes_of(audit.id)))
    return replace(made, reason=here.catalog.without_folders(made.reason))


def _candidates(here: State, audit: Audit) -> CandidateList:
    audit.report()
    try:
        listed = api.copy_candidates(audit.folder)
    except ImindexError as error:
        raise Problem(409, str(error)) from error
    entries = audit.current().entries
    wanted = {digest for one in listed for digest in (one.pair.imitation_sha256, one.pair.work_sha256)}
    rows: dict[str, dict[str, int]] = {}
    for served in here.catalog.indexes_of(audit.id):
        try:
            rows[served.id] = served.rows().with_digests(wanted)
        except Problem:
            continue
    found = []
    for one in listed:
        index = next(
            (
                id
                for id, known in rows.items()
                if {one.pair.imitation_sha256, one.pair.work_sha256} <= set(known)
            ),
            "",
        )
        known = rows.get(index, {})
        found.append(
            Candidate(
                release=one.release,
                pair=one.pair,
                index=index,
                imitation_row=known.get(one.pair.imitation_sha256),
                work_row=known.get(one.pair.work_sha256),
                history=history(entries, one.pair),
            )
        )
    return CandidateList(candidates=tuple(found))


def _decided(here: State, audit: Audit, decision: Decision) -> CandidateList:
    word = f"{decision.release}/{decision.picture}"
    copies, rejected = ([word], []) if decision.copy else ([], [word])
    try:
        api.confirm_copies(
            audit.folder, copies, rejected, by=decision.by, note=decision.note, command="imindex serve",
            seen={word: (decision.imitation_sha256, decision.work_sha256)},
        )  # fmt: skip
    except ImindexError as error:
        raise Problem(409, str(error)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Problem(
            409, f"The decision was not recorded: the folder of {audit.name} cannot be written to: {reason}."
        ) from error
    return _candidates(here, audit)


def _file(here: State, audit: Audit, name: str, *, inline: bool = False) -> Response:
    if not name.endswith(".jsonl"):
        audit.report()
    path = audit.folder / name
    if not path.is_file() or path.is_symlink():
        raise Problem(404, f"The audit {audit.name} has no {name}.")
    if not os.access(path, os.R_OK):
        raise Problem(409, f"{name} of the audit {audit.name} may not be read. Change its permissions.")
    headers = {"Content-Security-Policy": _REPORT_CSP} if name.endswith(".html") else {}
    return FileResponse(
        path,
        media_type=_MEDIA[name],
        headers=headers,
        filename=None if inline else f"{audit.id}-{name}",
        content_disposition_type="inline" if inline else "attachment",
    )
