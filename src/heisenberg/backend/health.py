"""Whether the service can do its work, for orchestrators and for people.

A probe never waits longer than `PROBE_TIMEOUT_S`, whatever the database does, and all probes of one
second share one look at it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from heisenberg import __version__
from heisenberg.backend import migrate
from heisenberg.backend.database import create_engine
from heisenberg.backend.logging import get_logger
from heisenberg.backend.schemas import (
    DatabaseHealthStatus,
    DetailedHealthResponse,
    HealthReason,
    HealthStatus,
    MigrationHealthStatus,
    ReadyResponse,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from heisenberg.backend.config import Settings
    from heisenberg.backend.migrate import Version

__all__ = [
    "DatabaseHealthStatus",
    "DetailedHealthResponse",
    "HealthChecker",
    "check_database_health",
]

PROBE_TIMEOUT_S = 1.0
"""Longest that a probe waits for the database."""
MAX_AGE_S = 1.0
"""How long one look at the database serves all probes."""
VERSION_MAX_AGE_S = 10.0
"""How long migrations that were complete are taken to be so."""

log = get_logger(__name__)

_abandoned: set[asyncio.Task[None]] = set()
"""Looks that took too long, while they give up their connections."""


class SessionMaker(Protocol):
    """What makes sessions, such as `async_sessionmaker`."""

    def __call__(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A new session."""


class Limiter(Protocol):
    """Of a rate limiter, what health asks."""

    @property
    def store_available(self) -> bool:
        """Whether the limit holds across processes where it should."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the database at one moment."""

    at: datetime
    seen_s: float
    """By the monotonic clock."""
    latency_ms: float
    error: str | None
    """Why it cannot be used, for everybody to read: no address, no name; None when it can."""
    version: Version | None
    """None when it could not be read."""


