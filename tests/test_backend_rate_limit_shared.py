from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import redis
from structlog.testing import capture_logs

from heisenberg.backend.app import create_app
from heisenberg.backend.config import STORE_TLS_OPTIONS, load_settings
from heisenberg.backend.rate_limit import SlidingWindowRateLimiter, make_limiters
from heisenberg.backend.shared_rate_limit import (
    MAX_CONNECTIONS,
    PREFIX,
    RETRY_S,
    TIMEOUT_S,
    SharedRateLimiter,
    Store,
)
from servers import Valkey, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BUSY_S = 0.5
"""What a busy machine may add to a bound."""
RACER = """
import asyncio, sys, time
from heisenberg.backend.shared_rate_limit import SharedRateLimiter, Store

async def race(url, quota, burst, seconds):
    limiter = SharedRateLimiter(Store(url, timeout_s=10), "requests", quota, burst)
    allowed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        allowed += sum(d.allowed for d in await asyncio.gather(*(limiter.hit("key") for _ in range(20))))
    assert limiter.store_available
    await limiter.close()
    print(allowed)

asyncio.run(race(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
"""


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Inside:
    """What the store holds, seen past the limiter."""

    def __init__(self, valkey: Valkey) -> None:
        self.client: Any = redis.Redis(port=valkey.port, decode_responses=True)

    def times(self, key: str) -> list[int]:
        return [int(t) for t in self.client.lrange(key, 0, -1)]

    def age(self, key: str, seconds: float) -> None:
        """Make all that was counted older, as if time had passed."""
        times = [t - round(seconds * 1e6) for t in self.times(key)]
        self.client.delete(key)
        self.client.rpush(key, *times)


@pytest.fixture
def inside(valkey: Valkey) -> Iterator[Inside]:
    found = Inside(valkey)
    yield found
    found.client.close()


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[Store]:
    store = Store(valkey.url, timeout_s=10)  # a busy machine is no outage
    yield store
    await store.close()


KEY = f"{PREFIX}:requests:key"


class TestShared:
    async def test_says_what_the_one_in_memory_says(self, store: Store) -> None:
        """Request by request the decisions and the fields are those of a limiter in memory."""
        wall = Clock()
        shared = SharedRateLimiter(store, "requests", 6, 4, wall_clock=wall)
        memory = SlidingWindowRateLimiter(6, 4, clock=wall, wall_clock=wall)

        for _ in range(6):
            assert (await memory.peek("key")).headers == (await shared.peek("key")).headers
            assert (await memory.hit("key")).headers == (await shared.hit("key")).headers

    async def test_minute_slides_by_the_clock_of_the_store(
        self, store: Store, inside: Inside
    ) -> None:
        """What was counted leaves after 60 s, and until then the refusal says how long that takes."""
        limiter = SharedRateLimiter(store, "requests", 3, 3)
        for _ in range(3):
            assert (await limiter.hit("key")).allowed
        inside.age(KEY, 50)

        refused = await limiter.hit("key")
        assert (False, ["minute"], "10") == (
            refused.allowed,
            refused.violated,
            refused.headers["Retry-After"],
        )
        assert 9 < refused.wait_s <= 10
        inside.age(KEY, 10)
        again = await limiter.hit("key")
        assert (True, 2) == (again.allowed, again.remaining)
        assert 1 == len(inside.times(KEY))

    async def test_burst_slides_within_the_minute(self, store: Store, inside: Inside) -> None:
        """The last second is limited by itself, and its requests stay counted in the minute."""
        limiter = SharedRateLimiter(store, "requests", 60, 2)
        first = [(await limiter.hit("key")).allowed for _ in range(3)]
        inside.age(KEY, 1)

        second = await limiter.hit("key")

        assert [True, True, False] == first
        assert (True, 57, 1) == (second.allowed, second.remaining, second.burst_remaining)

    async def test_refused_requests_cost_nothing(self, store: Store, inside: Inside) -> None:
        """Neither window counts a request that the other one refuses."""
        limiter = SharedRateLimiter(store, "requests", 2, 5)
        decisions = [await limiter.hit("key") for _ in range(20)]

        assert [True] * 2 + [False] * 18 == [d.allowed for d in decisions]
        assert {3} == {d.burst_remaining for d in decisions[1:]}
        assert 2 == len(inside.times(KEY))

    async def test_lowered_quota_holds_at_once(self, store: Store, inside: Inside) -> None:
        """When a quota becomes smaller than what was used, the wait is until enough has left."""
        wide = SharedRateLimiter(store, "requests", 5, 5)
        for _ in range(5):
            await wide.hit("key")
            inside.age(KEY, 10)

        refused = await SharedRateLimiter(store, "requests", 2, 2).hit("key")

        assert (False, 0) == (refused.allowed, refused.remaining)
        assert 39 < refused.wait_s <= 40  # the fourth must leave, which is 20 s old

    async def test_spaces_do_not_mix(self, store: Store) -> None:
        """Failures of an address are not its requests."""
        requests = SharedRateLimiter(store, "requests", 1, 1)
        failures = SharedRateLimiter(store, "failed-auth", 1, 1)

        assert (await requests.hit("192.0.2.1")).allowed
        assert (await failures.hit("192.0.2.1")).allowed
        assert not (await failures.hit("192.0.2.1")).allowed

    async def test_store_forgets_the_quiet(self, store: Store, inside: Inside) -> None:
        """Keys carry the layout's version and go by themselves after 60 s."""
        limiter = SharedRateLimiter(store, "requests")
        await limiter.hit("address:192.0.2.1")
        await limiter.peek("address:192.0.2.2")

        (key,) = inside.client.keys("*")
        assert "heisenberg:limit:1:requests:address:192.0.2.1" == key
        assert 59_000 < inside.client.pttl(key) <= 60_000

    @pytest.mark.parametrize(("quota", "burst", "seconds"), [(500, 500, 4.0), (1000, 7, 2.5)])
    def test_exact_between_processes(
        self, valkey: Valkey, inside: Inside, quota: int, burst: int, seconds: float
    ) -> None:
        """Two processes that ask as fast as they can get no request more than one would."""
        command = [sys.executable, "-c", RACER, valkey.url, str(quota), str(burst), str(seconds)]
        racers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        allowed = [int(racer.communicate(timeout=60)[0]) for racer in racers]

        times = inside.times(KEY)
        assert sum(allowed) == len(times) <= quota
        assert times == sorted(times)
        assert all(b - a >= 1_000_000 for a, b in zip(times, times[burst:], strict=False))
        if burst == quota:
            assert quota == len(times)
        else:
            assert len(times) >= 2 * burst


