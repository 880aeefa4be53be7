"""`heisenberg db`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from heisenberg.cli.backend_extra import require_backend

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings

BEHIND = 1
"""Exit code of `db check` when an upgrade is due; 2 when that cannot be told."""

app = typer.Typer(help="Prepare the service's database.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the database's tables to what this version of the service expects.

    The database is that of the settings: HEISENBERG_DATABASE_URL, DATABASE_URL, or the embedded
    one. All changes are made in one transaction; when several do this at once, one does the work.
    """
    settings = _settings()
    from heisenberg.backend import migrate  # noqa: PLC0415 (keeps --help fast)

    before, after = asyncio.run(migrate.upgrade(settings))
    if before.current == after.current:
        typer.echo(f"{_place(settings)} is up to date, at revision {after.current}")
    else:
        made = f"from revision {before.current}" if before.current else "from nothing"
        typer.echo(f"{_place(settings)} was upgraded {made} to revision {after.current}")


@app.command()
def check() -> None:
    """Tell whether the database's tables are those of this version; nothing is changed.

    Exits with 0 when they are, with 1 when an upgrade is due, and with 2 when that cannot be told
    or a newer version has migrated them.
    """
    settings = _settings()
    from heisenberg.backend import migrate  # noqa: PLC0415 (keeps --help fast)

    version = asyncio.run(migrate.check(settings))
    if version.is_behind:
        typer.echo(
            f"{_place(settings)} is behind: at revision {version.current or 'none'}, "
            f"{version.head} is due; run heisenberg db upgrade"
        )
        raise typer.Exit(BEHIND)
    if version.current is not None:
        migrate.refuse_unknown([version.current])
    typer.echo(f"{_place(settings)} is up to date, at revision {version.current}")


def _settings() -> Settings:
    require_backend()
    from heisenberg.backend.config import load_settings  # noqa: PLC0415 (keeps --help fast)

    return load_settings()


def _place(settings: Settings) -> str:
    from heisenberg.backend.database import place  # noqa: PLC0415 (keeps --help fast)

    return place(settings.database)
