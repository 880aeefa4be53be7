"""What tests share: real servers, databases of their own, and the application on them."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
from typing import TYPE_CHECKING

import httpx2
import pytest

from contract import Contract
from heisenberg.backend import migrate
from heisenberg.backend.app import create_app
from heisenberg.backend.config import (
    PREFIX,
    SECRET_VARIABLES,
    URL_VARIABLES,
    Settings,
    load_settings,
)
from heisenberg.backend.logging import configure_logging
from model_server import ModelServer
from servers import Postgres, Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL that tests share; none of them stops it."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> str:
    """URL of a database of this test's own with nothing in it."""
    name = f"test_{next(_numbers)}"
    postgres.sql(f"CREATE DATABASE {name}")
    return postgres.url(name)


@pytest.fixture(scope="session")
def _postgres_template(postgres: Postgres) -> str:
    """Name of a migrated database that tests copy, which is faster than migrating."""
    postgres.sql("CREATE DATABASE migrated")
    _migrate(postgres.url("migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "heisenberg.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    asyncio.run(migrate.upgrade(load_settings(_env_file=None, database_url=url)))


@pytest.fixture
def postgres_url(postgres: Postgres, _postgres_template: str) -> str:
    """URL of a migrated PostgreSQL database of this test's own."""
    name = f"test_{next(_numbers)}"
    postgres.sql(f"CREATE DATABASE {name} TEMPLATE {_postgres_template}")
    return postgres.url(name)


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_template: Path) -> str:
    """URL of a migrated SQLite database of this test's own."""
    return f"sqlite:///{shutil.copy(_sqlite_template, tmp_path / 'heisenberg.db')}"


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """URL of an SQLite database of this test's own that does not exist yet."""
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database of this test's own: the test runs on both engines."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """URL of a database of this test's own with nothing in it, on both engines."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the variables of whoever runs it."""
    others = SECRET_VARIABLES.union(*URL_VARIABLES.values())
    for name in list(os.environ):
        if name.startswith((PREFIX, "OTEL_")) or name in others:
            monkeypatch.delenv(name)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the service logs, one JSON object a line."""
    stream = io.StringIO()
    configure_logging("INFO", stream=stream)
    yield stream
    configure_logging()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The defaults, with a migrated database of this test's own, on both engines."""
    return load_settings(_env_file=None, database_url=database_url, data_dir=tmp_path)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The started application on `settings`."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Asks `app`, in memory; each answer has to be as OpenAPI documents it."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://heisenberg",
        event_hooks={"response": [Contract(app).check]},
    ) as client:
        yield client


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A running PostgreSQL that this test may stop, pause and kill."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A running Valkey that this test may stop, pause and kill."""
    server = Valkey()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A running server that pretends to be a model at Anthropic, OpenAI or the like."""
    with ModelServer() as server:
        yield server
