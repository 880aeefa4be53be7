"""What happens to a service under load when what it stands on fails, and to whoever asks strange things."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from processes import PATIENCE_S, environment, first_key, started
from servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from processes import Service
    from servers import Postgres, Valkey

UNLIMITED = {
    "HEISENBERG_RATE_LIMIT_PER_MINUTE": "1000000",
    "HEISENBERG_RATE_LIMIT_BURST": "1000000",
    "HEISENBERG_RATE_LIMIT_FAILED_AUTH_PER_MINUTE": "1000000",
}
CLIENTS = 4
RED_RUN = {
    "repository": "shop/checkout",
    "failed_tests": [{"title": "pays by card", "errors": [{"message": "expected 200, got 500"}]}],
}


class Load:
    """Clients that ask one after the other until told to stop, and what they were answered."""

    def __init__(self, service: Service, key: str) -> None:
        """Nobody asks yet."""
        self.url = f"http://127.0.0.1:{service.port}"
        self.headers = {"X-API-Key": key}
        self.statuses: Counter[int | str] = Counter()
        """Of all answers; the name of the error where there was none."""
        self.problems: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        """Analyses that were answered with 200."""
        self._over = threading.Event()

    def ask(self) -> None:
        """Be one client."""
        with httpx2.Client(base_url=self.url, headers=self.headers, timeout=PATIENCE_S) as client:
            while not self._over.is_set():
                try:
                    answer = client.post("/api/v1/analyze", json=RED_RUN)
                except httpx2.TransportError as error:
                    self.statuses[type(error).__name__] += 1
                    time.sleep(0.05)
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == httpx2.codes.OK:
                    self.acknowledged += [one["id"] for one in answer.json()["analyses"]]
                else:
                    assert answer.headers["Content-Type"] == "application/problem+json"
                    self.problems[answer.json()["type"].rpartition(":")[2]] += 1

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more analyses were acknowledged."""
        goal = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= goal, f"{count} more answers", PATIENCE_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask until the block ends."""
        clients = [threading.Thread(target=self.ask, daemon=True) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._over.set()
            for client in clients:
                client.join(PATIENCE_S)


def read_back(service: Service, key: str, ids: list[str]) -> set[str]:
    """Those of the analyses that are found."""
    return {one for one in ids if service.get(f"/api/v1/analyses/{one}", key)[0] == httpx2.codes.OK}


def make_key(folder: Path, **variables: str) -> str:
    """Found an organization and take its key, as an operator would."""
    with started(folder, ready=True, **UNLIMITED, **variables) as service:
        _, said = service.stop()
    return first_key(said)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["restarted", "crashed"])
def test_postgresql_goes_and_comes_under_load(
    tmp_path: Path, own_postgres: Postgres, how: signal.Signals
) -> None:
    """Meanwhile there are 503s and nothing else, then it recovers unaided; what was acknowledged is there."""
    variables = {"DATABASE_URL": own_postgres.url()}
    key = make_key(tmp_path, **variables)
    with started(tmp_path, ready=True, **UNLIMITED, **variables) as service:
        load = Load(service, key)

        with load.running():
            load.wait_for_more(10)
            own_postgres.stop(how)
            wait_until(lambda: load.statuses[503] >= CLIENTS, "an outage seen", PATIENCE_S)
            own_postgres.start()
            load.wait_for_more(10)
        status, health = service.get("/health")
        found = read_back(service, key, load.acknowledged)

    assert {200, 503} == set(load.statuses), load.problems
    assert {"database-unavailable"} == set(load.problems)
    assert set(load.acknowledged) == found
    assert (200, True) == (status, health["database"]["connected"])


def test_a_database_that_hangs_in_the_middle_of_requests(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    """Requests get 503 within the time that is set, probes within a second or so; then it goes on."""
    variables = {"DATABASE_URL": own_postgres.url(), "HEISENBERG_DATABASE_STATEMENT_TIMEOUT_S": "1"}
    key = make_key(tmp_path, **variables)
    with started(tmp_path, ready=True, **UNLIMITED, **variables) as service:
        load = Load(service, key)

        with load.running():
            load.wait_for_more(10)
            own_postgres.pause()
            began = time.monotonic()
            status, health = service.get("/health")
            took_s = time.monotonic() - began
            alive, _ = service.get("/livez")
            ready, _ = service.get("/readyz")
            wait_until(lambda: load.statuses[503] >= CLIENTS, "requests let go", PATIENCE_S)
            own_postgres.resume()
            load.wait_for_more(10)
        found = read_back(service, key, load.acknowledged)

    assert (503, False) == (status, health["database"]["connected"])
    assert took_s < 5  # one second, on a machine that does more than this
    assert (200, 503) == (alive, ready)
    assert {200, 503} == set(load.statuses), load.problems
    assert set(load.acknowledged) == found


def test_valkey_is_killed_under_load(tmp_path: Path, valkey: Valkey) -> None:
    """No request fails; health says degraded, and healthy when the store is back."""
    variables = {"HEISENBERG_RATE_LIMIT_STORAGE": valkey.url}
    key = make_key(tmp_path)
    with started(tmp_path, ready=True, **UNLIMITED, **variables) as service:
        load = Load(service, key)

        def health() -> str:
            return str(service.get("/health")[1]["status"])

        with load.running():
            load.wait_for_more(10)
            valkey.stop()
            load.wait_for_more(10)
            wait_until(lambda: health() == "degraded", "degraded", PATIENCE_S)
            valkey.start()
            wait_until(lambda: health() == "healthy", "healthy again", PATIENCE_S)
            load.wait_for_more(10)

    assert {200} == set(load.statuses), load.problems
    assert {"rate_limit.store_lost", "rate_limit.store_recovered"} <= set(service.events())


def test_sigterm_under_load(tmp_path: Path) -> None:
    """Who was heard is answered in full, the others are refused, and all that was acknowledged is kept."""
    key = make_key(tmp_path)
    with started(tmp_path, ready=True, **UNLIMITED) as service:
        load = Load(service, key)
        with load.running():
            load.wait_for_more(10)
            code, _ = service.stop()
    with started(tmp_path, ready=True, **UNLIMITED) as service:
        found = read_back(service, key, load.acknowledged)

    assert 0 == code
    assert set(load.statuses) <= {200, "ConnectError", "RemoteProtocolError", "ReadError"}
    assert set(load.acknowledged) == found
    assert not {"request.failed", "worker.died"} & set(service.events())


def test_kill_under_load_loses_nothing(tmp_path: Path) -> None:
    """The embedded database has what was acknowledged after `kill -9`, and the service starts again."""
    key = make_key(tmp_path)
    with started(tmp_path, ready=True, **UNLIMITED) as service:
        load = Load(service, key)
        with load.running():
            load.wait_for_more(10)
            service.stop(signal.SIGKILL)
    with started(tmp_path, ready=True, **UNLIMITED) as service:
        found = read_back(service, key, load.acknowledged)

    assert set(load.acknowledged) == found


def test_any_request_that_the_document_allows(tmp_path: Path) -> None:
    """Schemathesis finds no 500, no status, field or media type that the document does not tell.

    Two of its checks are left out: JSON Schema cannot say that totals have to add up, and a key that
    was revoked is still shown.
    """
    with started(tmp_path, ready=True, **UNLIMITED) as service:
        wait_until(lambda: accepts_requests(service), "ready")
        key = make_another_key(tmp_path)
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run",
                f"http://127.0.0.1:{service.port}/openapi.json", "--header", f"X-API-Key: {key}",
                "--max-examples", "8", "--continue-on-failure", "--no-color",
                "--generation-database", "none", "--seed", "1",
                "--exclude-checks", "positive_data_acceptance,use_after_free",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    summary: list[Any] = re.findall(r"(\d+) generated", done.stdout)
    assert 0 == done.returncode, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(summary[0]) > 100
    assert "request.failed" not in service.events()


def accepts_requests(service: Service) -> bool:
    """Whether it is ready."""
    return service.get("/readyz")[0] == httpx2.codes.OK


def make_another_key(folder: Path) -> str:
    """An admin's key for the organization that the first start made."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "key", "create", "--org", "default", "--scope", "admin"],
        env=environment(folder), cwd=folder, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
