"""How far the engines' word can be trusted, by what an organization's people said of it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from heisenberg.backend.database_errors import told
from heisenberg.backend.logging import get_logger
from heisenberg.backend.repositories import feedback
from heisenberg.diagnosis.calibration import Calibration, learn

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from heisenberg.backend.database import Database

MAX_AGE_S: Final = 60.0
"""Of what was read; feedback counts from then on at the latest."""
MAX_KEPT: Final = 1000
"""Organizations and engines that are remembered; the one that was asked for longest ago goes."""
MAX_RECORDS: Final = 10_000
"""The latest incidents that count; older ones say little of today's engine."""
TIMEOUT_S: Final = 5.0
"""A database that hangs does not hold up an analysis for longer."""

log = get_logger(__name__)


class Calibrations:
    """The calibration of each organization and engine, read at most once a minute.

    While the database is away, what was known last goes on counting; if nothing was, engines are
    taken at their word.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet.

        Args:
            database: Where the feedback is.
            clock: Seconds that only go up.
        """
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[tuple[UUID, str], _Kept] = OrderedDict()

    async def get(self, organization_id: UUID, engine: str) -> Calibration:
        """What to make of what the engine states, for the organization."""
        key = organization_id, engine
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:  # who comes meanwhile waits for the one that reads
            if self._clock() >= kept.fresh_until:
                kept.calibration = await self._read(organization_id, engine, kept.calibration)
                kept.fresh_until = self._clock() + MAX_AGE_S
        return kept.calibration

    async def _read(self, organization_id: UUID, engine: str, known: Calibration) -> Calibration:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._database.read() as session:
                records = await feedback.outcomes(session, organization_id, engine, MAX_RECORDS)
        except Exception as error:  # noqa: BLE001 (whatever it is, the diagnosis goes on)
            log.warning("calibration.unread", engine=engine, **told(error))
            return known
        return learn(records)


class _Kept:
    """What is known of one engine for one organization."""

    __slots__ = ("calibration", "fresh_until", "lock")

    def __init__(self) -> None:
        self.calibration = Calibration()
        self.fresh_until = float("-inf")
        self.lock = asyncio.Lock()
