from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from heisenberg.backend import database as database_module
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database, explained, place
from heisenberg.backend.database_errors import is_unavailable
from heisenberg.backend.models import ApiKey, Organization, new_id
from heisenberg.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from heisenberg.backend.config import Settings
    from servers import Postgres


def settings_for(url: str, **more: Any) -> Settings:
    """The defaults, on this database."""
    return load_settings(_env_file=None, database_url=url, **more)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """A migrated database, on both engines."""
    database = Database(settings)
    yield database
    await database.close()


async def count(database: Database) -> int:
    """How many organizations there are."""
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(Organization)) or 0


async def count_nothing(database: Database) -> None:
    """One query that needs no table."""
    async with database.read() as session:
        await session.execute(text("SELECT 1"))


@pytest.mark.parametrize("given", [True, False])
async def test_a_new_database_file_is_private(tmp_path: Path, given: bool) -> None:
    """Whatever the umask, and in a folder that was there before; what exists is left as it is."""
    tmp_path.chmod(0o755)  # noqa: ASYNC240 (a folder of this test)
    path = tmp_path / "heisenberg.db"
    if given:
        path.touch()
        path.chmod(0o640)
    database = Database(settings_for(f"sqlite:///{path}"))
    before = os.umask(0o022)
    try:
        async with database.write() as session:
            await session.execute(text("CREATE TABLE t (a INTEGER)"))
            modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}  # noqa: ASYNC240
    finally:
        os.umask(before)
        await database.close()

    assert {"heisenberg.db", "heisenberg.db-wal", "heisenberg.db-shm"} == set(modes)
    assert {0o640 if given else 0o600} == set(modes.values())


class TestTransactions:
    async def test_a_write_is_committed_at_its_end(self, database: Database) -> None:
        """What a writing transaction did is there for others when it has ended."""
        async with database.write() as session:
            session.add(Organization(name="acme"))

        assert 1 == await count(database)

    async def test_an_error_takes_a_write_back(self, database: Database) -> None:
        """When anything is raised inside, nothing of the transaction stays."""

        async def fail() -> None:
            async with database.write() as session:
                session.add(Organization(name="acme"))
                await session.flush()
                raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            await fail()

        assert 0 == await count(database)

    async def test_a_cancelled_write_leaves_the_pool_as_it_was(self, database: Database) -> None:
        """A request that is cut off in mid-transaction changes nothing and keeps no connection."""
        began = asyncio.Event()

        async def linger() -> None:
            async with database.write() as session:
                session.add(Organization(name="acme"))
                await session.flush()
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(linger())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert 0 == await count(database)
        assert 0 == database.engine.pool.checkedout()  # type: ignore[attr-defined] # of a QueuePool

    async def test_a_full_pool_is_told_as_unavailable(self, settings: Settings) -> None:
        """A request waits for a connection as long as the setting says, then gets 503."""
        small = {
            "database_pool_size": 1,
            "database_max_overflow": 0,
            "database_pool_timeout_s": 0.2,
        }
        database = Database(settings.model_copy(update=small))
        async with database.read() as session:
            await session.execute(text("SELECT 1"))
            with pytest.raises(PoolTimeoutError) as caught:
                await count(database)
        free = await count(database)
        await database.close()

        assert is_unavailable(caught.value)
        assert 0 == free


