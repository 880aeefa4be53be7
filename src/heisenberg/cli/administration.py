"""What the commands for organizations and keys share: the service's own database and secret."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import typer

from heisenberg import text
from heisenberg.cli.backend_extra import require_backend
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from heisenberg.backend.api_key import KeyHasher
    from heisenberg.backend.config import Settings
    from heisenberg.backend.database import Database
    from heisenberg.backend.models import Organization
    from heisenberg.backend.services.keys import Keys

T = TypeVar("T")
PAGE = 200
"""Rows of one query."""


class Format(StrEnum):
    """How the result is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Office:
    """What an operator works with."""

    settings: Settings
    database: Database
    hasher: KeyHasher
    keys: Keys


def administer(work: Callable[[Office], Awaitable[T]]) -> T:
    """Do the work on the database that the settings name.

    An SQLite database is made and migrated first; a PostgreSQL one is its operator's to migrate.

    Raises:
        HeisenbergError: In one line, why it could not be done.
    """
    require_backend()
    from heisenberg.backend import config  # noqa: PLC0415 (after the check)
    from heisenberg.backend.logging import configure_logging  # noqa: PLC0415 (likewise)

    settings = config.load_settings()
    configure_logging("WARNING", json_format=False)
    return asyncio.run(_administer(settings, work))


async def _administer(settings: Settings, work: Callable[[Office], Awaitable[T]]) -> T:
    from heisenberg.backend import database as databases  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.backend.api_key import KeyHasher  # noqa: PLC0415 (likewise)
    from heisenberg.backend.errors import ProblemError  # noqa: PLC0415 (likewise)
    from heisenberg.backend.services.keys import Keys  # noqa: PLC0415 (likewise)

    await _prepare(settings)
    database = databases.Database(settings)
    hasher = KeyHasher(settings)
    try:
        with databases.explained(settings.database):
            return await work(Office(settings, database, hasher, Keys(database, hasher)))
    except ProblemError as problem:
        raise UsageError(str(problem.detail)) from problem
    finally:
        await database.close()


async def _prepare(settings: Settings) -> None:
    from heisenberg.backend import database, migrate  # noqa: PLC0415 (keeps --help fast)

    if settings.database.get_backend_name() == "sqlite":
        await migrate.upgrade(settings)
        return
    version = await migrate.check(settings)
    if version.is_behind:
        where = database.place(settings.database)
        stands = f"at revision {version.current}" if version.current else "empty"
        raise UsageError(f"{where} is {stands}; run `heisenberg db upgrade` first")
    if version.current:
        migrate.refuse_unknown([version.current])


async def find_organization(office: Office, reference: str | None) -> Organization:
    """The organization of this name or id; the only one there is when none is given.

    Raises:
        UsageError: There is none such, or several.
    """
    from heisenberg.backend.repositories import organizations  # noqa: PLC0415 (keeps --help fast)

    async with office.database.read() as session:
        if reference is None:
            found = await organizations.page(session, limit=2)
            if len(found) == 1:
                return found[0]
            raise UsageError(
                "--org: there are several organizations; `heisenberg org list` shows them"
                if found
                else "there is no organization yet; `heisenberg org create NAME` makes one"
            )
        organization = await organizations.get_by_name(session, reference.strip())
        if organization is None and (organization_id := as_id(reference)) is not None:
            organization = await organizations.get(session, organization_id)
    if organization is None:
        raise UsageError(f"--org: no organization is named {reference!r} or has this id")
    return organization


def given_name(raw: str, parameter: str) -> str:
    """A name, cleaned.

    Raises:
        UsageError: It cannot be one.
    """
    from heisenberg.backend.names import clean_name  # noqa: PLC0415 (keeps --help fast)

    try:
        return clean_name(raw)
    except ValueError as error:
        raise UsageError(f"{parameter}: {error}") from None


def as_id(reference: str) -> UUID | None:
    """The id, if it is one."""
    try:
        return UUID(reference.strip())
    except ValueError:
        return None


def note(message: str) -> None:
    """Tell people something that no script should read."""
    typer.echo(text.visible(message), err=True)


def write_json(document: Mapping[str, Any]) -> None:
    """Write a document for scripts."""
    from heisenberg.cli import streams  # noqa: PLC0415 (keeps --help fast)

    streams.write_document(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows in columns; the heads only above rows."""
    from heisenberg.cli import streams  # noqa: PLC0415 (keeps --help fast)

    lines = [[text.visible(cell) for cell in row] for row in rows]
    if not lines:
        return
    lines.insert(0, list(heads))
    widths = [max(map(text.display_width, column)) for column in zip(*lines, strict=True)]
    streams.write(
        "".join(
            "  ".join(
                cell + " " * (width - text.display_width(cell))
                for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            + "\n"
            for line in lines
        )
    )
