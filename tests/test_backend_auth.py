from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import re
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, event, update

from heisenberg.backend import secret_key
from heisenberg.backend.api_key import KeyHasher, generate_key, key_prefix
from heisenberg.backend.app import create_app
from heisenberg.backend.auth import AuthenticationMiddleware, Principal, Scope, presented_keys
from heisenberg.backend.config import SettingsError, load_settings
from heisenberg.backend.logging import configure_logging
from heisenberg.backend.models import ApiKey
from heisenberg.backend.services import authentication, organizations
from heisenberg.backend.services.authentication import STRANGERS_AT_ONCE
from heisenberg.backend.state import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from servers import Postgres

SECRET = "a secret of the service, for tests only"
FAILURES = 10
"""Per minute and address; the default."""
NOWHERE = "sqlite:////nowhere/heisenberg.db"
OWN = "/api/v1/organizations"
KEYS = "/api/v1/api-keys"


def settings_for(url: str, folder: Path, **more: Any) -> Settings:
    given = {
        "database_url": url,
        "data_dir": folder,
        "secret_key": SECRET,
        "rate_limit_per_minute": 100_000,
        "rate_limit_burst": 100_000,
    }
    return load_settings(_env_file=None, **{**given, **more})


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Without a limit that counts here, but that of failed authentications."""
    return settings_for(database_url, tmp_path)


@pytest.fixture
def state(app: FastAPI) -> State:
    """Of the running application."""
    shared: State = app.state.shared
    return shared


@pytest.fixture
async def first(state: State) -> organizations.Founded:
    """An organization and its admin key."""
    return await organizations.found(state.database, state.key_hasher, "first")


@pytest.fixture
def statements(state: State) -> Iterator[list[str]]:
    """Every statement that the application sends."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2])

    event.listen(state.database.engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(state.database.engine.sync_engine, "before_cursor_execute", note)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[State, httpx2.AsyncClient]]:
    """Another process of the same service, as far as memory goes."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://other") as client:
            yield app.state.shared, client


def another(key: str) -> str:
    """The same prefix with another secret."""
    return key[:-1] + ("b" if key[-1] == "a" else "a")


def lookups(statements: list[str]) -> int:
    return sum("api_keys" in statement for statement in statements)


class TestKeyForm:
    def test_a_key_has_a_public_prefix_and_a_secret_of_190_bits(self) -> None:
        """`hb_PREFIX_SECRET`, of characters that a double click selects together."""
        prefix, key = generate_key()

        assert re.fullmatch(r"hb_[a-z0-9]{12}_[A-Za-z0-9]{32}", key)
        assert prefix == key_prefix(key.encode()) == key.split("_")[1]

    def test_no_two_keys_are_alike(self) -> None:
        """Neither in their prefixes nor in their secrets."""
        keys = [generate_key()[1].split("_") for _ in range(500)]

        assert len({key[1] for key in keys}) == len({key[2] for key in keys}) == 500

    @given(st.binary(max_size=100))
    def test_what_has_another_form_is_no_key(self, raw: bytes) -> None:
        """Whatever bytes come, only the form of a key gives a prefix."""
        prefix = key_prefix(raw)

        assert (prefix is not None) == bool(re.fullmatch(rb"hb_[a-z0-9]{12}_[A-Za-z0-9]{32}", raw))

    @pytest.mark.parametrize("tail", [b"\n", b" ", b"\0", b"a", "é".encode()])
    def test_a_key_with_something_after_it_is_no_key(self, tail: bytes) -> None:
        """The whole must fit, line ends included."""
        assert key_prefix(generate_key()[1].encode() + tail) is None


class TestHash:
    def test_the_hash_depends_on_the_secret(self, tmp_path: Path) -> None:
        """Who has the database alone cannot check a guess, not even of a whole key."""
        key = generate_key()[1].encode()
        ours = KeyHasher(settings_for(NOWHERE, tmp_path))
        theirs = KeyHasher(settings_for(NOWHERE, tmp_path, secret_key="x" * 40))

        assert ours(key) == KeyHasher(settings_for(NOWHERE, tmp_path))(key)
        assert ours(key) != theirs(key)
        assert ours(key) != hashlib.sha256(key).hexdigest()

    def test_the_secret_is_not_used_bare(self, tmp_path: Path) -> None:
        """What else is ever signed with the service's secret cannot pass for a key's hash."""
        key = generate_key()[1].encode()
        hasher = KeyHasher(settings_for(NOWHERE, tmp_path))

        assert hasher(key) != hmac.digest(SECRET.encode(), key, "sha256").hex()
        assert secret_key.derive_key(b"s", "a") != secret_key.derive_key(b"s", "b")


class TestSecretKey:
    def test_a_secret_is_generated_once_and_closed_to_others(self, tmp_path: Path) -> None:
        """Its file may be read by its owner alone, and the next start finds it."""
        settings = settings_for(NOWHERE, tmp_path / "new", secret_key=None)
        made = secret_key.load_secret_key(settings)

        assert re.fullmatch(rb"[0-9a-f]{64}", made)
        assert made == secret_key.load_secret_key(settings)
        assert [tmp_path / "new" / "secret.key"] == list((tmp_path / "new").iterdir())
        assert stat.S_IMODE((tmp_path / "new" / "secret.key").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700

    def test_the_setting_goes_before_the_file(self, tmp_path: Path) -> None:
        """A secret that is set is used, and nothing is written."""
        made = secret_key.load_secret_key(settings_for(NOWHERE, tmp_path))

        assert (SECRET.encode(), []) == (made, list(tmp_path.iterdir()))

    def test_processes_that_start_together_get_one_secret(self, tmp_path: Path) -> None:
        """Each finds the file absent, one makes it, and all use that one."""
        program = (
            "import sys\n"
            "from heisenberg.backend.config import load_settings\n"
            "from heisenberg.backend.secret_key import load_secret_key\n"
            "settings = load_settings(_env_file=None, data_dir=sys.argv[1])\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "print(load_secret_key(settings).decode())\n"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(tmp_path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for _ in range(4)
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=60)[0].strip() for process in processes]

        assert [(tmp_path / "secret.key").read_text().strip()] * 4 == told

    def test_who_loses_the_race_uses_the_winners_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that appears between the look and the making is not replaced."""
        winners = "w" * 64

        def slow_link(_: Path, path: Path) -> None:
            path.write_text(winners)
            path.chmod(0o600)
            raise FileExistsError

        monkeypatch.setattr("os.link", slow_link)
        made = secret_key.load_secret_key(settings_for(NOWHERE, tmp_path, secret_key=None))

        assert winners.encode() == made
        assert ["secret.key"] == [path.name for path in tmp_path.iterdir()]

    def test_a_file_without_a_secret_is_refused(self, tmp_path: Path) -> None:
        """An emptied file is told of by name; a new secret would void all keys."""
        (tmp_path / "secret.key").write_text("\n")

        with pytest.raises(
            SettingsError, match=r"secret\.key: no secret key .* HEISENBERG_SECRET_KEY"
        ):
            secret_key.load_secret_key(settings_for(NOWHERE, tmp_path, secret_key=None))

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        """In one line, with the variables that help."""
        (tmp_path / "file").touch()
        settings = settings_for(NOWHERE, tmp_path / "file" / "data", secret_key=None)

        with pytest.raises(SettingsError, match=r"file/data/secret\.key: .*HEISENBERG_SECRET_KEY"):
            secret_key.load_secret_key(settings)

    def test_a_secret_that_others_may_read_is_told_of(self, tmp_path: Path) -> None:
        """As a warning: it may be what a backup left."""
        log = io.StringIO()
        configure_logging(stream=log)
        (tmp_path / "secret.key").write_text("s" * 64)
        (tmp_path / "secret.key").chmod(0o644)
        try:
            secret_key.load_secret_key(settings_for(NOWHERE, tmp_path, secret_key=None))
        finally:
            configure_logging()

        assert "secret_key.exposed" in log.getvalue()
        assert "ssss" not in log.getvalue()

    async def test_a_wrong_secret_keeps_the_service_from_starting(self, tmp_path: Path) -> None:
        """It is told at start, not at the first key."""
        (tmp_path / "secret.key").write_text("short")
        state = State(settings_for(NOWHERE, tmp_path, secret_key=None))

        with pytest.raises(SettingsError):
            await state.start()
        await state.stop()