class TestValues:
    async def test_moments_come_back_aware_and_equal(self, database: Database) -> None:
        """A moment in any zone comes back as the same one, in UTC."""
        given = datetime(2026, 3, 29, 2, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5.5)))
        async with database.write() as session:
            session.add(Organization(name="acme", created_at=given))
        async with database.read() as session:
            kept = await session.scalar(select(Organization.created_at))

        assert given == kept
        assert timedelta(0) == kept.utcoffset()

    async def test_a_moment_without_zone_is_refused(self, database: Database) -> None:
        """A naive moment would mean another one on another machine."""
        with pytest.raises(StatementError, match="no time zone"):
            async with database.write() as session:
                session.add(Organization(name="acme", created_at=datetime(2026, 1, 1)))  # noqa: DTZ001 (the point)

    async def test_ids_sort_by_time(self, database: Database) -> None:
        """Rows in the order of their ids are in the order in which they were made."""
        names = [f"organization {n:03}" for n in range(100)]
        async with database.write() as session:
            session.add_all([Organization(id=new_id(), name=name) for name in names])
        async with database.read() as session:
            found = (await session.scalars(select(Organization).order_by(Organization.id))).all()

        assert names == [o.name for o in found]
        assert {7} == {o.id.version for o in found}
        assert all(isinstance(o.id, UUID) for o in found)

    async def test_nothing_is_loaded_behind_the_back(self, database: Database) -> None:
        """A relation that was not asked for raises instead of sending a query."""
        key = ApiKey(name="ci", prefix="p", key_hash="h", scopes=["read"])
        async with database.write() as session:
            organization = Organization(name="acme")
            session.add(organization)
            await session.flush()
            key.organization_id = organization.id
            session.add(key)
        async with database.read() as session:
            found = await session.scalar(select(ApiKey))
            assert found is not None
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                _ = found.organization

    async def test_foreign_keys_hold(self, database: Database) -> None:
        """No key without its organization, on either engine."""
        with pytest.raises(IntegrityError):
            async with database.write() as session:
                session.add(
                    ApiKey(organization_id=new_id(), name="", prefix="p", key_hash="", scopes=[])
                )


