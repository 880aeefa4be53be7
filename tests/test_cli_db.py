from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from heisenberg.backend import migrate

if TYPE_CHECKING:
    from pathlib import Path


def heisenberg(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "heisenberg", *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_upgrade_and_check(empty_database_url: str) -> None:
    """`check` exits with 1 before the upgrade and with 0 after it; an upgrade can be repeated."""
    behind = heisenberg("db", "check", DATABASE_URL=empty_database_url)
    upgraded = heisenberg("db", "upgrade", DATABASE_URL=empty_database_url)
    again = heisenberg("db", "upgrade", DATABASE_URL=empty_database_url)
    current = heisenberg("db", "check", DATABASE_URL=empty_database_url)

    assert [1, 0, 0, 0] == [d.returncode for d in (behind, upgraded, again, current)]
    assert "run heisenberg db upgrade" in behind.stdout
    assert f"upgraded from nothing to revision {migrate.head()}" in upgraded.stdout
    assert "is up to date" in again.stdout
    assert "is up to date" in current.stdout


def test_an_unreachable_database_cannot_be_told(tmp_path: Path) -> None:
    """When the database is away, `check` exits with 2 and one line, without the password."""
    done = heisenberg(
        "db", "check", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x", HOME=str(tmp_path)
    )

    assert 2 == done.returncode
    assert done.stderr.startswith("heisenberg: database x at 127.0.0.1:1: ")
    assert 1 == len(done.stderr.splitlines())
    assert "hunter2" not in done.stderr


def test_a_wrong_variable_is_named() -> None:
    """A wrong URL is told by the variable that was really set."""
    done = heisenberg("db", "check", DATABASE_URL="mysql://u:hunter2@localhost/x")

    assert 2 == done.returncode
    assert done.stderr.startswith("heisenberg: DATABASE_URL: 'mysql' is not supported")


def test_help_loads_no_database() -> None:
    """`heisenberg --help` imports neither Alembic nor SQLAlchemy."""
    script = (
        "import sys; from heisenberg.cli.app import run; run(['db', '--help']); "
        "print(sorted({'alembic', 'sqlalchemy', 'asyncpg'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "[]" == done.stdout.splitlines()[-1]
    assert "upgrade" in done.stdout
