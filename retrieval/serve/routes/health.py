"""Is the service up."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Return "ok" while the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz() -> dict[str, str]:
    """Return "ready" when queries are answered without waiting for the encoder to load."""
    return {"status": "ready"}
