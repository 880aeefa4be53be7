"""Retry: what is tried again, when, and what is raised in the end."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, call

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from structlog.testing import capture_logs

from heisenberg.backend.config import Settings, SettingsError, load_settings
from heisenberg.backend.retry import retry_from_settings, retry_with_backoff
from heisenberg.errors import (
    EngineAuthenticationError,
    EngineOverloadedError,
    EngineRateLimitedError,
    EngineRejectedError,
    EngineTimeoutError,
    TransientEngineError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Time:
    """A clock that only moves when somebody waits, and remembers the waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Engine:
    """Raises the errors, one a call, then answers; each call may take time."""

    def __init__(
        self, *errors: BaseException, time: Time | None = None, takes_s: float = 0
    ) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.time = time
        self.takes_s = takes_s

    async def ask(self, question: str = "why?") -> str:
        self.calls += 1
        if self.time is not None:
            self.time.now += self.takes_s
        if self.errors:
            raise self.errors.pop(0)
        return f"{question} because"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Neither variables nor a `.env` of whoever runs the tests."""
    monkeypatch.chdir(str(tmp_path))
    for name in ("MAX_RETRIES", "BASE_DELAY", "MAX_DELAY", "DEADLINE_S"):
        monkeypatch.delenv(f"HEISENBERG_RETRY_{name}", raising=False)


class TestRetryDecorator:
    async def test_retry_decorator_exists(self) -> None:
        """The decorator keeps the function's name, documentation, arguments and result."""

        @retry_with_backoff()
        async def answer(question: str, *, loud: bool) -> str:
            """Answers."""
            return question.upper() if loud else question

        assert "WHY" == await answer("why", loud=True)
        assert ("answer", "Answers.") == (answer.__name__, answer.__doc__)

    async def test_retry_succeeds_on_first_attempt(self, time: Time) -> None:
        """What succeeds is called once, and nobody waits."""
        engine = Engine()

        answer = await retry_with_backoff(sleep=time.sleep)(engine.ask)("how?")

        assert ("how? because", 1, []) == (answer, engine.calls, time.waits)

    async def test_retry_retries_on_failure(self, time: Time) -> None:
        """What fails for a reason of the moment is called again until it succeeds."""
        engine = Engine(TimeoutError(), ConnectionResetError())

        answer = await retry_with_backoff(sleep=time.sleep)(engine.ask)()

        assert ("why? because", 3) == (answer, engine.calls)

    @pytest.mark.parametrize("retries", [0, 1, 5])
    async def test_retry_respects_max_retries(self, time: Time, retries: int) -> None:
        """There are at most `max_retries` calls after the first one."""
        engine = Engine(*(TimeoutError() for _ in range(10)))

        with pytest.raises(TimeoutError):
            await retry_with_backoff(retries, deadline_s=None, sleep=time.sleep)(engine.ask)()

        assert (retries + 1, retries) == (engine.calls, len(time.waits))

    async def test_retry_uses_exponential_backoff(self, time: Time) -> None:
        """Each wait is twice the one before it, up to the cap."""
        engine = Engine(*(TimeoutError() for _ in range(5)))

        await retry_with_backoff(5, 0.5, 3.0, jitter=False, sleep=time.sleep)(engine.ask)()

        assert [0.5, 1.0, 2.0, 3.0, 3.0] == time.waits

    @pytest.mark.parametrize(("random", "factor"), [(0.0, 0.5), (0.5, 1.0), (0.999, 1.499)])
    async def test_retry_adds_jitter(self, time: Time, random: float, factor: float) -> None:
        """A wait is multiplied by a factor in [0.5, 1.5), anew each time."""
        engine = Engine(TimeoutError(), TimeoutError())

        await retry_with_backoff(2, 1.0, sleep=time.sleep, uniform=lambda: random)(engine.ask)()

        assert [factor, 2 * factor] == pytest.approx(time.waits)

    async def test_retry_logs_attempts(self, time: Time) -> None:
        """Each retry is a warning that tells which, after what wait, and why."""
        engine = Engine(TimeoutError(), ConnectionResetError())

        with capture_logs() as lines:
            await retry_with_backoff(jitter=False, sleep=time.sleep)(engine.ask)()

        assert [
            ("retry_attempt", "warning", 1, 1.0, "TimeoutError", "Engine.ask"),
            ("retry_attempt", "warning", 2, 2.0, "ConnectionResetError", "Engine.ask"),
        ] == [
            (x["event"], x["log_level"], x["attempt"], x["delay"], x["error"], x["function"])
            for x in lines
        ]

    @given(
        base=st.floats(0, 1e6),
        cap=st.floats(0, 1e6),
        retries=st.integers(0, 12),
        random=st.floats(0, 1, exclude_max=True),
    )
    def test_no_wait_exceeds_the_cap(
        self, base: float, cap: float, retries: int, random: float
    ) -> None:
        """Whatever the jitter, no wait is longer than `max_delay`, nor below half of what it is of."""
        time = Time()
        engine = Engine(*(TimeoutError() for _ in range(retries)))
        decorator = retry_with_backoff(
            retries, base, cap, deadline_s=None, sleep=time.sleep, uniform=lambda: random
        )

        anyio.run(decorator(engine.ask))

        for n, wait in enumerate(time.waits):
            assert 0.5 * min(base * 2**n, cap) <= wait <= cap

    async def test_many_retries_do_not_overflow(self, time: Time) -> None:
        """The thousandth doubling is the cap, not an error."""
        engine = Engine(*(TimeoutError() for _ in range(1100)))

        await retry_with_backoff(1100, deadline_s=None, sleep=time.sleep)(engine.ask)()

        assert 1101 == engine.calls

    async def test_last_error_is_raised_as_it_was(self, time: Time) -> None:
        """The very object comes out, with the traceback of the call that raised it."""
        last = EngineOverloadedError("busy")
        engine = Engine(TimeoutError(), last)

        with pytest.raises(EngineOverloadedError) as caught:
            await retry_with_backoff(1, sleep=time.sleep)(engine.ask)()

        assert caught.value is last
        assert "ask" == caught.traceback[-1].name
        assert caught.value.__cause__ is None

    async def test_server_is_obeyed(self, time: Time) -> None:
        """A wait that the server asks for is kept when ours is shorter, even beyond the cap."""
        engine = Engine(
            EngineRateLimitedError("slow down", retry_after_s=90),
            EngineRateLimitedError("slow down", retry_after_s=0.1),
        )

        await retry_with_backoff(max_delay=60, jitter=False, sleep=time.sleep)(engine.ask)()

        assert [90, 2.0] == time.waits

    @pytest.mark.parametrize("nonsense", [-5.0, math.nan, None, "soon"])
    async def test_nonsense_of_a_server_is_ignored(self, time: Time, nonsense: float) -> None:
        """A wait that is no number of seconds is as if it had not been asked for."""
        engine = Engine(EngineRateLimitedError("slow down", retry_after_s=nonsense))

        await retry_with_backoff(jitter=False, sleep=time.sleep)(engine.ask)()

        assert [1.0] == time.waits

    async def test_gives_up_at_once_when_the_server_asks_for_too_long(self, time: Time) -> None:
        """When the asked wait ends after the deadline, nobody waits for nothing."""
        error = EngineRateLimitedError("tomorrow", retry_after_s=86400)
        engine = Engine(error)
        decorator = retry_with_backoff(deadline_s=120, sleep=time.sleep, clock=time.clock)

        with pytest.raises(EngineRateLimitedError) as caught:
            await decorator(engine.ask)()

        assert caught.value is error
        assert (1, []) == (engine.calls, time.waits)

    async def test_deadline_counts_tries_and_waits(self, time: Time) -> None:
        """No wait begins that would end after the deadline, however many retries are left."""
        engine = Engine(*(TimeoutError() for _ in range(99)), time=time, takes_s=3)
        decorator = retry_with_backoff(
            99, 1.0, jitter=False, deadline_s=20, sleep=time.sleep, clock=time.clock
        )

        with pytest.raises(TimeoutError):
            await decorator(engine.ask)()

        assert [1.0, 2.0, 4.0] == time.waits
        assert 19 == time.now

    async def test_a_try_that_hangs_is_cut_off(self) -> None:
        """A try that runs into the deadline ends in a TimeoutError that names the function."""

        @retry_with_backoff(deadline_s=0.01)
        async def hang() -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError, match=r"hang: not done within 0\.01 s"):
            await hang()

    async def test_cancellation_in_a_try_is_not_swallowed(self, time: Time) -> None:
        """A cancelled try is not tried again, even if all exceptions are."""
        engine = Engine(asyncio.CancelledError())
        everything: tuple[type[Exception], ...] = (BaseException,)  # type: ignore[assignment]  # a mistake of a caller

        with pytest.raises(asyncio.CancelledError):
            await retry_with_backoff(retryable_exceptions=everything, sleep=time.sleep)(
                engine.ask
            )()

        assert 1 == engine.calls

    async def test_cancellation_in_a_wait_is_not_swallowed(self) -> None:
        """A task that is cancelled while it waits for its next try is over."""
        engine = Engine(TimeoutError())
        waiting = asyncio.Event()

        async def sleep(_: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(retry_with_backoff(sleep=sleep)(engine.ask)())
        await waiting.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert 1 == engine.calls

    async def test_calls_do_not_share_their_tries(self, time: Time) -> None:
        """Two calls at a time each have all their retries and their own deadline."""
        engine = Engine(*(TimeoutError() for _ in range(4)))
        ask = retry_with_backoff(2, sleep=time.sleep)(engine.ask)

        first, second = await asyncio.gather(ask("a?"), ask("b?"))

        assert ("a? because", "b? because") == (first, second)

    async def test_retries_are_counted(self, time: Time) -> None:
        """The callback is called before each retry, and not for what is not tried again."""
        counted: list[int] = []
        ask = retry_with_backoff(2, on_retry=lambda: counted.append(1), sleep=time.sleep)

        await ask(Engine(TimeoutError(), TimeoutError()).ask)()
        with pytest.raises(EngineRejectedError):
            await ask(Engine(EngineRejectedError("no")).ask)()

        assert 2 == len(counted)

    @pytest.mark.parametrize("wrong", ["max_retries", "base_delay", "max_delay"])
    def test_negative_numbers_are_refused(self, wrong: str) -> None:
        """A mistake shows where it is made, not at the first failure."""
        numbers: dict[str, int] = {wrong: -1}

        with pytest.raises(ValueError, match="must not be negative"):
            retry_with_backoff(**numbers)  # type: ignore[arg-type]  # one of the three

    def test_function_must_be_asynchronous(self) -> None:
        """A plain function is refused: its waits would hold up everybody."""

        def plain() -> None:
            pass

        with pytest.raises(TypeError, match="not an async function"):
            retry_with_backoff()(plain)  # type: ignore[arg-type]  # the mistake


async def calls(error: BaseException) -> int:
    """How often a function is called that raises this error at first."""
    engine = Engine(error)
    try:
        await retry_with_backoff(sleep=Time().sleep)(engine.ask)()
    except type(error):
        assert 1 == engine.calls
    return engine.calls


def validation_error() -> ValidationError:
    class Answer(BaseModel):
        root_cause: str

    with pytest.raises(ValidationError) as caught:
        Answer.model_validate({})
    return caught.value


class TestRetryableErrors:
    @pytest.mark.parametrize(
        "make", [TimeoutError, lambda: EngineTimeoutError("no answer in 60 s")]
    )
    async def test_retries_on_timeout_error(self, make: Callable[[], Exception]) -> None:
        """A timeout, ours or the engine's, is tried again."""
        assert 2 == await calls(make())

    async def test_retries_on_rate_limit_error(self) -> None:
        """Too many requests now are not too many later."""
        assert 2 == await calls(EngineRateLimitedError("429"))

    async def test_does_not_retry_on_auth_error(self) -> None:
        """A wrong key stays wrong."""
        assert 1 == await calls(EngineAuthenticationError("401"))

    @pytest.mark.parametrize("make", [lambda: EngineRejectedError("400"), validation_error])
    async def test_does_not_retry_on_validation_error(self, make: Callable[[], Exception]) -> None:
        """A wrong request stays wrong, whether the engine or our schema says so."""
        assert 1 == await calls(make())

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionError(),
            ConnectionRefusedError(),
            BrokenPipeError(),
            EngineOverloadedError("529"),
            TransientEngineError("its process died"),
        ],
    )
    async def test_retries_on_connections_and_overload(self, error: Exception) -> None:
        """A broken connection and an overloaded engine are of the moment."""
        assert 2 == await calls(error)

    @pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(), PermissionError()])
    async def test_does_not_retry_on_mistakes_of_ours(self, error: Exception) -> None:
        """An error of the program is not repeated."""
        assert 1 == await calls(error)

    async def test_caller_chooses(self, time: Time) -> None:
        """Only what the caller lists is tried again."""
        ask = retry_with_backoff(retryable_exceptions=(KeyError,), sleep=time.sleep)

        assert "why? because" == await ask(Engine(KeyError()).ask)()
        with pytest.raises(TimeoutError):
            await ask(Engine(TimeoutError()).ask)()


