"""Bring the database's tables to what this version of the service expects.

Alembic is imported only when it is asked for: it is not needed to serve a request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from heisenberg.backend import database
from heisenberg.errors import HeisenbergError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

    from heisenberg.backend.config import Settings

TIMEOUT_S = 600
"""Longest that one statement of a migration may run, or wait for another server's migration."""
LOCK_TIMEOUT_S = 10
"""Longest that it may wait for a table, while every query of that table waits behind it."""
LOCK = 0x6865_6973_656E_6265
"""Key of PostgreSQL's advisory lock: the first eight letters of our name."""
HERE = Path(__file__).resolve().parent


class MigrationError(HeisenbergError):
    """The tables cannot be brought to this version, or not be told apart."""


@dataclass(frozen=True, slots=True)
class Version:
    """Where a database stands."""

    current: str | None
    """Its revision; None when it has no tables of ours."""
    head: str
    """The revision that this version of the service expects."""
    is_ahead: bool = False
    """A newer version of the service has migrated it: we do not know its revision."""

    @property
    def is_behind(self) -> bool:
        """Whether an upgrade is due."""
        return self.current != self.head and not self.is_ahead


async def upgrade(settings: Settings) -> tuple[Version, Version]:
    """Apply what is missing, in one transaction, one server at a time.

    Returns:
        Where the database stood, and where it stands now.

    Raises:
        MigrationError: A newer version of the service has migrated it, or a migration failed; it
            is as it was.
        DatabaseError: It cannot be reached.
    """
    from alembic import command  # noqa: PLC0415 (an upgrade alone needs it)

    async with connection(settings) as there:
        before = await version(there)
        if before.is_behind or before.is_ahead:
            await there.rollback()
            await there.run_sync(lambda c: command.upgrade(_config(c), "head"))
        after = await version(there)
    return before, after


async def check(settings: Settings) -> Version:
    """Read where the database stands; it is not changed, and not made when there is none.

    Raises:
        DatabaseError: It cannot be reached.
    """
    if _is_missing(settings.database):
        return Version(None, head())
    async with connection(settings) as there:
        return await version(there)


async def version(connection: AsyncConnection) -> Version:
    """Read where the database stands."""
    return await connection.run_sync(_version)


@asynccontextmanager
async def connection(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A connection for migrations: patient, and with what SQLite needs to rebuild a table.

    Raises:
        DatabaseError: It cannot be reached.
    """
    database.make_folder(settings)
    engine = database.create_engine(settings, migration_timeout_s=TIMEOUT_S)
    try:
        with database.explained(settings.database):
            async with engine.connect() as there:
                yield there
    finally:
        await engine.dispose()


def lock_statements(dialect: str) -> Sequence[str]:
    """What a migration's transaction begins with; SQLite has locked by beginning.

    Whoever waits here reads the version only afterwards, and finds nothing to do.
    """
    if dialect != "postgresql":
        return ()
    return (
        f"SELECT pg_advisory_xact_lock({LOCK})",
        f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'",
    )


def refuse_unknown(revisions: Sequence[str]) -> None:
    """Stop before a database that a newer version of the service has migrated.

    Raises:
        MigrationError: One of its revisions is unknown here.
    """
    for revision in revisions:
        if revision not in known():
            raise MigrationError(
                f"the database is at revision {revision!r}, which this version does not know "
                f"(it knows up to {head()!r}); run the newer version of heisenberg"
            )


def check_references(connection: Connection) -> None:
    """On SQLite, where a migration runs without foreign keys, see that none was broken.

    Raises:
        MigrationError: A row points to nothing.
    """
    if connection.dialect.name == "sqlite":
        broken = connection.execute(text("PRAGMA foreign_key_check")).all()
        if broken:
            raise MigrationError(
                f"{len(broken)} rows of {broken[0][0]} would point to nothing in {broken[0][2]}"
            )


@cache
def known() -> frozenset[str]:
    """The revisions that this version of the service knows."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


@cache
def head() -> str:
    """The last of them."""
    revision = _scripts().get_current_head()
    assert revision is not None  # noqa: S101 (001 is always there)
    return revision


def folder() -> Path:
    """Where the migrations are: inside the installed package, or at the root of a checkout."""
    installed = HERE / "migrations"
    return installed if installed.is_dir() else HERE.parents[2] / "migrations"


def _is_missing(url: URL) -> bool:
    """Whether there is no such file; connecting would make one."""
    return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory(str(folder()))


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _version(connection: Connection) -> Version:
    current = None
    if inspect(connection).has_table("alembic_version"):
        current = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return Version(current, head(), is_ahead=current is not None and current not in known())
