"""Queries of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy import bindparam, or_, select, update

from heisenberg.backend.models import ApiKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

    from heisenberg.backend.database import Database


class FoundKey(NamedTuple):
    """What authentication needs of a key."""

    id: UUID
    organization_id: UUID
    key_hash: str
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None


_TABLE = cast("Table", ApiKey.__table__)
_BY_PREFIX = select(*(_TABLE.c[name] for name in FoundKey._fields)).where(
    _TABLE.c.prefix == bindparam("prefix")
)
_MARK_USED = (
    update(_TABLE)
    .where(
        _TABLE.c.id == bindparam("key_id"),
        or_(_TABLE.c.last_used_at.is_(None), _TABLE.c.last_used_at < bindparam("used_at")),
    )
    .values(last_used_at=bindparam("used_at"))
)


def lookup_engine(database: Database) -> AsyncEngine:
    """The engine for `find_by_prefix`: a single statement needs no transaction round it."""
    if database.engine.dialect.name == "postgresql":
        return database.engine.execution_options(isolation_level="AUTOCOMMIT")
    return database.engine.execution_options(heisenberg_readonly=True)


async def find_by_prefix(connection: AsyncConnection, prefix: str) -> FoundKey | None:
    """The key of this prefix, of whatever organization: it is what tells the organization.

    Columns, not objects: a session would add a third to the time of every request.
    """
    row = (await connection.execute(_BY_PREFIX, {"prefix": prefix})).one_or_none()
    return None if row is None else FoundKey(*row)


async def mark_used(session: AsyncSession, used: Mapping[UUID, datetime]) -> None:
    """Store when keys were last used, unless a later use is stored; keys may have gone."""
    # In one order everywhere: two processes that write the same keys cannot wait for each other.
    batch = [{"key_id": key_id, "used_at": used[key_id]} for key_id in sorted(used)]
    connection = await session.connection()
    await connection.execute(_MARK_USED, batch)


async def get(session: AsyncSession, organization_id: UUID, key_id: UUID) -> ApiKey | None:
    """One key of the organization."""
    return cast(
        "ApiKey | None",
        await session.scalar(
            select(ApiKey).where(ApiKey.organization_id == organization_id, ApiKey.id == key_id)
        ),
    )


async def get_any(session: AsyncSession, reference: UUID | str) -> ApiKey | None:
    """A key by id or prefix, of any organization: for whoever operates the service."""
    column = ApiKey.prefix if isinstance(reference, str) else ApiKey.id
    return cast("ApiKey | None", await session.scalar(select(ApiKey).where(column == reference)))


async def page(
    session: AsyncSession, organization_id: UUID, *, after: UUID | None, limit: int
) -> Sequence[ApiKey]:
    """Keys of the organization in the order they were made, after the given one."""
    query = select(ApiKey).where(ApiKey.organization_id == organization_id)
    if after is not None:
        query = query.where(ApiKey.id > after)
    return (await session.scalars(query.order_by(ApiKey.id).limit(limit))).all()


async def active(session: AsyncSession, organization_id: UUID, at: datetime) -> Sequence[ApiKey]:
    """Keys of the organization that work at the moment; there are few by their limit."""
    query = select(ApiKey).where(
        ApiKey.organization_id == organization_id,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > at),
    )
    return (await session.scalars(query)).all()
