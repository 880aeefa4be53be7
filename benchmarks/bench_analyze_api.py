"""Requests per second of `POST /api/v1/analyze`, and what the pipeline alone takes.

`uv run python benchmarks/bench_analyze_api.py [SECONDS]` prints Markdown tables. `heisenberg serve`
runs as it does for users, on SQLite and on PostgreSQL, with rate limits out of the way; clients are
in this process, each with a connection that stays open, and ask one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from heisenberg.backend.services.work import Analysed, Job, carry_out

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import Postgres, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = (1, 8)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTES = ("/api/products", "/api/cart", "/api/orders", "/healthz")
KEY = re.compile(rb"hb_[\w-]+")


def request(tests: int, entries: int) -> dict[str, Any]:
    """Failed tests and two containers' logs around them; one line in a hundred is an error."""
    seeded = random.Random(1)
    logs: dict[str, list[dict[str, Any]]] = {"api": [], "payments": []}
    step_ms = 60_000 / entries
    for n in range(entries):
        moment = START + timedelta(milliseconds=n * step_ms)
        message = f"INFO GET {seeded.choice(ROUTES)} 200 {seeded.randrange(1, 40)}ms req={n:08x}"
        if n % 100 == 50:
            message = (
                f"ERROR POST /charge 500 connection to server at db failed: refused req={n:08x}"
            )
        entry = {"timestamp": moment.isoformat(), "message": message, "stream": "stdout"}
        logs["payments" if n % 2 else "api"].append(entry)
    return {
        "repository": "shop/checkout",
        "total_tests": tests + 39,
        "failed_tests": [
            {
                "title": f"pays by card {n}",
                "file": "checkout.spec.ts",
                "start_time": (START + timedelta(seconds=20)).isoformat(),
                "duration_ms": 5000,
                "errors": [{"message": "Error: expect(received).toBe(expected)\n\nReceived: 500"}],
            }
            for n in range(tests)
        ],
        "container_logs": [
            {"container_name": name, "entries": told} for name, told in logs.items()
        ],
    }


@contextlib.contextmanager
def serving(url: str, folder: Path) -> Iterator[tuple[str, str, int]]:
    """A running service: its address, a key, and its process id."""
    port = free_port()
    service = subprocess.Popen(
        [sys.executable, "-m", "heisenberg", "serve", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=(folder / "log").open("wb"), cwd=folder,
        env={
            **os.environ,
            "DATABASE_URL": url,
            "HEISENBERG_DATA_DIR": str(folder),
            "HEISENBERG_RATE_LIMIT_PER_MINUTE": "1000000",
            "HEISENBERG_RATE_LIMIT_BURST": "1000000",
        },
    )  # fmt: skip
    try:
        found = None
        while found is None:
            line = service.stdout.readline() if service.stdout else b""
            if not line:
                raise RuntimeError((folder / "log").read_text())
            found = KEY.search(line)
        address = f"http://127.0.0.1:{port}"
        for _ in range(500):
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{address}/livez").is_success:
                    break
            time.sleep(0.02)
        yield address, found[0].decode(), service.pid
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)


async def load(address: str, key: str, body: bytes, clients: int, seconds: float) -> list[float]:
    """Seconds that each request took."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    took: list[float] = []

    async def ask(until: float) -> None:
        async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=120) as client:
            while time.perf_counter() < until:
                began = time.perf_counter()
                response = await client.post("/api/v1/analyze", content=body)
                response.raise_for_status()
                took.append(time.perf_counter() - began)

    await asyncio.gather(*(ask(time.perf_counter() + 1) for _ in range(clients)))  # warm
    took.clear()
    await asyncio.gather(*(ask(time.perf_counter() + seconds) for _ in range(clients)))
    return took


def bare(body: bytes, times: int) -> float:
    """Milliseconds of the work itself, in this process: the median."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(times):
            began = time.perf_counter()
            outcome = carry_out(Job("", body), Path(folder))
            took.append((time.perf_counter() - began) * 1000)
            if not isinstance(outcome, Analysed):
                raise TypeError(outcome)
    return statistics.median(took)


def peak_mb(pid: int) -> list[int]:
    """Peak resident memory of the service and of each of its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for one in (pid, *map(int, children)):
        status = Path(f"/proc/{one}/status").read_text()
        found.append(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) // 1024)
    return found


async def slowest_probe(address: str, key: str, body: bytes) -> tuple[float, float]:
    """Seconds of one large request, and of the slowest probe that was answered meanwhile."""
    async with httpx2.AsyncClient(base_url=address, timeout=120) as client:
        headers = {"X-API-Key": key}
        began = time.perf_counter()
        large = asyncio.ensure_future(client.post("/api/v1/analyze", content=body, headers=headers))
        slowest = 0.0
        while not large.done():
            probed = time.perf_counter()
            await client.get("/livez")
            slowest = max(slowest, time.perf_counter() - probed)
        (await large).raise_for_status()
        return time.perf_counter() - began, slowest


def main() -> None:
    """Print the tables."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    small = json.dumps(request(1, 1000)).encode()
    large = json.dumps(request(1000, 100_000)).encode()
    print(f"1 failed test, 1,000 log entries: {len(small) // 1024} KiB; the work itself "
          f"{bare(small, 30):.1f} ms (median of 30)\n")  # fmt: skip
    print("| Database | Clients | requests/s | p50 ms | p99 ms |\n|---|---:|---:|---:|---:|")
    rows = []
    with contextlib.ExitStack() as stack:
        postgres = Postgres()
        stack.callback(postgres.close)
        postgres.start()
        for name in ("SQLite", "PostgreSQL"):
            with tempfile.TemporaryDirectory() as folder:
                url = postgres.url() if name == "PostgreSQL" else f"sqlite:///{folder}/h.db"
                with serving(url, Path(folder)) as (address, key, pid):
                    for clients in CLIENTS:
                        took = sorted(asyncio.run(load(address, key, small, clients, seconds)))
                        print(
                            f"| {name} | {clients} | {len(took) / seconds:.0f} | "
                            f"{took[len(took) // 2] * 1000:.1f} | {took[len(took) * 99 // 100] * 1000:.1f} |",
                            flush=True,
                        )
                    memory = peak_mb(pid)
                    took_s, slowest_s = asyncio.run(slowest_probe(address, key, large))
                    rows.append((name, took_s, slowest_s, memory, peak_mb(pid)))
    print(f"\n1,000 failed tests, 100,000 log entries: {len(large) >> 20} MiB; the work itself "
          f"{bare(large, 1):.0f} ms\n")  # fmt: skip
    print("| Database | request s | slowest `/livez` meanwhile ms | peak MB before | peak MB after |\n"
          "|---|---:|---:|---:|---:|")  # fmt: skip
    for name, took_s, slowest_s, before, after in rows:
        print(f"| {name} | {took_s:.1f} | {slowest_s * 1000:.0f} | {before} | {after} |")
    print(f"\nPeak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")


if __name__ == "__main__":
    main()
