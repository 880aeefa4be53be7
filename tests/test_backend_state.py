"""What all requests share is given up as a whole."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from heisenberg.backend import state as module
from heisenberg.backend.config import load_settings
from heisenberg.backend.state import State

if TYPE_CHECKING:
    from pathlib import Path

PARTS = (
    "analyzer.close",
    "key_usage.stop",
    "health.close",
    "limiter.close",
    "failed_auth_limiter.close",
    "database.close",
    "tracing.stop",
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Made and not started."""
    return State(load_settings(_env_file=None, data_dir=tmp_path))


@pytest.mark.parametrize("broken", PARTS)
async def test_a_part_that_fails_keeps_no_other_open(
    state: State, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are closed, in order, and the error is raised at the end."""
    closed: list[str] = []

    def watch(name: str) -> None:
        async def close() -> None:
            closed.append(name)
            if name == broken:
                raise ZeroDivisionError

        part, method = name.split(".")
        monkeypatch.setattr(getattr(state, part), method, close)

    for name in PARTS:
        watch(name)
    with pytest.raises(ZeroDivisionError):
        await state.stop()

    assert list(PARTS) == closed


async def test_a_store_that_does_not_answer_is_left(
    state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end waits for the limiter's store a little, and goes on."""

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.05, raising=False)
    monkeypatch.setattr(state.limiter, "close", hang)
    begin = time.monotonic()
    async with asyncio.timeout(5):
        await state.stop()

    assert time.monotonic() - begin < 4
    assert "rate_limit.store_left" in "".join(capsys.readouterr())
