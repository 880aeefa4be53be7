"""What an organization's models were asked, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from heisenberg.backend.errors import ProblemError
from heisenberg.backend.repositories import model_calls, model_spending
from heisenberg.backend.repositories.model_calls import Sums

if TYPE_CHECKING:
    from uuid import UUID

    from heisenberg.backend.database import Database
    from heisenberg.backend.repositories.model_calls import DayOfModel

MAX_DAYS: Final = 366
DEFAULT_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Period:
    """Days in UTC, the first and the last one included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of a period, and the money of today."""

    items: list[DayOfModel]
    """Days without a call to a model are left out."""
    spent_usd: float
    reserved_usd: float
    """Set aside for calls that are being made."""

    @property
    def total(self) -> Sums:
        """Of the period."""
        columns = zip(*(item.sums for item in self.items), strict=True)
        return Sums(*(sum(column) for column in columns))


def period(first: date | None, last: date | None, today: date) -> Period:
    """The days that are asked for: up to today, and `DEFAULT_DAYS` of them, unless told otherwise.

    Raises:
        ProblemError: 422, they end before they begin, or are too many.
    """
    last = last or max(today, first or today)
    first = first or last - min(timedelta(days=DEFAULT_DAYS - 1), last - date.min)
    if first > last:
        raise _wrong("from", f"{first} is after the last day, {last}")
    if (last - first).days >= MAX_DAYS:
        raise _wrong("from", f"{first} to {last} is more than {MAX_DAYS} days; ask for fewer")
    return Period(first, last)


async def read(database: Database, organization_id: UUID, asked: Period, today: date) -> Usage:
    """Sum up the organization's calls of a period, and what it has spent today."""
    async with database.read() as session:
        items = await model_calls.sums(
            session,
            organization_id,
            datetime.combine(asked.first, time.min, UTC),
            datetime.combine(asked.last, time.max, UTC),
        )
        spent = await model_spending.get(session, organization_id, today)
    return Usage(
        items,
        spent_usd=spent.spent_usd if spent else 0.0,
        reserved_usd=spent.reserved_usd if spent else 0.0,
    )


def _wrong(field: str, reason: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        f"{field}: {reason}",
        errors=[{"field": field, "reason": reason}],
    )
