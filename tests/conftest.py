"""What tests share: real servers, databases of their own, and the application on them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from servers import Postgres, Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

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
