"""`GET /api/v1/usage`: what models were asked, and what that cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from heisenberg.backend.auth import Reader
from heisenberg.backend.models import now
from heisenberg.backend.schemas import Day, SpendingToday, UsageItem, UsageResponse, UsageSums
from heisenberg.backend.services import usage
from heisenberg.backend.state import Shared

From = Annotated[
    Day | None,
    Query(alias="from", description="First day, in UTC; the 29th before the last unless given."),
]
To = Annotated[
    Day | None,
    Query(description="Last day, included; today unless given. At most 366 days."),
]

router = APIRouter(prefix="/api/v1/usage", tags=["usage"])


@router.get(
    "",
    summary="What models were asked, and what that cost",
    description="By day and model, and in total; and what of today's limit is spent.",
)
async def read_usage(
    shared: Shared, principal: Reader, first: From = None, to: To = None
) -> UsageResponse:
    """Of the key's own organization."""
    today = now().date()
    asked = usage.period(first, to, today)
    found = await usage.read(shared.database, principal.organization_id, asked, today)
    return UsageResponse(
        first=asked.first,
        to=asked.last,
        total=UsageSums.model_validate(found.total),
        items=[
            UsageItem(
                day=item.day, model=item.model, **UsageSums.model_validate(item.sums).model_dump()
            )
            for item in found.items
        ],
        today=SpendingToday(
            spent_usd=found.spent_usd,
            reserved_usd=found.reserved_usd,
            limit_usd=shared.settings.model_cost_per_day_usd,
        ),
    )
