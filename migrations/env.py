"""What Alembic runs round every command: connect to the service's database, lock it, migrate.

The service hands its own connection over in `config.attributes["connection"]`; the `alembic`
command leaves that to the settings.
"""

from __future__ import annotations

import asyncio
import logging.config
from typing import TYPE_CHECKING, Literal

from alembic import context
from alembic.util import CommandError

from heisenberg.backend import migrate
from heisenberg.backend.config import load_settings
from heisenberg.backend.models import Base, UtcDateTime
from heisenberg.errors import HeisenbergError

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Connection

    from heisenberg.backend.config import Settings


def run_migrations_offline(settings: Settings) -> None:
    """Write the SQL for the settings' kind of database instead of running it."""
    configure(dialect_name=settings.database.get_backend_name())
    with context.begin_transaction():
        for statement in migrate.lock_statements(context.get_context().dialect.name):
            context.execute(statement)
        context.run_migrations()


def run_migrations_online(settings: Settings) -> None:
    """Run against the database that the settings name."""
    asyncio.run(do_run_migrations(settings))


async def do_run_migrations(settings: Settings) -> None:
    """Connect, and run over that connection."""
    async with migrate.connection(settings) as connection:
        await connection.run_sync(do_run_migrations_sync)


def do_run_migrations_sync(connection: Connection) -> None:
    """Run in one transaction, which takes the lock before it reads the version."""
    configure(connection=connection)
    with context.begin_transaction():
        for statement in migrate.lock_statements(connection.dialect.name):
            context.execute(statement)
        migrate.refuse_unknown(context.get_context().get_current_heads())
        context.run_migrations()
        migrate.check_references(connection)


def configure(connection: Connection | None = None, dialect_name: str | None = None) -> None:
    """Tell Alembic of the tables; SQLite's DDL is transactional, since we begin by ourselves."""
    context.configure(
        target_metadata=Base.metadata,
        transactional_ddl=True,
        render_as_batch=True,
        compare_server_default=True,
        render_item=render_item,
        connection=connection,
        dialect_name=dialect_name,
        literal_binds=connection is None,
    )


def render_item(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Write our own types in new migrations as what they are, without importing the models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def main() -> None:
    """Do what the command asked for; a failure is one line."""
    if (connection := context.config.attributes.get("connection")) is not None:
        do_run_migrations_sync(connection)
        return
    if context.config.config_file_name is not None:
        logging.config.fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    try:
        settings = load_settings()
        if context.is_offline_mode():
            run_migrations_offline(settings)
        else:
            run_migrations_online(settings)
    except HeisenbergError as error:
        raise CommandError(str(error)) from None


main()
