"""What a run and its organization spend on models, kept in the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from heisenberg.backend.database_errors import told
from heisenberg.backend.logging import get_logger
from heisenberg.backend.models import now
from heisenberg.backend.repositories import model_calls, model_spending
from heisenberg.diagnosis.spending import RunLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from heisenberg.backend.config import Settings
    from heisenberg.backend.database import Database
    from heisenberg.backend.metrics import Metrics
    from heisenberg.diagnosis.spending import Call

RESERVE_TIMEOUT_S: Final = 5.0
BOOK_TIMEOUT_S: Final = 10.0
"""A database that hangs holds neither an analysis nor its end up for longer."""

log = get_logger(__name__)


class DatabaseLedger(RunLedger):
    """The limits of one run and of its organization's day, which all processes keep together.

    A run counts for the day in UTC on which it began. What a process that was killed had set aside
    stays so, which lowers what is left of that day and nothing else.

    While the database is away nothing is granted: a limit that nobody can keep is none, and what the
    model would answer could not be stored.
    """

    def __init__(  # noqa: PLR0913 (tests give the clock)
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        organization_id: UUID,
        *,
        test_run_id: UUID | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Nothing of this run is spent yet.

        Args:
            settings: The limits.
            database: Where the books are.
            metrics: Told of each call.
            organization_id: Who pays.
            test_run_id: The run, which may be stored later; None when there will be none.
            clock: The time in UTC.
        """
        super().__init__(settings.model_cost_per_run_usd)
        self._database = database
        self._metrics = metrics
        self._organization_id = organization_id
        self._test_run_id = test_run_id
        self._clock = clock
        self._day = clock().date()
        self._day_limit_usd = settings.model_cost_per_day_usd

    async def reserve(self, cost_usd: float) -> bool:
        """Set money aside for a call, the most that it may cost; see `Ledger.reserve`."""
        if not await super().reserve(cost_usd):
            return False
        is_granted = False
        try:
            is_granted = await self._reserve_of_day(cost_usd)
        finally:
            if not is_granted:
                self._reserved_usd -= cost_usd
        return is_granted

    async def settle(self, reserved_usd: float, call: Call) -> None:
        """Give back what was set aside, and book the call, even when this is cancelled meanwhile."""
        await super().settle(reserved_usd, call)
        self._metrics.model_called(call)
        await _finish(asyncio.create_task(self._book(reserved_usd, call), name="booking"))

    async def release(self, reserved_usd: float) -> None:
        """Give back what was set aside for a call that was not made, likewise."""
        await super().release(reserved_usd)
        await _finish(asyncio.create_task(self._give_back(reserved_usd), name="giving back"))

    async def _reserve_of_day(self, cost_usd: float) -> bool:
        try:
            async with asyncio.timeout(RESERVE_TIMEOUT_S), self._database.write() as session:
                is_granted = await model_spending.reserve(
                    session, self._organization_id, self._day, cost_usd, self._day_limit_usd
                )
        except Exception as error:  # noqa: BLE001 (whatever it is, the diagnosis goes on offline)
            log.warning(
                "spending.unknown",
                consequence="no model is asked, as the day's limit could not be kept",
                **told(error),
            )
            return False
        if not is_granted:
            log.info(
                "spending.limit_reached",
                organization_id=self._organization_id,
                day=self._day.isoformat(),
                limit_usd=self._day_limit_usd,
            )
        return is_granted

    async def _book(self, reserved_usd: float, call: Call) -> None:
        try:
            async with asyncio.timeout(BOOK_TIMEOUT_S), self._database.write() as session:
                await model_spending.book(
                    session, self._organization_id, self._day, reserved_usd, call.counted_usd
                )
                await model_calls.add(
                    session, self._organization_id, self._test_run_id, call, self._clock()
                )
        except Exception as error:  # noqa: BLE001 (a diagnosis that is paid for is not thrown away)
            log.error(  # noqa: TRY400 (with a trace only when it is our fault)
                "spending.unbooked",
                organization_id=self._organization_id,
                model=call.model,
                outcome=call.outcome.value,
                input_tokens=call.input_tokens,
                output_tokens=call.output_tokens,
                cost_usd=call.cost_usd,
                consequence="what was set aside for it stays so for the day",
                **told(error),
            )

    async def _give_back(self, reserved_usd: float) -> None:
        try:
            async with asyncio.timeout(BOOK_TIMEOUT_S), self._database.write() as session:
                await model_spending.book(
                    session, self._organization_id, self._day, reserved_usd, 0.0
                )
        except Exception as error:  # noqa: BLE001 (the diagnosis goes on)
            log.warning(
                "spending.unreleased",
                organization_id=self._organization_id,
                consequence="what was set aside stays so for the day",
                **told(error),
            )


async def _finish(task: asyncio.Task[None]) -> None:
    """Wait until the task is done, however often whoever waits is told to stop.

    Raises:
        CancelledError: It was told so, and the task is done now.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
