"""`heisenberg serve` as a process: how it starts, what it refuses, and how it stops."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg.backend import server
from heisenberg.cli import app, backend_extra
from heisenberg.errors import UsageError
from processes import PATIENCE_S, Service, environment, first_key, started
from servers import accepts, free_port, wait_until
from serving import connect, is_closed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Postgres

SLOW_APP = """
    import asyncio, sys
    from heisenberg.backend import app as module
    from heisenberg.cli import app

    made = module.create_app

    def create_app(settings):
        one = made(settings)

        @one.post("/slow")
        async def slow() -> dict[str, str]:
            await asyncio.sleep(float(sys.argv[1]))
            return {"answer": "x" * 100_000}

        return one

    module.create_app = create_app
    sys.exit(app.run(["serve", *sys.argv[2:]]))
"""
"""The real command, with a route that takes its time."""


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    """The one line with which the command refuses to start."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "serve", *arguments],
        env=environment(folder, **variables), cwd=folder, text=True, capture_output=True,
        check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if not line.startswith("{")]

    assert (2, "", 1) == (done.returncode, done.stdout, len(told)), done.stderr
    return told[0]


def test_the_first_start_lets_somebody_in(tmp_path: Path) -> None:
    """Nothing has to be set up: tables, organization and a key that works, told once, never logged."""
    with started(tmp_path) as service:
        health = service.get("/health")
        _, said = service.stop()
    key = first_key(said)
    with started(tmp_path) as again:
        status, keys = again.get("/api/v1/api-keys", key)
        _, said_again = again.stop()

    assert (200, "healthy") == (health[0], health[1]["status"])
    assert (200, ["admin"]) == (status, keys["items"][0]["scopes"])
    assert "" == said_again
    assert "secret_key.local" not in service.events()
    assert key not in json.dumps([*service.lines, *again.lines])


def test_the_command_that_is_shown_works(tmp_path: Path) -> None:
    """The curl of the first start is answered with the keys."""
    with started(tmp_path) as service:
        # The message has been written when the server runs.
        assert service.process.stdout
        said = ""
        while "curl" not in said:
            said += service.process.stdout.readline()
        key, url = re.search(r"'X-API-Key: (\S+)' http://127.0.0.1:\d+(\S+)", said).groups()  # type: ignore[union-attr]
        status, _ = service.get(url, key)

    assert 200 == status


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    """Nobody else may read the database or the secret."""
    with started(tmp_path):
        folder = tmp_path / "data"
        modes = [folder.stat().st_mode & 0o777, (folder / "secret.key").stat().st_mode & 0o777]

    assert [0o700, 0o600] == modes


def test_postgresql_is_migrated_and_entered(tmp_path: Path, empty_postgres_url: str) -> None:
    """With DATABASE_URL the first start does the same there."""
    with started(tmp_path, DATABASE_URL=empty_postgres_url) as service:
        _, health = service.get("/health")
        _, said = service.stop()

    assert 1 == service.events().count("secret_key.local")  # other machines would have another
    assert "up_to_date" == health["migrations"]["state"]
    assert first_key(said)
    assert not (tmp_path / "data" / "heisenberg.db").exists()


def test_of_two_that_start_at_once_one_founds(tmp_path: Path, empty_postgres_url: str) -> None:
    """Two servers on one empty database both run, and one key is made."""
    secret = {"HEISENBERG_SECRET_KEY": "s" * 32, "DATABASE_URL": empty_postgres_url}
    with (
        started(tmp_path, ready=False, **secret) as one,
        started(tmp_path, ready=False, **secret) as two,
    ):
        for service in (one, two):
            service.wait_ready()
        said = one.stop()[1] + two.stop()[1]

    assert first_key(said)
    assert "secret_key.local" not in [*one.events(), *two.events()]


def test_migrating_can_be_left_to_others(tmp_path: Path) -> None:
    """With `migrate_at_start` off, a database without tables is refused with what to do."""
    line = refused(tmp_path, "--port", "0", HEISENBERG_MIGRATE_AT_START="false")

    assert "heisenberg db upgrade" in line