class TestPresentedKeys:
    @pytest.mark.parametrize(
        ("headers", "keys"),
        [
            ([], set()),
            ([(b"x-api-key", b"k")], {b"k"}),
            ([(b"x-api-key", b" k\t")], {b"k"}),
            ([(b"authorization", b"Bearer k")], {b"k"}),
            ([(b"authorization", b"bEARER   k")], {b"k"}),
            ([(b"authorization", b"Bearer")], {b""}),
            ([(b"x-api-key", b"")], {b""}),
            ([(b"authorization", b"k")], {b"k"}),
            ([(b"authorization", b"Basic YTpi")], set()),
            ([(b"authorization", b"Basic YTpi"), (b"x-api-key", b"k")], {b"k"}),
            ([(b"authorization", b"Bearer k"), (b"x-api-key", b"k")], {b"k"}),
            ([(b"authorization", b"Bearer k"), (b"x-api-key", b"l")], {b"k", b"l"}),
            ([(b"x-api-key", b"k"), (b"x-api-key", b"l")], {b"k", b"l"}),
        ],
    )
    def test_keys_are_read_from_both_headers(
        self, headers: list[tuple[bytes, bytes]], keys: set[bytes]
    ) -> None:
        """Different ones are all told of; another scheme's credentials are somebody else's."""
        assert keys == presented_keys(headers)


