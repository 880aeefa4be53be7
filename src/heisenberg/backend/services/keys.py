"""Make, list, rotate and revoke API keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from heisenberg.backend.api_key import generate_key
from heisenberg.backend.auth import Scope
from heisenberg.backend.errors import ProblemError
from heisenberg.backend.logging import get_logger
from heisenberg.backend.models import ApiKey, new_id, now
from heisenberg.backend.repositories import api_keys, organizations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.backend.api_key import KeyHasher
    from heisenberg.backend.database import Database

MAX_ACTIVE_KEYS: Final = 100
"""Of one organization, not counting those that were rotated; with them, twice as many."""
DEFAULT_OVERLAP: Final = timedelta(hours=24)
"""How long a key that was rotated goes on working."""
MAX_OVERLAP: Final = timedelta(days=30)
MAX_LIFETIME: Final = timedelta(days=3650)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; the only time that it can be seen."""

    row: ApiKey
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key and the one that takes its place."""

    old: ApiKey
    new: NewKey


class Keys:
    """The keys of organizations, each asked for within its organization."""

    def __init__(
        self, database: Database, hasher: KeyHasher, clock: Callable[[], datetime] = now
    ) -> None:
        """Remember where they are."""
        self._database = database
        self._hasher = hasher
        self._clock = clock

    async def page(
        self, organization_id: UUID, *, after: UUID | None, limit: int
    ) -> Sequence[ApiKey]:
        """Keys in the order they were made, revoked and expired ones too."""
        async with self._database.read() as session:
            return await api_keys.page(session, organization_id, after=after, limit=limit)

    async def get(self, organization_id: UUID, key_id: UUID) -> ApiKey:
        """One key.

        Raises:
            ProblemError: 404, the organization has none of this id.
        """
        async with self._database.read() as session:
            return await _existing(session, organization_id, key_id)

    async def create(
        self,
        organization_id: UUID,
        name: str,
        scopes: Iterable[Scope],
        *,
        lifetime: timedelta | None = None,
        granted_by: frozenset[Scope] = frozenset(Scope),
    ) -> NewKey:
        """Make a key.

        Args:
            organization_id: Of an organization that exists.
            name: For people; need not be unique.
            scopes: What it may do.
            lifetime: From now on, after which it is refused; None for ever.
            granted_by: What whoever makes it may do.

        Raises:
            ProblemError: 403, more than the maker may do; 409, too many keys.
        """
        wanted = frozenset(scopes)
        if not wanted <= granted_by:
            raise ProblemError(
                HTTPStatus.FORBIDDEN,
                "insufficient-scope",
                "a key cannot give more scopes than it has",
            )
        at = self._clock()
        async with self._database.write() as session:
            await self._check_room(session, organization_id, at)
            row = ApiKey(
                id=new_id(),
                organization_id=organization_id,
                name=name,
                scopes=ordered(wanted),
                created_at=at,
                expires_at=None if lifetime is None else at + lifetime,
            )
            made = issue(session, self._hasher, row)
        log.info("key.created", key_id=made.row.id, organization_id=organization_id)
        return made

    async def rotate(
        self, organization_id: UUID, key_id: UUID, overlap: timedelta = DEFAULT_OVERLAP
    ) -> Rotation:
        """Make a key like this one in its place, and let this one expire.

        The new key lives as long as the old one was made to, from now.

        Args:
            organization_id: Whose key it is.
            key_id: The key to replace.
            overlap: How long it goes on working, unless it expires sooner.

        Raises:
            ProblemError: 404, the organization has none of this id; 409, it works no longer, was
                rotated already, or there are too many keys.
        """
        at = self._clock()
        async with self._database.write() as session:
            await self._check_room(session, organization_id, at, rotating=True)
            old = await _existing(session, organization_id, key_id)
            _check_rotatable(old, at)
            lifetime = old.expires_at - old.created_at if old.expires_at else None
            row = ApiKey(
                id=new_id(),
                organization_id=organization_id,
                name=old.name,
                scopes=old.scopes,
                created_at=at,
                expires_at=at + lifetime if lifetime else None,
            )
            made = issue(session, self._hasher, row)
            await session.flush()
            old.replaced_by_id = made.row.id
            end = at + overlap
            old.expires_at = min(old.expires_at, end) if old.expires_at else end
        log.info("key.rotated", key_id=key_id, new_key_id=made.row.id, expires_at=old.expires_at)
        return Rotation(old, made)

    async def revoke(
        self, organization_id: UUID, key_id: UUID, *, spare_last_admin: bool = True
    ) -> None:
        """Refuse the key from now on; once more changes nothing.

        Args:
            organization_id: Whose key it is.
            key_id: The key.
            spare_last_admin: Refuse to leave the organization without a way in.

        Raises:
            ProblemError: 404, the organization has none of this id; 409, it is spared.
        """
        at = self._clock()
        async with self._database.write() as session:
            await organizations.lock(session, organization_id)
            key = await _existing(session, organization_id, key_id)
            if key.revoked_at is not None:
                return
            if spare_last_admin:
                admins = {
                    other.id: other
                    for other in await api_keys.active(session, organization_id, at)
                    if Scope.ADMIN in other.scopes
                }
                # A key that was rotated ends by itself before long.
                if key_id in admins and not any(
                    other.replaced_by_id is None for other in admins.values() if other is not key
                ):
                    raise ProblemError(
                        HTTPStatus.CONFLICT,
                        "last-admin-key",
                        "this is the organization's only admin key that goes on working; "
                        "rotate it or make another one first",
                    )
            key.revoked_at = at
        log.info("key.revoked", key_id=key_id, organization_id=organization_id)

    async def _check_room(
        self, session: AsyncSession, organization_id: UUID, at: datetime, *, rotating: bool = False
    ) -> None:
        await organizations.lock(session, organization_id)
        keys = await api_keys.active(session, organization_id, at)
        # A full organization can rotate its keys, yet not without end.
        is_full = len(keys) >= 2 * MAX_ACTIVE_KEYS
        if not rotating:
            is_full = sum(key.replaced_by_id is None for key in keys) >= MAX_ACTIVE_KEYS
        if is_full:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "too-many-api-keys",
                f"the organization has {MAX_ACTIVE_KEYS} keys that work; revoke one first",
            )


def issue(session: AsyncSession, hasher: KeyHasher, row: ApiKey) -> NewKey:
    """Give the row a key, and put it into a transaction."""
    row.prefix, key = generate_key()
    row.key_hash = hasher(key.encode())
    session.add(row)
    return NewKey(row, key)


def ordered(scopes: Iterable[Scope]) -> list[str]:
    """The scopes as they are stored: each once, the least first."""
    given = frozenset(scopes)
    return [scope.value for scope in Scope if scope in given]


def is_active(key: ApiKey, at: datetime) -> bool:
    """Whether the key works at the moment."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > at)


async def _existing(session: AsyncSession, organization_id: UUID, key_id: UUID) -> ApiKey:
    key = await api_keys.get(session, organization_id, key_id)
    if key is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-api-key", f"no API key has id {key_id}")
    return key


def _check_rotatable(key: ApiKey, at: datetime) -> None:
    if key.replaced_by_id is not None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "api-key-rotated",
            f"the key was rotated already, to {key.replaced_by_id}; rotate that one",
        )
    if not is_active(key, at):
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "api-key-inactive",
            "the key is revoked or expired; make a new one",
        )
