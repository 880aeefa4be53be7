"""`GET /health`, for people and monitoring; `/livez` and `/readyz`, for orchestrators. No key."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from heisenberg.backend.schemas import DetailedHealthResponse, LiveResponse, ReadyResponse
from heisenberg.backend.state import Shared

RETRY_AFTER_S = 1
"""The next look at the database is as far away."""

router = APIRouter(tags=["operations"])


@router.get(
    "/health",
    summary="How the service is",
    description="Healthy or degraded, it serves (200); unhealthy, it cannot (503). The database is "
    "asked once a second at most, and given one second to answer.",
    responses={
        200: {"description": "It serves; `reasons` tells what is not as it should be."},
        503: {"description": "It cannot serve.", "model": DetailedHealthResponse},
    },
)
@router.head("/health", include_in_schema=False)
async def health(shared: Shared, response: Response) -> DetailedHealthResponse:
    """Look, or take what was seen within the last second."""
    seen = await shared.health.health()
    _answer(response, is_well=seen.status != "unhealthy")
    return seen


@router.get(
    "/livez",
    summary="Whether the process is alive",
    description="Touches nothing: when there is no answer, restart the process.",
    responses={200: {"description": "It is alive."}},
)
@router.head("/livez", include_in_schema=False)
async def livez(response: Response) -> LiveResponse:
    """Answer."""
    _answer(response, is_well=True)
    return LiveResponse()


@router.get(
    "/readyz",
    summary="Whether requests should be sent here",
    description="Ready when the database answers and its migrations are complete, until the service "
    "is told to stop.",
    responses={
        200: {"description": "It is ready."},
        503: {"description": "It is not; `reasons` tells why.", "model": ReadyResponse},
    },
)
@router.head("/readyz", include_in_schema=False)
async def readyz(shared: Shared, response: Response) -> ReadyResponse:
    """Look, or take what was seen within the last second."""
    seen = await shared.health.readiness(is_stopping=shared.stopping)
    _answer(response, is_well=seen.status == "ready")
    return seen


def _answer(response: Response, *, is_well: bool) -> None:
    response.headers["Cache-Control"] = "no-store"
    if not is_well:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
