"""Queries of what was found for single tests."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select
from sqlalchemy.orm import joinedload

from heisenberg.backend.models import Analysis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

BATCH_ROWS = 1000
"""Between batches the event loop serves others."""


async def add_all(
    session: AsyncSession, organization_id: UUID, rows: Iterable[Mapping[str, Any]]
) -> None:
    """Keep what was found, by column, as the organization's."""
    left = iter(rows)
    while batch := list(islice(left, BATCH_ROWS)):
        await session.execute(
            insert(Analysis), [{**row, "organization_id": organization_id} for row in batch]
        )


async def get(session: AsyncSession, organization_id: UUID, analysis_id: UUID) -> Analysis | None:
    """One of the organization's, with its run; None when it has none of this id."""
    found = await session.execute(
        select(Analysis)
        .where(Analysis.organization_id == organization_id, Analysis.id == analysis_id)
        .options(joinedload(Analysis.test_run, innerjoin=True))
    )
    return found.scalar_one_or_none()


async def exists(session: AsyncSession, organization_id: UUID, analysis_id: UUID) -> bool:
    """Whether the organization has an analysis of this id."""
    found = await session.scalar(
        select(Analysis.id).where(
            Analysis.organization_id == organization_id, Analysis.id == analysis_id
        )
    )
    return found is not None