class HealthChecker:
    """Looks at the database for all probes of one application, on connections of its own.

    So a pool that is busy with requests does not make the database look dead.
    """

    def __init__(
        self, settings: Settings, limiter: Limiter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect to nothing yet.

        Args:
            settings: Which database, and from when it is slow.
            limiter: Whose store is told of.
            clock: Seconds, monotonic.
        """
        small = {"database_pool_size": 1, "database_max_overflow": 1}
        self.engine = create_engine(settings.model_copy(update=small))
        self._sessions = async_sessionmaker(
            self.engine.execution_options(postgresql_readonly=True, heisenberg_readonly=True)
        )
        self._slow_ms = settings.health_slow_ms
        self._limiter = limiter
        self._clock = clock
        self._looking: asyncio.Task[Look] | None = None
        self._last: Look | None = None
        self._version: Version | None = None
        self._version_seen_s = 0.0
        self._told: HealthStatus | None = None

    async def health(self) -> DetailedHealthResponse:
        """Everything that `/health` tells."""
        look = await self._look()
        reasons = self._reasons(look)
        status: HealthStatus = "degraded" if reasons else "healthy"
        if look.error is not None:
            status = "unhealthy"
        self._log_change(status, reasons)
        connected = look.error is None
        return DetailedHealthResponse(
            status=status,
            version=__version__,
            database=DatabaseHealthStatus(
                connected=connected,
                latency_ms=round(look.latency_ms, 3) if connected else None,
                error=look.error,
            ),
            migrations=_migrations(look.version),
            rate_limit_store="available" if self._limiter.store_available else "away",
            reasons=reasons,
            timestamp=look.at,
        )

    async def readiness(self, *, is_stopping: bool = False) -> ReadyResponse:
        """Whether requests should be sent here."""
        if is_stopping:
            return ReadyResponse(status="not_ready", reasons=["stopping"])
        blocking = {"database_down", "migrations_behind"}
        reasons = [r for r in self._reasons(await self._look()) if r in blocking]
        return ReadyResponse(status="not_ready" if reasons else "ready", reasons=reasons)

    async def close(self) -> None:
        """Give up the connections."""
        if self._looking is not None:
            await asyncio.wait({self._looking})
        if _abandoned:
            await asyncio.wait(_abandoned, timeout=PROBE_TIMEOUT_S)
        await self.engine.dispose()

    async def _look(self) -> Look:
        """The last look, when it is young; else one that all who ask meanwhile wait for."""
        if self._last is not None and self._clock() - self._last.seen_s < MAX_AGE_S:
            return self._last
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_now())
        # A client that goes away does not end the look of the others.
        return await asyncio.shield(self._looking)

    async def _look_now(self) -> Look:
        latency_ms, error = await _measure(self._sessions)
        if error is None and not self._is_version_fresh():
            error = await _bounded(self._read_version)
        self._last = Look(
            at=datetime.now(UTC),
            seen_s=self._clock(),
            latency_ms=latency_ms,
            error=error,
            version=None if error else self._version,
        )
        return self._last

    def _is_version_fresh(self) -> bool:
        """Only complete migrations are believed for a while; others may be completed any moment."""
        if self._version is None or self._version.is_behind:
            return False
        return self._clock() - self._version_seen_s < VERSION_MAX_AGE_S

    async def _read_version(self) -> None:
        await asyncio.to_thread(migrate.head)  # reads files, the first time
        async with self._sessions() as session:
            self._version = await migrate.version(await session.connection())
            self._version_seen_s = self._clock()

    def _reasons(self, look: Look) -> list[HealthReason]:
        """Why it is not healthy."""
        if look.error is not None:
            return ["database_down"]
        reasons: list[HealthReason] = []
        if look.latency_ms >= self._slow_ms:
            reasons.append("database_slow")
        if look.version is not None and look.version.is_behind:
            reasons.append("migrations_behind")
        if not self._limiter.store_available:
            reasons.append("rate_limit_store_away")
        return reasons

    def _log_change(self, status: HealthStatus, reasons: list[HealthReason]) -> None:
        if status != self._told:
            told = log.info if status == "healthy" else log.warning
            told("health.changed", status=status, before=self._told, reasons=reasons)
            self._told = status


async def check_database_health(session_maker: SessionMaker) -> tuple[bool, float]:
    """Ask the database for a sign of life.

    Args:
        session_maker: Makes a session, as `async with session_maker() as session`.

    Returns:
        Whether it answered within `PROBE_TIMEOUT_S`, and after how many milliseconds (0.0 when it
        did not).
    """
    latency_ms, error = await _measure(session_maker)
    return error is None, latency_ms


async def _measure(session_maker: SessionMaker) -> tuple[float, str | None]:
    """How long it took, and why it failed."""
    latency_ms = 0.0

    async def ask() -> None:
        nonlocal latency_ms
        start = time.perf_counter()
        async with session_maker() as session:
            await session.execute(text("SELECT 1"))
        latency_ms = (time.perf_counter() - start) * 1000

    error = await _bounded(ask)
    return latency_ms, error


async def _bounded(work: Callable[[], Awaitable[None]]) -> str | None:
    """Do it, or say in words for everybody why it failed; never longer than a probe may take.

    What takes too long is cancelled and not waited for: giving up a connection to a server that
    does not answer takes seconds as well.
    """

    async def run() -> None:
        await work()

    task = asyncio.create_task(run())
    try:
        done, _ = await asyncio.wait({task}, timeout=PROBE_TIMEOUT_S)
    finally:
        if not task.done():
            task.cancel()
            _abandoned.add(task)
            task.add_done_callback(_forget)
    if not done:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    if (error := task.exception()) is None:
        return None
    log.warning("health.probe_failed", error=type(error).__name__, reason=_reason(error))
    return _reason(error)


def _forget(task: asyncio.Task[None]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it


def _reason(error: BaseException) -> str:
    """Why, without addresses, names and statements, which may hold secrets."""
    if isinstance(error, OSError):
        return "cannot connect"
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        return f"refused with SQLSTATE {state}" if state else "cannot connect"
    return "no connection is free" if isinstance(error, SQLAlchemyError) else "internal error"


def _migrations(version: Version | None) -> MigrationHealthStatus:
    if version is None:
        return MigrationHealthStatus(current=None, head=None, state="unknown")
    state = "behind" if version.is_behind else "ahead" if version.is_ahead else "up_to_date"
    return MigrationHealthStatus(current=version.current, head=version.head, state=state)
