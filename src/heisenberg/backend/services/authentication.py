"""Whose key it is: one query a request, so that a revoked key is refused at once, everywhere."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import TimeoutError as SlowDatabaseError

from heisenberg.backend.api_key import key_prefix
from heisenberg.backend.auth import Principal, Refusal, expand
from heisenberg.backend.models import now
from heisenberg.backend.repositories import api_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from heisenberg.backend.api_key import KeyHasher
    from heisenberg.backend.database import Database
    from heisenberg.backend.services.key_usage import KeyUsage

STRANGERS_AT_ONCE: Final = 4
"""Lookups at one time for keys not seen lately: guessing cannot take the whole pool."""
LOOKUP_TIMEOUT_S: Final = 5.0
"""For a lookup, and for its turn; a database that hangs is then one that is down."""
MAX_KNOWN: Final = 10_000
"""Keys remembered as verified lately, 0.2 kB each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What has the form of a key."""

    prefix: str
    digest: str
    """Under the service's secret; the key itself is not kept."""


class Authenticator:
    """Verifies keys against the database, each time."""

    def __init__(
        self,
        database: Database,
        hasher: KeyHasher,
        usage: KeyUsage,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Remember where to look; nothing is connected yet."""
        self._engine = api_keys.lookup_engine(database)
        self._hasher = hasher
        self._usage = usage
        self._clock = clock
        self._known: OrderedDict[str, None] = OrderedDict()
        self._turns = asyncio.Semaphore(STRANGERS_AT_ONCE)

    def read(self, key: bytes) -> Candidate | None:
        """Look at a key, without the database; None when it cannot be one."""
        prefix = key_prefix(key)
        return None if prefix is None else Candidate(prefix, self._hasher(key))

    def knows(self, candidate: Candidate) -> bool:
        """Whether this process has verified the key lately. It says nothing of now."""
        return candidate.digest in self._known

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the few places of strangers.

        Raises:
            SQLAlchemyError: None became free; the database is slow or away.
        """
        async with _in_time("no turn to look up a key"):
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def verify(self, candidate: Candidate) -> Principal | Refusal:
        """Ask the database who this is.

        An unknown prefix is compared like a known one, so that time tells nothing.

        Raises:
            SQLAlchemyError: The database cannot tell, or it took too long.
            OSError: The database cannot be reached.
        """
        async with _in_time("no answer about a key"), self._engine.connect() as connection:
            row = await api_keys.find_by_prefix(connection, candidate.prefix)
        expected = self._hasher.nobodys if row is None else row.key_hash
        at = self._clock()
        refusal = None
        if not hmac.compare_digest(candidate.digest, expected) or row is None:
            refusal = Refusal.INVALID
        elif row.revoked_at is not None:
            refusal = Refusal.REVOKED
        elif row.expires_at is not None and row.expires_at <= at:
            refusal = Refusal.EXPIRED
        if row is None or refusal is not None:
            self._known.pop(candidate.digest, None)
            return refusal or Refusal.INVALID
        self._remember(candidate.digest)
        self._usage.note(row.id, at)
        return Principal(row.id, row.organization_id, expand(row.scopes))

    def _remember(self, digest: str) -> None:
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


@asynccontextmanager
async def _in_time(otherwise: str) -> AsyncIterator[None]:
    """Take a slow database for one that is away.

    Raises:
        SQLAlchemyError: The time is over.
    """
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise SlowDatabaseError(f"{otherwise} within {LOOKUP_TIMEOUT_S} s") from error
