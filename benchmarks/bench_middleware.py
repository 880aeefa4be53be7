"""Requests per second of a trivial route: bare, in our middleware stack, and in the usual parts.

`uv run --group bench python benchmarks/bench_middleware.py [SECONDS] [ROUNDS]` prints a Markdown
table. Each application runs in uvicorn (one worker, uvloop, httptools, loopback) in a process of its
own, and writes its log to /dev/null. The load is `wrk`'s when it is installed, else that of a small
client here, again in a process of its own; the three are asked in turn, and the medians are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from heisenberg.backend import migrate
from heisenberg.backend.app import create_app
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.services import organizations
from heisenberg.backend.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

CONNECTIONS = 32
WARM_UP_S = 1.0
HIGH = 1_000_000
PATH = "/bench"
NAMES = ("bare", "ours", "usual")


async def trivial() -> dict[str, bool]:
    """The route."""
    return {"ok": True}


def bare(_: Path) -> FastAPI:
    """FastAPI and the route."""
    app = FastAPI()
    app.get(PATH)(trivial)
    return app


def settings(folder: Path) -> Settings:
    """Ours: limits that nobody reaches, so that the limiter works and refuses nothing."""
    return load_settings(
        _env_file=None,
        database_url=None,
        data_dir=folder,
        rate_limit_per_minute=HIGH,
        rate_limit_burst=HIGH,
    )


def ours(folder: Path) -> FastAPI:
    """The whole service, with the route added."""
    app = create_app(settings(folder))
    app.get(PATH)(trivial)
    # The router tries one route after the other; the others have the trivial one alone.
    app.router.routes.insert(0, app.router.routes.pop())
    return app


def usual(_: Path) -> FastAPI:
    """Request ids, limits and an access line by the parts that people put together."""
    correlation: Any = importlib.import_module("asgi_correlation_id")  # only the bench group has it
    slowapi: Any = importlib.import_module("slowapi")
    slowapi_middleware: Any = importlib.import_module("slowapi.middleware")
    base: Any = importlib.import_module("starlette.middleware.base")
    handler = logging.FileHandler("/dev/null")
    handler.addFilter(correlation.CorrelationIdFilter())
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(correlation_id)s] %(message)s")
    )
    log = logging.getLogger("access")
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    async def access_log(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        start = time.perf_counter()
        response = await call_next(request)
        log.info(
            "%s %s %d %.2f ms",
            request.method,
            request.url.path,
            response.status_code,
            (time.perf_counter() - start) * 1000,
        )
        return response

    app = FastAPI()
    app.state.limiter = slowapi.Limiter(
        key_func=importlib.import_module("slowapi.util").get_remote_address,
        default_limits=[f"{HIGH}/minute"],
        headers_enabled=True,
    )
    app.get(PATH)(trivial)
    app.add_middleware(slowapi_middleware.SlowAPIASGIMiddleware)
    app.add_middleware(base.BaseHTTPMiddleware, dispatch=access_log)
    app.add_middleware(correlation.CorrelationIdMiddleware)
    return app


def serve(name: str, port: int, folder: Path) -> None:
    """Run one of them until killed."""
    app = {"bare": bare, "ours": ours, "usual": usual}[name](folder)
    uvicorn.run(app, port=port, log_config=None, log_level="warning", access_log=False)


async def make_key(folder: Path) -> str:
    """A database for ours, and a key in it."""
    given = settings(folder)
    await migrate.upgrade(given)
    state = State(given)
    founded = await organizations.found(state.database, state.key_hasher, "bench")
    await state.stop()
    return founded.key.key


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[int]:
    """One of them in a process of its own; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", name, str(port), str(folder)],
        stderr=subprocess.DEVNULL,  # where our log goes
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def measure(port: int, seconds: float, headers: dict[str, str]) -> float:
    """Requests per second over keep-alive connections."""
    url = f"http://127.0.0.1:{port}{PATH}"
    if wrk := shutil.which("wrk"):
        given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *given, url]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in told:
            raise RuntimeError(told)
        found = re.search(r"Requests/sec:\s+([\d.]+)", told)
        assert found is not None  # noqa: S101 (wrk always tells it)
        return float(found[1])
    command = [sys.executable, __file__, "--load", str(port), str(seconds)]
    command += [f"{name}: {value}" for name, value in headers.items()]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def load(port: int, seconds: float, headers: list[str]) -> float:
    """The client for where there is no wrk: each connection asks again when it is answered."""
    lines = [f"GET {PATH} HTTP/1.1", "Host: bench", *headers, "", ""]
    request = "\r\n".join(lines).encode()
    deadline = time.monotonic() + seconds

    async def ask() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.monotonic() < deadline:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head)
            size = re.search(rb"(?i)content-length: (\d+)", head)
            assert size is not None  # noqa: S101 (a JSON answer has it)
            await reader.readexactly(int(size[1]))
            answered += 1
        writer.close()
        return answered

    return sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))) / seconds


def main(seconds: float = 4.0, rounds: int = 7) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as servers:
        folder = Path(temporary)
        key = asyncio.run(make_key(folder))
        ports = {name: servers.enter_context(running(name, folder)) for name in NAMES}
        kinds: dict[str, dict[str, str]] = {"without a key": {}, "with a key": {"X-API-Key": key}}
        measured: dict[tuple[str, str], list[float]] = {}
        for kind, headers in kinds.items():
            for name in NAMES:
                measure(ports[name], WARM_UP_S, headers)
            for number in range(rounds):
                for name in NAMES if number % 2 else reversed(NAMES):
                    rate = measure(ports[name], seconds, headers)
                    measured.setdefault((kind, name), []).append(rate)
    client = "wrk" if shutil.which("wrk") else "its own client"
    print(f"{client}, {CONNECTIONS} connections, median of {rounds} rounds of {seconds:g} s\n")
    print("| | bare, requests/s | ours | usual parts | ours / bare | ours / usual |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in kinds:
        b, o, u = (statistics.median(measured[kind, name]) for name in NAMES)
        ratios = [
            statistics.median(
                x / y for x, y in zip(measured[kind, "ours"], measured[kind, other], strict=True)
            )
            for other in ("bare", "usual")
        ]
        print(f"| {kind} | {b:,.0f} | {o:,.0f} | {u:,.0f} | {ratios[0]:.0%} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", name, port, folder]:
            serve(name, int(port), Path(folder))
        case ["--load", port, seconds, *headers]:
            print(asyncio.run(load(int(port), float(seconds), headers)))
        case [*given]:
            main(*(float(g) if i == 0 else int(g) for i, g in enumerate(given)))  # type: ignore[arg-type]
