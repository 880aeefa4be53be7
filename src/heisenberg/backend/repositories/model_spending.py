"""Queries of what an organization has spent on models on a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import case

from heisenberg.backend.models import ModelSpending
from heisenberg.backend.repositories.upsert import insert_into

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

NOTHING_USD: Final = 1e-9
"""What sums of fractions may leave behind."""
_KEY = ["organization_id", "day"]


async def get(session: AsyncSession, organization_id: UUID, day: date) -> ModelSpending | None:
    """The organization's day; None before its first call."""
    return await session.get(ModelSpending, (organization_id, day))


async def reserve(
    session: AsyncSession, organization_id: UUID, day: date, cost_usd: float, limit_usd: float
) -> bool:
    """Set money aside, unless more than the limit would be spent and set aside then.

    What is free stays so beyond the limit, too.
    """
    if not cost_usd <= limit_usd:
        return False  # the first one of a day is inserted, whatever the condition below
    total_usd = ModelSpending.spent_usd + ModelSpending.reserved_usd + cost_usd
    done = await session.execute(
        insert_into(session, ModelSpending)
        .values(organization_id=organization_id, day=day, spent_usd=0.0, reserved_usd=cost_usd)
        .on_conflict_do_update(
            index_elements=_KEY,
            set_={"reserved_usd": ModelSpending.reserved_usd + cost_usd},
            where=total_usd <= limit_usd if cost_usd > 0 else None,
        )
        .returning(ModelSpending.day)
    )
    return done.first() is not None


async def book(
    session: AsyncSession, organization_id: UUID, day: date, reserved_usd: float, cost_usd: float
) -> None:
    """Give back what was set aside, and add what was spent; neither sum falls below nothing."""
    left_usd = ModelSpending.reserved_usd - reserved_usd
    await session.execute(
        insert_into(session, ModelSpending)
        .values(organization_id=organization_id, day=day, spent_usd=cost_usd, reserved_usd=0.0)
        .on_conflict_do_update(
            index_elements=_KEY,
            set_={
                "spent_usd": ModelSpending.spent_usd + cost_usd,
                "reserved_usd": case((left_usd > NOTHING_USD, left_usd), else_=0.0),
            },
        )
    )
