"""Found and name organizations."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import IntegrityError

from heisenberg.backend.auth import Scope
from heisenberg.backend.errors import ProblemError
from heisenberg.backend.logging import get_logger
from heisenberg.backend.models import ApiKey, Organization, new_id, now
from heisenberg.backend.repositories import organizations
from heisenberg.backend.services.keys import issue, ordered

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from heisenberg.backend.api_key import KeyHasher
    from heisenberg.backend.database import Database
    from heisenberg.backend.services.keys import NewKey

DEFAULT_NAME: Final = "default"
FIRST_KEY_NAME: Final = "first admin key"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Founded:
    """A new organization and its first admin key."""

    organization: Organization
    key: NewKey


async def bootstrap(
    database: Database, hasher: KeyHasher, clock: Callable[[], datetime] = now
) -> Founded | None:
    """Make the organization `default` with an admin key when there is no organization at all.

    Of servers that start at the same moment, one makes it.

    Returns:
        What was made, with the only sight of its key; None when there was nothing to do.
    """
    async with database.write() as session:
        await organizations.lock_bootstrap(session)
        if await organizations.exist(session):
            return None
        founded = await _found(session, hasher, DEFAULT_NAME, clock())
    log.info("organization.founded", organization_id=founded.organization.id)
    return founded


async def found(
    database: Database, hasher: KeyHasher, name: str, clock: Callable[[], datetime] = now
) -> Founded:
    """Make an organization with an admin key.

    Raises:
        ProblemError: 409, the name is taken.
    """
    try:
        async with database.write() as session:
            founded = await _found(session, hasher, name, clock())
    except IntegrityError as error:
        raise _name_taken(name) from error
    log.info("organization.founded", organization_id=founded.organization.id)
    return founded


async def create(
    database: Database, name: str, clock: Callable[[], datetime] = now
) -> Organization:
    """Make an organization that nobody has a key of yet.

    Raises:
        ProblemError: 409, the name is taken.
    """
    try:
        async with database.write() as session:
            organization = Organization(id=new_id(), name=name, created_at=clock())
            session.add(organization)
    except IntegrityError as error:
        raise _name_taken(name) from error
    log.info("organization.founded", organization_id=organization.id)
    return organization


async def rename(database: Database, organization_id: UUID, name: str) -> Organization:
    """Give the organization another name.

    Raises:
        ProblemError: 404, it does not exist; 409, the name is taken.
    """
    try:
        async with database.write() as session:
            organization = await _existing(session, organization_id)
            organization.name = name
    except IntegrityError as error:
        raise _name_taken(name) from error
    log.info("organization.renamed", organization_id=organization_id)
    return organization


async def get(database: Database, organization_id: UUID) -> Organization:
    """One organization.

    Raises:
        ProblemError: 404, it does not exist.
    """
    async with database.read() as session:
        return await _existing(session, organization_id)


async def _existing(session: AsyncSession, organization_id: UUID) -> Organization:
    organization = await organizations.get(session, organization_id)
    if organization is None:
        raise no_such_organization(organization_id)
    return organization


async def _found(session: AsyncSession, hasher: KeyHasher, name: str, at: datetime) -> Founded:
    organization = Organization(id=new_id(), name=name, created_at=at)
    session.add(organization)
    await session.flush()
    row = ApiKey(
        id=new_id(),
        organization_id=organization.id,
        name=FIRST_KEY_NAME,
        scopes=ordered([Scope.ADMIN]),
        created_at=at,
    )
    return Founded(organization, issue(session, hasher, row))


def no_such_organization(organization_id: UUID) -> ProblemError:
    """Of an id that is nobody's, or somebody else's."""
    return ProblemError(
        HTTPStatus.NOT_FOUND, "no-such-organization", f"no organization has id {organization_id}"
    )


def _name_taken(name: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.CONFLICT, "name-taken", f"another organization is named {name!r}"
    )
