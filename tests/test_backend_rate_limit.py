from __future__ import annotations

import re
import tracemalloc
from contextlib import asynccontextmanager
from fractions import Fraction
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.backend.app import create_app
from heisenberg.backend.auth import Scope
from heisenberg.backend.config import SettingsError, load_settings
from heisenberg.backend.middleware import RateLimitMiddleware
from heisenberg.backend.rate_limit import (
    MIN_GAP,
    SlidingWindowRateLimiter,
    make_limiters,
)
from heisenberg.backend.services import organizations
from heisenberg.backend.services.keys import Keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import FastAPI

FIELD = re.compile(r'"minute";r=(\d+);t=(\d+), "burst";r=(\d+);t=(\d+)')
LIMIT_HEADERS = {
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit",
    "ratelimit-policy",
}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limiter_at(
    clock: Clock, quota: int = 60, burst: int = 10, **more: Any
) -> SlidingWindowRateLimiter:
    return SlidingWindowRateLimiter(quota, burst, clock=clock, wall_clock=clock, **more)


class TestRateLimiter:
    def test_rate_limiter_exists(self) -> None:
        """Made without arguments, it allows a first request and tells of 60 a minute and 10 a second."""
        allowed, headers = SlidingWindowRateLimiter().is_allowed("key")

        assert allowed
        assert ("60", "59") == (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"])
        assert '"minute";q=60;w=60, "burst";q=10;w=1' == headers["RateLimit-Policy"]

    def test_allows_requests_under_limit(self) -> None:
        """As many as the quota, spread so that no second has too many, are all allowed."""
        clock = Clock()
        limiter = limiter_at(clock)

        answers = []
        for _ in range(60):
            answers.append(limiter.is_allowed("key"))
            clock.now += 0.125

        assert all(allowed for allowed, _ in answers)
        assert [str(n) for n in range(59, -1, -1)] == [
            h["X-RateLimit-Remaining"] for _, h in answers
        ]

    def test_blocks_requests_over_limit(self) -> None:
        """One more than the quota within 60 s is refused, and told when to come again."""
        clock = Clock()
        limiter = limiter_at(clock)
        for _ in range(60):
            assert limiter.is_allowed("key")[0]
            clock.now += 0.125

        allowed, headers = limiter.is_allowed("key")

        assert not allowed
        assert "0" == headers["X-RateLimit-Remaining"]
        assert "53" == headers["Retry-After"]  # 60 s after the first, 7.5 s of which are over

    def test_resets_after_window(self) -> None:
        """A request is counted for exactly 60 s: not an instant longer, not an instant less."""
        clock = Clock()
        limiter = limiter_at(clock, quota=1, burst=1)
        assert limiter.is_allowed("key")[0]

        clock.now += 60 - 2**-20
        assert not limiter.is_allowed("key")[0]
        clock.now += 2**-20
        assert limiter.is_allowed("key")[0]

    def test_tracks_by_api_key(self) -> None:
        """What one key uses up, another still has."""
        limiter = limiter_at(Clock(), quota=1)
        assert limiter.is_allowed("key:a")[0]
        assert not limiter.is_allowed("key:a")[0]

        allowed, headers = limiter.is_allowed("key:b")

        assert allowed
        assert "0" == headers["X-RateLimit-Remaining"]


class TestExactness:
    def test_burst_refuses_while_the_minute_has_more(self) -> None:
        """The eleventh request of a second is refused, and the minute's quota is told as it is."""
        limiter = limiter_at(Clock())
        for _ in range(10):
            assert limiter.is_allowed("key")[0]

        allowed, headers = limiter.is_allowed("key")

        assert not allowed
        assert "50" == headers["X-RateLimit-Remaining"]
        assert "1" == headers["Retry-After"]
        assert '"minute";r=50;t=60, "burst";r=0;t=1' == headers["RateLimit"]

    def test_burst_leaves_after_exactly_one_second(self) -> None:
        """The window of a second slides as the one of a minute does."""
        clock = Clock()
        limiter = limiter_at(clock, burst=1)
        assert limiter.is_allowed("key")[0]

        clock.now += 1 - 2**-20
        assert not limiter.is_allowed("key")[0]
        clock.now += 2**-20
        assert limiter.is_allowed("key")[0]

    def test_refused_requests_are_not_counted(self) -> None:
        """Whoever goes on asking while refused is allowed at the same moment as who waits."""
        clock = Clock()
        limiter = limiter_at(clock, quota=2, burst=1)
        moments = []

        for _ in range(64 * 61):
            if limiter.allows("key"):
                moments.append(clock.now - 1_000_000)
            clock.now += 1 / 64

        assert [0.0, 1.0, 60.0] == moments

    def test_reset_is_when_the_quota_next_grows(self) -> None:
        """The reset is the Unix second, rounded up, at which the oldest counted request leaves."""
        clock = Clock(1_000_000.25)
        limiter = limiter_at(clock)
        limiter.is_allowed("key")
        clock.now += 20

        _, headers = limiter.is_allowed("key")

        assert "1000061" == headers["X-RateLimit-Reset"]
        assert '"minute";r=58;t=40, "burst";r=9;t=1' == headers["RateLimit"]

    def test_wall_clock_decides_nothing(self) -> None:
        """Setting the clock of the machine by an hour frees nobody and locks nobody out."""
        clock, wall = Clock(), Clock()
        limiter = SlidingWindowRateLimiter(1, 1, clock=clock, wall_clock=wall)
        assert limiter.allows("key")

        wall.now += 3600
        assert not limiter.allows("key")
        wall.now -= 7200
        clock.now += 60
        assert limiter.allows("key")

    async def test_peek_counts_nothing(self) -> None:
        """Looking tells what a hit would be told, leaves the quota alone and remembers no key."""
        limiter = limiter_at(Clock(), quota=1)

        before = [await limiter.peek("key") for _ in range(3)]
        assert 0 == len(limiter)
        hit = await limiter.hit("key")
        after = await limiter.peek("key")

        assert [(True, 1)] * 3 == [(d.allowed, d.remaining) for d in before]
        assert (True, 0) == (hit.allowed, hit.remaining)
        assert (False, 60.0) == (after.allowed, after.wait_s)
        assert {"minute"} == set(after.violated)

    def test_limits_below_one_are_no_limits(self) -> None:
        """A limiter that could allow nothing, or remember nobody, is not made."""
        cases: list[dict[str, Any]] = [{"requests_per_minute": 0}, {"burst": 0}, {"max_keys": 0}]
        for wrong in cases:
            with pytest.raises(ValueError, match="at least 1"):
                SlidingWindowRateLimiter(**wrong)

    @given(
        quota=st.integers(1, 12),
        burst=st.integers(1, 5),
        steps=st.lists(
            st.tuples(
                st.sampled_from("abc"),
                st.sampled_from([0.0, 0.5, 1.0, 59.0, 60.0]) | st.floats(0, 2) | st.floats(0, 100),
            ),
            max_size=80,
        ),
    )
    def test_agrees_with_the_list_of_all_times(
        self, quota: int, burst: int, steps: list[tuple[str, float]]
    ) -> None:
        """However time passes, it says what counting all allowed requests in fractions says."""
        clock = Clock()
        limiter = limiter_at(clock, quota, burst)
        times: dict[str, list[Fraction]] = {"a": [], "b": [], "c": []}

        for key, step in steps:
            clock.now += step
            now, mine = Fraction(clock.now), times[key]
            minute = [t for t in mine if now - t < 60]
            second = [t for t in mine if now - t < 1]
            allowed = len(minute) < quota and len(second) < burst
            waits = []
            if len(minute) >= quota:
                waits.append(minute[0] + 60 - now)
            if len(second) >= burst:
                waits.append(second[0] + 1 - now)
            if allowed:
                for counted in (mine, minute, second):
                    counted.append(now)

            told, headers = limiter.is_allowed(key)

            assert allowed == told
            assert quota - len(minute) == int(headers["X-RateLimit-Remaining"])
            reset = max([minute[0] + 60, *(now + wait for wait in waits)])
            assert -(-reset // 1) == int(headers["X-RateLimit-Reset"])
            assert ("Retry-After" in headers) == (not allowed)
            if waits and not allowed:
                assert -(-max(waits) // 1) == int(headers["Retry-After"])
            left = [int(n) for n in FIELD.fullmatch(headers["RateLimit"]).groups()]  # type: ignore[union-attr]
            growth = second[0] + 1 - now if second else Fraction()
            assert [quota - len(minute), burst - len(second)] == left[::2]
            assert [-(-(minute[0] + 60 - now) // 1), -(-growth // 1)] == left[1::2]

    @given(
        quota=st.integers(1, 5),
        burst=st.integers(1, 3),
        steps=st.lists(st.integers(0, 4096), min_size=1, max_size=40),
        until_reset=st.booleans(),
    )
    def test_after_the_wait_it_is_allowed(
        self, quota: int, burst: int, steps: list[int], *, until_reset: bool
    ) -> None:
        """Whoever waits as long as a refusal says is allowed then, and a second earlier is not."""
        clock = Clock()
        limiter = limiter_at(clock, quota, burst)
        for step in steps:
            clock.now += step / 1024
            allowed, headers = limiter.is_allowed("key")
            if allowed:
                continue
            if until_reset:
                clock.now = float(headers["X-RateLimit-Reset"])
            else:
                clock.now += int(headers["Retry-After"]) - 1
                assert not limiter.is_allowed("key")[0]
                clock.now += 1

            assert limiter.is_allowed("key")[0]


class TestMemory:
    def test_quiet_keys_are_forgotten(self) -> None:
        """Keys that were quiet for 60 s go as others come, without anybody cleaning up."""
        clock = Clock()
        limiter = limiter_at(clock)
        for n in range(10_000):
            limiter.allows(f"old {n}")
        clock.now += 60

        for n in range(5_001):
            limiter.allows(f"new {n}")

        assert 5_001 == len(limiter)

    def test_keys_in_use_are_kept(self) -> None:
        """A key that asks within the minute is remembered, however long ago it first came."""
        clock = Clock()
        limiter = limiter_at(clock, quota=3)
        for _ in range(100):
            limiter.allows("busy")
            limiter.allows(f"once at {clock.now}")
            clock.now += 20

        decision = limiter.decide("busy")

        assert 0 == decision.remaining  # this one and those of 20 s and 40 s ago
        assert 5 > len(limiter)

    def test_the_longest_quiet_goes_first(self) -> None:
        """One key too many costs the key that has been quiet longest, not the one that came first."""
        clock = Clock()
        limiter = limiter_at(clock, quota=2, max_keys=2)
        for key in ("first", "second", "first", "third"):
            clock.now += 1
            limiter.allows(key)

        assert 2 == len(limiter)
        assert not limiter.allows("first")
        assert 0 == limiter.decide("third").remaining
        assert 1 == limiter.decide("second").remaining

    def test_memory_is_bounded_whatever_keys_come(self) -> None:
        """Ever new keys take no more memory than as many as are remembered."""
        clock = Clock()
        limiter = limiter_at(clock, max_keys=1000)
        tracemalloc.start()
        try:
            for n in range(2_000):
                limiter.allows(f"address:2001:db8:{n:x}::/64")
            _, early = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            for n in range(2_000, 20_000):
                limiter.allows(f"address:2001:db8:{n:x}::/64")
            _, late = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert 1000 == len(limiter)
        assert late < early * 1.2

    def test_times_that_left_are_cut_off(self) -> None:
        """A key that asks for days takes no more room than its quota and as much again."""
        clock = Clock()
        limiter = limiter_at(clock, quota=100, burst=10)
        longest = 0

        for _ in range(10_000):
            limiter.allows("key")
            longest = max(longest, len(limiter._windows["key"].times))
            clock.now += 0.5

        assert longest <= 2 * 100 + MIN_GAP


@asynccontextmanager
async def served(
    url: str, limiter: SlidingWindowRateLimiter | None = None, **settings: Any
) -> AsyncIterator[tuple[FastAPI, Callable[[str], httpx2.AsyncClient]]]:
    """The started application, and how to ask it from an address."""
    app = create_app(load_settings(_env_file=None, database_url=url, **settings))
    if limiter is not None:
        app.state.shared.limiter = limiter

    def client(address: str = "192.0.2.1") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
        return httpx2.AsyncClient(transport=transport, base_url="http://heisenberg")

    async with app.router.lifespan_context(app):
        yield app, client


async def make_key(app: FastAPI, name: str) -> str:
    """A valid key of an organization of its own."""
    state = app.state.shared
    organization = await organizations.create(state.database, name)
    made = await Keys(state.database, state.key_hasher).create(organization.id, name, [Scope.READ])
    return made.key


def remaining(answer: httpx2.Response) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


class TestRateLimitMiddleware:
    async def test_middleware_exists(self, sqlite_url: str) -> None:
        """The application has it in front of its routes: two requests, and the quota is smaller by two."""
        async with served(sqlite_url) as (_, client), client("192.0.2.1") as asking:
            left = [remaining(await asking.get("/health")) for _ in range(2)]

        assert [59, 58] == left

    async def test_adds_rate_limit_headers(self, sqlite_url: str) -> None:
        """Every answer of a limited path has the fields once, whatever its status."""
        clock = Clock(1000.0)
        async with served(sqlite_url, limiter_at(clock, 60, 60)) as (app, client):
            app.add_api_route("/boom", _boom, methods=["GET"])
            async with client("192.0.2.1") as asking:
                answers = [
                    await asking.get("/health"),
                    await asking.get("/nowhere"),
                    await asking.post("/health"),
                    await asking.get("/boom"),
                ]

        assert [200, 404, 405, 500] == [a.status_code for a in answers]
        for used, answer in enumerate(answers, 1):
            names = [name.lower() for name, _ in answer.headers.multi_items()]
            assert all(1 == names.count(name) for name in LIMIT_HEADERS)
            assert "60" == answer.headers["X-RateLimit-Limit"]
            assert 60 - used == remaining(answer)
            assert "1060" == answer.headers["X-RateLimit-Reset"]
            assert '"minute";q=60;w=60, "burst";q=60;w=1' == answer.headers["RateLimit-Policy"]
            assert (
                f'"minute";r={60 - used};t=60, "burst";r={60 - used};t=1'
                == answer.headers["RateLimit"]
            )

    async def test_returns_429_when_exceeded(self, sqlite_url: str) -> None:
        """One request too many is answered by problem details that name the quota, not by the route."""
        clock = Clock(1000.0)
        async with (
            served(sqlite_url, limiter_at(clock, quota=2)) as (_, client),
            client("192.0.2.1") as asking,
        ):
            answers = [await asking.get("/health") for _ in range(3)]

        assert [200, 200, 429] == [a.status_code for a in answers]
        refused = answers[-1]
        assert "application/problem+json" == refused.headers["Content-Type"]
        assert 429 == refused.json()["status"]
        assert ["minute"] == refused.json()["violated-policies"]
        assert "at most 2 in 60 s are allowed; try again in 60 s" in refused.json()["detail"]
        assert LIMIT_HEADERS <= set(refused.headers)

    async def test_includes_retry_after_header(self, sqlite_url: str) -> None:
        """A refusal says in whole seconds when to come again, and whoever does is served."""
        clock = Clock(1000.0)
        async with (
            served(sqlite_url, limiter_at(clock, quota=3, burst=1)) as (_, client),
            client("192.0.2.1") as asking,
        ):
            first = await asking.get("/health")
            refused = await asking.get("/health")
            clock.now += int(refused.headers["Retry-After"])
            again = await asking.get("/health")

        assert "Retry-After" not in first.headers
        assert (429, "1") == (refused.status_code, refused.headers["Retry-After"])
        assert ["burst"] == refused.json()["violated-policies"]
        assert int(refused.headers["X-RateLimit-Reset"]) >= 1001
        assert 200 == again.status_code

    async def test_orchestrators_are_not_limited(self, sqlite_url: str) -> None:
        """Exactly the probes and the metrics are always answered, count nothing and tell nothing."""
        async with (
            served(sqlite_url, limiter_at(Clock(), quota=1)) as (_, client),
            client("192.0.2.1") as asking,
        ):
            for path in ("/livez", "/readyz", "/metrics", "/live%7A"):
                answers = [await asking.get(path) for _ in range(5)]
                assert {200} == {a.status_code for a in answers}, path
                assert not LIMIT_HEADERS & set(answers[0].headers), path
            assert 200 == (await asking.get("/health")).status_code
            others = [
                (await asking.get(path)).status_code
                for path in ("/livez/", "/Livez", "//livez", "/livez/../health", "/health?/livez")
            ]

        assert [429] * 5 == others

    async def test_unlimited_paths_are_found_behind_a_prefix(self, sqlite_url: str) -> None:
        """Mounted under a prefix by a proxy, the same paths are free, and no others."""
        async with served(sqlite_url, limiter_at(Clock(), quota=1)) as (app, _):
            transport = httpx2.ASGITransport(app, root_path="/api")
            async with httpx2.AsyncClient(transport=transport, base_url="http://h/api") as asking:
                free = [(await asking.get("/livez")).status_code for _ in range(3)]
                counted = [(await asking.get("/health")).status_code for _ in range(2)]

        assert ([200] * 3, [200, 429]) == (free, counted)

    async def test_a_made_up_key_gains_nothing(self, sqlite_url: str) -> None:
        """Whatever is sent instead of a valid key, and wherever, the address is what counts."""
        evasions: list[dict[str, Any]] = [
            {"headers": {"X-API-Key": f"hb_{n:012x}_{'s' * 43}"}} for n in range(3)
        ]
        evasions += [
            {"headers": {"Authorization": "Bearer hb_made_up"}},
            {"headers": {"authorization": "BEARER x"}},
            {"headers": {"Authorization": "Basic dTpw"}},
            {"headers": {"X-Forwarded-For": "198.51.100.9"}},
            {"headers": {"Forwarded": "for=198.51.100.9", "X-Real-IP": "198.51.100.9"}},
            {"headers": {"User-Agent": "another"}},
            {"params": {"key": "value"}},
            {"method": "HEAD"},
            {"method": "OPTIONS"},
        ]
        limiter = limiter_at(Clock(), quota=len(evasions), burst=100)
        async with (
            served(sqlite_url, limiter, rate_limit_failed_auth_per_minute=100) as (_, client),
            client("192.0.2.1") as asking,
        ):
            left = [
                remaining(await asking.request(**{"method": "GET", "url": "/health", **evasion}))
                for evasion in evasions
            ]
            refused = [
                (await asking.request(**{"method": "GET", "url": "/health", **evasion})).status_code
                for evasion in evasions
            ]

        assert list(range(len(evasions) - 1, -1, -1)) == left
        assert {429} == set(refused)
        assert 1 == len(limiter)

    async def test_a_valid_key_is_limited_as_itself(self, sqlite_url: str) -> None:
        """A key has its own quota, the same from every address and in every spelling of the header."""
        limiter = limiter_at(Clock(), quota=3, burst=100)
        async with served(sqlite_url, limiter) as (app, client):
            one, other = await make_key(app, "one"), await make_key(app, "other")
            async with client("192.0.2.1") as here, client("198.51.100.1") as there:
                mine = [
                    await here.get("/health", headers={"X-API-Key": one}),
                    await there.get("/health", headers={"Authorization": f"Bearer {one}"}),
                    await here.get("/health", headers={"x-api-key": one}),
                    await there.get("/health", headers={"X-API-Key": one}),
                ]
                others = await here.get("/health", headers={"X-API-Key": other})
                nobodys = await here.get("/health")

        assert [200, 200, 200, 429] == [a.status_code for a in mine]
        assert (2, 2) == (remaining(others), remaining(nobodys))

    async def test_proxies_speak_for_clients_only_when_trusted(self, sqlite_url: str) -> None:
        """Behind a configured proxy clients have a quota each, whatever they claim further left."""
        limiter = limiter_at(Clock(), quota=2, burst=100)
        proxies = (ip_network("10.0.0.0/8"),)
        async with (
            served(sqlite_url, limiter, trusted_proxies=proxies) as (_, client),
            client("10.0.0.1") as proxy,
        ):

            async def ask(forwarded: str) -> int:
                answer = await proxy.get("/health", headers={"X-Forwarded-For": forwarded})
                return answer.status_code

            one = [
                await ask(f"{spoofed}, 203.0.113.7") for spoofed in ("1.1.1.1", "2.2.2.2", "::1")
            ]
            other = await ask("203.0.113.7, 203.0.113.8")

        assert [200, 200, 429] == one
        assert 200 == other

    async def test_decisions_are_counted(self, sqlite_url: str) -> None:
        """Metrics tell how many requests were allowed and how many refused."""
        async with (
            served(sqlite_url, limiter_at(Clock(), quota=2)) as (_, client),
            client("192.0.2.1") as asking,
        ):
            for _ in range(5):
                await asking.get("/health")
            page = (await asking.get("/metrics")).text

        counted = re.findall(r'rate_limit\w*_total\{decision="(\w+)"\} (\S+)', page)
        assert {"allowed": 2.0, "refused": 3.0} == {d: float(n) for d, n in counted if float(n)}

    async def test_other_protocols_pass(self) -> None:
        """What is no HTTP request, such as the application's start, is none of its business."""
        seen = []

        async def inner(scope: Any, _: Any, __: Any) -> None:
            seen.append(scope["type"])

        middleware = RateLimitMiddleware(inner, None)  # type: ignore[arg-type]
        for kind in ("lifespan", "websocket"):
            await middleware({"type": kind}, None, None)  # type: ignore[arg-type]

        assert ["lifespan", "websocket"] == seen


def _boom() -> None:
    raise RuntimeError("the route is broken")


class TestRateLimitConfig:
    def test_settings_has_rate_limit_config(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variables reach both limiters: the quota, the burst, and the quota of failures."""
        monkeypatch.setenv("HEISENBERG_RATE_LIMIT_PER_MINUTE", "7")
        monkeypatch.setenv("HEISENBERG_RATE_LIMIT_BURST", "3")
        monkeypatch.setenv("HEISENBERG_RATE_LIMIT_FAILED_AUTH_PER_MINUTE", "5")

        requests, failures = make_limiters(load_settings(_env_file=None))

        assert isinstance(requests, SlidingWindowRateLimiter)
        assert isinstance(failures, SlidingWindowRateLimiter)
        assert (7, 3) == (requests.policy.quota, requests.policy.burst)
        assert [True] * 3 + [False] == [requests.allows("key") for _ in range(4)]
        assert [True] * 5 + [False] == [failures.allows("address") for _ in range(6)]

    def test_rate_limit_per_minute_default(self) -> None:
        """With nothing set, sixty requests a minute are allowed and told of."""
        settings = load_settings(_env_file=None)
        requests, _ = make_limiters(settings)
        assert isinstance(requests, SlidingWindowRateLimiter)

        _, headers = requests.is_allowed("key")

        assert 60 == settings.rate_limit_per_minute
        assert "60" == headers["X-RateLimit-Limit"]

    def test_rate_limit_burst_default(self) -> None:
        """With nothing set, the eleventh request of a second is refused."""
        settings = load_settings(_env_file=None)
        requests, _ = make_limiters(settings)
        assert isinstance(requests, SlidingWindowRateLimiter)

        answers = [requests.allows("key") for _ in range(11)]

        assert 10 == settings.rate_limit_burst
        assert [True] * 10 + [False] == answers

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("HEISENBERG_RATE_LIMIT_PER_MINUTE", "0"),
            ("HEISENBERG_RATE_LIMIT_BURST", "many"),
            ("HEISENBERG_RATE_LIMIT_STORAGE", "memcached://planted-secret@127.0.0.1"),
            ("HEISENBERG_RATE_LIMIT_STORAGE", "redis://:planted-secret/x@127.0.0.1:port"),
        ],
    )
    def test_a_wrong_setting_is_named(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        """What cannot be a limit or a store stops the start by its variable's name, not by its value."""
        monkeypatch.setenv(variable, value)

        with pytest.raises(SettingsError, match=variable) as raised:
            load_settings(_env_file=None)

        assert "planted-secret" not in str(raised.value)
