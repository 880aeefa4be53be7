from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, select, text, update

from heisenberg.backend import migrate
from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.app import create_app
from heisenberg.backend.auth import Scope
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.errors import ProblemError
from heisenberg.backend.logging import configure_logging
from heisenberg.backend.models import ApiKey, new_id
from heisenberg.backend.repositories import api_keys
from heisenberg.backend.services import key_usage, keys, organizations
from heisenberg.backend.services.key_usage import KeyUsage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import httpx2
    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.organizations import Founded
    from heisenberg.backend.state import State
    from servers import Postgres

KEYS = "/api/v1/api-keys"
OWN = "/api/v1/organizations"
NOBODY = UUID("0198f2ab-7d11-7c3e-9d58-0a1b2c3d4e5f")
"""Of nothing that there is."""


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Without a limit that counts here."""
    return load_settings(
        _env_file=None,
        database_url=database_url,
        data_dir=tmp_path,
        rate_limit_per_minute=100_000,
        rate_limit_burst=100_000,
    )


@pytest.fixture
def state(app: FastAPI) -> State:
    """Of the running application."""
    shared: State = app.state.shared
    return shared


@pytest.fixture
async def first(state: State) -> Founded:
    """An organization and its admin key."""
    return await organizations.found(state.database, state.key_hasher, "first")


@pytest.fixture
async def second(state: State) -> Founded:
    """Another one."""
    return await organizations.found(state.database, state.key_hasher, "second")


@pytest.fixture
def admin(client: httpx2.AsyncClient, first: Founded) -> httpx2.AsyncClient:
    """Asks with the first organization's admin key."""
    client.headers["X-API-Key"] = first.key.key
    return client


async def works(client: httpx2.AsyncClient, key: str) -> bool:
    answer = await client.get(OWN, headers={"X-API-Key": key})
    return answer.status_code == 200


