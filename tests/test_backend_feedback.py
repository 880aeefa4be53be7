"""`POST /api/v1/analyses/{id}/feedback`, and where it is seen again."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from heisenberg.backend.auth import Scope
from heisenberg.backend.config import load_settings
from heisenberg.backend.models import MAX_COMMENT_CHARS, Feedback
from heisenberg.backend.services import organizations
from heisenberg.model.diagnosis import Mechanism, Owner
from heisenberg.model.feedback import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2
    from fastapi import FastAPI

    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.organizations import Founded
    from heisenberg.backend.state import State

RED_RUN = {
    "repository": "shop/checkout",
    "failed_tests": [{"title": "pays by card", "errors": [{"message": "expected 200, got 500"}]}],
}
WHOLE = {"verdict": "partly", "owner": "environment", "mechanism": "dns", "comment": "resolver"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Without a limit that counts here."""
    return load_settings(
        _env_file=None,
        database_url=database_url,
        data_dir=tmp_path,
        rate_limit_per_minute=100_000,
        rate_limit_burst=100_000,
        analysis_workers=1,
    )


@pytest.fixture
def state(app: FastAPI) -> State:
    """Of the running application."""
    shared: State = app.state.shared
    return shared


@pytest.fixture
async def ours(state: State) -> Founded:
    """An organization and its admin key."""
    return await organizations.found(state.database, state.key_hasher, "ours")


@pytest.fixture
async def analysis(client: httpx2.AsyncClient, ours: Founded) -> str:
    """Path of an analysis of ours; the client asks with our admin key from now on."""
    client.headers["X-API-Key"] = ours.key.key
    answer = await client.post("/api/v1/analyze", json=RED_RUN)
    return f"/api/v1/analyses/{answer.json()['analyses'][0]['id']}"


async def key_of(state: State, ours: Founded, scope: Scope) -> dict[str, str]:
    """Headers with another key of ours."""
    made = await state.keys.create(ours.organization.id, scope.value, [scope])
    return {"X-API-Key": made.key}


async def count(state: State) -> int:
    """How much feedback is kept, of all organizations."""
    async with state.database.read() as session:
        return int(await session.scalar(select(func.count()).select_from(Feedback)) or 0)


async def test_feedback_is_kept_and_shown(
    client: httpx2.AsyncClient, ours: Founded, analysis: str
) -> None:
    """What was said comes back with who said it, and the analysis shows it from then on."""
    answer = await client.post(f"{analysis}/feedback", json=WHOLE)
    kept = answer.json()
    shown = (await client.get(analysis)).json()

    assert 201 == answer.status_code
    assert WHOLE == {name: kept[name] for name in WHOLE}
    assert str(ours.key.row.id) == kept["api_key_id"]
    assert analysis.endswith(kept["analysis_id"])
    assert kept == shown["feedback"]


@pytest.mark.parametrize("verdict", Verdict)
async def test_a_verdict_is_enough(
    client: httpx2.AsyncClient, analysis: str, verdict: Verdict
) -> None:
    """What it really was may be left open."""
    answer = await client.post(f"{analysis}/feedback", json={"verdict": verdict})

    assert 201 == answer.status_code
    assert (verdict, None, None, None) == tuple(
        answer.json()[name] for name in ("verdict", "owner", "mechanism", "comment")
    )


async def test_a_key_may_change_its_mind(
    client: httpx2.AsyncClient, state: State, analysis: str
) -> None:
    """What a key says again takes the place of all that it said before, under the same id."""
    first = await client.post(f"{analysis}/feedback", json=WHOLE)
    second = await client.post(f"{analysis}/feedback", json={"verdict": "right"})

    assert [201, 200] == [first.status_code, second.status_code]
    assert first.json()["id"] == second.json()["id"]
    assert ("right", None, None, None) == tuple(
        second.json()[name] for name in ("verdict", "owner", "mechanism", "comment")
    )
    assert first.json()["created_at"] < second.json()["created_at"]
    assert second.json() == (await client.get(analysis)).json()["feedback"]
    assert 1 == await count(state)


