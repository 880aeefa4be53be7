"""Answers of models in the database, so that all processes together ask a question once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from heisenberg.backend.database import storable
from heisenberg.backend.database_errors import told
from heisenberg.backend.logging import get_logger
from heisenberg.backend.models import now
from heisenberg.backend.repositories import model_answers
from heisenberg.backend.repositories.model_answers import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from uuid import UUID

    from heisenberg.backend.config import Settings
    from heisenberg.backend.database import Database
    from heisenberg.backend.metrics import Metrics
    from heisenberg.diagnosis.answers import AnswerKey

TIMEOUT_S: Final = 5.0
"""A database that hangs does not hold up an analysis for longer, each time."""
CLAIM_MARGIN_S: Final = 15.0
"""Beyond the longest that a consultation may take, for what comes before and after."""
DELETED_AT_ONCE: Final = 100
"""Expired answers that go when a new one comes: more than come, so that they do not pile up."""

log = get_logger(__name__)


class DatabaseAnswers:
    """The answers of one organization.

    While the database is away there are none and every claim is granted: that costs calls, and no
    analysis. Clocks of machines that differ shorten or lengthen claims by as much.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        organization_id: UUID,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Claim nothing yet."""
        self._database = database
        self._metrics = metrics
        self._organization_id = organization_id
        self._clock = clock
        self._ttl = timedelta(hours=settings.model_answer_ttl_hours)
        self._claim = timedelta(seconds=settings.model_deadline_s + CLAIM_MARGIN_S)
        self._claims: dict[str, datetime] = {}
        """Until when our own claims last, by question: that tells them from those of others."""

    async def get(self, key: AnswerKey) -> str | None:
        """The answer's JSON text, unless there is none or it has expired."""
        answer = None
        async with _outlived("get"), self._database.read() as session:
            answer = await model_answers.get(
                session, self._organization_id, str(key), self._clock()
            )
        if answer is not None:
            self._metrics.model_answered("store")
        return answer

    async def claim(self, key: AnswerKey) -> bool:
        """Ask for the right to ask the model; see `Answers.claim`."""
        at = self._clock()
        until = at + self._claim
        is_ours = True
        async with _outlived("claim"):
            async with self._database.write() as session:
                is_ours = await model_answers.put(
                    session,
                    self._organization_id,
                    key,
                    Entry(None, created_at=at, expires_at=until, claimed_until=until),
                    unless_used_at=at,
                )
            if is_ours:
                self._claims[str(key)] = until
        return is_ours

    async def put(self, key: AnswerKey, answer: str) -> None:
        """Keep an answer, and end the claim."""
        self._metrics.model_answered("model")
        self._claims.pop(str(key), None)
        at = self._clock()
        entry = Entry(storable(answer), at, expires_at=at + self._ttl, claimed_until=None)
        async with _outlived("put"), self._database.write() as session:
            await model_answers.put(session, self._organization_id, key, entry)
            await model_answers.delete_expired(session, self._organization_id, at, DELETED_AT_ONCE)

    async def release(self, key: AnswerKey) -> None:
        """End the claim without an answer."""
        until = self._claims.pop(str(key), None)
        if until is not None:
            async with _outlived("release"), self._database.write() as session:
                await model_answers.release(session, self._organization_id, str(key), until)

    async def close(self) -> None:
        """End the claims that are left."""
        claims, self._claims = self._claims, {}
        if claims:
            async with _outlived("close"), self._database.write() as session:
                for key, until in claims.items():
                    await model_answers.release(session, self._organization_id, key, until)


@asynccontextmanager
async def _outlived(work: str) -> AsyncIterator[None]:
    """Go on when the database does not do it, or not in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except Exception as error:  # noqa: BLE001 (whatever it is, it costs a call and no analysis)
        log.warning("model_answers.failed", work=work, **told(error))
