from __future__ import annotations

import asyncio
import configparser
import importlib.util
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, text

from heisenberg.backend import migrate
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.migrate import MigrationError
from heisenberg.backend.models import Base
from heisenberg.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from heisenberg.backend.config import Settings
    from servers import Postgres

ROOT = Path(__file__).parent.parent
INI = ROOT / "alembic.ini"
VERSIONS = ROOT / "migrations" / "versions"
SCRIPTS = sorted(VERSIONS.glob("*.py"))


def alembic(
    *arguments: str, url: str | None = None, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the `alembic` command as a user does; stderr is in stdout, but for SQL."""
    if url is not None:
        variables["DATABASE_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "alembic", "-c", INI, *arguments],
        env={**os.environ, **variables}, cwd=cwd, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE if "--sql" in arguments else subprocess.STDOUT,
        text=True, timeout=60,
    )  # fmt: skip


def settings_for(url: str) -> Settings:
    """The defaults, on this database."""
    return load_settings(_env_file=None, database_url=url)


async def tables(settings: Settings) -> set[str]:
    """Names of the tables in the database."""
    async with migrate.connection(settings) as connection:
        return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))


async def columns(settings: Settings, table: str) -> set[str]:
    """Names of a table's columns in the database."""
    async with migrate.connection(settings) as connection:
        found = await connection.run_sync(lambda c: inspect(c).get_columns(table))
    return {column["name"] for column in found}


async def run(settings: Settings, step: Callable[..., None], to: str) -> None:
    """Run a command of Alembic on the database, as `migrate.upgrade` does."""
    async with migrate.connection(settings) as connection:
        await connection.run_sync(lambda c: step(migrate._config(c), to))


def initial() -> ModuleType:
    """The first migration, loaded from its file."""
    spec = importlib.util.spec_from_file_location("initial", VERSIONS / "001_initial.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestAlembicSetup:
    def test_alembic_ini_exists(self, tmp_path: Path) -> None:
        """`alembic.ini` leads to the migrations from any working directory, and holds no URL."""
        done = alembic("heads", cwd=tmp_path)

        assert (0, "002 (head)") == (done.returncode, done.stdout.strip())
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(INI)
        assert not parser.has_option("alembic", "sqlalchemy.url")

    def test_migrations_directory_exists(self) -> None:
        """The folder that the code finds is the one in which Alembic finds the versions."""
        scripts = ScriptDirectory.from_config(Config(INI))

        assert migrate.folder().samefile(scripts.dir)
        assert ["002", "001"] == [s.revision for s in scripts.walk_revisions()]

    def test_env_py_exists(self, empty_database_url: str) -> None:
        """`env.py` connects to the database that the service's settings name, and migrates it."""
        done = alembic("upgrade", "head", url=empty_database_url)
        current = alembic("current", url=empty_database_url)

        assert 0 == done.returncode, done.stdout
        assert "002 (head)" in current.stdout
        assert set(Base.metadata.tables) < asyncio.run(tables(settings_for(empty_database_url)))

    def test_a_new_migration_is_made_from_the_template(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        """`alembic revision` writes a script that follows the head, loads, and is numbered."""
        scripts = tmp_path / "migrations"
        (scripts / "versions").mkdir(parents=True)
        for name in ("env.py", "script.py.mako", *(f"versions/{p.name}" for p in SCRIPTS)):
            (scripts / name).write_bytes((ROOT / "migrations" / name).read_bytes())
        (tmp_path / "alembic.ini").write_bytes(INI.read_bytes())

        done = subprocess.run(
            [sys.executable, "-m", "alembic", "revision", "--autogenerate", "--rev-id", "003",
             "-m", "nothing new"],
            cwd=tmp_path, env={**os.environ, "DATABASE_URL": sqlite_url},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert 0 == done.returncode, done.stdout + done.stderr
        directory = ScriptDirectory(str(scripts))
        assert "003" == directory.get_current_head()
        assert "002" == directory.get_revision("003").down_revision
        assert (scripts / "versions" / "003_nothing_new.py").is_file()


class TestMigrationScripts:
    def test_initial_migration_exists(self) -> None:
        """History is one line: it begins with 001 and has a single head."""
        scripts = ScriptDirectory.from_config(Config(INI))

        assert ["001"] == scripts.get_bases()
        assert 1 == len(scripts.get_heads())
        first = scripts.get_revision("001")
        assert first.down_revision is None
        assert "001_initial.py" == Path(first.path).name

    async def test_migration_has_upgrade_function(self, empty_database_url: str) -> None:
        """The upgrade makes the tables of the models, and running it again changes nothing."""
        settings = settings_for(empty_database_url)
        await run(settings, command.upgrade, "head")
        once = await tables(settings)
        await run(settings, command.upgrade, "head")
        twice = await tables(settings)

        assert {"alembic_version", *Base.metadata.tables} == once
        assert once == twice
        assert callable(initial().upgrade)

    async def test_migration_has_downgrade_function(self, database_url: str) -> None:
        """The downgrade takes back all that the upgrade made, and both can be repeated."""
        settings = settings_for(database_url)
        left = []
        for _ in range(2):
            await run(settings, command.downgrade, "base")
            left.append(await tables(settings))
            await run(settings, command.upgrade, "head")

        assert [{"alembic_version"}] * 2 == left
        assert {"alembic_version", *Base.metadata.tables} == await tables(settings)
        assert callable(initial().downgrade)

    async def test_migration_creates_organizations_table(self, database_url: str) -> None:
        """Organizations have the columns of the model, and no two have one name."""
        settings = settings_for(database_url)

        assert {"id", "name", "created_at"} == await columns(settings, "organizations")
        assert [["name"]] == await unique(settings, "organizations")

    async def test_migration_creates_api_keys_table(self, database_url: str) -> None:
        """Keys have the columns of the model; a prefix is one key's, and they go with their owner."""
        settings = settings_for(database_url)

        assert set(Base.metadata.tables["api_keys"].columns.keys()) == await columns(
            settings, "api_keys"
        )
        assert [["prefix"]] == await unique(settings, "api_keys")
        assert ("organizations", "CASCADE") in await references(settings, "api_keys")

    async def test_migration_creates_test_runs_table(self, database_url: str) -> None:
        """Runs have the columns of the model, and go with their organization."""
        settings = settings_for(database_url)

        assert set(Base.metadata.tables["test_runs"].columns.keys()) == await columns(
            settings, "test_runs"
        )
        assert [("organizations", "CASCADE")] == await references(settings, "test_runs")

    async def test_migration_creates_analyses_table(self, database_url: str) -> None:
        """Analyses have the columns of the model, and belong to a run of their own organization."""
        settings = settings_for(database_url)

        assert set(Base.metadata.tables["analyses"].columns.keys()) == await columns(
            settings, "analyses"
        )
        assert [("test_runs", "CASCADE")] == await references(settings, "analyses")

    @pytest.mark.parametrize(
        ("table", "owners"),
        [
            ("feedback", {("analyses", "CASCADE"), ("api_keys", "CASCADE")}),
            ("model_answers", {("organizations", "CASCADE")}),
            ("model_calls", {("organizations", "CASCADE")}),
            ("model_spending", {("organizations", "CASCADE")}),
        ],
    )
    async def test_migration_creates_the_tables_of_models(
        self, database_url: str, table: str, owners: set[tuple[str, str]]
    ) -> None:
        """What models answered and cost goes with its organization, feedback with its analysis."""
        settings = settings_for(database_url)

        assert set(Base.metadata.tables[table].columns.keys()) == await columns(settings, table)
        assert owners == set(await references(settings, table))

    async def test_an_organization_goes_with_all_that_is_its_own(self, database_url: str) -> None:
        """Nothing of it is left in any table, and nothing keeps it from going."""
        settings = settings_for(database_url)
        await insert_analysis(settings)
        await insert_of_models(settings)
        database = Database(settings)

        async with database.write() as session:
            await session.execute(text("DELETE FROM organizations"))
        async with database.read() as session:
            left = {
                table.name: await session.scalar(select(func.count()).select_from(table))
                for table in Base.metadata.sorted_tables
            }
        await database.close()
        assert dict.fromkeys(Base.metadata.tables, 0) == left

    async def test_old_analyses_get_empty_columns(self, database_url: str) -> None:
        """Rows of the version before are kept, and what was not known of them is NULL."""
        settings = settings_for(database_url)
        await run(settings, command.downgrade, "001")
        await insert_analysis(settings)
        await run(settings, command.upgrade, "head")

        async with migrate.connection(settings) as connection:
            found = await connection.execute(
                text("SELECT engine, confidence, stated_confidence, prompt FROM analyses")
            )
            assert [("offline/1", 0.5, None, None)] == [tuple(row) for row in found]

    async def test_a_downgrade_keeps_analyses(self, database_url: str) -> None:
        """Going back drops what models said and cost and the feedback, and no analysis."""
        settings = settings_for(database_url)
        await insert_analysis(settings)
        await insert_of_models(settings)

        await run(settings, command.downgrade, "001")
        async with migrate.connection(settings) as connection:
            assert 1 == await connection.scalar(text("SELECT count(*) FROM analyses"))
        assert not {"stated_confidence", "prompt"} & await columns(settings, "analyses")
        await run(settings, command.upgrade, "head")
        async with migrate.connection(settings) as connection:
            for table in ("feedback", "model_answers", "model_calls", "model_spending"):
                assert 0 == await connection.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 (names of ours)

    def test_the_models_are_what_the_migrations_make(self, database_url: str) -> None:
        """`alembic check` finds no difference: types, names, indexes and nullability."""
        done = alembic("check", url=database_url)

        assert 0 == done.returncode, done.stdout
        assert "No new upgrade operations detected" in done.stdout

    @pytest.mark.parametrize("change", DRIFTS := {
        "column": "ALTER TABLE organizations ADD COLUMN extra INTEGER",
        "index": "DROP INDEX ix_api_keys_organization_id",
    })  # fmt: skip
    async def test_a_difference_is_found(self, database_url: str, change: str) -> None:
        """`alembic check` fails when the database differs from the models."""
        async with migrate.connection(settings_for(database_url)) as connection:
            await connection.execute(text(self.DRIFTS[change]))
            await connection.commit()

        assert 0 != alembic("check", url=database_url).returncode

    @pytest.mark.parametrize(
        "url", ["sqlite:///unused.db", "postgresql://nobody:hunter2@127.0.0.1:1/unused"]
    )
    def test_sql_is_written_without_a_database(
        self, url: str, tmp_path: Path, postgres: Postgres, empty_postgres_url: str
    ) -> None:
        """`--sql` writes what an upgrade would run, connects to nothing, and psql can run it."""
        done = alembic("upgrade", "head", "--sql", url=url, cwd=tmp_path)
        sql = done.stdout

        assert [] == list(tmp_path.iterdir())
        assert all(f"CREATE TABLE {name} (" in sql for name in Base.metadata.tables)
        assert "hunter2" not in sql
        if url.startswith("postgresql"):
            postgres.sql(sql, empty_postgres_url.rpartition("/")[2])
            assert 0 == alembic("check", url=empty_postgres_url).returncode


class TestUpgrade:
    async def test_it_tells_where_the_database_stood(self, empty_database_url: str) -> None:
        """An upgrade tells the versions before and after; a second one has nothing to do."""
        settings = settings_for(empty_database_url)
        before, after = await migrate.upgrade(settings)
        again = await migrate.upgrade(settings)

        assert (None, True) == (before.current, before.is_behind)
        assert (migrate.head(), False) == (after.current, after.is_behind)
        assert (after, after) == again

    async def test_the_embedded_folder_is_closed_to_others(self, tmp_path: Path) -> None:
        """The folder of the embedded database is made, for its owner alone."""
        data_dir = tmp_path / "share" / "heisenberg"

        await migrate.upgrade(load_settings(_env_file=None, data_dir=data_dir))

        assert 0o700 == stat.S_IMODE(data_dir.stat().st_mode)
        assert (data_dir / "heisenberg.db").is_file()

    def test_servers_that_migrate_at_once(self, empty_database_url: str) -> None:
        """Of several processes that migrate one database, one does and the others find it done."""
        script = (
            "import asyncio\n"
            "from heisenberg.backend import migrate\n"
            "from heisenberg.backend.config import load_settings\n"
            "print(asyncio.run(migrate.upgrade(load_settings()))[1].current)\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script],
                env={**os.environ, "DATABASE_URL": empty_database_url},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for _ in range(4)
        ]  # fmt: skip
        outputs = [process.communicate(timeout=60)[0].strip() for process in processes]

        assert [migrate.head()] * 4 == outputs

    async def test_whoever_waits_reads_the_version_afterwards(
        self, empty_database_url: str
    ) -> None:
        """An upgrade that has to wait for another one waits before it looks what is missing."""
        settings = settings_for(empty_database_url)
        async with migrate.connection(settings) as first:
            for statement in migrate.lock_statements(first.dialect.name) or ["SELECT 1"]:
                await first.execute(text(statement))
            second = asyncio.create_task(run(settings, command.upgrade, "head"))
            done, _ = await asyncio.wait({second}, timeout=0.5)
            waited = not done
            # What the other server would have done meanwhile.
            await first.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            await first.execute(
                text("INSERT INTO alembic_version VALUES (:head)"), {"head": migrate.head()}
            )
            await first.commit()
            await second

        assert waited
        assert {"alembic_version"} == await tables(settings)

    async def test_an_interrupted_upgrade_changes_nothing(
        self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When a migration fails half-way, its tables and the version are as before."""
        settings = settings_for(empty_database_url)

        def fail(_: object) -> None:
            raise MigrationError("half-way")

        with monkeypatch.context() as patch:
            patch.setattr(migrate, "check_references", fail)
            with pytest.raises(MigrationError, match="half-way"):
                await migrate.upgrade(settings)
        half = await tables(settings)
        before, after = await migrate.upgrade(settings)

        assert set() == half
        assert before.is_behind
        assert not after.is_behind

    async def test_a_database_that_is_ahead_is_refused(self, database_url: str) -> None:
        """A database that a newer version has migrated is left alone, with a clear error."""
        settings = settings_for(database_url)
        await set_revision(settings, "999")

        with pytest.raises(MigrationError, match=r"revision '999'.*run the newer version"):
            await migrate.upgrade(settings)
        by_alembic = alembic("upgrade", "head", url=database_url)
        state = await migrate.check(settings)

        assert "FAILED: the database is at revision '999'" in by_alembic.stdout
        assert 0 != by_alembic.returncode
        assert (True, False) == (state.is_ahead, state.is_behind)

    async def test_rows_survive_the_rebuilding_of_a_table(self, sqlite_url: str) -> None:
        """SQLite rebuilds a table to change it; the rows that refer to it are not deleted."""
        settings = settings_for(sqlite_url)
        await insert_key(settings)

        async with migrate.connection(settings) as connection:
            await connection.execute(text("CREATE TABLE copy AS SELECT * FROM organizations"))
            await connection.execute(text("DROP TABLE organizations"))
            await connection.execute(text("ALTER TABLE copy RENAME TO organizations"))
            kept = await connection.scalar(text("SELECT count(*) FROM api_keys"))

        assert 1 == kept

    async def test_a_broken_reference_stops_the_migration(self, sqlite_url: str) -> None:
        """A migration that leaves rows pointing to nothing is rolled back."""
        settings = settings_for(sqlite_url)
        await insert_key(settings)
        async with migrate.connection(settings) as connection:
            await connection.execute(text("DELETE FROM organizations"))
            await connection.execute(text("DELETE FROM alembic_version"))
            await connection.execute(text("INSERT INTO alembic_version VALUES ('001')"))

            with pytest.raises(MigrationError, match="1 rows of api_keys would point to nothing"):
                await connection.run_sync(migrate.check_references)

    def test_a_waiting_table_lock_gives_up(self) -> None:
        """On PostgreSQL, DDL waits a bounded time for a table, as all queries wait behind it."""
        statements = migrate.lock_statements("postgresql")

        assert "pg_advisory_xact_lock" in statements[0]
        assert f"SET LOCAL lock_timeout = '{migrate.LOCK_TIMEOUT_S}s'" in statements

    async def test_ddl_gives_up_on_a_table_in_use(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A downgrade of a table that somebody reads fails after the lock timeout, undone."""
        monkeypatch.setattr(migrate, "LOCK_TIMEOUT_S", 1)
        settings = settings_for(postgres_url)
        database = Database(settings)
        async with database.read() as session:
            await session.execute(text("SELECT count(*) FROM analyses"))
            start = time.perf_counter()
            with pytest.raises(DatabaseError, match="lock timeout"):
                await run(settings, command.downgrade, "base")
            took_s = time.perf_counter() - start
        await database.close()

        assert 0.9 < took_s < 5
        assert set(Base.metadata.tables) < await tables(settings)


class TestCheck:
    def test_a_missing_file_is_behind_and_stays_missing(
        self, empty_sqlite_url: str, tmp_path: Path
    ) -> None:
        """To ask about an embedded database that does not exist does not make one."""
        state = asyncio.run(migrate.check(settings_for(empty_sqlite_url)))

        assert state.is_behind
        assert [] == list(tmp_path.iterdir())

    async def test_a_migrated_database_is_not_behind(self, database_url: str) -> None:
        """After the migrations nothing is due."""
        state = await migrate.check(settings_for(database_url))

        assert (migrate.head(), False, False) == (state.current, state.is_behind, state.is_ahead)


class TestCommandErrors:
    """What the `alembic` command says when it cannot work: one line, no traceback, no secret."""

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("postgresql://u:hunter2@127.0.0.1:1/x", "FAILED: database x at 127.0.0.1:1: "),
            ("mysql://u:hunter2@localhost/x", "FAILED: DATABASE_URL: 'mysql' is not supported"),
            ("sqlite:////nowhere/at/all.db", "FAILED: database /nowhere/at/all.db: unable to open"),
        ],
    )
    def test_a_wrong_database(self, url: str, told: str) -> None:
        """The error names the database or the variable, and is all there is."""
        done = alembic("upgrade", "head", url=url)

        assert 0 != done.returncode
        assert 1 == len(done.stdout.splitlines()), done.stdout
        assert done.stdout.startswith(told)
        assert "hunter2" not in done.stdout


async def unique(settings: Settings, table: str) -> list[list[str]]:
    """Columns of the table's unique constraints."""
    async with migrate.connection(settings) as connection:
        found = await connection.run_sync(lambda c: inspect(c).get_unique_constraints(table))
    return [constraint["column_names"] for constraint in found]


async def references(settings: Settings, table: str) -> list[tuple[str, Any]]:
    """What the table's foreign keys point to, and what happens when that goes."""
    async with migrate.connection(settings) as connection:
        found = await connection.run_sync(lambda c: inspect(c).get_foreign_keys(table))
    return [(f["referred_table"], f["options"].get("ondelete")) for f in found]


async def set_revision(settings: Settings, revision: str) -> None:
    """As if another version of the service had migrated."""
    async with migrate.connection(settings) as connection:
        await connection.execute(
            text("UPDATE alembic_version SET version_num = :r"), {"r": revision}
        )
        await connection.commit()


OURS = "0190d5a0-0000-7000-8000-000000000001"
"""Id of the only row of each table; with quotes it is a value that both engines take."""
ROWS: dict[str, dict[str, Any]] = {
    "organizations": {"id": OURS, "name": "acme", "created_at": "2026-01-01"},
    "api_keys": {
        "id": OURS, "organization_id": OURS, "name": "ci", "prefix": "p", "key_hash": "h",
        "scopes": "[]", "created_at": "2026-01-01",
    },
    "test_runs": {
        "id": OURS, "organization_id": OURS, "repository": "r", "total_tests": 1,
        "passed_tests": 0, "failed_tests": 1, "flaky_tests": 0, "skipped_tests": 0,
        "document": "{}", "created_at": "2026-01-01",
    },
    "analyses": {
        "id": OURS, "organization_id": OURS, "test_run_id": OURS, "test_id": "t",
        "test_title": "t", "incident_id": "i", "fingerprint": "f", "state": "unknown",
        "owner": "product", "mechanism": "unknown", "symptom": "other", "component": "api",
        "confidence": 0.5, "engine": "offline/1", "input_tokens": 0, "output_tokens": 0,
        "cost_usd": 0, "created_at": "2026-01-01",
    },
}  # fmt: skip
OF_MODELS: dict[str, dict[str, Any]] = {
    "feedback": {
        "id": OURS, "organization_id": OURS, "analysis_id": OURS, "api_key_id": OURS,
        "verdict": "right", "created_at": "2026-01-01",
    },
    "model_answers": {
        "id": OURS, "organization_id": OURS, "key": "k", "model": "m", "prompt": "p",
        "created_at": "2026-01-01", "expires_at": "2026-02-01",
    },
    "model_calls": {
        "id": OURS, "organization_id": OURS, "model": "m", "prompt": "p", "fingerprint": "f",
        "outcome": "answered", "input_tokens": 1, "output_tokens": 1, "cost_usd": 1,
        "duration_ms": 1, "error": "", "created_at": "2026-01-01",
    },
    "model_spending": {
        "organization_id": OURS, "day": "2026-01-01", "spent_usd": 1, "reserved_usd": 1,
    },
}  # fmt: skip


async def insert_analysis(settings: Settings) -> None:
    """An organization with a key, a run and its analysis, as the first version stored them."""
    await insert_rows(settings, ROWS)


async def insert_of_models(settings: Settings) -> None:
    """A row in each table of the second version, for the same organization."""
    await insert_rows(settings, OF_MODELS)


async def insert_rows(settings: Settings, rows: dict[str, dict[str, Any]]) -> None:
    """One row a table; as literals, which both engines turn into the column's type."""
    async with migrate.connection(settings) as connection:
        for table, row in rows.items():
            values = ", ".join(f"'{value}'" for value in row.values())
            await connection.execute(
                text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})")  # noqa: S608 (ours)
            )
        await connection.commit()


async def insert_key(settings: Settings) -> None:
    """An organization with one key."""
    async with migrate.connection(settings) as connection:
        await connection.execute(
            text("INSERT INTO organizations VALUES ('a', 'acme', '2026-01-01')")
        )
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, organization_id, name, prefix, key_hash, scopes, created_at)"
                " VALUES ('b', 'a', 'ci', 'p', 'h', '[]', '2026-01-01')"
            )
        )
        await connection.commit()
