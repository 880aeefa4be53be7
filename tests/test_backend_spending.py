"""The limits of runs and days, and the books, in the database."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.models import ModelCall, ModelSpending, new_id
from heisenberg.backend.repositories import model_spending
from heisenberg.backend.services import organizations, spending
from heisenberg.backend.services.spending import DatabaseLedger
from heisenberg.diagnosis.spending import Call, CallOutcome, RunLedger

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator
    from pathlib import Path

    from heisenberg.backend.config import Settings
    from servers import Postgres

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CALL = Call("openai:m", "diagnosis-1", "message-v1:f", CallOutcome.ANSWERED, 900, 100, 0.25, 12.5)
SPENDER = """
import asyncio, sys
from uuid import UUID
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.services.spending import DatabaseLedger

async def main():
    settings = load_settings(_env_file=None)
    database = Database(settings)
    ledgers = [DatabaseLedger(settings, database, Metrics(), UUID(sys.argv[1])) for _ in range(10)]
    print(sum(await asyncio.gather(*(ledger.reserve(0.5) for ledger in ledgers))))

asyncio.run(main())
"""
"""A process with ten runs, which prints how many of them may ask."""


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Ten dollars a day, four a run."""
    return load_settings(
        _env_file=None,
        database_url=database_url,
        data_dir=tmp_path,
        model_cost_per_day_usd=10,
        model_cost_per_run_usd=4,
        database_pool_timeout_s=30,
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Migrated and empty."""
    database = Database(settings)
    yield database
    await database.close()


class Books:
    """One organization's ledgers and what is booked."""

    def __init__(self, settings: Settings, database: Database, organization_id: UUID) -> None:
        """Of the organization."""
        self.settings = settings
        self.database = database
        self.organization_id = organization_id

    def ledger(self, at: datetime = NOON, **more: Any) -> DatabaseLedger:
        """Of a run that begins then."""
        return DatabaseLedger(
            self.settings,
            self.database,
            Metrics(),
            self.organization_id,
            clock=lambda: at,
            **more,
        )

    async def sums(self) -> tuple[float, float] | None:
        """What was spent and is set aside on the day."""
        async with self.database.read() as session:
            found = await session.get(ModelSpending, (self.organization_id, NOON.date()))
            return None if found is None else (found.spent_usd, found.reserved_usd)

    async def calls(self) -> list[ModelCall]:
        """All calls that are booked, of whatever organization."""
        async with self.database.read() as session:
            return list(await session.scalars(select(ModelCall).order_by(ModelCall.id)))


@pytest.fixture
async def books(settings: Settings, database: Database) -> Books:
    """Of an organization."""
    return Books(settings, database, (await organizations.create(database, "ours")).id)


class TestLimits:
    async def test_many_at_once_stay_within_the_day(self, books: Books) -> None:
        """Of 50 runs that reserve at once, as many may ask as the day's limit pays for."""
        granted = await asyncio.gather(*(books.ledger().reserve(0.5) for _ in range(50)))

        assert 20 == granted.count(True)
        assert (0, 10) == await books.sums()

    async def test_processes_share_the_day(self, books: Books, database_url: str) -> None:
        """Four processes together may not spend more than one."""
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "HEISENBERG_MODEL_COST_PER_DAY_USD": "10",
            "HEISENBERG_DATABASE_POOL_TIMEOUT_S": "30",
        }
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", SPENDER, str(books.organization_id),
                env=environment, stdout=subprocess.PIPE,
            )
            for _ in range(4)
        ]  # fmt: skip
        said = await asyncio.gather(*(process.communicate() for process in processes))

        assert 20 == sum(int(out) for out, _ in said)

    async def test_a_run_has_a_limit_of_its_own(self, books: Books) -> None:
        """A run stops at its limit, whatever the day would allow, and another one goes on."""
        ledger = books.ledger()
        granted = await asyncio.gather(*(ledger.reserve(1.5) for _ in range(5)))

        assert 2 == granted.count(True)
        assert await books.ledger().reserve(1.5)
        assert (0, 4.5) == await books.sums()

    async def test_what_the_day_refuses_the_run_has_not_set_aside(self, books: Books) -> None:
        """A refusal takes nothing from what the run may still ask for."""
        for _ in range(3):
            assert await books.ledger().reserve(3.0)
        ledger = books.ledger()
        refused = await ledger.reserve(4.0)

        assert not refused
        assert await ledger.reserve(1.0)
        assert (0, 10) == await books.sums()

    @pytest.mark.parametrize("cost_usd", [10.5, float("inf"), float("nan")])
    async def test_more_than_a_day_is_refused_on_an_empty_day(
        self, books: Books, cost_usd: float
    ) -> None:
        """The first call of a day has to keep the limit too."""
        books.settings = books.settings.model_copy(update={"model_cost_per_run_usd": 1e9})

        assert not await books.ledger().reserve(cost_usd)
        assert await books.sums() is None

    async def test_a_limit_of_nothing_allows_what_costs_nothing(self, books: Books) -> None:
        """A model without a price may be asked when no money may be spent."""
        nothing = {"model_cost_per_day_usd": 0.0, "model_cost_per_run_usd": 0.0}
        books.settings = books.settings.model_copy(update=nothing)
        ledger = books.ledger()

        assert [True, False] == [await ledger.reserve(0.0), await ledger.reserve(0.01)]

    async def test_each_day_has_its_limit(self, books: Books) -> None:
        """A full day leaves the next one free; what a crash had set aside is gone with its day."""
        for _ in range(5):
            assert await books.ledger().reserve(2.0)
        refused = await books.ledger().reserve(2.0)

        assert not refused
        assert await books.ledger(NOON + timedelta(days=1)).reserve(2.0)

    async def test_each_organization_has_its_limit(self, books: Books, database: Database) -> None:
        """What one organization spends is no other's."""
        theirs = Books(
            books.settings, database, (await organizations.create(database, "theirs")).id
        )
        for _ in range(5):
            assert await books.ledger().reserve(2.0)

        assert await theirs.ledger().reserve(2.0)
        assert [(0, 10), (0, 2)] == [await books.sums(), await theirs.sums()]


