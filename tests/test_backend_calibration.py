"""What feedback makes of an engine's word."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from heisenberg.backend.auth import Principal, Scope
from heisenberg.backend.config import load_settings
from heisenberg.backend.database import Database
from heisenberg.backend.models import Analysis, ApiKey, TestRun, new_id
from heisenberg.backend.repositories import feedback as repository
from heisenberg.backend.schemas import FeedbackRequest
from heisenberg.backend.services import calibration, feedback, organizations
from heisenberg.backend.services.calibration import Calibrations
from heisenberg.diagnosis.calibration import Calibration, learn
from heisenberg.model.feedback import Verdict

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator
    from pathlib import Path

    from heisenberg.backend.config import Settings
    from servers import Postgres

ENGINE = "openai:m"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Tenant:
    """An organization with runs, analyses and keys."""

    def __init__(self, database: Database, organization_id: UUID) -> None:
        """Without any of them."""
        self.database = database
        self.id = organization_id
        self._minutes = 0

    async def key(self) -> Principal:
        """Another key."""
        made = new_id()
        async with self.database.write() as session:
            session.add(
                ApiKey(
                    id=made, organization_id=self.id, name="k", prefix=made.hex[:32],
                    key_hash="h", scopes=["write"],
                )
            )  # fmt: skip
        return Principal(made, self.id, frozenset(Scope))

    async def incident(
        self, stated: float | None, tests: int = 1, *, engine: str = ENGINE, run: UUID | None = None
    ) -> list[UUID]:
        """Ids of the analyses of an incident, of a run of its own unless one is given."""
        run_id, ids = run or new_id(), [new_id() for _ in range(tests)]
        async with self.database.write() as session:
            if run is None:
                session.add(
                    TestRun(
                        id=run_id, organization_id=self.id, repository="r", document={},
                        total_tests=1, passed_tests=0, failed_tests=1, flaky_tests=0,
                        skipped_tests=0,
                    )
                )  # fmt: skip
                await session.flush()
            session.add_all(
                Analysis(
                    id=one, organization_id=self.id, test_run_id=run_id, test_id="t",
                    test_title="t", incident_id="i", fingerprint="f", state="unknown",
                    owner="product", mechanism="unknown", symptom="other", component="api",
                    confidence=0.5, stated_confidence=stated, engine=engine, input_tokens=0,
                    output_tokens=0, cost_usd=0.0,
                )
                for one in ids
            )  # fmt: skip
        return ids

    async def say(self, verdict: Verdict, analysis: UUID, key: Principal) -> None:
        """Give feedback, a minute after the one before."""
        self._minutes += 1
        at = NOON + timedelta(minutes=self._minutes)
        said = FeedbackRequest(verdict=verdict)
        assert await feedback.give(self.database, key, analysis, said, clock=lambda: at)

    async def outcomes(self, limit: int = 100) -> list[tuple[float, float]]:
        """What is learned from."""
        async with self.database.read() as session:
            return await repository.outcomes(session, self.id, ENGINE, limit)


class Clock:
    """Goes when it is told to."""

    seconds = 0.0

    def __call__(self) -> float:
        """What it shows."""
        return self.seconds


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Migrated and empty."""
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture
async def ours(database: Database) -> Tenant:
    """An organization."""
    return Tenant(database, (await organizations.create(database, "ours")).id)


