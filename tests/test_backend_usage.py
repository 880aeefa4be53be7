"""`GET /api/v1/usage`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg.backend.auth import Scope
from heisenberg.backend.config import load_settings
from heisenberg.backend.models import now
from heisenberg.backend.services import organizations
from heisenberg.backend.services.spending import DatabaseLedger
from heisenberg.backend.services.usage import Period, period
from heisenberg.diagnosis.spending import Call, CallOutcome

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.organizations import Founded
    from heisenberg.backend.state import State

USAGE = "/api/v1/usage"
CALL = Call("openai:m", "diagnosis-1", "message-v1:f", CallOutcome.ANSWERED, 900, 100, 0.25, 12.5)
NOTHING = {
    "calls": 0,
    "answered": 0,
    "failed": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cost_usd": 0,
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Without a rate limit that counts here."""
    return load_settings(
        _env_file=None,
        database_url=database_url,
        data_dir=tmp_path,
        rate_limit_per_minute=100_000,
        rate_limit_burst=100_000,
        model_cost_per_day_usd=7,
    )


@pytest.fixture
def state(app: FastAPI) -> State:
    """Of the running application."""
    shared: State = app.state.shared
    return shared


@pytest.fixture
async def ours(client: httpx2.AsyncClient, state: State) -> Founded:
    """An organization; the client asks with its admin key from now on."""
    founded = await organizations.found(state.database, state.key_hasher, "ours")
    client.headers["X-API-Key"] = founded.key.key
    return founded


def ledger_of(state: State, founded: Founded, at: datetime | None = None) -> DatabaseLedger:
    """A run's ledger, now or at another time."""
    return DatabaseLedger(
        state.settings,
        state.database,
        state.metrics,
        founded.organization.id,
        clock=lambda: at or now(),
    )


def at(day: str, clock: str = "12:00:00") -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)


async def test_calls_are_summed_by_day_and_model(
    client: httpx2.AsyncClient, state: State, ours: Founded
) -> None:
    """Each day in UTC and model has its sums, in order, and together they are the total."""
    for moment, call in (
        (at("2026-03-04", "23:59:59.999999"), CALL),
        (at("2026-03-04", "00:00:00"), replace(CALL, outcome=CallOutcome.UNPROVEN, cost_usd=0.5)),
        (at("2026-03-04"), replace(CALL, model="anthropic:n", cost_usd=0.0)),
        (at("2026-03-05", "00:00:00"), replace(CALL, outcome=CallOutcome.UNAVAILABLE)),
    ):
        await ledger_of(state, ours, moment).settle(0.0, call)

    answer = await client.get(USAGE, params={"from": "2026-03-04", "to": "2026-03-05"})

    told = answer.json()
    assert 200 == answer.status_code
    assert ("2026-03-04", "2026-03-05") == (told["from"], told["to"])
    one = {"calls": 1, "input_tokens": 900, "output_tokens": 100}
    assert [
        {"day": "2026-03-04", "model": "anthropic:n", **one, "answered": 1, "failed": 0, "cost_usd": 0},
        {
            "day": "2026-03-04", "model": "openai:m", "calls": 2, "answered": 1, "failed": 1,
            "input_tokens": 1800, "output_tokens": 200, "cost_usd": 0.75,
        },
        {"day": "2026-03-05", "model": "openai:m", **one, "answered": 0, "failed": 1, "cost_usd": 0.25},
    ] == told["items"]  # fmt: skip
    assert {
        "calls": 4, "answered": 2, "failed": 2, "input_tokens": 3600, "output_tokens": 400,
        "cost_usd": 1.0,
    } == told["total"]  # fmt: skip


async def test_only_the_days_that_are_asked_for(
    client: httpx2.AsyncClient, state: State, ours: Founded
) -> None:
    """What was the moment before or after is left out."""
    for moment in (at("2026-03-03", "23:59:59.999999"), at("2026-03-05", "00:00:00")):
        await ledger_of(state, ours, moment).settle(0.0, CALL)

    answer = await client.get(USAGE, params={"from": "2026-03-04", "to": "2026-03-04"})

    assert ([], NOTHING) == (answer.json()["items"], answer.json()["total"])