async def test_the_latest_of_all_keys_is_shown(
    client: httpx2.AsyncClient, state: State, ours: Founded, analysis: str
) -> None:
    """Each key has its say, and who speaks last is shown, also when that key spoke before."""
    other = await key_of(state, ours, Scope.WRITE)
    seen = []
    for headers, verdict in (({}, "right"), (other, "wrong"), ({}, "partly")):
        await client.post(f"{analysis}/feedback", json={"verdict": verdict}, headers=headers)
        seen.append((await client.get(analysis)).json()["feedback"]["verdict"])

    assert ["right", "wrong", "partly"] == seen
    assert 2 == await count(state)


async def test_said_at_once(client: httpx2.AsyncClient, state: State, analysis: str) -> None:
    """Of a key that speaks many times at once one word is new, and one is kept."""
    answers = await asyncio.gather(
        *(client.post(f"{analysis}/feedback", json={"verdict": "right"}) for _ in range(10))
    )

    assert [200] * 9 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == await count(state)


async def test_analyses_of_others_do_not_exist(
    client: httpx2.AsyncClient, state: State, analysis: str
) -> None:
    """Whoever has no such analysis is told the same, whether somebody else has; nothing is kept."""
    founded = await organizations.found(state.database, state.key_hasher, "theirs")
    headers = {"X-API-Key": founded.key.key}
    answers = [
        await client.post(f"{path}/feedback", json=WHOLE, headers=headers)
        for path in (analysis, f"/api/v1/analyses/{uuid.uuid4()}")
    ]

    assert [404, 404] == [answer.status_code for answer in answers]
    assert 1 == len({answer.json()["detail"] for answer in answers})
    assert answers[0].json()["type"].endswith(":analysis-not-found")
    assert 0 == await count(state)


async def test_who_may_only_read_may_not_say(
    client: httpx2.AsyncClient, state: State, ours: Founded, analysis: str
) -> None:
    """Feedback changes what later diagnoses say, so it needs the scope to write."""
    answers = [
        await client.post(
            f"{analysis}/feedback", json=WHOLE, headers=await key_of(state, ours, scope)
        )
        for scope in (Scope.READ, Scope.WRITE)
    ]

    assert [403, 201] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "verdict"),
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": None}, "verdict"),
        ({"verdict": "right", "owner": "nobody"}, "owner"),
        ({"verdict": "right", "mechanism": "magic"}, "mechanism"),
        ({"verdict": "right", "comment": 7}, "comment"),
        ({"verdict": "right", "comment": "x" * (MAX_COMMENT_CHARS + 1)}, "comment"),
        ({"verdict": "right", "extra": 1}, "extra"),
    ],
)
async def test_what_does_not_fit_is_named(
    client: httpx2.AsyncClient, state: State, analysis: str, body: dict[str, Any], field: str
) -> None:
    """422 names the field, and nothing is kept."""
    answer = await client.post(f"{analysis}/feedback", json=body)

    assert 422 == answer.status_code
    assert [field] == [error["field"] for error in answer.json()["errors"]]
    assert 0 == await count(state)


@pytest.mark.parametrize("character", ["x", "\0", "ж", "🦊"])
async def test_any_text_is_a_comment(
    client: httpx2.AsyncClient, analysis: str, character: str
) -> None:
    """A comment of the longest is kept as it is, but for NUL, which no database takes."""
    comment = character * MAX_COMMENT_CHARS
    answer = await client.post(
        f"{analysis}/feedback", json={"verdict": "right", "comment": comment}
    )

    assert 201 == answer.status_code
    assert comment.replace("\0", "\ufffd") == answer.json()["comment"]


async def test_the_vocabulary_fits_the_columns(client: httpx2.AsyncClient, analysis: str) -> None:
    """Every owner and mechanism can be kept."""
    said = [
        *({"verdict": "wrong", "owner": owner} for owner in Owner),
        *({"verdict": "wrong", "mechanism": mechanism} for mechanism in Mechanism),
    ]
    answers = [await client.post(f"{analysis}/feedback", json=one) for one in said]

    assert {200, 201} == {answer.status_code for answer in answers}