async def make(admin: httpx2.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    answer = await admin.post(KEYS, json={"name": "k", "scopes": scopes or ["read"], **more})
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


class TestCreate:
    async def test_a_new_key_works_and_is_shown_once(self, admin: httpx2.AsyncClient) -> None:
        """It is in the answer to its making, which nobody keeps, and in no other."""
        answer = await admin.post(KEYS, json={"name": " CI ", "scopes": ["write", "read", "read"]})
        made = answer.json()
        listed = await admin.get(KEYS)
        one = await admin.get(f"{KEYS}/{made['id']}")

        assert (201, "no-store") == (answer.status_code, answer.headers["Cache-Control"])
        assert await works(admin, made["key"])
        assert ("CI", ["read", "write"], None) == (
            made["name"], made["scopes"], made["expires_at"]
        )  # fmt: skip
        assert {k: v for k, v in made.items() if k not in {"key", "last_used_at"}} == {
            k: v for k, v in one.json().items() if k != "last_used_at"
        }
        secret = made["key"].split("_")[2]
        assert made["prefix"] in listed.text
        assert [] == [t for t in (listed.text, one.text) if secret in t or "hash" in t]

    async def test_a_key_expires_when_it_was_told_to(self, admin: httpx2.AsyncClient) -> None:
        """Its last moment is that many days after its first."""
        made = await make(admin, expires_in_days=7)

        lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(
            made["created_at"]
        )
        assert timedelta(days=7) == lifetime

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", " \t"),
            ("name", "a\0b"),
            ("name", "a\nb"),
            ("name", "a\u202eb"),
            ("name", "x" * 201),
            ("name", 7),
            ("name", None),
            ("scopes", []),
            ("scopes", ["root"]),
            ("scopes", "read"),
            ("expires_in_days", 0),
            ("expires_in_days", -1),
            ("expires_in_days", 4000),
            ("expires_in_days", "7"),
            ("expires_in_days", True),
            ("expires_at", "2030-01-01T00:00:00Z"),
            ("organization_id", str(NOBODY)),
        ],
    )
    async def test_what_does_not_fit_is_named(
        self, admin: httpx2.AsyncClient, field: str, value: object
    ) -> None:
        """422 with the field; a field that is unknown is not passed over."""
        request = {"name": "k", "scopes": ["read"], field: value}
        answer = await admin.post(KEYS, json=request)

        assert answer.status_code == 422
        assert any(e["field"].startswith(field) for e in answer.json()["errors"])

    async def test_no_key_gives_more_than_it_has(self, state: State, first: Founded) -> None:
        """Whoever may only write cannot make an admin."""
        with pytest.raises(ProblemError) as refused:
            await state.keys.create(
                first.organization.id, "k", [Scope.ADMIN], granted_by=Scope.WRITE.included
            )

        assert refused.value.status_code == 403

    async def test_an_organization_has_so_many_keys_and_no_more(
        self, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One beyond is 409; revoked ones do not count, and a rotation finds room."""
        monkeypatch.setattr(keys, "MAX_ACTIVE_KEYS", 3)
        made = [await make(admin) for _ in range(2)]
        request = {"name": "k", "scopes": ["read"]}
        full = await admin.post(KEYS, json=request)
        rotated = await admin.post(f"{KEYS}/{made[0]['id']}/rotate")
        still = await admin.post(KEYS, json=request)
        await admin.delete(f"{KEYS}/{made[1]['id']}")
        room = await admin.post(KEYS, json=request)

        assert [409, 201, 409, 201] == [a.status_code for a in (full, rotated, still, room)]
        assert full.json()["type"] == "urn:heisenberg:problem:too-many-api-keys"

    async def test_rotating_without_end_does_not_evade_the_limit(
        self, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keys that still work after their rotation are counted too, if less strictly."""
        monkeypatch.setattr(keys, "MAX_ACTIVE_KEYS", 2)
        key_id = (await make(admin))["id"]
        statuses = []
        for _ in range(3):
            answer = await admin.post(f"{KEYS}/{key_id}/rotate")
            statuses.append(answer.status_code)
            key_id = answer.json().get("id", key_id)

        assert [201, 201, 409] == statuses

    async def test_the_limit_holds_against_requests_that_come_together(
        self, admin: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No two of them find the same last place."""
        monkeypatch.setattr(keys, "MAX_ACTIVE_KEYS", 4)
        request = {"name": "k", "scopes": ["read"]}
        answers = await asyncio.gather(*(admin.post(KEYS, json=request) for _ in range(8)))

        assert [201] * 3 + [409] * 5 == sorted(answer.status_code for answer in answers)

    async def test_half_a_character_is_no_name(self, admin: httpx2.AsyncClient) -> None:
        """JSON can write it; no database can store it."""
        answer = await admin.post(
            KEYS,
            content=r'{"name": "a\ud800b", "scopes": ["read"]}',
            headers={"Content-Type": "application/json"},
        )

        assert answer.status_code == 422


class TestList:
    async def test_pages_hold_every_key_once_in_order(self, admin: httpx2.AsyncClient) -> None:
        """Following `next` from page to page."""
        made = [(await make(admin))["id"] for _ in range(4)]
        pages, after = [], None
        while True:
            query = {"limit": 2, **({"after": after} if after else {})}
            page = (await admin.get(KEYS, params=query)).json()
            pages.append([item["id"] for item in page["items"]])
            after = page["next"]
            if after is None:
                break

        assert [2, 2, 1] == [len(page) for page in pages]
        assert made == [key_id for page in pages for key_id in page][1:]

    async def test_a_last_page_that_is_full_says_so(self, admin: httpx2.AsyncClient) -> None:
        """No empty page follows it."""
        await make(admin)
        page = (await admin.get(KEYS, params={"limit": 2})).json()

        assert (2, None) == (len(page["items"]), page["next"])

    @pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 201}, {"after": "x"}])
    async def test_a_page_that_cannot_be_is_refused(
        self, admin: httpx2.AsyncClient, query: dict[str, Any]
    ) -> None:
        """422, and no silent default."""
        answer = await admin.get(KEYS, params=query)

        assert answer.status_code == 422


class TestRotate:
    async def test_both_keys_work_during_the_overlap(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """The new one has the name and scopes of the old one, which expires in a day."""
        old = await make(admin, "write")
        before = datetime.now(UTC)
        answer = await admin.post(f"{KEYS}/{old['id']}/rotate")
        new = answer.json()
        after = (await admin.get(f"{KEYS}/{old['id']}")).json()

        assert (201, "no-store") == (answer.status_code, answer.headers["Cache-Control"])
        assert (old["name"], old["scopes"], None) == (new["name"], new["scopes"], new["expires_at"])
        assert await works(admin, old["key"])
        assert await works(admin, new["key"])
        assert after["replaced_by_id"] == new["id"]
        left = datetime.fromisoformat(after["expires_at"]) - before
        assert timedelta(hours=24) <= left < timedelta(hours=24, minutes=2)
        assert first.key.key not in answer.text

    async def test_without_overlap_the_old_key_is_refused_at_once(
        self, admin: httpx2.AsyncClient
    ) -> None:
        """From the same moment on the new one works, and the old one does not."""
        old = await make(admin)
        answer = await admin.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_hours": 0})

        assert [False, True] == [await works(admin, k) for k in (old["key"], answer.json()["key"])]

    async def test_a_rotation_gives_no_key_more_time(self, state: State, first: Founded) -> None:
        """The old one expires no later than before; the new one lives as long, from now."""
        clock = [datetime(2030, 1, 1, tzinfo=UTC)]
        desk = keys.Keys(state.database, state.key_hasher, clock=lambda: clock[0])
        old = await desk.create(
            first.organization.id, "k", [Scope.READ], lifetime=timedelta(days=10)
        )
        clock[0] += timedelta(days=9)
        rotation = await desk.rotate(first.organization.id, old.row.id, timedelta(days=5))

        assert datetime(2030, 1, 11, tzinfo=UTC) == rotation.old.expires_at
        assert datetime(2030, 1, 20, tzinfo=UTC) == rotation.new.row.expires_at

    async def test_a_key_is_rotated_once(self, admin: httpx2.AsyncClient) -> None:
        """A second time is 409, and names the key to rotate instead; so two admins do not clash."""
        old = await make(admin)
        answers = await asyncio.gather(
            *(admin.post(f"{KEYS}/{old['id']}/rotate") for _ in range(3))
        )

        assert [201, 409, 409] == sorted(a.status_code for a in answers)
        new = next(a.json()["id"] for a in answers if a.status_code == 201)
        assert all(new in a.json()["detail"] for a in answers if a.status_code == 409)

    async def test_a_key_that_does_not_work_is_not_rotated(self, admin: httpx2.AsyncClient) -> None:
        """A revoked key does not come back as another one."""
        old = await make(admin)
        await admin.delete(f"{KEYS}/{old['id']}")
        answer = await admin.post(f"{KEYS}/{old['id']}/rotate")

        assert (409, "urn:heisenberg:problem:api-key-inactive") == (
            answer.status_code,
            answer.json()["type"],
        )

    @pytest.mark.parametrize("hours", [-1, 721, "1", None, float("inf")])
    async def test_an_overlap_that_cannot_be_is_refused(
        self, admin: httpx2.AsyncClient, first: Founded, hours: object
    ) -> None:
        """422, and the key stays as it is."""
        body = f'{{"overlap_hours": {"1e999" if hours == float("inf") else _json(hours)}}}'
        answer = await admin.post(
            f"{KEYS}/{first.key.row.id}/rotate",
            content=body,
            headers={"Content-Type": "application/json"},
        )

        assert answer.status_code == 422
        assert (await admin.get(f"{KEYS}/{first.key.row.id}")).json()["expires_at"] is None

    async def test_the_only_admin_key_can_be_rotated(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """By itself, without overlap: the new one is an admin too."""
        url = f"{KEYS}/{first.key.row.id}/rotate"
        new = (await admin.post(url, json={"overlap_hours": 0})).json()
        answer = await admin.get(KEYS, headers={"X-API-Key": new["key"]})

        assert answer.status_code == 200


def _json(value: object) -> str:
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


class TestRevoke:
    async def test_revoking_is_at_once_and_once_more_changes_nothing(
        self, admin: httpx2.AsyncClient
    ) -> None:
        """204 each time, and the first time counts."""
        made = await make(admin)
        before = await works(admin, made["key"])
        url = f"{KEYS}/{made['id']}"
        first = await admin.delete(url)
        after = await works(admin, made["key"])
        revoked_at = (await admin.get(url)).json()["revoked_at"]
        second = await admin.delete(url)

        assert (204, b"", 204) == (first.status_code, first.content, second.status_code)
        assert (True, False) == (before, after)
        assert revoked_at == (await admin.get(url)).json()["revoked_at"] is not None

    async def test_the_last_admin_key_is_spared(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """409 as long as there is no other one that works; then it may revoke itself."""
        await make(admin, "write")
        url = f"{KEYS}/{first.key.row.id}"
        spared = await admin.delete(url)
        await make(admin, "admin")
        gone = await admin.delete(url)

        assert (409, 204) == (spared.status_code, gone.status_code)
        assert spared.json()["type"] == "urn:heisenberg:problem:last-admin-key"

    async def test_a_key_in_its_overlap_is_no_way_in(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """It ends by itself: its successor is the last admin key, and is spared; it is not."""
        url = f"{KEYS}/{first.key.row.id}"
        new = (await admin.post(f"{url}/rotate")).json()
        successor = await admin.delete(f"{KEYS}/{new['id']}")
        old = await admin.delete(url)

        assert (409, 204) == (successor.status_code, old.status_code)
        assert await works(admin, new["key"])

    async def test_two_admins_that_revoke_each_other_leave_one(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """At the same moment: one of them wins."""
        other = await make(admin, "admin")
        answers = await asyncio.gather(
            admin.delete(f"{KEYS}/{other['id']}"),
            admin.delete(f"{KEYS}/{first.key.row.id}", headers={"X-API-Key": other["key"]}),
        )

        alive = [await works(admin, key) for key in (first.key.key, other["key"])]
        assert 1 == sum(alive)
        assert {204} < {answer.status_code for answer in answers} <= {204, 401, 409}


class TestTenants:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/v1/api-keys/{key}"),
            ("POST", "/api/v1/api-keys/{key}/rotate"),
            ("DELETE", "/api/v1/api-keys/{key}"),
            ("GET", "/api/v1/organizations/{organization}"),
            ("PATCH", "/api/v1/organizations/{organization}"),
        ],
    )
    async def test_what_is_anothers_does_not_exist(
        self, admin: httpx2.AsyncClient, second: Founded, method: str, path: str
    ) -> None:
        """404 as for an id that nobody has, and nothing has changed."""
        body = {"json": {"name": "mine"}} if method == "PATCH" else {}
        told = []
        for key, organization in ((second.key.row.id, second.organization.id), (uuid4(), uuid4())):
            url = path.format(key=key, organization=organization)
            answer = await admin.request(method, url, **body)  # type: ignore[arg-type] # any keyword
            ids = {str(key): "ID", str(organization): "ID"}
            detail = answer.json()["detail"]
            for one, name in ids.items():
                detail = detail.replace(one, name)
            told.append((answer.status_code, answer.json()["type"], detail))
        own = await admin.get(
            f"{OWN}/{second.organization.id}", headers={"X-API-Key": second.key.key}
        )

        assert told[0] == told[1]
        assert told[0][0] == 404
        assert "second" == own.json()["name"]

    async def test_lists_hold_what_is_ones_own(
        self, admin: httpx2.AsyncClient, first: Founded, second: Founded
    ) -> None:
        """Also after the id of another's key."""
        after = {"after": str(UUID(int=0))}
        keys_seen = (await admin.get(KEYS, params=after)).json()["items"]
        organizations_seen = (await admin.get(OWN, params=after)).json()["items"]

        assert [str(first.key.row.id)] == [item["id"] for item in keys_seen]
        assert [str(first.organization.id)] == [item["id"] for item in organizations_seen]
        assert second.organization.id != first.organization.id

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", KEYS),
            ("POST", KEYS),
            ("GET", f"{KEYS}/{NOBODY}"),
            ("POST", f"{KEYS}/{NOBODY}/rotate"),
            ("DELETE", f"{KEYS}/{NOBODY}"),
            ("POST", OWN),
            ("PATCH", f"{OWN}/{NOBODY}"),
        ],
    )
    async def test_every_route_of_admins_is_closed_to_others(
        self, admin: httpx2.AsyncClient, method: str, path: str
    ) -> None:
        """401 without a key, 403 with a writer's."""
        writer = (await make(admin, "write"))["key"]
        body = {"json": {"name": "x", "scopes": ["admin"]}} if path == KEYS else {}
        body = {"json": {"name": "x"}} if path.startswith(OWN) else body
        forbidden = await admin.request(method, path, headers={"X-API-Key": writer}, **body)  # type: ignore[arg-type] # any keyword
        del admin.headers["X-API-Key"]
        unknown = await admin.request(method, path, **body)  # type: ignore[arg-type] # any keyword

        assert (403, 401) == (forbidden.status_code, unknown.status_code)