class TestRetryConfig:
    async def test_settings_has_retry_config(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variables decide how often is tried and how long is waited."""
        monkeypatch.setenv("HEISENBERG_RETRY_MAX_RETRIES", "1")
        monkeypatch.setenv("HEISENBERG_RETRY_BASE_DELAY", "0")
        monkeypatch.setenv("HEISENBERG_RETRY_MAX_DELAY", "0")
        monkeypatch.setenv("HEISENBERG_RETRY_DEADLINE_S", "7")
        counted: list[int] = []
        engine = Engine(*(TimeoutError() for _ in range(9)))

        with pytest.raises(TimeoutError):
            await retry_from_settings(load_settings(), lambda: counted.append(1))(engine.ask)()

        assert (2, 1) == (engine.calls, len(counted))
        assert 7 == load_settings().retry_deadline_s

    async def test_deadline_of_the_settings_holds(self) -> None:
        """The variable's deadline ends the tries."""
        settings = Settings(retry_deadline_s=0.01)

        @retry_from_settings(settings)
        async def hang() -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
            await hang()

    def test_max_retries_default(self) -> None:
        """Three retries unless told otherwise."""
        assert 3 == load_settings().retry_max_retries

    def test_base_delay_default(self) -> None:
        """One second before the first retry, sixty at most."""
        settings = load_settings()

        assert (1.0, 60.0) == (settings.retry_base_delay, settings.retry_max_delay)

    @pytest.mark.parametrize("name", ["MAX_RETRIES", "BASE_DELAY", "MAX_DELAY", "DEADLINE_S"])
    def test_wrong_setting_names_its_variable(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """A negative number stops the start, and the message says which variable it is."""
        monkeypatch.setenv(f"HEISENBERG_RETRY_{name}", "-1")

        with pytest.raises(SettingsError, match=f"HEISENBERG_RETRY_{name}"):
            load_settings()


async def test_a_stand_in_can_be_retried() -> None:
    """A callable without a name of its own works like a function, and is called again with the same."""
    asked = AsyncMock(side_effect=[TimeoutError(), "answer"])

    answer = await retry_with_backoff(base_delay=0.0)(asked)("question")

    assert "answer" == answer
    assert [call("question")] * 2 == asked.await_args_list
