"""When keys were last used, collected in memory and written in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from heisenberg.backend.database_errors import told
from heisenberg.backend.logging import get_logger
from heisenberg.backend.repositories import api_keys

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from heisenberg.backend.database import Database

FLUSH_EVERY_S: Final = 45.0
FLUSH_TIMEOUT_S: Final = 10.0
"""A database that hangs does not keep the service from stopping."""
MAX_PENDING: Final = 50_000
"""Keys that wait to be written; beyond, news of further ones is dropped until the next write."""

log = get_logger(__name__)


class KeyUsage:
    """Collects uses and writes the last one of each key, every `every_s` and at the end."""

    def __init__(self, database: Database, every_s: float = FLUSH_EVERY_S) -> None:
        """Collect; nothing is written before `start`."""
        self._database = database
        self._every_s = every_s
        self._pending: dict[UUID, datetime] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: UUID, at: datetime) -> None:
        """Remember that a key was used."""
        if key_id in self._pending or len(self._pending) < MAX_PENDING:
            self._pending[key_id] = at

    async def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.create_task(self._run(), name="key-usage")

    async def stop(self) -> None:
        """Write what is left, and no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write all in one statement; what the database does not take now waits for next time."""
        batch, self._pending = self._pending, {}
        if not batch:
            return
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S), self._database.write() as session:
                await api_keys.mark_used(session, batch)
        except BaseException as error:
            # What was noted meanwhile is newer.
            self._pending = {**batch, **self._pending}
            if not isinstance(error, Exception):
                raise
            log.warning("key_usage.delayed", keys=len(batch), **told(error))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()
