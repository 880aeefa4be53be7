"""Queries of organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import func, select, text

from heisenberg.backend.models import Organization

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

BOOTSTRAP_LOCK = 0x6865_6973_626F_6F74
"""Of PostgreSQL's advisory locks, the one of the first start: "heisboot"."""


async def get(session: AsyncSession, organization_id: UUID) -> Organization | None:
    """The organization itself."""
    return await session.get(Organization, organization_id)


async def get_by_name(session: AsyncSession, name: str) -> Organization | None:
    """The organization of exactly this name: for whoever operates the service."""
    return cast(
        "Organization | None",
        await session.scalar(select(Organization).where(Organization.name == name)),
    )


async def page(
    session: AsyncSession, *, after: UUID | None = None, limit: int
) -> Sequence[Organization]:
    """All organizations in the order they were made: for whoever operates the service."""
    query = select(Organization).order_by(Organization.id).limit(limit)
    if after is not None:
        query = query.where(Organization.id > after)
    return (await session.scalars(query)).all()


async def lock(session: AsyncSession, organization_id: UUID) -> None:
    """Let nobody else change the organization's keys until this transaction ends.

    Not against rows that refer to the organization. On SQLite a writer is alone anyway.
    """
    await session.execute(
        select(Organization.id)
        .where(Organization.id == organization_id)
        .with_for_update(key_share=True)
    )


async def lock_bootstrap(session: AsyncSession) -> None:
    """Let one process at a time find out whether there is any organization."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": BOOTSTRAP_LOCK})


async def exist(session: AsyncSession) -> bool:
    """Whether there is any organization."""
    count = select(func.count()).select_from(select(Organization.id).limit(1).subquery())
    return bool(await session.scalar(count))
