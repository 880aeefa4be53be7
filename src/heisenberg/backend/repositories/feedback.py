"""Queries of what people say about analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import and_, func, select

from heisenberg.backend.models import Analysis, Feedback, new_id
from heisenberg.backend.repositories.upsert import insert_into
from heisenberg.model.feedback import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def put(
    session: AsyncSession,
    organization_id: UUID,
    analysis_id: UUID,
    api_key_id: UUID,
    said: Mapping[str, Any],
) -> tuple[Feedback, bool]:
    """Keep what a key says about an analysis of the organization, instead of what it said before.

    Args:
        session: A transaction that writes.
        organization_id: Whose analysis and key it is.
        analysis_id: Of an analysis that exists.
        api_key_id: Who says it.
        said: The other columns.

    Returns:
        What is kept now, and whether it is the key's first word.
    """
    new = new_id()
    inserted = insert_into(session, Feedback).values(
        id=new,
        organization_id=organization_id,
        analysis_id=analysis_id,
        api_key_id=api_key_id,
        **said,
    )
    found = await session.scalars(
        inserted.on_conflict_do_update(
            index_elements=["organization_id", "analysis_id", "api_key_id"], set_=said
        ).returning(Feedback)
    )
    kept = found.one()
    return kept, kept.id == new


async def latest(
    session: AsyncSession, organization_id: UUID, analysis_id: UUID
) -> Feedback | None:
    """What was said last about an analysis of the organization, by whatever key."""
    return cast(
        "Feedback | None",
        await session.scalar(
            select(Feedback)
            .where(Feedback.organization_id == organization_id, Feedback.analysis_id == analysis_id)
            .order_by(Feedback.created_at.desc(), Feedback.id.desc())
            .limit(1)
        ),
    )


async def outcomes(
    session: AsyncSession, organization_id: UUID, engine: str, limit: int
) -> list[tuple[float, float]]:
    """How sure an engine was of its diagnoses, and how right it was.

    The tests of an incident have one diagnosis, so they are one datum: what was said last about any
    of them.

    Args:
        session: A transaction that reads.
        organization_id: Whose feedback counts.
        engine: Whose diagnoses.
        limit: Most that are given: the latest ones.

    Returns:
        Confidence as stated and share of right, both in [0, 1].
    """
    last = Feedback.created_at.desc(), Feedback.id.desc()
    of_incident = Analysis.test_run_id, Analysis.incident_id
    ranked = (
        select(
            Analysis.stated_confidence,
            Feedback.verdict,
            Feedback.created_at,
            func.row_number().over(partition_by=of_incident, order_by=last).label("rank"),
        )
        .join(
            Analysis,
            and_(
                Analysis.organization_id == Feedback.organization_id,
                Analysis.id == Feedback.analysis_id,
            ),
        )
        .where(
            Feedback.organization_id == organization_id,
            Analysis.engine == engine,
            Analysis.stated_confidence.is_not(None),
        )
        .subquery()
    )
    found = await session.execute(
        select(ranked.c.stated_confidence, ranked.c.verdict)
        .where(ranked.c.rank == 1)
        .order_by(ranked.c.created_at.desc())
        .limit(limit)
    )
    return [(confidence, Verdict(verdict).share) for confidence, verdict in found]
