"""The database: engine, pool, and one transaction per piece of work."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from heisenberg.backend.config import Settings

APPLICATION_NAME = "heisenberg"
"""As PostgreSQL lists our connections."""
SQLITE_BUSY_TIMEOUT_S = 10.0
"""Wait for another process to finish its write."""


class Database:
    """One process's way to the database, PostgreSQL or the embedded SQLite.

    A reading transaction on SQLite does not take the write lock, and a writing one takes it at once,
    so that two writers queue and none fails half-way.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the engine; nothing is connected yet."""
        self.url: URL = settings.database
        self.engine: AsyncEngine = create_engine(settings)
        self.sessions: async_sessionmaker[AsyncSession] = async_sessionmaker(
            self.engine, expire_on_commit=False
        )
        self._readers: async_sessionmaker[AsyncSession] = async_sessionmaker(
            self.engine.execution_options(postgresql_readonly=True, heisenberg_readonly=True),
            expire_on_commit=False,
        )

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed at the end, rolled back when anything is raised."""
        async with self.sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads."""
        async with self._readers.begin() as session:
            yield session

    async def close(self) -> None:
        """Give up all connections."""
        await self.engine.dispose()


def create_engine(settings: Settings) -> AsyncEngine:
    """Make the engine that the settings ask for, with its limits in time."""
    url = settings.database
    if url.get_backend_name() == "sqlite":
        return _sqlite(settings, url)
    timeout_ms = str(int(settings.database_statement_timeout_s * 1000))
    return create_async_engine(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "timeout": settings.database_connect_timeout_s,
            # The server ends a slow statement; the client, one whose server has gone silent.
            "command_timeout": settings.database_statement_timeout_s + 1,
            "server_settings": {
                "application_name": APPLICATION_NAME,
                "statement_timeout": timeout_ms,
                "idle_in_transaction_session_timeout": timeout_ms,
                "timezone": "UTC",
            },
        },
    )


def _sqlite(settings: Settings, url: URL) -> AsyncEngine:
    """The embedded database: write-ahead log, foreign keys, explicit transactions."""
    engine = create_async_engine(
        url,
        pool_timeout=settings.database_pool_timeout_s,
        hide_parameters=True,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Set up a new connection; the driver's own idea of transactions is switched off."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("heisenberg_readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
