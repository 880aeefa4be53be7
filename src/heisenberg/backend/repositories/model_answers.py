"""Queries of what models answered, and of who is asking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from sqlalchemy import delete, select

from heisenberg.backend.models import ModelAnswer, new_id
from heisenberg.backend.repositories.upsert import insert_into

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.diagnosis.answers import AnswerKey


class Entry(NamedTuple):
    """An answer, or a claim to it."""

    answer: str | None
    created_at: datetime
    expires_at: datetime
    claimed_until: datetime | None


async def get(session: AsyncSession, organization_id: UUID, key: str, at: datetime) -> str | None:
    """The answer, unless there is none or it has expired."""
    return cast(
        "str | None",
        await session.scalar(
            select(ModelAnswer.answer).where(
                ModelAnswer.organization_id == organization_id,
                ModelAnswer.key == key,
                ModelAnswer.expires_at > at,
            )
        ),
    )


async def put(
    session: AsyncSession,
    organization_id: UUID,
    key: AnswerKey,
    entry: Entry,
    *,
    unless_used_at: datetime | None = None,
) -> bool:
    """Put an entry in the question's place.

    Args:
        session: A transaction that writes.
        organization_id: Whose it is.
        key: The question.
        entry: An answer, or the claim to it.
        unless_used_at: Leave what is there if it has not expired at this moment.

    Returns:
        Whether it was put there.
    """
    row = entry._asdict()
    inserted = insert_into(session, ModelAnswer).values(
        id=new_id(),
        organization_id=organization_id,
        key=str(key),
        model=key.model,
        prompt=key.prompt,
        **row,
    )
    where = None if unless_used_at is None else ModelAnswer.expires_at <= unless_used_at
    done = await session.execute(
        inserted.on_conflict_do_update(
            index_elements=["organization_id", "key"], set_=row, where=where
        ).returning(ModelAnswer.id)
    )
    return done.first() is not None


async def release(session: AsyncSession, organization_id: UUID, key: str, until: datetime) -> None:
    """End the claim that lasts until then; one that somebody else has taken over stays."""
    await session.execute(
        delete(ModelAnswer).where(
            ModelAnswer.organization_id == organization_id,
            ModelAnswer.key == key,
            ModelAnswer.claimed_until == until,
        )
    )


async def delete_expired(
    session: AsyncSession, organization_id: UUID, at: datetime, limit: int
) -> None:
    """Delete what has expired, a limited number, and nothing that somebody works on."""
    expired = (
        select(ModelAnswer.id)
        .where(ModelAnswer.organization_id == organization_id, ModelAnswer.expires_at <= at)
        .order_by(ModelAnswer.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("expired")  # a subquery would be run again for each row, and pass the limit
    )
    await session.execute(
        delete(ModelAnswer).where(
            ModelAnswer.organization_id == organization_id, ModelAnswer.id.in_(select(expired.c.id))
        )
    )
