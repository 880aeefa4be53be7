from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from anyio import to_thread
from sqlalchemy import func, select

from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.database import Database
from heisenberg.backend.models import ApiKey, Organization
from heisenberg.backend.services import organizations

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.organizations import Founded
    from heisenberg.backend.state import State

URL = "/api/v1/organizations"
BOOTSTRAP = """
import asyncio, sys
from heisenberg.backend.api_key import KeyHasher
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.services import organizations

async def main():
    settings = load_settings(_env_file=None, database_url=sys.argv[1], data_dir=sys.argv[2])
    database = Database(settings)
    founded = await organizations.bootstrap(database, KeyHasher(settings))
    print(founded.key.key if founded else "-")
    await database.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


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
def admin(client: httpx2.AsyncClient, first: Founded) -> httpx2.AsyncClient:
    """Asks with the first organization's admin key."""
    client.headers["X-API-Key"] = first.key.key
    return client


async def counts(database: Database) -> tuple[int | None, int | None]:
    """Organizations and keys."""
    async with database.read() as session:
        return (
            await session.scalar(select(func.count()).select_from(Organization)),
            await session.scalar(select(func.count()).select_from(ApiKey)),
        )


def _bootstrap_together(url: str, folder: Path) -> list[str]:
    """What three processes print that are let go at the same moment."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, url, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].strip() for process in processes]


class TestBootstrap:
    async def test_the_first_start_lets_an_admin_in(
        self, state: State, client: httpx2.AsyncClient
    ) -> None:
        """There is an organization `default` then, and the key that is given once may do all."""
        founded = await organizations.bootstrap(state.database, state.key_hasher)
        again = await organizations.bootstrap(state.database, state.key_hasher)

        assert founded is not None
        headers = {"X-API-Key": founded.key.key}
        seen = (await client.get(URL, headers=headers)).json()["items"]
        keys = await client.get("/api/v1/api-keys", headers=headers)
        assert (["default"], 200) == ([item["name"] for item in seen], keys.status_code)
        assert again is None
        assert (1, 1) == await counts(state.database)

    async def test_any_organization_is_enough(self, state: State, first: Founded) -> None:
        """Who has made one needs no `default`."""
        founded = await organizations.bootstrap(state.database, state.key_hasher)

        assert founded is None
        assert (1, 1) == await counts(state.database)
        assert first.organization.name == "first"

    async def test_starts_within_one_process_make_one(self, settings: Settings) -> None:
        """However many begin before the first has ended."""
        database = Database(settings)
        hasher = KeyHasher(settings)
        made = await asyncio.gather(*(organizations.bootstrap(database, hasher) for _ in range(6)))
        counted = await counts(database)
        await database.close()

        assert 1 == sum(founded is not None for founded in made)
        assert (1, 1) == counted

    async def test_servers_that_start_together_make_one(
        self, settings: Settings, database_url: str, tmp_path: Path
    ) -> None:
        """In processes of their own; one of them has the key, and it works."""
        told = await to_thread.run_sync(_bootstrap_together, database_url, tmp_path)

        keys = [key for key in told if key != "-"]
        assert (1, 3) == (len(keys), len(told))
        database = Database(settings)
        async with database.read() as session:
            stored = await session.scalar(select(ApiKey.key_hash))
        await database.close()
        assert KeyHasher(settings)(keys[0].encode()) == stored

    async def test_a_bootstrap_that_fails_leaves_nothing(
        self, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No organization without a key: the next start tries again."""

        def broken(*_: object) -> None:
            raise LookupError

        with monkeypatch.context() as patched:
            patched.setattr(organizations, "issue", broken)
            with pytest.raises(LookupError):
                await organizations.bootstrap(state.database, state.key_hasher)

        assert (0, 0) == await counts(state.database)
        assert await organizations.bootstrap(state.database, state.key_hasher) is not None


