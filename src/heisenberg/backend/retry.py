"""Try again what failed for a reason of the moment, after waits that grow; tenacity does the work."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from functools import wraps
from random import SystemRandom
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from heisenberg.backend.logging import get_logger
from heisenberg.errors import TransientEngineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from heisenberg.backend.config import Settings

P = ParamSpec("P")
T = TypeVar("T")

RETRYABLE: tuple[type[Exception], ...] = (TimeoutError, ConnectionError, TransientEngineError)
"""Timeouts, broken connections, rate limits and overload. What is wrong with the request or its
credentials is as wrong the next time."""
MAX_DOUBLINGS = 60
"""Further ones are beyond any cap, and at 1024 beyond a float."""

log = get_logger(__name__)


def retry_with_backoff(
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: tuple[type[Exception], ...] = RETRYABLE,
    jitter: bool = True,
    *,
    deadline_s: float | None = 120.0,
    on_retry: Callable[[], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = SystemRandom().random,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Make an asynchronous function try again.

    Before retry n, counted from 0, it waits `base_delay * 2**n` s, `max_delay` at most, times a
    factor in [0.5, 1.5), `max_delay` at most again. An error whose attribute `retry_after_s` says
    how long the server asks to be left alone is obeyed, even beyond `max_delay`: to ask earlier is
    to be refused again. When a wait would not end before the deadline, there is none: the error
    is raised at once.

    Args:
        max_retries: Tries after the first one.
        base_delay: Seconds before the first retry.
        max_delay: Longest wait of our own choosing, in seconds.
        retryable_exceptions: Only these are tried again, and never a cancellation.
        jitter: Whether to apply the factor, so that many who failed together do not return together.
        deadline_s: All tries and waits together; a try that runs beyond it is cut off with a
            TimeoutError. None for no limit.
        on_retry: Called before each wait.
        sleep: How to wait.
        clock: Seconds that only grow.
        random: A number in [0, 1).

    Returns:
        A decorator. What the function raises last is raised as it was.

    Raises:
        ValueError: A number is negative.
        TypeError: The function is not asynchronous.

    Source:
        Jitter: Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
    """
    if max_retries < 0 or base_delay < 0 or max_delay < 0:
        raise ValueError("max_retries, base_delay and max_delay must not be negative")

    def own_wait(retry: int) -> float:
        factor = 0.5 + random() if jitter else 1.0
        grown: float = base_delay * 2.0 ** min(retry, MAX_DOUBLINGS)
        return min(min(grown, max_delay) * factor, max_delay)

    def wait(state: RetryCallState) -> float:
        return max(own_wait(state.attempt_number - 1), _asked_wait(_error(state)))

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is not an async function")
        name = getattr(function, "__qualname__", repr(function))

        @wraps(function)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            end = math.inf if deadline_s is None else clock() + deadline_s

            async def attempt() -> T:
                left = end - clock()
                try:
                    async with asyncio.timeout(None if left == math.inf else left) as limit:
                        return await function(*args, **kwargs)
                except TimeoutError as error:
                    if limit.expired() and not str(error):
                        raise TimeoutError(f"{name}: not done within {deadline_s} s") from error
                    raise

            def is_over(state: RetryCallState) -> bool:
                over = state.attempt_number > max_retries
                return over or clock() + state.upcoming_sleep >= end

            def tell(state: RetryCallState) -> None:
                log.warning(
                    "retry_attempt",
                    attempt=state.attempt_number,
                    delay=round(state.upcoming_sleep, 3),
                    error=type(_error(state)).__name__,
                    function=name,
                )
                if on_retry is not None:
                    on_retry()

            tries = AsyncRetrying(
                sleep=sleep,
                stop=is_over,
                wait=wait,
                retry=retry_if_exception(lambda error: _is_retryable(error, retryable_exceptions)),
                before_sleep=tell,
                reraise=True,
            )
            result: T = await tries(attempt)
            return result

        return retrying

    return decorate


def retry_from_settings(
    settings: Settings, on_retry: Callable[[], None] | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """The decorator as the settings want it."""
    return retry_with_backoff(
        settings.retry_max_retries,
        settings.retry_base_delay,
        settings.retry_max_delay,
        deadline_s=settings.retry_deadline_s,
        on_retry=on_retry,
    )


def _is_retryable(error: BaseException, retryable: tuple[type[Exception], ...]) -> bool:
    """Whether to try again; a cancellation is no `Exception`, whatever the caller lists."""
    return isinstance(error, Exception) and isinstance(error, retryable)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _asked_wait(error: BaseException | None) -> float:
    """Seconds that the server asks for; 0 when it does not, or asks for nonsense."""
    asked = getattr(error, "retry_after_s", None)
    if isinstance(asked, (int, float)) and asked > 0:  # not so for NaN
        return float(asked)
    return 0.0
