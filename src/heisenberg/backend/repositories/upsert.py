"""Insert, or change what is there: the one kind of statement that each engine has of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.backend.models import Base


def insert_into(session: AsyncSession, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An insert that knows `on_conflict_do_update`.

    Side by side, the second one waits for the first to commit, and its `where` sees what that left:
    on PostgreSQL by the row's lock, on SQLite by the one lock of all writers.
    """
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
