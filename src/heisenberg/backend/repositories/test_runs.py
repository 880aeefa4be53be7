"""Queries of analysed runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.backend.models import TestRun


async def add(session: AsyncSession, organization_id: UUID, run: TestRun) -> None:
    """Keep a run as the organization's."""
    run.organization_id = organization_id
    session.add(run)
    await session.flush()
