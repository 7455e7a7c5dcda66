"""Is the service up, and its figures."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from imindex.retrieval.results.base import Result
from imindex.retrieval.serve.guard import STRANGER
from imindex.retrieval.serve.openapi import answers, problems
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.state import Here, answer

router = APIRouter(tags=["health"])


class Health(Result, omit_defaults=True, kw_only=True, frozen=True):
    """State of the service.

    Attributes
    ----------
    status : str
        ok, ready or waiting.
    waits_for : tuple of str
        What is not ready, in sentences.
    failed : tuple of str
        Encoders that cannot be loaded, in sentences. Waiting does not help; everything else is answered.
    """

    status: str
    waits_for: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@router.get("/healthz", operation_id="health", response_model=None, responses=answers(Health))
async def healthz() -> Response:
    """Return "ok" while the process answers."""
    return answer(Health(status="ok"))


@router.get("/readyz", operation_id="readiness", response_model=None, responses=answers(Health, 503))
def readyz(here: Here, request: Request) -> Response:
    """Return "ready" when queries are answered without waiting; 503 says what is not ready, to those with the token."""
    missing: list[str] = []
    failed: list[str] = []
    for hosted in here.encoders.all():
        if hosted.state == "loading":
            missing.append(f"The encoder {hosted.name} is being loaded.")
        elif hosted.state == "failed":
            failed.append(f"The encoder {hosted.name} cannot be loaded: {hosted.reason}")
    for served in here.catalog.indexes.values():
        try:
            served.current()
        except Problem as problem:
            missing.append(str(problem))
    shown = (
        Health(status="waiting" if missing else "ready")
        if request.scope.get(STRANGER)
        else Health(
            status="waiting" if missing else "ready",
            waits_for=tuple(map(here.catalog.without_folders, missing)),
            failed=tuple(map(here.catalog.without_folders, failed)),
        )
    )
    return answer(shown, 503 if missing else 200)


@router.get(
    "/metrics", operation_id="metrics", response_model=None,
    responses={
        200: {"description": "Figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(),
    },
)  # fmt: skip
def metrics(here: Here) -> Response:
    """Return figures for Prometheus."""
    for served in here.catalog.indexes.values():
        try:
            current = served.current()
        except Problem:
            continue
        here.metrics.rows.labels(served.id).set(len(current.index))
        here.metrics.generation.labels(served.id).set(current.number)
    return Response(here.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