class TestSecrecy:
    async def test_the_database_holds_no_secret(
        self, admin: httpx2.AsyncClient, state: State, settings: Settings, first: Founded
    ) -> None:
        """Neither the rows nor, of SQLite, the raw bytes of its files."""
        made = await make(admin)
        rotated = (await admin.post(f"{KEYS}/{made['id']}/rotate")).json()
        async with state.database.read() as session:
            rows = (await session.execute(text("SELECT * FROM api_keys"))).all()
        stored = repr(rows).encode()
        if settings.database.database and settings.database.get_backend_name() == "sqlite":
            for path in settings.data_dir.glob("heisenberg.db*"):
                stored += path.read_bytes()

        for key in (first.key.key, made["key"], rotated["key"]):
            _, prefix, secret = key.split("_")
            assert prefix.encode() in stored
            assert secret.encode() not in stored

    async def test_logs_tell_what_was_done_to_keys_and_no_secret(
        self, admin: httpx2.AsyncClient
    ) -> None:
        """Made, rotated, revoked: by id."""
        log = io.StringIO()
        configure_logging("DEBUG", stream=log)
        try:
            made = await make(admin)
            rotated = (await admin.post(f"{KEYS}/{made['id']}/rotate")).json()
            await admin.delete(f"{KEYS}/{made['id']}")
        finally:
            configure_logging()

        written = log.getvalue()
        assert all(e in written for e in ("key.created", "key.rotated", "key.revoked", made["id"]))
        assert not any(k["key"].split("_")[2] in written for k in (made, rotated))


