"""Answers in a file of the user's, for the command line: several runs at once may share it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heisenberg.diagnosis.answers import AnswerKey

TTL_S = 30 * 24 * 3600.0
"""An answer is kept for this long: models change under their names."""
CLAIM_S = 135.0
"""A claim whose owner has vanished ends after this, when nothing else is said: after the longest that
a consultation may take, and a margin."""
CLAIM_MARGIN_S = 15.0
BUSY_S = 2.0
"""Wait for another process that writes."""

_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, answer TEXT, model TEXT NOT NULL, until REAL NOT NULL
) WITHOUT ROWID
"""


class AnswerFile:
    """Keeps answers in an SQLite file. A file that cannot be used keeps nothing, and fails nothing."""

    def __init__(
        self, path: Path, *, claim_s: float = CLAIM_S, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the file, or make it, for its owner alone."""
        self._clock = clock
        self._claim_s = claim_s
        self.problem = ""
        """Why nothing is kept, if so."""
        self._file: sqlite3.Connection | None = None
        self._claims: dict[str, float] = {}
        """Until when our own claims last: that tells them from those of others."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
            file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._file = file
            file.execute(_TABLE)
            file.execute("DELETE FROM answers WHERE until < ?", (self._clock(),))
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    async def get(self, key: AnswerKey) -> str | None:
        """The answer's JSON text, unless there is none or it has expired."""
        rows = self._run(
            "SELECT answer FROM answers WHERE key = ? AND until >= ?", str(key), self._clock()
        )
        return rows[0][0] if rows else None

    async def claim(self, key: AnswerKey) -> bool:
        """Ask for the right to ask the model."""
        now = self._clock()
        until = now + self._claim_s
        rows = self._run(
            "INSERT INTO answers (key, model, until) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
            "SET answer = NULL, until = excluded.until WHERE until < ? RETURNING 1",
            str(key),
            key.model,
            until,
            now,
        )
        if rows:
            self._claims[str(key)] = until
        return self._file is None or bool(rows)

    async def put(self, key: AnswerKey, answer: str) -> None:
        """Keep an answer, and end the claim."""
        self._claims.pop(str(key), None)
        self._run(
            "INSERT OR REPLACE INTO answers (key, answer, model, until) VALUES (?, ?, ?, ?)",
            str(key),
            answer,
            key.model,
            self._clock() + TTL_S,
        )

    async def release(self, key: AnswerKey) -> None:
        """End the claim without an answer."""
        until = self._claims.pop(str(key), None)
        if until is not None:
            self._run(
                "DELETE FROM answers WHERE key = ? AND answer IS NULL AND until = ?",
                str(key),
                until,
            )

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _run(self, statement: str, *values: object) -> list[tuple[str]]:
        if self._file is None:
            return []
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _give_up(self, error: Exception) -> None:
        self.problem = str(error)
        if self._file is not None:
            self._file.close()
            self._file = None


class NoAnswers:
    """Keeps nothing: every question is asked."""

    problem = ""

    async def get(self, key: AnswerKey) -> str | None:  # noqa: ARG002 (the interface's)
        """Nothing is there."""
        return None

    async def claim(self, key: AnswerKey) -> bool:  # noqa: ARG002 (the interface's)
        """Whoever asks may."""
        return True

    async def put(self, key: AnswerKey, answer: str) -> None:
        """Let it go."""

    async def release(self, key: AnswerKey) -> None:
        """There is no claim."""

    async def close(self) -> None:
        """There is nothing to give up."""