class TestFound:
    async def test_an_admin_founds_another_and_has_no_part_in_it(
        self, admin: httpx2.AsyncClient
    ) -> None:
        """Its first key is in the answer; the founder's own opens nothing of it."""
        answer = await admin.post(URL, json={"name": "  Żółw\u0301  "})
        made = answer.json()
        url = f"{URL}/{made['organization']['id']}"
        founder = await admin.get(url)
        theirs = {"X-API-Key": made["api_key"]["key"]}
        member = await admin.get(url, headers=theirs)
        others_keys = (await admin.get("/api/v1/api-keys", headers=theirs)).json()["items"]

        assert (201, 404, 200) == (answer.status_code, founder.status_code, member.status_code)
        assert answer.headers["Cache-Control"] == "no-store"
        assert made["organization"]["name"] == member.json()["name"] == "Żółẃ"
        assert [made["api_key"]["id"]] == [item["id"] for item in others_keys]
        assert made["api_key"]["scopes"] == ["admin"]

    async def test_a_name_is_taken_once(self, admin: httpx2.AsyncClient, state: State) -> None:
        """409, also for what looks the same, and nothing is made."""
        first = await admin.post(URL, json={"name": "ż"})
        second = await admin.post(URL, json={"name": " z\u0307 "})

        assert (201, 409) == (first.status_code, second.status_code)
        assert second.json()["type"] == "urn:heisenberg:problem:name-taken"
        assert (2, 2) == await counts(state.database)

    async def test_of_those_who_want_a_name_at_once_one_gets_it(
        self, admin: httpx2.AsyncClient
    ) -> None:
        """The database decides, not a look before."""
        answers = await asyncio.gather(*(admin.post(URL, json={"name": "new"}) for _ in range(5)))

        assert [201, 409, 409, 409, 409] == sorted(a.status_code for a in answers)

    @pytest.mark.parametrize("name", ["", "  ", "a\x00", "a\x1bb", "a\u2029b", "x" * 201, 1, None])
    async def test_what_is_no_name_is_refused(
        self, admin: httpx2.AsyncClient, state: State, name: object
    ) -> None:
        """422 that names the field; nothing is made."""
        answer = await admin.post(URL, json={"name": name})

        assert (422, "name") == (answer.status_code, answer.json()["errors"][0]["field"])
        assert (1, 1) == await counts(state.database)

    @pytest.mark.parametrize("name", ["x" * 200, "🧪 quality", "o'neill; --", "名前"])
    async def test_what_people_write_is_a_name(self, admin: httpx2.AsyncClient, name: str) -> None:
        """Any script, up to 200 characters."""
        answer = await admin.post(URL, json={"name": name})

        assert name == answer.json()["organization"]["name"]


class TestFoundingClosed:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Of a service whose operator alone founds organizations."""
        return settings.model_copy(update={"found_organizations": False})

    async def test_an_admin_is_refused_and_told_what_works(
        self, admin: httpx2.AsyncClient, state: State
    ) -> None:
        """403 that names the operator's command; nothing is made, and all else works."""
        answer = await admin.post(URL, json={"name": "new"})
        own = await admin.get(URL)

        assert (403, 200) == (answer.status_code, own.status_code)
        assert answer.json()["type"] == "urn:heisenberg:problem:founding-closed"
        assert "heisenberg org create" in answer.json()["detail"]
        assert (1, 1) == await counts(state.database)


class TestOwn:
    async def test_a_key_sees_its_own(self, admin: httpx2.AsyncClient, first: Founded) -> None:
        """In the list, and by its id."""
        listed = (await admin.get(URL)).json()
        one = (await admin.get(f"{URL}/{first.organization.id}")).json()

        assert {"items": [one], "next": None} == listed
        assert (str(first.organization.id), "first") == (one["id"], one["name"])

    async def test_nothing_comes_after_ones_own(
        self, admin: httpx2.AsyncClient, first: Founded
    ) -> None:
        """The page after it is empty."""
        answer = await admin.get(URL, params={"after": str(first.organization.id)})

        assert {"items": [], "next": None} == answer.json()

    async def test_an_admin_renames_it(self, admin: httpx2.AsyncClient, first: Founded) -> None:
        """To its own name too, not to another's."""
        url = f"{URL}/{first.organization.id}"
        await admin.post(URL, json={"name": "taken"})
        answers = [
            await admin.patch(url, json={"name": name}) for name in ("new", "new", "taken", "\n")
        ]

        assert [200, 200, 409, 422] == [answer.status_code for answer in answers]
        assert (await admin.get(url)).json()["name"] == "new" == answers[0].json()["name"]

    async def test_of_an_organization_that_has_gone_nothing_is_told(
        self, admin: httpx2.AsyncClient, state: State, first: Founded
    ) -> None:
        """Its keys went with it."""
        async with state.database.write() as session:
            await session.delete(await session.get(Organization, first.organization.id))
        answer = await admin.get(URL)

        assert answer.status_code == 401