class TestStoreAway:
    async def test_killed_store_fails_no_request(self, valkey: Valkey) -> None:
        """Without the store the process limits by itself; with it back, it shares again."""
        clock = Clock()
        store = Store(valkey.url, clock=clock)
        limiter = SharedRateLimiter(store, "requests", 3, 3)
        await limiter.hit("key")
        with capture_logs() as lines:
            valkey.stop()
            alone = [(await limiter.hit("key")).allowed for _ in range(4)]
            assert not limiter.store_available
            valkey.start()
            clock.now += RETRY_S
            back = [(await limiter.hit("key")).allowed for _ in range(4)]
        await store.close()

        assert [True, True, True, False] == alone == back
        assert limiter.store_available
        assert ["rate_limit.store_lost", "rate_limit.store_recovered"] == [
            x["event"] for x in lines
        ]

    async def test_hung_store_delays_no_request_twice(self, valkey: Valkey) -> None:
        """A store that does not answer costs those who wait for it the timeout, the next ones nothing."""
        store = Store(valkey.url)
        limiter = SharedRateLimiter(store, "requests", 1000, 1000)
        await asyncio.gather(*(limiter.hit("key") for _ in range(10)))
        valkey.pause()
        try:
            waited = []
            for _ in range(2):
                started = time.perf_counter()
                await asyncio.gather(*(limiter.hit("key") for _ in range(MAX_CONNECTIONS * 3)))
                waited.append(time.perf_counter() - started)
        finally:
            valkey.resume()
            await store.close()

        assert TIMEOUT_S * 0.9 <= waited[0] < TIMEOUT_S + BUSY_S
        assert waited[1] < TIMEOUT_S * 0.9

    async def test_one_request_tries_again(self, valkey: Valkey) -> None:
        """After the pause one request alone waits for the store; all others decide at once."""
        clock = Clock()
        store = Store(valkey.url, clock=clock)
        limiter = SharedRateLimiter(store, "requests", 1000, 1000)
        await limiter.hit("key")
        valkey.pause()
        try:
            await limiter.hit("key")
            clock.now += RETRY_S
            tasks = [asyncio.create_task(limiter.hit("key")) for _ in range(20)]
            done, waiting = await asyncio.wait(tasks, timeout=TIMEOUT_S / 2)
            await asyncio.gather(*waiting)
        finally:
            valkey.resume()
        clock.now += RETRY_S
        await limiter.hit("key")
        await store.close()

        assert (19, 1) == (len(done), len(waiting))
        assert limiter.store_available

    async def test_answers_are_not_mixed_up_after_a_timeout(self, valkey: Valkey) -> None:
        """An answer that came too late is never taken for the answer to a later question."""
        clock = Clock()
        store = Store(valkey.url, clock=clock)
        limiter = SharedRateLimiter(store, "requests", 1000, 1000)
        await limiter.hit("key:a")
        valkey.pause()
        await asyncio.gather(*(limiter.hit("key:a") for _ in range(10)))
        valkey.resume()
        clock.now += RETRY_S

        others = [await limiter.hit("key:b") for _ in range(10)]
        await store.close()

        assert list(range(999, 989, -1)) == [d.remaining for d in others]

    async def test_refusing_store_is_away(self, valkey: Valkey, inside: Inside) -> None:
        """A store that answers with errors is treated as one that does not answer."""
        inside.client.set(KEY, "no list")
        store = Store(valkey.url)
        limiter = SharedRateLimiter(store, "requests", 1, 1)

        decisions = [await limiter.hit("key"), await limiter.peek("key")]
        await store.close()

        assert [True, False] == [d.allowed for d in decisions]
        assert not limiter.store_available

    async def test_store_that_never_was(self) -> None:
        """Nothing there at the start is no reason not to start; no log line tells the password."""
        url = f"redis://user:planted-secret@127.0.0.1:{free_port()}/0"
        settings = load_settings(_env_file=None, rate_limit_storage=url)
        requests, failures = make_limiters(settings)
        with capture_logs() as lines:
            answers = [(await requests.hit("key")).allowed for _ in range(11)]
            failed = [(await failures.hit("address")).allowed for _ in range(11)]
        await requests.close()
        await failures.close()

        assert [True] * 10 + [False] == answers == failed
        assert (False, False) == (requests.store_available, failures.store_available)
        assert ["rate_limit.store_lost"] == [line["event"] for line in lines]
        assert "planted-secret" not in repr(lines)

    async def test_options_of_tls(self) -> None:
        """Every option that a URL may have is one that the client takes: it can be asked."""
        options = "&".join(f"{name}=none" for name in sorted(STORE_TLS_OPTIONS))
        url = f"valkeys://127.0.0.1:{free_port()}/0?{options}"
        settings = load_settings(_env_file=None, rate_limit_storage=url)
        requests, _ = make_limiters(settings)

        decision = await requests.hit("key")

        assert decision.allowed
        assert not requests.store_available

    async def test_outage_is_told_once(self, valkey: Valkey) -> None:
        """However many fail at once, and however often it is tried, an outage is one line."""
        clock = Clock()
        store = Store(valkey.url, clock=clock)
        limiter = SharedRateLimiter(store, "requests", 1000, 1000)
        await asyncio.gather(*(limiter.hit("key") for _ in range(50)))
        valkey.stop()
        with capture_logs() as lines:
            for _ in range(3):
                await asyncio.gather(*(limiter.hit("key") for _ in range(50)))
                clock.now += RETRY_S
        await store.close()

        assert ["rate_limit.store_lost"] == [line["event"] for line in lines]


