"""`POST /api/v1/analyses/{id}/feedback`: whether a diagnosis was right."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from heisenberg.backend.analyze_schemas import FeedbackResponse
from heisenberg.backend.auth import Writer
from heisenberg.backend.routes.analyze import no_such_analysis
from heisenberg.backend.schemas import FeedbackRequest, problems
from heisenberg.backend.services import feedback
from heisenberg.backend.state import Shared

router = APIRouter(prefix="/api/v1/analyses", tags=["analyses"])


@router.post(
    "/{analysis_id}/feedback",
    status_code=201,
    summary="Say whether an analysis was right",
    description="Kept once for each key: what it says later takes the place of what it said before "
    "(200). The latest of all keys is shown with the analysis, and calibrates later ones.",
    responses={
        200: {"description": "It replaces what the key said before.", "model": FeedbackResponse},
        **problems(404),
    },
)
async def give_feedback(
    shared: Shared,
    principal: Writer,
    analysis_id: UUID,
    request: FeedbackRequest,
    response: Response,
) -> FeedbackResponse:
    """Keep it."""
    given = await feedback.give(shared.database, principal, analysis_id, request)
    if given is None:
        raise no_such_analysis()
    kept, is_new = given
    if not is_new:
        response.status_code = HTTPStatus.OK
    return FeedbackResponse.model_validate(kept)