class TestOutcomes:
    async def test_a_verdict_counts_by_how_right_it_was(self, ours: Tenant) -> None:
        """Right is one, partly a half, wrong nothing; the latest first."""
        key = await ours.key()
        for stated, verdict in ((0.9, Verdict.RIGHT), (0.8, Verdict.PARTLY), (0.7, Verdict.WRONG)):
            [analysis] = await ours.incident(stated)
            await ours.say(verdict, analysis, key)

        assert [(0.7, 0.0), (0.8, 0.5), (0.9, 1.0)] == await ours.outcomes()
        assert [(0.7, 0.0), (0.8, 0.5)] == await ours.outcomes(limit=2)

    async def test_an_incident_counts_once(self, ours: Tenant) -> None:
        """Of all that keys say of the tests of one incident of one run, the last word counts."""
        first, second = await ours.key(), await ours.key()
        tests = await ours.incident(0.9, tests=10)
        for analysis in tests:
            await ours.say(Verdict.RIGHT, analysis, first)
        await ours.say(Verdict.WRONG, tests[3], second)
        again = await ours.incident(0.9)
        await ours.say(Verdict.RIGHT, again[0], first)
        before = await ours.outcomes()
        await ours.say(Verdict.PARTLY, tests[3], first)

        assert [(0.9, 1.0), (0.9, 0.0)] == before
        assert [(0.9, 0.5), (0.9, 1.0)] == await ours.outcomes()

    async def test_what_says_nothing_of_the_engine(self, ours: Tenant, database: Database) -> None:
        """Other engines, others' feedback and analyses that state nothing are left out."""
        key = await ours.key()
        theirs = Tenant(database, (await organizations.create(database, "theirs")).id)
        for analyses in (await ours.incident(0.9, engine="offline/1"), await ours.incident(None)):
            await ours.say(Verdict.RIGHT, analyses[0], key)
        [analysis] = await theirs.incident(0.9)
        await theirs.say(Verdict.RIGHT, analysis, await theirs.key())

        assert [] == await ours.outcomes()
        assert [(0.9, 1.0)] == await theirs.outcomes()


class TestCalibrations:
    async def test_feedback_is_learned_from(self, ours: Tenant, database: Database) -> None:
        """An engine is believed less once its diagnoses were wrong, by this organization alone."""
        key = await ours.key()
        for _ in range(20):
            [analysis] = await ours.incident(0.9)
            await ours.say(Verdict.WRONG, analysis, key)
        calibrations = Calibrations(database)

        assert learn([(0.9, 0.0)] * 20) == await calibrations.get(ours.id, ENGINE)
        assert Calibration() == await calibrations.get(ours.id, "openai:n")
        assert Calibration() == await calibrations.get(uuid4(), ENGINE)

    async def test_it_is_read_once_a_minute(
        self, ours: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many ask, the database is asked once, and again when a minute is over."""
        reads, read = [], repository.outcomes

        async def counted(*args: object) -> list[tuple[float, float]]:
            reads.append(args[1:3])
            return await read(*args)  # type: ignore[arg-type]  # as it was called

        monkeypatch.setattr(repository, "outcomes", counted)
        clock = Clock()
        calibrations = Calibrations(database, clock)
        await asyncio.gather(*(calibrations.get(ours.id, ENGINE) for _ in range(20)))
        at_once = len(reads)
        clock.seconds = calibration.MAX_AGE_S - 0.1
        await calibrations.get(ours.id, ENGINE)
        within = len(reads)
        clock.seconds = calibration.MAX_AGE_S
        await calibrations.get(ours.id, ENGINE)

        assert (1, 1, 2) == (at_once, within, len(reads))

    async def test_what_is_remembered_is_bounded(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many organizations ask, those that asked last are remembered."""
        monkeypatch.setattr(calibration, "MAX_KEPT", 3)
        calibrations = Calibrations(database)
        asking = [uuid4() for _ in range(5)]
        for one in (*asking, asking[2]):
            await calibrations.get(one, ENGINE)

        assert [asking[3], asking[4], asking[2]] == [key[0] for key in calibrations._kept]

    async def test_what_was_known_counts_while_the_database_is_away(
        self, own_postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        log: io.StringIO,
    ) -> None:  # fmt: skip
        """An outage ends no analysis and forgets nothing, and is looked into once a minute."""
        settings = load_settings(_env_file=None, database_url=own_postgres.url(), data_dir=tmp_path)
        database, clock, known = Database(settings), Clock(), learn([(0.9, 0.0)])
        calibrations, ours = Calibrations(database, clock), uuid4()

        async def outcomes(*_: object) -> list[tuple[float, float]]:
            return [(0.9, 0.0)]

        with monkeypatch.context() as patch:
            patch.setattr(repository, "outcomes", outcomes)
            await calibrations.get(ours, ENGINE)
        own_postgres.stop()
        clock.seconds = calibration.MAX_AGE_S
        found = [await calibrations.get(ours, ENGINE) for _ in range(3)]
        stranger = await calibrations.get(uuid4(), ENGINE)
        await database.close()

        assert [known] * 3 == found
        assert Calibration() == stranger
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert ["calibration.unread"] * 2 == [line["event"] for line in lines]
        assert not any("exception" in line for line in lines)
