"""Keep what people say about analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heisenberg.backend.database import storable
from heisenberg.backend.logging import get_logger
from heisenberg.backend.models import now
from heisenberg.backend.repositories import analyses, feedback

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from heisenberg.backend.auth import Principal
    from heisenberg.backend.database import Database
    from heisenberg.backend.models import Feedback
    from heisenberg.backend.schemas import FeedbackRequest

log = get_logger(__name__)


async def give(
    database: Database,
    principal: Principal,
    analysis_id: UUID,
    said: FeedbackRequest,
    clock: Callable[[], datetime] = now,
) -> tuple[Feedback, bool] | None:
    """Keep what a key says about an analysis, instead of what it said before.

    Returns:
        What is kept now, and whether it is the key's first word; None when the organization has no
        analysis of this id.
    """
    row: dict[str, Any] = {
        "verdict": said.verdict.value,
        "owner": said.owner and said.owner.value,
        "mechanism": said.mechanism and said.mechanism.value,
        "comment": said.comment and storable(said.comment),
        "created_at": clock(),
    }
    organization_id = principal.organization_id
    async with database.write() as session:
        if not await analyses.exists(session, organization_id, analysis_id):
            return None
        kept = await feedback.put(session, organization_id, analysis_id, principal.key_id, row)
    log.info("feedback.given", analysis_id=analysis_id, verdict=said.verdict.value)
    return kept
