"""Queries of the calls to models: what was asked, and what that cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Date, case, func, select

from heisenberg.backend.database import storable
from heisenberg.backend.models import ModelCall
from heisenberg.diagnosis.spending import CallOutcome

if TYPE_CHECKING:
    from datetime import date, datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.diagnosis.spending import Call


class Sums(NamedTuple):
    """What calls come to."""

    calls: int = 0
    answered: int = 0
    """Those with an answer whose evidence was found."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def failed(self) -> int:
        """The others: the offline diagnosis stood."""
        return self.calls - self.answered


class DayOfModel(NamedTuple):
    """The calls to one model on one day."""

    day: date
    """In UTC."""
    model: str
    sums: Sums


async def add(
    session: AsyncSession, organization_id: UUID, test_run_id: UUID | None, call: Call, at: datetime
) -> None:
    """Keep a call as the organization's."""
    session.add(
        ModelCall(
            organization_id=organization_id,
            test_run_id=test_run_id,
            model=call.model,
            prompt=call.prompt,
            fingerprint=call.fingerprint,
            outcome=call.outcome.value,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            cost_usd=call.cost_usd,
            duration_ms=call.duration_ms,
            error=storable(call.error),
            created_at=at,
        )
    )
    await session.flush()


async def sums(
    session: AsyncSession, organization_id: UUID, first: datetime, last: datetime
) -> list[DayOfModel]:
    """The organization's calls from the first to the last moment, by day and model, in that order."""
    # Both engines have it: PostgreSQL by the session's zone, which is UTC, as is what SQLite keeps.
    day = func.date(ModelCall.created_at, type_=Date)
    is_answered = case((ModelCall.outcome == CallOutcome.ANSWERED.value, 1), else_=0)
    found = await session.execute(
        select(
            day,
            ModelCall.model,
            func.count(),
            func.sum(is_answered),
            func.sum(ModelCall.input_tokens),
            func.sum(ModelCall.output_tokens),
            func.sum(ModelCall.cost_usd),
        )
        .where(
            ModelCall.organization_id == organization_id,
            ModelCall.created_at.between(first, last),
        )
        .group_by(day, ModelCall.model)
        .order_by(day, ModelCall.model)
    )
    return [DayOfModel(day, model, Sums(*sums)) for day, model, *sums in found]
