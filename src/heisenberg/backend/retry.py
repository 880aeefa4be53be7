"""Try again what failed for a reason of the moment, after waits that grow; tenacity does the work."""

from __future__ import annotations

import inspect
import time
from dataclasses import replace
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from heisenberg.backend.logging import get_logger
from heisenberg.backoff import RETRYABLE, Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from heisenberg.backend.config import Settings
    from heisenberg.backoff import Wait

P = ParamSpec("P")
T = TypeVar("T")

log = get_logger(__name__)


def retry_with_backoff(  # noqa: PLR0913 (each has its default, and tests give the last three)
    max_retries: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: tuple[type[Exception], ...] = RETRYABLE,
    jitter: bool = True,
    *,
    deadline_s: float | None = 120.0,
    on_retry: Callable[[], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[], float] | None = None,
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
        sleep: How to wait; `asyncio.sleep` when not given.
        clock: Seconds that only grow.
        uniform: A number in [0, 1); `random.random` when not given.

    Returns:
        A decorator. What the function raises last is raised as it was.

    Raises:
        ValueError: A number is negative.
        TypeError: The function is not asynchronous.

    Source:
        Jitter: Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
    """
    policy = Backoff(
        max_retries,
        base_delay,
        max_delay,
        retryable_exceptions,
        jitter,
        deadline_s,
        sleep=sleep,
        clock=clock,
        uniform=uniform,
    )

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is not an async function")
        name = getattr(function, "__qualname__", repr(function))

        def tell(wait: Wait) -> None:
            log.warning(
                "retry_attempt",
                attempt=wait.attempt,
                delay=round(wait.delay_s, 3),
                error=type(wait.error).__name__,
                function=name,
            )
            if on_retry is not None:
                on_retry()

        telling = replace(policy, on_wait=tell)

        @wraps(function)
        async def retrying(*args: P.args, **kwargs: P.kwargs) -> T:
            return await telling.run(name, partial(function, *args, **kwargs))

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