class TestLastUsed:
    async def test_uses_are_written_together_and_not_with_each_request(
        self, admin: httpx2.AsyncClient, state: State, first: Founded
    ) -> None:
        """No request writes; one statement does, for all keys at once."""
        sent: list[str] = []
        event.listen(
            state.database.engine.sync_engine,
            "before_cursor_execute",
            lambda *arguments: sent.append(arguments[2]),
        )
        other = (await make(admin))["key"]
        sent.clear()
        for key in (first.key.key, other) * 3:
            await works(admin, key)
        while_serving = [s for s in sent if s.startswith("UPDATE")]
        await state.key_usage.flush()
        written = [s for s in sent if s.startswith("UPDATE")]
        listed = (await admin.get(KEYS)).json()["items"]

        assert ([], 1) == (while_serving, len(written))
        ages = [datetime.now(UTC) - datetime.fromisoformat(i["last_used_at"]) for i in listed]
        assert 2 == sum(timedelta() <= age < timedelta(minutes=2) for age in ages)

    async def test_what_is_left_is_written_at_stop(self, settings: Settings) -> None:
        """A service that stops soon after has told it."""
        app = create_app(settings)
        state: State = app.state.shared
        async with app.router.lifespan_context(app):
            founded = await organizations.found(state.database, state.key_hasher, "o")
            candidate = state.authenticator.read(founded.key.key.encode())
            assert candidate is not None
            await state.authenticator.verify(candidate)
        database = Database(settings)
        async with database.read() as session:
            used = await session.scalar(select(ApiKey.last_used_at))
        await database.close()

        assert used is not None

    async def test_an_earlier_use_does_not_replace_a_later_one(
        self, state: State, first: Founded
    ) -> None:
        """Another process may have written already."""
        later = datetime(2030, 1, 1, tzinfo=UTC)
        for moment in (later, later - timedelta(hours=1)):
            state.key_usage.note(first.key.row.id, moment)
            await state.key_usage.flush()
        row = await state.keys.get(first.organization.id, first.key.row.id)

        assert later == row.last_used_at

    async def test_a_key_that_has_gone_does_not_spoil_the_batch(
        self, state: State, first: Founded
    ) -> None:
        """The others are written."""
        moment = datetime(2030, 1, 1, tzinfo=UTC)
        state.key_usage.note(new_id(), moment)
        state.key_usage.note(first.key.row.id, moment)
        await state.key_usage.flush()

        row = await state.keys.get(first.organization.id, first.key.row.id)
        assert moment == row.last_used_at

    async def test_it_writes_by_itself(
        self, state: State, first: Founded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Again and again, without being asked."""
        written: asyncio.Queue[None] = asyncio.Queue()
        mark_used: Callable[..., Awaitable[None]] = api_keys.mark_used

        async def told(*arguments: Any) -> None:
            await mark_used(*arguments)
            written.put_nowait(None)

        monkeypatch.setattr(api_keys, "mark_used", told)
        usage = KeyUsage(state.database, every_s=0.01)
        await usage.start()
        for day in (1, 2):
            usage.note(first.key.row.id, datetime(2030, 1, day, tzinfo=UTC))
            await asyncio.wait_for(written.get(), 20)
        await usage.stop()

        row = await state.keys.get(first.organization.id, first.key.row.id)
        assert datetime(2030, 1, 2, tzinfo=UTC) == row.last_used_at

    async def test_an_outage_delays_it_and_does_not_pile_up(
        self, own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What could not be written is written later; more keys than there is room for are dropped."""
        monkeypatch.setattr(key_usage, "MAX_PENDING", 3)
        settings = load_settings(_env_file=None, database_url=own_postgres.url(), data_dir=tmp_path)
        await migrate.upgrade(settings)
        database = Database(settings)
        founded = await organizations.found(database, KeyHasher(settings), "o")
        usage = KeyUsage(database)
        moment = datetime(2030, 1, 1, tzinfo=UTC)
        usage.note(founded.key.row.id, moment)
        own_postgres.stop()
        await usage.flush()
        for _ in range(10):
            usage.note(new_id(), moment)
        usage.note(founded.key.row.id, moment + timedelta(hours=1))
        waiting = len(usage._pending)
        own_postgres.start()
        await usage.stop()
        async with database.read() as session:
            used = await session.scalar(select(ApiKey.last_used_at))
        await database.close()

        assert (3, moment + timedelta(hours=1)) == (waiting, used)

    async def test_a_write_that_is_cut_off_is_not_lost(
        self, state: State, first: Founded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stopping in the middle of one writes it again."""
        started = asyncio.Event()

        async def stuck(*_: Any) -> None:
            started.set()
            await asyncio.Event().wait()

        usage = KeyUsage(state.database, every_s=0)
        usage.note(first.key.row.id, datetime(2030, 1, 1, tzinfo=UTC))
        with monkeypatch.context() as patched:
            patched.setattr(api_keys, "mark_used", stuck)
            await usage.start()
            await started.wait()
            task = usage._task
            assert task is not None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await usage.stop()

        row = await state.keys.get(first.organization.id, first.key.row.id)
        assert datetime(2030, 1, 1, tzinfo=UTC) == row.last_used_at


async def test_expired_keys_do_not_count_as_admins(
    admin: httpx2.AsyncClient, state: State, first: Founded
) -> None:
    """The last admin key that works is spared, whatever expired ones there are."""
    other = await make(admin, "admin")
    async with state.database.write() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await session.execute(
            update(ApiKey).where(ApiKey.id == UUID(other["id"])).values(expires_at=past)
        )
    answer = await admin.delete(f"{KEYS}/{first.key.row.id}")

    assert answer.status_code == 409