async def test_today(client: httpx2.AsyncClient, state: State, ours: Founded) -> None:
    """What is spent and set aside today is told beside the limit, whatever days are asked for."""
    empty = (await client.get(USAGE)).json()
    ledger = ledger_of(state, ours)
    await ledger.reserve(0.25)
    await ledger.settle(0.25, CALL)
    await ledger.reserve(0.125)

    told = (await client.get(USAGE, params={"to": "2026-03-04"})).json()

    assert {"spent_usd": 0, "reserved_usd": 0, "limit_usd": 7} == empty["today"]
    assert {"spent_usd": 0.25, "reserved_usd": 0.125, "limit_usd": 7} == told["today"]


async def test_nothing_of_others(client: httpx2.AsyncClient, state: State, ours: Founded) -> None:
    """Neither calls nor money of another organization are told."""
    theirs = await organizations.found(state.database, state.key_hasher, "theirs")
    ledger = ledger_of(state, theirs)
    await ledger.reserve(0.5)
    await ledger.settle(0.25, CALL)

    told = (await client.get(USAGE)).json()
    own = (await client.get(USAGE, headers={"X-API-Key": theirs.key.key})).json()

    assert ours.organization.id != theirs.organization.id
    assert ([], NOTHING) == (told["items"], told["total"])
    assert {"spent_usd": 0, "reserved_usd": 0, "limit_usd": 7} == told["today"]
    assert 1 == own["total"]["calls"]


async def test_who_may_read(client: httpx2.AsyncClient, state: State, ours: Founded) -> None:
    """The scope to read is enough, and no key is not."""
    made = await state.keys.create(ours.organization.id, "reader", [Scope.READ])
    reader = await client.get(USAGE, headers={"X-API-Key": made.key})
    del client.headers["X-API-Key"]
    nobody = await client.get(USAGE)

    assert [200, 401] == [reader.status_code, nobody.status_code]


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-03-05", "to": "2026-03-04"}, "from"),
        ({"from": "2025-03-04", "to": "2026-03-05"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "1767225600"}, "from"),
        ({"to": "2026-03-04T00:00:00"}, "to"),
        ({"to": "20260304"}, "to"),
        ({"to": ""}, "to"),
    ],
)
async def test_days_that_do_not_fit(
    client: httpx2.AsyncClient, query: dict[str, str], field: str
) -> None:
    """What is no day, or too many days, is 422 and named."""
    answer = await client.get(USAGE, params=query)

    assert 422 == answer.status_code
    assert [field] == [error["field"] for error in answer.json()["errors"]]


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    "query",
    [
        {"to": "0001-01-01"},
        {"to": "9999-12-31"},
        {"from": "9999-12-31"},
        {"from": "0001-01-01", "to": "0001-12-31"},
        {"from": "2024-01-01", "to": "2024-12-31"},
    ],
)
async def test_days_at_the_edges(client: httpx2.AsyncClient, query: dict[str, str]) -> None:
    """The first and last day that there are do no harm, nor does a leap year."""
    answer = await client.get(USAGE, params=query)

    assert (200, []) == (answer.status_code, answer.json()["items"])


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (None, None, 30),
        (None, date(2026, 1, 31), 30),
        (date(2026, 3, 1), None, 4),
        (date(2026, 3, 4), None, 1),
        (date(2026, 5, 1), None, 1),
        (date(2026, 1, 1), date(2026, 1, 31), 31),
        (date(2025, 3, 4), None, 366),
    ],
)
def test_periods(first: date | None, last: date | None, days: int) -> None:
    """A period ends today and has 30 days unless told otherwise."""
    today = date(2026, 3, 4)
    found = period(first, last, today)

    expected: Any = Period(
        found.last - timedelta(days=days - 1), last or max(today, first or today)
    )
    assert expected == found
    assert first in {None, found.first}