class TestBooks:
    async def test_a_call_is_booked(self, books: Books) -> None:
        """What was set aside is given back, what was spent is added, and the call has its row."""
        run_id = new_id()
        ledger = books.ledger(test_run_id=run_id)
        await ledger.reserve(1.0)
        await ledger.settle(1.0, replace(CALL, error="a\0b"))
        [row] = await books.calls()

        assert (0.25, 0) == await books.sums()
        assert (0.25, [0.25]) == (ledger.spent_usd, [call.cost_usd for call in ledger.calls])
        assert (
            books.organization_id, run_id, "openai:m", "diagnosis-1", "message-v1:f", "answered",
            900, 100, 0.25, 12.5, "a\ufffdb", NOON,
        ) == (
            row.organization_id, row.test_run_id, row.model, row.prompt, row.fingerprint,
            row.outcome, row.input_tokens, row.output_tokens, row.cost_usd, row.duration_ms,
            row.error, row.created_at,
        )  # fmt: skip

    async def test_a_call_counts_as_its_limit_says(self, books: Books) -> None:
        """What nobody knows the price of counts against run and day, and costs nothing that is shown."""
        ledger = books.ledger()
        await ledger.reserve(1.0)
        await ledger.settle(1.0, replace(CALL, cost_usd=0.0, limit_usd=0.75))
        [row] = await books.calls()

        assert ((0.75, 0), 0.75, 0) == (await books.sums(), ledger.spent_usd, row.cost_usd)

    async def test_what_is_free_has_no_limit(self, books: Books) -> None:
        """Though more than the day's limit was spent, by an estimate that was too low."""
        await books.ledger().settle(0.0, replace(CALL, cost_usd=11.0))

        assert not await books.ledger().reserve(0.001)
        assert await books.ledger().reserve(0.0)

    async def test_a_call_that_is_not_made(self, books: Books) -> None:
        """Gives back what was set aside, and has no row."""
        ledger = books.ledger()
        await ledger.reserve(4.0)
        await ledger.release(4.0)

        assert ((0, 0), []) == (await books.sums(), await books.calls())
        assert await ledger.reserve(4.0)

    async def test_what_was_not_spent_may_be(self, books: Books) -> None:
        """Money that is given back pays for the next call, of this run and of the day."""
        for _ in range(8):
            ledger = books.ledger()
            assert await ledger.reserve(4.0)
            await ledger.settle(4.0, CALL)
            assert await ledger.reserve(3.75)
            await ledger.settle(3.75, CALL)

        assert (16 * 0.25, 0) == await books.sums()

    async def test_a_run_over_midnight_counts_for_its_first_day(self, books: Books) -> None:
        """What was set aside on one day is given back on the same, with the time of the call."""
        moments = [NOON, NOON + timedelta(days=1)]
        ledger = DatabaseLedger(
            books.settings, books.database, Metrics(), books.organization_id,
            clock=lambda: moments.pop(0),
        )  # fmt: skip
        await ledger.reserve(1.0)
        await ledger.settle(1.0, CALL)
        [row] = await books.calls()

        assert (0.25, 0) == await books.sums()
        assert NOON + timedelta(days=1) == row.created_at

    async def test_sums_do_not_fall_below_nothing(self, books: Books) -> None:
        """Fractions leave nothing behind, and what nobody set aside is not given back."""
        ledger = books.ledger()
        for cost_usd in (0.1, 0.2):
            await ledger.reserve(cost_usd)
        for cost_usd in (0.2, 0.1, 3.0):
            await ledger.settle(cost_usd, replace(CALL, cost_usd=0.0))

        assert (0, 0) == await books.sums()

    async def test_metrics_are_told(self, books: Books) -> None:
        """Each settled call is counted."""
        metrics = Metrics()
        ledger = DatabaseLedger(books.settings, books.database, metrics, books.organization_id)
        await ledger.settle(0.0, CALL)

        assert 1 == metrics.registry.get_sample_value(
            "heisenberg_model_calls_total", {"outcome": "answered"}
        )

    async def test_cancelled_meanwhile(self, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that leaves, even twice, does not keep a call out of the books."""
        begun, may_go_on = asyncio.Event(), asyncio.Event()
        book = model_spending.book

        async def slow(*args: Any) -> None:
            begun.set()
            await may_go_on.wait()
            await book(*args)

        monkeypatch.setattr(model_spending, "book", slow)
        ledger = books.ledger()
        await ledger.reserve(1.0)
        settling = asyncio.create_task(ledger.settle(1.0, CALL))
        await begun.wait()
        for _ in range(2):
            settling.cancel()
            await asyncio.sleep(0)
        was_waiting = not settling.done()
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await settling

        assert was_waiting
        assert (0.25, 0) == await books.sums()
        assert 1 == len(await books.calls())

    async def test_a_reservation_that_is_cancelled_is_none_of_the_run(
        self, books: Books, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever gives up waiting for a grant has not set anything aside."""
        begun = asyncio.Event()

        async def never(*_: Any) -> bool:
            begun.set()
            return await asyncio.Event().wait()

        ledger = books.ledger()
        with monkeypatch.context() as patch:
            patch.setattr(model_spending, "reserve", never)
            reserving = asyncio.create_task(ledger.reserve(4.0))
            await begun.wait()
            reserving.cancel()
            await asyncio.wait({reserving})

        assert reserving.cancelled()
        assert await ledger.reserve(4.0)


class TestOutage:
    async def test_nothing_is_granted_while_the_database_is_away(
        self, own_postgres: Postgres, tmp_path: Path, log: io.StringIO
    ) -> None:
        """No model is asked, the log says why, and a call that was made is told of in full."""
        settings = load_settings(_env_file=None, database_url=own_postgres.url(), data_dir=tmp_path)
        own_postgres.stop()
        database = Database(settings)
        ledger = DatabaseLedger(settings, database, Metrics(), uuid4())
        granted = await ledger.reserve(0.1)
        await ledger.settle(0.1, CALL)
        await database.close()

        unknown, unbooked = map(json.loads, log.getvalue().splitlines())
        assert not granted
        assert ("spending.unknown", "spending.unbooked") == (unknown["event"], unbooked["event"])
        assert ("openai:m", 900, 100, 0.25) == tuple(
            unbooked[name] for name in ("model", "input_tokens", "output_tokens", "cost_usd")
        )
        assert "exception" not in unknown.keys() | unbooked.keys()

    async def test_a_database_that_hangs_costs_little_time(
        self, own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a reservation nor the books take longer than their limits."""
        monkeypatch.setattr(spending, "RESERVE_TIMEOUT_S", 0.2)
        monkeypatch.setattr(spending, "BOOK_TIMEOUT_S", 0.2)
        settings = load_settings(_env_file=None, database_url=own_postgres.url(), data_dir=tmp_path)
        database = Database(settings)
        ledger = DatabaseLedger(settings, database, Metrics(), uuid4())
        own_postgres.pause()
        try:
            async with asyncio.timeout(4):
                granted = await ledger.reserve(0.1)
                await ledger.settle(0.1, CALL)
        finally:
            own_postgres.resume()
        await database.close()

        assert not granted


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=30), st.floats(0, 5))
def test_a_run_never_spends_more_than_its_limit(
    calls: list[tuple[float, float]], limit_usd: float
) -> None:
    """Whatever is asked for, what is granted costs no more than the limit when it keeps its word."""

    async def run() -> float:
        ledger = RunLedger(limit_usd)
        for cost_usd, share in calls:
            if await ledger.reserve(cost_usd):
                await ledger.settle(cost_usd, replace(CALL, cost_usd=cost_usd * share))
        return ledger.spent_usd

    assert asyncio.run(run()) <= limit_usd + 1e-9
