"""What has to be so before the first request: database there, tables made, somebody to let in."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from heisenberg.backend import migrate
from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.database import Database
from heisenberg.backend.logging import get_logger
from heisenberg.backend.services import organizations
from heisenberg.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.organizations import Founded

POLL_S = 0.5
"""Between two tries to reach a database that is away."""
TRANSIENT_STATES = ("08", "53", "57P03")
"""How SQLSTATE begins when PostgreSQL may well let us in a moment later."""

log = get_logger(__name__)


async def prepare(settings: Settings) -> Founded | None:
    """Wait for the database, bring its tables up to date, and let a first admin in.

    Returns:
        The first organization and its key, when there was none.

    Raises:
        DatabaseError: The database cannot be reached, or stayed away for too long.
        MigrationError: Its tables cannot be brought to this version, or are not there and
            `migrate_at_start` is off.
        SettingsError: The secret key cannot be had.
    """
    hasher = KeyHasher(settings)
    hasher.load()
    if settings.secret_key is None and settings.database.get_backend_name() != "sqlite":
        log.warning(
            "secret_key.local",
            folder=str(settings.data_dir),
            advice="set HEISENBERG_SECRET_KEY; servers of another secret key know none of the keys",
        )
    await _patiently(lambda: _migrate(settings), settings.database_wait_s)
    database = Database(settings)
    try:
        return await organizations.bootstrap(database, hasher)
    finally:
        await database.close()


async def _migrate(settings: Settings) -> None:
    """Upgrade the tables, or only look at them."""
    if settings.migrate_at_start:
        before, after = await migrate.upgrade(settings)
        if before.current != after.current:
            log.info("database.migrated", before=before.current, after=after.current)
        return
    version = await migrate.check(settings)
    if version.current is None:
        raise migrate.MigrationError(
            "the database has no tables yet, and HEISENBERG_MIGRATE_AT_START is off; "
            "run heisenberg db upgrade"
        )
    if version.is_behind or version.is_ahead:
        log.warning("database.differs", current=version.current, expected=version.head)


async def _patiently(work: Callable[[], Awaitable[None]], patience_s: float) -> None:
    """Try until it works, as long as what fails may pass by itself.

    Raises:
        DatabaseError: It did not.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await work()
        except DatabaseError as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not _may_pass(error):
                raise
            log.warning("database.awaited", error=str(error), left_s=round(left_s, 1))
            await asyncio.sleep(min(POLL_S, left_s))


def _may_pass(error: BaseException) -> bool:
    """Whether the database is merely away; a wrong password or name stays wrong."""
    cause = error.__cause__
    if isinstance(cause, DBAPIError) and isinstance(cause.orig, BaseException):
        cause = cause.orig
    while cause is not None:
        if isinstance(cause, OSError):
            return True
        state = getattr(cause, "sqlstate", None)
        if state is not None:
            return str(state).startswith(TRANSIENT_STATES)
        cause = cause.__cause__
    return False
