from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from heisenberg.backend import migrate
from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.auth import Principal
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.services.authentication import Authenticator
from heisenberg.backend.services.key_usage import KeyUsage
from heisenberg.cli import app

if TYPE_CHECKING:
    from pathlib import Path

KEY = re.compile(r"hb_[a-z0-9]{12}_[A-Za-z0-9]{32}")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist yet, and no `.env` near."""
    folder = tmp_path / "data"
    monkeypatch.setenv("HEISENBERG_DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


class Told:
    """What a command wrote."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def heisenberg(capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Run a command in this process: the real one takes a second to start."""

    def run(*arguments: str) -> Told:
        code = app.run(list(arguments))
        out, err = capfdbinary.readouterr()
        return Told(code, out.decode(), err.decode())

    return run


async def verified(key: str) -> object:
    """What a server on the same settings makes of the key."""
    settings = load_settings(_env_file=None)
    database = Database(settings)
    judge = Authenticator(database, KeyHasher(settings), KeyUsage(database))
    candidate = judge.read(key.encode())
    assert candidate is not None
    found = await judge.verify(candidate)
    await database.close()
    return found


def test_a_shell_gets_a_key_that_works(data: Path) -> None:
    """On a fresh machine: the database is made, and nothing but the key is on stdout."""

    def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "heisenberg", *arguments],
            env={**os.environ, "HEISENBERG_DATA_DIR": str(data)},
            capture_output=True, text=True, encoding="utf-8", timeout=60, check=True,
        )  # fmt: skip

    founded = shell("org", "create", "shop")
    made = shell("key", "create", "--org", "shop", "--scope", "admin")

    assert re.fullmatch(r"[0-9a-f-]{36}\n", founded.stdout)
    assert KEY.fullmatch(made.stdout.removesuffix("\n"))
    assert "shown only now" in made.stderr
    assert made.stdout.strip() not in made.stderr


async def test_a_key_that_was_made_is_let_in(heisenberg: Any) -> None:
    """With the scopes that were asked for, by a server on the same settings."""
    await _in_thread(heisenberg, "org", "create", "shop")
    key = (await _in_thread(heisenberg, "key", "create", "--scope", "read")).out.strip()
    found = await verified(key)

    assert isinstance(found, Principal)
    assert ["read"] == sorted(found.scopes)


async def test_a_revoked_key_is_not_let_in(heisenberg: Any) -> None:
    """By its prefix, by its id, or by the whole of it; even the last one of an admin."""
    await _in_thread(heisenberg, "org", "create", "shop")
    for reference in ("prefix", "id", "key"):
        made = await _in_thread(heisenberg, "key", "create", "--scope", "admin", "--format", "json")
        document = made.json
        told = await _in_thread(heisenberg, "key", "revoke", document[reference])

        assert (0, "", "revoked") == (told.code, told.out, await verified(document["key"]))
        assert document["key"] not in told.err


async def test_a_rotated_key_works_for_the_overlap(heisenberg: Any) -> None:
    """The new key alone is on stdout; with no overlap the old one is over at once."""
    await _in_thread(heisenberg, "org", "create", "shop")
    old = (await _in_thread(heisenberg, "key", "create")).out.strip()
    told = await _in_thread(heisenberg, "key", "rotate", old, "--overlap-hours", "1")
    new = told.out.strip()
    last = (await _in_thread(heisenberg, "key", "rotate", new, "--overlap-hours", "0")).out.strip()

    assert KEY.fullmatch(new)
    assert "works until" in told.err
    assert isinstance(await verified(old), Principal)
    assert await verified(new) == "expired"
    assert isinstance(await verified(last), Principal)


async def _in_thread(heisenberg: Any, *arguments: str) -> Told:
    """The command has an event loop of its own."""
    from anyio import to_thread  # noqa: PLC0415 (needed here alone)

    told: Told = await to_thread.run_sync(lambda: heisenberg(*arguments))
    return told


def test_keys_are_listed_without_secrets(heisenberg: Any) -> None:
    """For people in columns, for scripts as the API shows them, with whose they are."""
    heisenberg("org", "create", "shop")
    heisenberg("org", "create", "bank")
    key = heisenberg("key", "create", "--org", "shop", "--name", "CI").out.strip()
    heisenberg("key", "create", "--org", "bank", "--expires-in-days", "3")
    heisenberg("key", "revoke", key)
    text = heisenberg("key", "list").out
    document = heisenberg("key", "list", "--format", "json")
    of_bank = heisenberg("key", "list", "--org", "bank", "--format", "json").json["api_keys"]

    assert ["PREFIX", "ORGANIZATION"] == text.split()[:2]
    assert re.search(r"shop +CI +write +revoked", text)
    assert re.search(r"bank +command line +write +until 20", text)
    assert ["shop", "bank"] == [k["organization"]["name"] for k in document.json["api_keys"]]
    assert ["bank"] == [k["organization"]["name"] for k in of_bank]
    assert key.split("_")[2] not in text + document.out
    assert "key" not in document.json["api_keys"][0]


