"""Measure what a log line costs: ours against a bare structlog chain with the same facts and sink.

    python benchmarks/bench_logging.py [--lines 20000] [--rounds 9]

The peer is structlog with `add_log_level`, `TimeStamper` and `JSONRenderer`, its logger bound and
cached; ours adds the logger's name, the request's id, the search for secrets and the guarantee
that no value fails. Rounds alternate; the figure is the median of the rounds. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from heisenberg.backend.logging import configure_logging, get_logger, request_id_ctx

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS: dict[str, Any] = {
    "method": "POST",
    "route": "/api/v1/analyses/{id}",
    "status": 200,
    "duration_ms": 12.345,
    "key_id": "0198f2ab-7d11-7c3e-9d58-0a1b2c3d4e5f",
    "client": "10.1.2.3",
}
NESTED: dict[str, Any] = {"analysis": {"incidents": 3, "tests": ["a", "b"]}, "duration_ms": 120}
REQUEST_ID = "0198f2ab7d117c3e9d580a1b2c3d4e5f"


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| Line | bare structlog | ours | ours / bare |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as sink:
        request_id_ctx.set(REQUEST_ID)
        configure_logging("INFO", stream=sink)
        ours = get_logger("heisenberg.bench")
        bare = structlog.wrap_logger(
            structlog.WriteLogger(sink),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        ).bind(logger="heisenberg.bench", request_id=REQUEST_ID)
        for name, event, facts in (
            ("access line, 6 facts", "request.finished", ACCESS),
            ("no facts", "service.started", {}),
            ("nested facts", "analysis.finished", NESTED),
            (
                "with a secret (the peer writes it)",
                "failed",
                {"url": "postgresql://u:hunter2@db/x"},
            ),
        ):
            print(row(name, lambda e=event, f=facts: bare.info(e, **f),  # type: ignore[misc]
                      lambda e=event, f=facts: ours.info(e, **f), options))  # type: ignore[misc]  # fmt: skip
        print(row("below the level", lambda: bare.debug("x", **ACCESS),
                  lambda: ours.debug("x", **ACCESS), options))  # fmt: skip


def row(
    name: str, bare: Callable[[], None], ours: Callable[[], None], options: argparse.Namespace
) -> str:
    """Time both, round by round in turn."""
    rounds = [
        (spent(bare, options.lines), spent(ours, options.lines)) for _ in range(options.rounds)
    ]
    one, other = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    return f"| {name} | {one:.2f} µs | {other:.2f} µs | {ratio:.2f} |"


def spent(write: Callable[[], None], lines: int) -> float:
    """Microseconds of processor time a line."""
    begin = time.process_time()
    for _ in range(lines):
        write()
    return (time.process_time() - begin) / lines * 1e6


if __name__ == "__main__":
    main()