class TestPostgres:
    async def test_a_slow_statement_is_ended(self, postgres_url: str) -> None:
        """The server ends a statement at the timeout; the connection serves the next one."""
        database = Database(settings_for(postgres_url, database_statement_timeout_s=0.3))
        start = time.perf_counter()
        with pytest.raises(DBAPIError, match="statement timeout"):
            async with database.read() as session:
                await session.execute(text("SELECT pg_sleep(30)"))
        took_s = time.perf_counter() - start
        after = await count(database)
        await database.close()

        assert took_s < 3
        assert 0 == after

    async def test_a_silent_address_is_given_up(self) -> None:
        """An address that accepts and never answers is given up at the connect timeout, as away."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            database = Database(
                settings_for(
                    f"postgresql://u:hunter2@127.0.0.1:{port}/x", database_connect_timeout_s=0.3
                )
            )
            start = time.perf_counter()
            with pytest.raises((OSError, DBAPIError)) as caught:
                await count(database)
            took_s = time.perf_counter() - start
            await database.close()

        assert took_s < 3
        assert is_unavailable(caught.value)
        assert "hunter2" not in str(caught.value)

    async def test_a_hung_server_is_given_up(self, own_postgres: Postgres) -> None:
        """A server that stops answering is given up by the client, a little after the timeout."""
        database = Database(settings_for(own_postgres.url(), database_statement_timeout_s=0.2))
        await count_nothing(database)
        own_postgres.pause()
        start = time.perf_counter()
        try:
            with pytest.raises((OSError, DBAPIError)) as caught:
                await count_nothing(database)
            took_s = time.perf_counter() - start
        finally:
            own_postgres.resume()
        await database.close()

        assert is_unavailable(caught.value)
        assert took_s < 8

    async def test_a_restart_needs_no_help(self, own_postgres: Postgres) -> None:
        """After PostgreSQL was restarted, the next transaction works, on a pool of dead connections."""
        database = Database(settings_for(own_postgres.url()))
        async with database.read() as session:
            await session.execute(text("SELECT 1"))
        own_postgres.stop()
        own_postgres.start()
        async with database.read() as session:
            found = await session.scalar(text("SELECT 42"))
        await database.close()

        assert 42 == found

    async def test_a_reader_cannot_write(self, postgres_url: str) -> None:
        """A reading transaction is one for the server too."""
        database = Database(settings_for(postgres_url))
        with pytest.raises(DBAPIError, match="read-only transaction"):
            async with database.read() as session:
                session.add(Organization(name="acme"))
        await database.close()

    async def test_options_for_tls_reach_the_driver(self, own_postgres: Postgres) -> None:
        """A URL that demands TLS is refused by a server without it, and one that prefers it is not."""
        prefers = Database(settings_for(own_postgres.url() + "?sslmode=prefer"))
        async with prefers.read() as session:
            assert 1 == await session.scalar(text("SELECT 1"))
        await prefers.close()

        demands = Database(settings_for(own_postgres.url() + "?sslmode=require"))
        with pytest.raises((OSError, DBAPIError), match="SSL"):
            async with demands.read() as session:
                await session.execute(text("SELECT 1"))
        await demands.close()


class TestSqlite:
    def test_processes_that_write_at_once(self, sqlite_url: str) -> None:
        """Two processes that write all the time wait for each other; none fails, nothing is lost."""
        script = (
            "import asyncio, sys\n"
            "from heisenberg.backend.config import load_settings\n"
            "from heisenberg.backend.database import Database\n"
            "from heisenberg.backend.models import Organization\n"
            "from sqlalchemy import func, select\n"
            "async def main():\n"
            "    database = Database(load_settings())\n"
            "    async def write(n):\n"
            "        async with database.write() as session:\n"
            "            await session.scalar(select(func.count()).select_from(Organization))\n"
            "            session.add(Organization(name=f'{sys.argv[1]} {n}'))\n"
            "    await asyncio.gather(*(write(n) for n in range(50)))\n"
            "    await database.close()\n"
            "asyncio.run(main())\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, name],
                env={**os.environ, "DATABASE_URL": sqlite_url},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for name in ("one", "two")
        ]  # fmt: skip
        outputs = [process.communicate(timeout=120)[0] for process in processes]

        async def total() -> int:
            database = Database(settings_for(sqlite_url))
            try:
                return await count(database)
            finally:
                await database.close()

        assert ["", ""] == outputs
        assert 100 == asyncio.run(total())

    async def test_a_reader_does_not_wait_for_a_writer(self, sqlite_url: str) -> None:
        """Reading goes on while somebody writes, on what was committed before."""
        database = Database(settings_for(sqlite_url))
        async with database.write() as session:
            session.add(Organization(name="acme"))
            await session.flush()
            async with asyncio.timeout(2):
                during = await count(database)
        after = await count(database)
        await database.close()

        assert (0, 1) == (during, after)

    async def test_a_writer_does_not_wait_for_a_reader(self, sqlite_url: str) -> None:
        """A write is committed while somebody reads, who goes on seeing what was before."""
        database = Database(settings_for(sqlite_url))
        async with database.read() as session:
            before = await session.scalar(select(func.count()).select_from(Organization))
            async with asyncio.timeout(2), database.write() as writer:
                writer.add(Organization(name="acme"))
            still = await session.scalar(select(func.count()).select_from(Organization))
        after = await count(database)
        await database.close()

        assert (0, 0, 1) == (before, still, after)

    async def test_a_lock_beyond_the_timeout_is_unavailable(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever cannot write in time is told to come again, not that it is an error of ours."""
        monkeypatch.setattr(database_module, "SQLITE_BUSY_TIMEOUT_S", 0.1)
        database = Database(settings_for(sqlite_url))
        async with database.write() as session:
            await session.execute(text("SELECT 1"))
            with pytest.raises(DBAPIError, match="locked") as caught:
                async with database.write() as other:
                    await other.execute(text("SELECT 1"))
        await database.close()

        assert is_unavailable(caught.value)


class TestExplained:
    def test_a_place_has_no_secret(self) -> None:
        """A database is named by where it is, not by who may open it."""
        url = settings_for("postgresql://user:hunter2@db.example:6543/heisenberg").database

        assert "database heisenberg at db.example:6543" == place(url)

    async def test_an_error_is_one_line_without_secrets(self) -> None:
        """What the driver says comes in one line with the database's place."""
        settings = settings_for("postgresql://user:hunter2@127.0.0.1:1/heisenberg")
        database = Database(settings)
        with pytest.raises(DatabaseError) as caught, explained(settings.database):
            await count(database)
        await database.close()

        assert str(caught.value).startswith("database heisenberg at 127.0.0.1:1: ")
        assert "\n" not in str(caught.value)
        assert "hunter2" not in str(caught.value)
