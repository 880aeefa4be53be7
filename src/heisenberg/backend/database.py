"""The database: engine, pool, and one transaction per piece of work."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiosqlite
from sqlalchemy import NullPool, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from heisenberg import text
from heisenberg.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection

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


def create_engine(settings: Settings, *, migration_timeout_s: float | None = None) -> AsyncEngine:
    """Make the engine that the settings ask for, with its limits in time.

    Args:
        settings: Which database, and the limits.
        migration_timeout_s: For migrations: this limit instead, and no pool.
    """
    url = settings.database
    pool: dict[str, Any] = {"hide_parameters": True}
    if migration_timeout_s is not None:
        pool["poolclass"] = NullPool
    else:
        pool["pool_timeout"] = settings.database_pool_timeout_s
        pool["pool_size"] = settings.database_pool_size
        pool["max_overflow"] = settings.database_max_overflow
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, pool, migration_timeout_s)
    timeout_s = migration_timeout_s or settings.database_statement_timeout_s
    timeout_ms = str(int(timeout_s * 1000))
    return create_async_engine(
        url.set(query={}),
        **pool,
        pool_pre_ping=migration_timeout_s is None,
        connect_args={
            # How to trust the server, in libpq's words; asyncpg knows them in this form only.
            "dsn": f"postgresql://?{urlencode(url.query)}" if url.query else None,
            "timeout": settings.database_connect_timeout_s,
            # The server ends a slow statement; the client, one whose server has gone silent.
            "command_timeout": timeout_s + 1,
            "server_settings": {
                "application_name": APPLICATION_NAME,
                "statement_timeout": timeout_ms,
                "idle_in_transaction_session_timeout": timeout_ms,
                "timezone": "UTC",
            },
        },
    )


def make_folder(settings: Settings) -> None:
    """Make the folder of the embedded database, closed to other users, unless it is there.

    Raises:
        OSError: It cannot be made.
    """
    if settings.database_url is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def place(url: URL) -> str:
    """Name a database without its user, password and options."""
    if url.get_backend_name() == "sqlite":
        return f"database {url.database}"
    return f"database {url.database} at {url.host or 'localhost'}:{url.port or 5432}"


def storable(raw: str) -> str:
    """A text as PostgreSQL takes it: NUL and lone surrogates become U+FFFD."""
    return text.replace_surrogates(raw).replace("\0", "\ufffd")


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Say in one line, with the database's place, what went wrong with it.

    Raises:
        DatabaseError: Instead of what SQLAlchemy, the driver or the system raised.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = text.one_line(str(cause)) or type(cause).__name__
        raise DatabaseError(f"{place(url)}: {reason}") from error


def _sqlite(url: URL, pool: dict[str, Any], migration_timeout_s: float | None) -> AsyncEngine:
    """The embedded database: write-ahead log, foreign keys, explicit transactions."""
    engine = create_async_engine(
        url,
        **pool,
        connect_args={
            "timeout": migration_timeout_s or SQLITE_BUSY_TIMEOUT_S,
            "async_creator_fn": _open_sqlite,
        },
    )
    # A migration rebuilds tables; with foreign keys on, that would delete the rows that refer to
    # them. It checks them at its end instead.
    foreign_keys = "ON" if migration_timeout_s is None else "OFF"

    def prepare(connection: DBAPIConnection, _: object) -> None:
        # The driver's own idea of transactions is switched off.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
        cursor.execute(f"PRAGMA foreign_keys = {foreign_keys}")
        cursor.close()

    event.listen(engine.sync_engine, "do_connect", _make_private)
    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


async def _open_sqlite(path: str, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401 (the driver's own)
    """Open the file in a thread of its own; when that fails, wait until the thread has ended.

    It ends by telling the event loop so, which may be closed by then: a traceback for nothing.
    """
    connection = aiosqlite.connect(path, **options)
    thread = connection._thread  # noqa: SLF001 (SQLAlchemy makes it a daemon in the same way)
    thread.daemon = True
    try:
        return await connection
    except BaseException:
        await asyncio.to_thread(thread.join)
        raise


def _make_private(_: object, __: object, arguments: list[Any], ___: object) -> None:
    """Make the file, when it is new, for nobody but its owner; SQLite's other files follow it."""
    with suppress(OSError):  # SQLite says better what is wrong
        os.close(os.open(arguments[0], os.O_CREAT | os.O_EXCL, 0o600))


def _begin_sqlite(connection: Connection) -> None:
    readonly = connection.get_execution_options().get("heisenberg_readonly", False)
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