class TestScopes:
    def test_each_scope_includes_those_before_it(self) -> None:
        """Admin may write, and write may read, not the other way round."""
        assert {Scope.READ} == Scope.READ.included
        assert {Scope.READ, Scope.WRITE} == Scope.WRITE.included
        assert set(Scope) == Scope.ADMIN.included

    @pytest.mark.parametrize(
        ("scope", "allowed"), [(Scope.READ, 403), (Scope.WRITE, 403), (Scope.ADMIN, 200)]
    )
    async def test_a_scope_that_is_missing_is_named(
        self, client: httpx2.AsyncClient, state: State, first: organizations.Founded,
        scope: Scope, allowed: int,
    ) -> None:  # fmt: skip
        """Every scope may read; only admin may see keys, and a 403 says so."""
        made = await state.keys.create(first.organization.id, "k", [scope])
        headers = {"X-API-Key": made.key}
        own = await client.get(OWN, headers=headers)
        keys = await client.get(KEYS, headers=headers)

        assert (200, allowed) == (own.status_code, keys.status_code)
        if allowed == 403:
            assert keys.json()["type"] == "urn:heisenberg:problem:insufficient-scope"
            assert "'admin'" in keys.json()["detail"]


class TestRefusal:
    async def test_without_a_key_the_answer_says_where_to_put_one(
        self, client: httpx2.AsyncClient
    ) -> None:
        """401 with the challenge that HTTP asks for."""
        answer = await client.get(OWN)

        assert (401, 'Bearer realm="heisenberg"') == (
            answer.status_code,
            answer.headers["WWW-Authenticate"],
        )
        assert answer.json()["type"] == "urn:heisenberg:problem:missing-api-key"
        assert "X-API-Key" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"nonsense",
            b"hb_",
            b"\xff\xfe\x00",
            b"hb_" + b"a" * 60_000,
            "hb_žluťoučký".encode(),
        ],
        ids=["empty", "nonsense", "prefix", "bytes", "long", "letters"],
    )
    async def test_what_cannot_be_a_key_never_reaches_the_database(
        self, client: httpx2.AsyncClient, statements: list[str], value: bytes
    ) -> None:
        """401 from its form alone."""
        answer = await client.get(OWN, headers={b"X-API-Key": value})

        assert (401, []) == (answer.status_code, statements)
        assert answer.json()["type"] == "urn:heisenberg:problem:invalid-api-key"

    async def test_both_headers_work_and_both_together(
        self, client: httpx2.AsyncClient, first: organizations.Founded
    ) -> None:
        """The same key in both is one key."""
        key = first.key.key
        headers: list[dict[str, str]] = [
            {"X-API-Key": key},
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"BEARER {key}", "X-API-Key": key},
            {"Authorization": "Basic YTpi", "X-API-Key": key},
        ]

        assert [200] * 4 == [(await client.get(OWN, headers=h)).status_code for h in headers]

    async def test_two_different_keys_are_none(
        self, client: httpx2.AsyncClient, first: organizations.Founded, statements: list[str]
    ) -> None:
        """Which one was meant is not guessed, even if one is valid."""
        headers = {"X-API-Key": first.key.key, "Authorization": f"Bearer {generate_key()[1]}"}
        answer = await client.get(OWN, headers=headers)

        assert (401, 0) == (answer.status_code, lookups(statements))
        assert answer.json()["type"] == "urn:heisenberg:problem:ambiguous-api-key"

    async def test_unknown_and_wrong_keys_get_the_same_answer(
        self, client: httpx2.AsyncClient, first: organizations.Founded
    ) -> None:
        """Nothing tells whether a prefix exists."""
        told = []
        for key in (generate_key()[1], another(first.key.key)):
            answer = await client.get(OWN, headers={"X-API-Key": key})
            told.append({**answer.json(), "request_id": "", "status": answer.status_code})

        assert told[0] == told[1]
        assert told[0]["type"] == "urn:heisenberg:problem:invalid-api-key"

    async def test_unknown_and_wrong_keys_are_compared_alike(
        self, state: State, first: organizations.Founded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same number of hashes and of constant-time comparisons, of digests of one length."""
        work: list[tuple[Any, ...]] = []
        digest, compare = hmac.digest, hmac.compare_digest

        def counted_digest(*arguments: Any) -> bytes:
            work.append(("hash", len(arguments[1])))
            return digest(*arguments)

        def counted_compare(a: str, b: str) -> bool:
            work.append(("compare", len(a), len(b)))
            return compare(a, b)

        async def work_for(key: str) -> list[tuple[Any, ...]]:
            work.clear()
            candidate = state.authenticator.read(key.encode())
            assert candidate is not None
            await state.authenticator.verify(candidate)
            return list(work)

        await work_for(generate_key()[1])  # what an unknown one is compared with is made once
        monkeypatch.setattr(hmac, "digest", counted_digest)
        monkeypatch.setattr(hmac, "compare_digest", counted_compare)
        unknown = await work_for(generate_key()[1])
        wrong = await work_for(another(first.key.key))

        assert [("hash", 48), ("compare", 64, 64)] == unknown == wrong
        assert unknown == await work_for(first.key.key)

    async def test_a_key_made_under_another_secret_is_refused(
        self, settings: Settings, first: organizations.Founded
    ) -> None:
        """The database alone makes no key valid."""
        other = settings.model_copy(update={"secret_key": type(settings.secret_key)("o" * 40)})  # type: ignore[misc] # SecretStr
        async with running(other) as (_, client):
            answer = await client.get(OWN, headers={"X-API-Key": first.key.key})

        assert answer.status_code == 401

    async def test_a_revoked_key_is_refused_at_once_by_every_process(
        self, client: httpx2.AsyncClient, settings: Settings, first: organizations.Founded
    ) -> None:
        """Also where it was just used; who has the secret is told why."""
        headers = {"X-API-Key": first.key.key}
        used = await client.get(OWN, headers=headers)
        async with running(settings) as (other, _):
            await other.keys.revoke(first.organization.id, first.key.row.id, spare_last_admin=False)
        answer = await client.get(OWN, headers=headers)
        stranger = await client.get(OWN, headers={"X-API-Key": another(first.key.key)})

        assert (200, 401) == (used.status_code, answer.status_code)
        assert answer.json()["type"] == "urn:heisenberg:problem:revoked-api-key"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="heisenberg"'
        assert stranger.json()["type"] == "urn:heisenberg:problem:invalid-api-key"

    @pytest.mark.parametrize(("after", "status"), [(-1, 401), (60, 200)])
    async def test_a_key_works_until_it_expires(
        self, client: httpx2.AsyncClient, state: State, first: organizations.Founded,
        after: int, status: int,
    ) -> None:  # fmt: skip
        """From its time on it is refused."""
        async with state.database.write() as session:
            at = datetime.now(UTC) + timedelta(seconds=after)
            await session.execute(update(ApiKey).values(expires_at=at))
        answer = await client.get(OWN, headers={"X-API-Key": first.key.key})

        assert status == answer.status_code
        if status == 401:
            assert answer.json()["type"] == "urn:heisenberg:problem:expired-api-key"

    async def test_expiry_is_exact(self, state: State, first: organizations.Founded) -> None:
        """At the moment itself the key is refused; just before, it is not."""
        end = datetime(2030, 1, 1, tzinfo=UTC)
        async with state.database.write() as session:
            await session.execute(update(ApiKey).values(expires_at=end))

        async def at(moment: datetime) -> Any:
            judge = authentication.Authenticator(
                state.database, state.key_hasher, state.key_usage, clock=lambda: moment
            )
            candidate = judge.read(first.key.key.encode())
            assert candidate is not None
            return await judge.verify(candidate)

        assert isinstance(await at(end - timedelta(microseconds=1)), Principal)
        assert await at(end) == "expired"


class TestFailedAuthentications:
    async def test_an_address_that_fails_too_often_is_refused_without_a_query(
        self, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        """429 with Retry-After, however the keys differ."""
        answers = [
            await client.get(OWN, headers={"X-API-Key": generate_key()[1]})
            for _ in range(FAILURES + 5)
        ]

        assert [401] * FAILURES + [429] * 5 == [a.status_code for a in answers]
        assert lookups(statements) == FAILURES
        problem = answers[-1]
        assert problem.json()["type"] == "urn:heisenberg:problem:too-many-failed-authentications"
        assert 1 <= int(problem.headers["Retry-After"]) <= 60
        assert problem.headers["X-Request-ID"] == problem.json()["request_id"]

    async def test_a_good_client_of_the_same_address_goes_on(
        self, client: httpx2.AsyncClient, first: organizations.Founded
    ) -> None:
        """Whose key this process verified lately is not locked out by a neighbour."""
        headers = {"X-API-Key": first.key.key}
        await client.get(OWN, headers=headers)
        for _ in range(FAILURES + 1):
            refused = await client.get(OWN, headers={"X-API-Key": "wrong"})
        answer = await client.get(OWN, headers=headers)
        public = await client.get("/health")

        assert (429, 200, 200) == (refused.status_code, answer.status_code, public.status_code)

    async def test_another_address_is_not_affected(self, app: FastAPI) -> None:
        """Each address has its own count."""
        statuses = []
        for address in ["192.0.2.1"] * (FAILURES + 1) + ["192.0.2.2"]:
            transport = httpx2.ASGITransport(app=app, client=(address, 1))
            async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
                answer = await client.get(OWN, headers={"X-API-Key": "wrong"})
                statuses.append(answer.status_code)

        assert [429, 401] == statuses[-2:]

    async def test_guesses_that_come_together_are_counted_all_the_same(
        self, client: httpx2.AsyncClient, statements: list[str]
    ) -> None:
        """A hundred at once ask the database no more often than one after the other, give or take
        the few that may ask at one time.
        """
        answers = await asyncio.gather(
            *(client.get(OWN, headers={"X-API-Key": generate_key()[1]}) for _ in range(100))
        )

        assert {401, 429} == {answer.status_code for answer in answers}
        assert lookups(statements) < FAILURES + STRANGERS_AT_ONCE

    async def test_a_key_that_was_revoked_counts_as_failed(
        self, client: httpx2.AsyncClient, state: State, first: organizations.Founded
    ) -> None:
        """Being known once gives no leave to ask for ever."""
        headers = {"X-API-Key": first.key.key}
        await client.get(OWN, headers=headers)
        await state.keys.revoke(first.organization.id, first.key.row.id, spare_last_admin=False)
        statuses = [
            (await client.get(OWN, headers=headers)).status_code for _ in range(FAILURES + 1)
        ]

        assert [401] * FAILURES + [429] == statuses

    async def test_a_key_that_is_gone_counts_as_failed(
        self, client: httpx2.AsyncClient, state: State, first: organizations.Founded
    ) -> None:
        """Nor when an operator has deleted its row."""
        headers = {"X-API-Key": first.key.key}
        await client.get(OWN, headers=headers)
        async with state.database.write() as session:
            await session.execute(delete(ApiKey))
        statuses = [
            (await client.get(OWN, headers=headers)).status_code for _ in range(FAILURES + 1)
        ]

        assert [401] * FAILURES + [429] == statuses

    async def test_few_keys_are_remembered(
        self, state: State, first: organizations.Founded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one used longest ago is forgotten."""
        monkeypatch.setattr(authentication, "MAX_KNOWN", 2)
        keys = [first.key.key] + [
            (await state.keys.create(first.organization.id, "k", [Scope.READ])).key
            for _ in range(2)
        ]
        candidates = [state.authenticator.read(key.encode()) for key in keys]
        for candidate in (candidates[0], candidates[1], candidates[0], candidates[2]):
            assert candidate is not None
            await state.authenticator.verify(candidate)

        assert [True, False, True] == [state.authenticator.knows(c) for c in candidates if c]


class TestPublicPaths:
    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    async def test_probes_are_not_authenticated(
        self, client: httpx2.AsyncClient, statements: list[str], path: str
    ) -> None:
        """Whatever key they carry, it is not looked at, and never refused."""
        answers = [
            await client.get(path, headers={"X-API-Key": generate_key()[1]})
            for _ in range(FAILURES + 1)
        ]

        assert {200} == {answer.status_code for answer in answers}
        assert lookups(statements) == 0

    async def test_a_public_route_takes_no_notice_of_a_bad_key(
        self, client: httpx2.AsyncClient
    ) -> None:
        """Health is for everybody."""
        answer = await client.get("/health", headers={"X-API-Key": "wrong"})

        assert answer.status_code == 200


class TestFacts:
    @pytest.mark.parametrize("presented", ["none", "valid", "wrong"])
    async def test_later_middleware_is_told_who_asks(
        self, state: State, first: organizations.Founded, presented: str
    ) -> None:
        """A Principal with all its scopes, or that a key failed, or neither."""
        seen: dict[str, Any] = {}

        async def inner(scope: Any, *_: Any) -> None:
            seen.update(scope["state"])

        key = {"none": [], "valid": [first.key.key], "wrong": ["wrong"]}[presented]
        scope = {
            "type": "http",
            "path": "/",
            "headers": [(b"x-api-key", k.encode()) for k in key],
            "client": ("192.0.2.7", 1),
        }
        await AuthenticationMiddleware(inner, state)(scope, None, None)  # type: ignore[arg-type] # not called

        principal = Principal(first.key.row.id, first.organization.id, frozenset(Scope))
        assert seen["principal"] == (principal if presented == "valid" else None)
        assert seen["key_failed"] == (presented == "wrong")

    async def test_a_lifespan_is_let_through(self, state: State) -> None:
        """Nothing but HTTP carries a key."""
        seen = []

        async def inner(scope: Any, *_: Any) -> None:
            seen.append(scope)

        await AuthenticationMiddleware(inner, state)({"type": "lifespan"}, None, None)  # type: ignore[arg-type] # not called

        assert [{"type": "lifespan"}] == seen

    async def test_a_failure_inside_is_no_outage(
        self, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not the database's fault is not called so."""

        async def broken(_: Any) -> None:
            raise LookupError

        monkeypatch.setattr(state.authenticator, "verify", broken)
        scope = {
            "type": "http",
            "path": "/",
            "headers": [(b"x-api-key", generate_key()[1].encode())],
            "client": ("192.0.2.7", 1),
        }

        with pytest.raises(LookupError):
            await AuthenticationMiddleware(broken, state)(scope, None, None)  # type: ignore[arg-type] # not called


class TestDatabaseAway:
    async def test_a_key_that_cannot_be_looked_up_is_neither_good_nor_bad(
        self, own_postgres: Postgres, tmp_path: Path
    ) -> None:
        """503 with Retry-After, not 401; public routes answer; all recovers unaided."""
        from heisenberg.backend import migrate  # noqa: PLC0415 (needed here alone)

        settings = settings_for(own_postgres.url(), tmp_path)
        await migrate.upgrade(settings)
        async with running(settings) as (state, client):
            founded = await organizations.found(state.database, state.key_hasher, "o")
            headers = {"X-API-Key": founded.key.key}
            before = await client.get(OWN, headers=headers)
            own_postgres.stop()
            away = [await client.get(OWN, headers=headers) for _ in range(FAILURES + 5)]
            public = await client.get("/livez", headers=headers)
            health = await client.get("/health", headers=headers)
            own_postgres.start()
            after = await client.get(OWN, headers=headers)

        assert (200, 200, 200) == (before.status_code, public.status_code, after.status_code)
        assert health.json()["status"] == "unhealthy"
        assert {503} == {answer.status_code for answer in away}
        assert "Retry-After" in away[0].headers

    async def test_a_database_that_hangs_is_one_that_is_away(
        self, own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lookup has its time, and the connection is not lost to the pool."""
        from heisenberg.backend import migrate  # noqa: PLC0415 (needed here alone)

        settings = settings_for(own_postgres.url(), tmp_path, database_connect_timeout_s=0.5)
        await migrate.upgrade(settings)
        async with running(settings) as (state, client):
            founded = await organizations.found(state.database, state.key_hasher, "o")
            headers = {"X-API-Key": founded.key.key}
            await client.get(OWN, headers=headers)
            monkeypatch.setattr(authentication, "LOOKUP_TIMEOUT_S", 0.3)
            own_postgres.pause()
            try:
                hung = await asyncio.wait_for(client.get(OWN, headers=headers), 20)
            finally:
                own_postgres.resume()
            monkeypatch.setattr(authentication, "LOOKUP_TIMEOUT_S", 5.0)
            after = await client.get(OWN, headers=headers)

        assert (503, 200) == (hung.status_code, after.status_code)

    async def test_a_stranger_waits_for_a_turn_and_not_for_ever(
        self, state: State, client: httpx2.AsyncClient, first: organizations.Founded,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """While all turns are taken, a stranger gets 503; who is known needs none."""
        known = (await state.keys.create(first.organization.id, "k", [Scope.READ])).key
        await client.get(OWN, headers={"X-API-Key": known})
        for _ in range(STRANGERS_AT_ONCE):
            await state.authenticator._turns.acquire()
        monkeypatch.setattr(authentication, "LOOKUP_TIMEOUT_S", 0.2)
        stranger = await client.get(OWN, headers={"X-API-Key": first.key.key})
        monkeypatch.setattr(authentication, "LOOKUP_TIMEOUT_S", 5.0)
        friend = await client.get(OWN, headers={"X-API-Key": known})

        assert (503, 200) == (stranger.status_code, friend.status_code)


class TestSecrecy:
    async def test_the_key_is_in_no_log_and_no_repr(
        self, state: State, client: httpx2.AsyncClient
    ) -> None:
        """Neither of valid keys nor of refused ones."""
        log = io.StringIO()
        configure_logging("DEBUG", stream=log)
        try:
            founded = await organizations.found(state.database, state.key_hasher, "loud")
            key, wrong = founded.key.key, generate_key()[1]
            for presented in (key, wrong):
                await client.get(OWN, headers={"X-API-Key": presented})
                await client.get(f"{OWN}?key=1", headers={"Authorization": f"Bearer {presented}"})
            await state.keys.rotate(founded.organization.id, founded.key.row.id)
        finally:
            configure_logging()

        written = log.getvalue() + repr(founded) + repr(founded.key.row)
        assert "organization.founded" in written
        assert [] == [k for k in (key, wrong) if k.rsplit("_", 1)[1] in written]

    async def test_openapi_tells_both_ways_to_give_a_key(self, client: httpx2.AsyncClient) -> None:
        """So that Authorize on the documentation's page works."""
        document = json.loads((await client.get("/openapi.json")).content)
        schemes = document["components"]["securitySchemes"].values()

        assert {("apiKey", "X-API-Key"), ("http", "bearer")} == {
            (scheme["type"], scheme.get("name") or scheme.get("scheme")) for scheme in schemes
        }
        assert len(document["paths"][KEYS]["get"]["security"]) == 2
