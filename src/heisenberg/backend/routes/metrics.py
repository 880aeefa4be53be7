"""`GET /metrics`, for Prometheus: no key and no limit, so keep it inside."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from heisenberg.backend.state import Shared

router = APIRouter(tags=["operations"])


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="What is measured, for Prometheus",
    description=(
        "Text for Prometheus, or OpenMetrics when `Accept` asks for it. It needs no key and is not "
        "rate limited: let only your monitoring reach it."
    ),
    response_class=Response,
    responses={
        200: {
            "description": "Every series of this process.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            },
        }
    },
)
async def metrics(request: Request, shared: Shared) -> Response:
    """Encode the registry."""
    body, media_type = shared.metrics.exposition(request.headers.get("Accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