def test_organizations_are_listed(heisenberg: Any) -> None:
    """In the order they were made; of none, one says how to make one."""
    none = heisenberg("org", "list")
    made = heisenberg("org", "create", " Żółw ", "--format", "json").json
    heisenberg("org", "create", "b")
    listed = heisenberg("org", "list", "--format", "json").json["organizations"]

    assert ("", "heisenberg org create NAME" in none.err) == (none.out, True)
    assert ["Żółw", "b"] == [one["name"] for one in listed]
    assert made == listed[0]
    assert re.search(rf"{made['id']}  Żółw", heisenberg("org", "list").out)


def test_pages_are_followed_to_the_end(heisenberg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one query's worth is listed whole."""
    monkeypatch.setattr("heisenberg.cli.administration.PAGE", 2)
    for name in "abc":
        heisenberg("org", "create", name)
        heisenberg("key", "create", "--org", name)
    for _ in range(4):
        heisenberg("key", "create", "--org", "a")

    assert 3 == len(heisenberg("org", "list", "--format", "json").json["organizations"])
    assert 7 == len(heisenberg("key", "list", "--format", "json").json["api_keys"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["key", "create", "--org", "nobody"], "--org: no organization is named 'nobody'"),
        (["key", "create"], "--org: there are several organizations"),
        (["key", "create", "--org", "shop", "--name", "a\nb"], "--name: must not hold control"),
        (["key", "create", "--org", "shop", "--scope", "root"], "'root' is not one of"),
        (["key", "create", "--org", "shop", "--expires-in-days", "0"], "--expires-in-days"),
        (["key", "revoke", "nothing"], "no API key has this prefix or id"),
        (["key", "rotate", "hb_nothing"], "no API key has this prefix or id"),
        (["org", "create", "shop"], "another organization is named 'shop'"),
        (["org", "create", " "], "NAME: must not be empty"),
        (["org", "create", "x" * 201], "NAME: must have at most 200 characters"),
        (["org", "create", "a\udcffb"], "NAME: must not hold control characters"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    heisenberg: Any, arguments: list[str], message: str
) -> None:
    """Exit code 2, nothing on stdout."""
    heisenberg("org", "create", "shop")
    heisenberg("org", "create", "bank")
    told = heisenberg(*arguments)

    assert (2, "", 1) == (told.code, told.out, told.err.count("\n"))
    assert message in told.err


def test_without_any_organization_one_is_told_to_make_one(heisenberg: Any) -> None:
    """The command is named."""
    told = heisenberg("key", "create")

    assert (2, "") == (told.code, told.out)
    assert "`heisenberg org create NAME`" in told.err


def test_keys_of_no_organization_are_none(heisenberg: Any) -> None:
    """An empty list is no error."""
    assert {"api_keys": []} == heisenberg("key", "list", "--format", "json").json
    assert "heisenberg key create" in heisenberg("key", "list").err


def test_an_empty_postgresql_is_told_what_to_do(
    heisenberg: Any, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is its operator's to migrate: one line names the command, and nothing is made."""
    monkeypatch.setenv("DATABASE_URL", empty_postgres_url)
    told = heisenberg("org", "list")

    assert (2, "", 1) == (told.code, told.out, told.err.count("\n"))
    assert "is empty; run `heisenberg db upgrade` first" in told.err
    assert migrate.head() is not None


def test_keys_work_on_postgresql(
    heisenberg: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a word of warning while each machine has a secret of its own."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    heisenberg("org", "create", "shop")
    warned = heisenberg("key", "create")
    monkeypatch.setenv("HEISENBERG_SECRET_KEY", "s" * 40)
    quiet = heisenberg("key", "create")

    assert (0, 0) == (warned.code, quiet.code)
    assert ("HEISENBERG_SECRET_KEY" in warned.err, "HEISENBERG_SECRET_KEY" in quiet.err) == (
        True,
        False,
    )


def test_a_database_that_is_away_is_told_of(
    heisenberg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line without the password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/x")
    told = heisenberg("key", "list")

    assert (2, 1) == (told.code, told.err.count("\n"))
    assert "127.0.0.1:9" in told.err
    assert "hunter2" not in told.err


@pytest.mark.parametrize("command", [["org", "list"], ["key", "list"]])
def test_without_the_service_installed_the_extra_is_named(
    heisenberg: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """One line says what to install."""
    monkeypatch.setattr("heisenberg.cli.backend_extra.find_spec", lambda _: None)
    told = heisenberg(*command)

    assert (2, "") == (told.code, told.out)
    assert "pip install 'heisenberg[backend]'" in told.err


def test_help_needs_nothing_of_the_service() -> None:
    """Neither the database's nor the web's libraries are imported for it."""
    program = (
        "import sys; from heisenberg.cli import app; app.run(['key', 'create', '--help']);"
        "print([m for m in ('sqlalchemy', 'fastapi', 'structlog', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "Make an API key" in done.stdout
    assert "[]" == done.stdout.splitlines()[-1]