class TestSharedMiddleware:
    async def test_two_applications_are_one_limit(self, valkey: Valkey, sqlite_url: str) -> None:
        """Processes that share a store share the quota, and outlive the store."""
        settings = load_settings(
            _env_file=None,
            database_url=sqlite_url,
            rate_limit_storage=valkey.url,
            rate_limit_per_minute=6,
        )
        apps = [create_app(settings) for _ in range(2)]
        clients = [
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://heisenberg")
            for app in apps
        ]
        async with (
            apps[0].router.lifespan_context(apps[0]),
            apps[1].router.lifespan_context(apps[1]),
            clients[0],
            clients[1],
        ):
            shared = [await clients[n % 2].get("/health") for n in range(8)]
            valkey.stop()
            alone = [await clients[0].get("/health") for _ in range(8)]
            page = (await clients[0].get("/metrics")).text

        assert [200] * 6 + [429] * 2 == [a.status_code for a in shared]
        left = [int(a.headers["X-RateLimit-Remaining"]) for a in shared[:6]]
        assert all(a == b + 1 for a, b in pairwise(left))
        assert [200] * 6 + [429] * 2 == [a.status_code for a in alone]
        assert 'decision="degraded"} 8.0' in page


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("valkey://valkey:6379/0", "valkey"),
        ("redis://valkey:6379/0", "valkey"),
        ("valkeys://:secret@cache.valkey.test:6379/0", "cache.valkey.test"),
    ],
)
def test_a_host_may_be_called_as_the_scheme_is(given: str, asked: str) -> None:
    """Only the scheme of the URL is rewritten for the client."""
    store = Store(given)

    assert asked == store._pool.connection_kwargs["host"]
