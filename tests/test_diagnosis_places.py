"""Whose side of the fence a host is on, and which dependency is complained of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.hosts import (
    address,
    dependency,
    external_host,
    hosts_of,
    is_database,
    is_external,
    is_store,
)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("GET https://api.stripe.com/v1/charges failed", ("api.stripe.com",)),
        ("redis://:secret@cache.internal:6379/0 is gone", ("cache.internal:6379",)),
        ("failed to connect to pay.acme.dev", ("pay.acme.dev",)),
        ("connect ECONNREFUSED 10.0.0.4:8081", ("10.0.0.4:8081",)),
        ("connect to localhost:5432", ("localhost:5432",)),
        ("open /srv/app/main.py for reading", ()),
        ("imported from orders.ts at cart.js", ()),
        ("all is well", ()),
    ],
)
def test_finds_the_hosts_of_a_text(text: str, hosts: tuple[str, ...]) -> None:
    """Hosts are found in URLs, after words of going somewhere, and as addresses; files are none."""
    found = hosts_of(text)

    assert set(hosts) <= set(found)
    assert bool(hosts) == bool(found)


@pytest.mark.parametrize(
    "host", ["api.stripe.com", "api.stripe.com:443", "8.8.8.8", "hooks.slack.com", "1.1.1.1:53"]
)
def test_public_hosts_are_external(host: str) -> None:
    """Public names and addresses belong to somebody else."""
    assert is_external(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:80", "127.0.0.1:80", "10.0.0.4", "192.168.1.4:80", "api", "api:8080", "db.local",
        "pay.svc.cluster.local", "pay.prod.internal", "pay.test", "[::1]:80", "172.17.0.2", "",
    ],
)  # fmt: skip
def test_private_hosts_are_not_external(host: str) -> None:
    """Private addresses, bare names and inside domains are the project's own."""
    assert not is_external(host)


def test_the_first_external_host_counts() -> None:
    """Of several texts the first that names another party names it."""
    texts = ("call to localhost:80", "then https://api.stripe.com/v1", "https://b.example.org")

    assert "api.stripe.com" == external_host(texts)
    assert "localhost:80" == address(texts)
    assert external_host(("nothing",)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call to payments failed", "payments"),
        ("connect ECONNREFUSED 127.0.0.1:8081", "payments"),
        ("asyncpg.exceptions.ConnectionDoesNotExistError: gone", "postgres"),
        ("Redis is loading the dataset in memory", "redis"),
        ("POST https://api.stripe.com/v1/charges: timed out", "api.stripe.com"),
        ("Inventory service is unreachable", "Inventory service"),
        ("it broke", ""),
    ],
)
def test_tells_the_dependency(text: str, expected: str) -> None:
    """A known service by name or port, a kind of store, another party, or the words for it."""
    services = ("api", "payments", "web")

    assert expected == dependency((text,), services, {"8081": "payments"}, "api")


def test_a_service_does_not_depend_on_itself() -> None:
    """The name of the service that complains is not what it complains of."""
    assert dependency(("api broke",), ("api", "web"), {}, "api") != "api"


@pytest.mark.parametrize("name", ["postgres", "my-db", "MariaDB", "orders_db"])
def test_databases_are_known_by_name(name: str) -> None:
    """Databases go by their product's name or as db."""
    assert is_database(name)
    assert not is_store(name)


@pytest.mark.parametrize("name", ["redis", "kafka-1", "valkey", "message broker"])
def test_stores_are_known_by_name(name: str) -> None:
    """Caches and queues go by their product's name or their kind."""
    assert is_store(name)
    assert not is_database(name)


@pytest.mark.parametrize("name", ["api", "payments", "web", "feedback"])
def test_services_are_neither(name: str) -> None:
    """A service of the project is no database and no store."""
    assert not is_database(name)
    assert not is_store(name)


@given(
    st.text()
    | st.lists(st.sampled_from(["http://", "[", "]", "::1", ":80", "@", "/", "to ", "a.b", "99", " "])).map(
        "".join
    )
)  # fmt: skip
def test_any_text_is_searched(text: str) -> None:
    """What is named stands in the text, and no text, not even a broken URL, makes it raise."""
    outside = external_host((text,))
    named = dependency((text,), (), {}, "web")

    assert outside in text
    assert not outside or outside == named


@pytest.mark.parametrize("unit", ["a.", "1.", "at a.", "http://", "ata", "host=", "the ", "localhost:", " ", "a@"])  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    """A long text that repeats any piece is searched within a fraction of a second."""
    started = time.process_time()
    dependency((unit * (20_000 // len(unit)),), ("api",), {}, "web")
    elapsed_s = time.process_time() - started

    assert elapsed_s < 0.5