def test_a_database_that_comes_late_is_waited_for(tmp_path: Path, own_postgres: Postgres) -> None:
    """A database that is away at start is told of in the log and waited for."""
    url = own_postgres.url()
    own_postgres.stop()
    with started(tmp_path, ready=False, DATABASE_URL=url) as service:
        wait_until(lambda: "database.awaited" in service.events(), "waiting told")
        refuses = not accepts(service.port)
        own_postgres.start()
        service.wait_ready()

    assert refuses


def test_a_database_that_stays_away_is_one_clear_line(tmp_path: Path) -> None:
    """After the wait the command says which database, and ends."""
    port = free_port()
    url = f"postgresql://u:hidden-word@127.0.0.1:{port}/nowhere"
    line = refused(tmp_path, "--port", "0", DATABASE_URL=url, HEISENBERG_DATABASE_WAIT_S="0.6")

    assert line.startswith(f"heisenberg: database nowhere at 127.0.0.1:{port}: ")
    assert "hidden-word" not in line


def test_a_database_that_does_not_exist_is_not_waited_for(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    """What stays wrong is told at once."""
    url = own_postgres.url("nowhere")
    line = refused(tmp_path, "--port", "0", DATABASE_URL=url, HEISENBERG_DATABASE_WAIT_S="3600")

    assert "nowhere" in line


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HEISENBERG_MAX_BODY_BYTES": "much"}, "HEISENBERG_MAX_BODY_BYTES"),
        ({"DATABASE_URL": "mysql://u:p@h/d"}, "DATABASE_URL"),
        ({"HEISENBERG_SECRET_KEY": "short"}, "HEISENBERG_SECRET_KEY"),
        ({"HEISENBERG_DATA_DIR": "/proc/nowhere"}, "HEISENBERG_DATA_DIR"),
    ],
)
def test_a_bad_setting_is_one_clear_line(
    tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    """The variable is named."""
    assert named in refused(tmp_path, "--port", "0", **variables)


def test_an_unknown_setting_is_told(tmp_path: Path) -> None:
    """A misspelt variable is named in the log."""
    with started(tmp_path, HEISENBERG_MAX_BODY_BITES="1") as service:
        told = [line for line in service.lines if line["event"] == "settings.unknown"]

    assert [["HEISENBERG_MAX_BODY_BITES"]] == [line["variables"] for line in told]


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """It is told before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refused(tmp_path, "--port", port)

    assert f"--port {port}: already in use on 127.0.0.1" in line
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_lost_meanwhile_is_one_clear_line() -> None:
    """Of two that took the address, the second to listen is refused."""
    (mine,) = server.take_address("127.0.0.1", 0)
    port = mine.getsockname()[1]
    (others,) = server.take_address("127.0.0.1", port)
    others.listen()
    with mine, others, pytest.raises(UsageError, match="already in use"):
        server.serve(None, [mine], host="127.0.0.1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "reason"), [("192.0.2.1", "no address of this machine"), ("no-such.invalid", "--host")]
)
def test_an_address_that_cannot_be_had_is_one_clear_line(host: str, reason: str) -> None:
    """The option is named."""
    with pytest.raises(UsageError, match=reason):
        server.take_address(host, 0)


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base installation has the command, and no service."""
    monkeypatch.setattr(backend_extra, "find_spec", lambda _: None)
    code = app.run(["serve"])

    assert 2 == code
    assert "pip install 'heisenberg[backend]'" in capsys.readouterr().err


@contextmanager
def under_load(folder: Path, takes_s: float, requests: int, **variables: str) -> Iterator[Any]:
    """A service with slow requests in flight, and their answers to come."""
    script = folder / "slow.py"
    script.write_text(textwrap.dedent(SLOW_APP), encoding="utf-8")
    variables |= {
        "HEISENBERG_RATE_LIMIT_BURST": "1000",
        "HEISENBERG_RATE_LIMIT_PER_MINUTE": "1000",
    }
    with (
        started(folder, str(script), str(takes_s), ready=True, **variables) as service,
        ThreadPoolExecutor(requests) as pool,
    ):
        answers = [pool.submit(slow, service.port) for _ in range(requests)]
        yield service, answers


def slow(port: int) -> tuple[int, int]:
    """Status and size of a slow answer; size 0 when the connection was cut."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/slow", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 (loopback)
            return answer.status, len(json.load(answer)["answer"])
    except urllib.error.HTTPError as error:
        with error:
            return error.code, 0
    except OSError:
        return 0, 0


def in_flight(service: Service) -> int:
    """Requests that the service works on, by its own count."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics", timeout=9) as answer:
        text = answer.read().decode()
    found = re.search(r"^heisenberg_http_requests_in_flight(?:{[^}]*})? (\d+)", text, re.MULTILINE)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_flight_finish(tmp_path: Path, how: signal.Signals) -> None:
    """Every accepted request gets its full answer, nobody new is let in, and the exit code is 0."""
    with under_load(tmp_path, 1.5, 20) as (service, answers):
        wait_until(lambda: in_flight(service) >= 20, "requests in flight")
        service.process.send_signal(how)
        wait_until(lambda: not accepts(service.port), "listening ended")
        unfinished = [a for a in answers if not a.done()]
        got = [answer.result() for answer in answers]
        code, _ = service.wait()

    assert [(200, 100_000)] * 20 == got
    assert (0, True) == (code, bool(unfinished))
    assert ["server.stopping", "server.stopped"] == [
        e for e in service.events() if e.startswith("server.stop")
    ]
    assert not [line for line in service.lines if line.get("level") not in {"info", None}]


