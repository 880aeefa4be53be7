"""Answers of models, kept in the database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.models import ModelAnswer
from heisenberg.backend.services import model_answers, organizations
from heisenberg.backend.services.model_answers import DatabaseAnswers
from heisenberg.diagnosis.answers import AnswerKey

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from heisenberg.backend.config import Settings
    from heisenberg.diagnosis.answers import Answers
    from servers import Postgres

KEY = AnswerKey("message-v1:abc", "0" * 64, "diagnosis-1", "openai:m")
OTHER = AnswerKey("message-v1:abc", "1" * 64, "diagnosis-1", "openai:m")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
CLAIMER = """
import asyncio, sys, time
from uuid import UUID
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.metrics import Metrics
from heisenberg.backend.services.model_answers import DatabaseAnswers
from heisenberg.diagnosis.answers import AnswerKey

async def main():
    settings = load_settings(_env_file=None)
    answers = DatabaseAnswers(settings, Database(settings), Metrics(), UUID(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(await answers.claim(AnswerKey("message-v1:abc", "0" * 64, "diagnosis-1", "openai:m")), flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""
"""A process that claims a question when it is told to, and dies with the claim."""


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        """It is noon."""
        self.at = NOON

    def __call__(self) -> datetime:
        """The moment that it shows."""
        return self.at

    def forward(self, **by: float) -> None:
        """Set it forward."""
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    """At noon."""
    return Clock()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Migrated and empty."""
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture
async def ours(database: Database) -> UUID:
    """Id of an organization."""
    return (await organizations.create(database, "ours")).id


@pytest.fixture
def make(settings: Settings, database: Database, ours: UUID, clock: Clock) -> Callable[[], Answers]:
    """Makes answers of our organization: one such object is what one run has."""
    return lambda: DatabaseAnswers(settings, database, Metrics(), ours, clock)


async def rows(database: Database) -> int:
    """How many answers and claims are stored, of all organizations."""
    async with database.read() as session:
        return int(await session.scalar(select(func.count()).select_from(ModelAnswer)) or 0)


class TestAnswers:
    async def test_an_answer_is_given_to_who_asks_the_same(
        self, make: Callable[[], Answers]
    ) -> None:
        """What one run put, another one gets, and only for that question."""
        first, second = make(), make()
        before = await second.get(KEY)
        await first.put(KEY, '{"owner": "product"}')

        assert (None, '{"owner": "product"}', None) == (
            before,
            await second.get(KEY),
            await second.get(OTHER),
        )

    async def test_the_last_answer_counts(self, make: Callable[[], Answers]) -> None:
        """A second answer to a question takes the place of the first."""
        answers = make()
        await answers.put(KEY, "1")
        await answers.put(KEY, "2")

        assert "2" == await answers.get(KEY)

    async def test_an_answer_expires(
        self, make: Callable[[], Answers], clock: Clock, settings: Settings
    ) -> None:
        """It is given up to its last moment, and no longer; then it may be asked for again."""
        answers = make()
        await answers.put(KEY, "1")
        clock.forward(hours=settings.model_answer_ttl_hours, microseconds=-1)
        before, claimed = await answers.get(KEY), await answers.claim(KEY)
        clock.forward(microseconds=1)

        assert ("1", False) == (before, claimed)
        assert await answers.get(KEY) is None
        assert await answers.claim(KEY)

    async def test_expired_answers_go(
        self, make: Callable[[], Answers], clock: Clock, database: Database, settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        """Each new answer deletes a bounded number of those that have expired, and no other."""
        monkeypatch.setattr(model_answers, "DELETED_AT_ONCE", 3)
        answers = make()
        for number in range(5):
            await answers.put(AnswerKey("f", str(number), "p", "m"), "1")
        clock.forward(hours=settings.model_answer_ttl_hours)
        counts = []
        for number in range(2):
            await answers.put(AnswerKey("f", str(number), "q", "m"), "1")
            counts.append(await rows(database))

        assert [5 + 1 - 3, 5 + 2 - 5] == counts

    async def test_texts_that_no_database_takes(self, make: Callable[[], Answers]) -> None:
        """NUL and half characters in an answer cost them alone."""
        answers = make()
        await answers.put(KEY, '"\0\ud83d"')

        assert '"\ufffd\ufffd"' == await answers.get(KEY)

    async def test_organizations_share_nothing(
        self, make: Callable[[], Answers], settings: Settings, database: Database, clock: Clock
    ) -> None:
        """Neither answers nor claims of another organization are seen, released or deleted."""
        theirs = (await organizations.create(database, "theirs")).id
        others = DatabaseAnswers(settings, database, Metrics(), theirs, clock)
        answers = make()
        await answers.put(KEY, "1")
        await answers.claim(OTHER)

        assert await others.get(KEY) is None
        assert await others.claim(KEY)
        assert await others.claim(OTHER)
        await others.release(OTHER)
        assert not await answers.claim(OTHER)
        clock.forward(hours=2 * settings.model_answer_ttl_hours)
        await others.put(OTHER, "2")
        assert 3 == await rows(database)

    async def test_what_is_used_is_counted(
        self, settings: Settings, database: Database, ours: UUID
    ) -> None:
        """Answers from the store and from the model are told apart; nothing found is no answer."""
        metrics = Metrics()
        answers = DatabaseAnswers(settings, database, metrics, ours)
        await answers.get(KEY)
        await answers.put(KEY, "1")
        await answers.get(KEY)
        await answers.get(KEY)

        counted = [
            metrics.registry.get_sample_value("heisenberg_model_answers_total", {"source": source})
            for source in ("model", "store")
        ]
        assert [1, 2] == counted


class TestClaims:
    async def test_one_of_many_gets_it(self, make: Callable[[], Answers]) -> None:
        """Of runs that claim a question at once, one is to ask; after its answer, none."""
        answers = [make() for _ in range(20)]
        claimed = await asyncio.gather(*(one.claim(KEY) for one in answers))
        winner = answers[claimed.index(True)]
        await winner.put(KEY, "1")

        assert 1 == claimed.count(True)
        assert [False] * 20 == await asyncio.gather(*(one.claim(KEY) for one in answers))

    async def test_a_claim_is_no_answer(self, make: Callable[[], Answers]) -> None:
        """While somebody asks there is nothing to get."""
        answers = make()
        await answers.claim(KEY)

        assert await answers.get(KEY) is None

    async def test_a_released_question_is_free(self, make: Callable[[], Answers]) -> None:
        """Whoever releases a claim, or closes with it, leaves the question to the next."""
        first, second = make(), make()
        await first.claim(KEY)
        await first.claim(OTHER)
        await first.release(KEY)
        after_release = await second.claim(KEY), await second.claim(OTHER)
        await first.close()

        assert (True, False) == after_release
        assert await second.claim(OTHER)
        assert not await first.claim(KEY)

    async def test_a_claim_that_was_taken_over_is_not_released(
        self, make: Callable[[], Answers], clock: Clock
    ) -> None:
        """Who comes back too late does not end the claim of who went on, nor takes back an answer."""
        late, second = make(), make()
        await late.claim(KEY)
        clock.forward(hours=1)
        taken_over = await second.claim(KEY)
        await late.release(KEY)

        assert taken_over
        assert not await make().claim(KEY)
        await second.put(KEY, "1")
        await second.release(KEY)
        assert "1" == await late.get(KEY)

    async def test_a_claim_outlives_the_longest_call(
        self, make: Callable[[], Answers], clock: Clock, settings: Settings
    ) -> None:
        """It ends by itself, and not before all tries of a call may be over."""
        answers, others = make(), make()
        await answers.claim(KEY)
        clock.forward(seconds=settings.retry_deadline_s)
        during = await others.claim(KEY)
        clock.forward(seconds=model_answers.CLAIM_MARGIN_S)

        assert not during
        assert await others.claim(KEY)

    async def test_processes_claim_and_die(
        self, database_url: str, make: Callable[[], Answers], ours: UUID, clock: Clock
    ) -> None:
        """Of processes one gets the claim; when it is killed, the claim holds only for its time."""
        clock.at = datetime.now(UTC)
        environment = {**os.environ, "DATABASE_URL": database_url}
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLAIMER, str(ours),
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for _ in range(4)
        ]  # fmt: skip
        try:
            said = await asyncio.gather(*(tell(process, b"") for process in processes))
            claimed = await asyncio.gather(*(tell(process, b"\n") for process in processes))
        finally:
            for process in processes:
                process.send_signal(signal.SIGKILL)
                await process.communicate()
        at_once = await make().claim(KEY)
        clock.forward(hours=1)

        assert [b"ready\n"] * 4 == said
        assert [b"False\n"] * 3 + [b"True\n"] == sorted(claimed)
        assert not at_once
        assert await make().claim(KEY)


async def tell(process: asyncio.subprocess.Process, what: bytes) -> bytes:
    """Write to a process, and read the line that it answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what)
    return await asyncio.wait_for(process.stdout.readline(), 60)


class TestOutage:
    async def test_a_database_that_is_away_costs_a_call(
        self, own_postgres: Postgres, tmp_path: Path, log: io.StringIO
    ) -> None:
        """It is as if nothing were kept and nobody else asked, and the log warns of it."""
        own_postgres.stop()
        async with away(own_postgres.url(), tmp_path) as answers:
            got, claimed = await answers.get(KEY), await answers.claim(KEY)
            await answers.put(KEY, "1")
            await answers.release(KEY)

        assert (None, True) == (got, claimed)
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert ["get", "claim", "put"] == [line["work"] for line in lines]
        assert {("model_answers.failed", "warning", False)} == {
            (line["event"], line["level"], "exception" in line) for line in lines
        }

    async def test_a_database_that_hangs_costs_little_time(
        self, own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing takes longer than its limit."""
        monkeypatch.setattr(model_answers, "TIMEOUT_S", 0.2)
        async with away(own_postgres.url(), tmp_path) as answers:
            own_postgres.pause()
            try:
                async with asyncio.timeout(4):
                    got, claimed = await answers.get(KEY), await answers.claim(KEY)
            finally:
                own_postgres.resume()

        assert (None, True) == (got, claimed)

    async def test_an_error_of_ours_is_told_with_its_trace(
        self, empty_sqlite_url: str, tmp_path: Path, log: io.StringIO
    ) -> None:
        """A table that is not there ends no analysis either, and can be found in the log."""
        async with away(empty_sqlite_url, tmp_path) as answers:
            assert await answers.claim(KEY)

        assert "no such table" in json.loads(log.getvalue())["exception"]["message"]


@asynccontextmanager
async def away(url: str, folder: Path) -> AsyncIterator[DatabaseAnswers]:
    """Answers in a database that does not do what it should."""
    settings = load_settings(_env_file=None, database_url=url, data_dir=folder)
    database = Database(settings)
    yield DatabaseAnswers(settings, database, Metrics(), uuid4())
    await database.close()