def test_readiness_ends_before_listening_does(tmp_path: Path) -> None:
    """With a delay, load balancers hear that it is no longer ready while it still serves."""
    with started(tmp_path, HEISENBERG_SHUTDOWN_DELAY_S="1") as service:
        before = service.get("/readyz")[0]
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: service.get("/readyz")[0] != 200, "not ready", 0.9)
        during = (service.get("/readyz")[0], service.get("/livez")[0])
        code, _ = service.wait()

    assert (200, (503, 200), 0) == (before, during, code)


def test_requests_beyond_the_grace_are_told_to_come_again(tmp_path: Path) -> None:
    """What does not finish in time is answered 503, and the service stops all the same."""
    with under_load(tmp_path, 60, 3, HEISENBERG_SHUTDOWN_GRACE_S="0.2") as (service, answers):
        wait_until(lambda: in_flight(service) >= 3, "requests in flight")
        code, _ = service.stop()
        got = [answer.result() for answer in answers]

    assert [(503, 0)] * 3 == got
    assert 0 == code


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Who insists need not wait; the exit code tells that requests were cut, and no traceback."""
    with under_load(tmp_path, 60, 2) as (service, _):
        wait_until(lambda: in_flight(service) >= 2, "requests in flight")
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "server.stopping" in service.events(), "stopping")
        code, _ = service.stop()

    assert server.FORCED == code
    assert "Traceback" not in json.dumps(service.lines)


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    """Waiting for the database can be broken off, as process 1 of a container as well."""
    url = f"postgresql://u@127.0.0.1:{free_port()}/d"
    with started(tmp_path, ready=False, DATABASE_URL=url) as service:
        wait_until(lambda: "database.awaited" in service.events(), "waiting told")
        code, _ = service.stop()

    assert 0 == code
    assert "Traceback" not in json.dumps(service.lines)


def test_an_idle_connection_does_not_delay_the_stop(tmp_path: Path) -> None:
    """Who only holds a connection is closed."""
    with started(tmp_path) as service, connect(service.port) as idle:
        code, _ = service.stop()

        assert is_closed(idle)
    assert 0 == code


def test_it_asks_for_as_many_files_as_it_lets_connections_in(tmp_path: Path) -> None:
    """Where a shell allows a few files, idle connections do not take those of the database."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with started(tmp_path) as service:
            allowed, _ = resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert server.MAX_CONNECTIONS < allowed


def test_several_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands for several addresses is listened to on all of them."""
    port = free_port()
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*found, found[0]])
    sockets = server.take_address("both", port)
    names = [one.getsockname()[0] for one in sockets]
    for one in sockets:
        one.close()

    assert ["127.0.0.1", "127.0.0.2"] == names


@pytest.mark.parametrize("port", [0, None])
def test_an_address_of_a_name_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, port: int | None
) -> None:
    """Where IPv6 is switched off, `localhost` still has its other address."""
    wanted = free_port() if port is None else port
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, wanted)) for a in ("192.0.2.1", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = server.take_address("localhost", wanted)
    names = [one.getsockname()[0] for one in sockets]
    for one in sockets:
        one.close()

    assert ["127.0.0.1"] == names
