"""Time the whole analysis of a large run, and of the example, as a user would run it.

    uv run python benchmarks/bench_analyze.py [--failed 1000] [--log-mb 200] [--huge-gb 5]

Prints a Markdown table. The run is made up from seeded chance: failing tests of a few causes among
passing ones, and logs in which each failing test has its error beside much that is always there.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "checkout"
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ERRORS = (
    (
        "AttributeError: 'NoneType' object has no attribute 'upper'",
        "/srv/app/orders.py",
        "list_orders",
    ),
    ("KeyError: 'USD'", "/srv/app/prices.py", "convert"),
    (
        "psycopg_pool.PoolTimeout: couldn't get a connection after 3.00 sec",
        "/srv/app/db.py",
        "connect",
    ),
    ("ZeroDivisionError: division by zero", "/srv/app/report.py", "average"),
)


def stamp(time_s: float) -> str:
    """ISO time with milliseconds, seconds after the start of the run."""
    moment = START + timedelta(seconds=time_s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_report(path: Path, failed: int, passed: int) -> list[tuple[float, int]]:
    """Write a Playwright report; return (time of the error, cause) of each failing test."""
    chance = random.Random(7)
    order = [True] * failed + [False] * passed
    chance.shuffle(order)
    specs, errors, clock = [], [], [0.0, 0.0, 0.0, 0.0]
    for index, is_failed in enumerate(order):
        worker = index % len(clock)
        duration = 5600 if is_failed else 900
        cause = index % len(ERRORS)
        result: dict[str, object] = {
            "workerIndex": worker,
            "parallelIndex": worker,
            "status": "failed" if is_failed else "passed",
            "duration": duration,
            "retry": 0,
            "startTime": stamp(clock[worker]),
            "errors": [],
            "stdout": [],
            "stderr": [],
            "attachments": [],
        }
        if is_failed:
            errors.append((clock[worker] + 0.3, cause))
            message = (
                f"Error: expect(locator).toHaveText(expected) failed\n\nLocator: getByTestId('cell-{index}')\n"
                f'Expected: "ready"\nReceived: ""\nTimeout: 5000ms\n\nCall log:\n'
                f"  - Expect \"toHaveText\" with timeout 5000ms\n  - waiting for getByTestId('cell-{index}')\n\n"
                f"    at /srv/tests/area{index % 40}.spec.ts:{index + 3}:20"
            )
            result["errors"] = [{"message": message}]
        clock[worker] += duration / 1000 + 0.2
        test = {
            "projectName": "chromium",
            "expectedStatus": "passed",
            "status": "unexpected" if is_failed else "expected",
            "results": [result],
        }
        specs.append(
            {
                "title": f"does thing {index}",
                "file": f"area{index % 40}.spec.ts",
                "line": 3,
                "tests": [test],
            }
        )
    suites = [
        {"title": f"area{n}.spec.ts", "file": f"area{n}.spec.ts", "specs": specs[n::40]}
        for n in range(40)
    ]
    stats = {"startTime": stamp(0), "duration": max(clock) * 1000}
    path.write_text(
        json.dumps(
            {"config": {"version": "1.58.0"}, "suites": suites, "errors": [], "stats": stats}
        )
    )
    return errors


def make_logs(folder: Path, errors: list[tuple[float, int]], megabytes: int) -> None:
    """Write a JSON log that fills the run evenly, with the errors where they belong."""
    chance = random.Random(11)
    folder.mkdir()
    until = max(time for time, _ in errors) + 6
    line_bytes = 190
    lines = megabytes * 1_000_000 // line_bytes
    pending = sorted(errors, reverse=True)
    with (folder / "api.log").open("w") as log:
        for n in range(lines):
            now = until * n / lines
            while pending and pending[-1][0] <= now:
                at, cause = pending.pop()
                log.write(error_lines(at, cause, n))
            level = "error" if chance.random() < 0.002 else "info"
            event = "metrics push failed" if level == "error" else "request finished"
            head = f'{{"timestamp": "{stamp(now)}", "level": "{level}", "event": "{event}", "request_id": "{n:016x}"'
            route = f'"method": "GET", "path": "/api/items/{n % 500}", "status": 200, "duration_ms": {n % 90}.5'
            log.write(f"{head}, {route}}}\n" if level == "info" else f"{head}}}\n")


def error_lines(at: float, cause: int, n: int) -> str:
    """The exception of a service and the request that it broke."""
    error, file, function = ERRORS[cause]
    trace = f'Traceback (most recent call last):\\n  File \\"{file}\\", line 66, in {function}\\n    run()\\n{error}'
    ident = f'"request_id": "e{n:015x}", "method": "GET", "path": "/api/area{cause}"'
    head = f'{{"timestamp": "{stamp(at)}", "level": "error", "event": '
    return (
        f'{head}"unhandled exception", {ident}, "exception": "{trace}"}}\n'
        f'{head}"request finished", {ident}, "status": 500, "duration_ms": 12.5}}\n'
    )


def make_sorted_log(path: Path, megabytes: int, run_at: float) -> None:
    """Write a sorted log of even density in which the example's run lies at a share of the whole.

    Args:
        path: To write.
        megabytes: Size.
        run_at: Share of the log, in [0, 1], that was written before the run began.
    """
    began = datetime(2026, 11, 23, 17, 3, 14, tzinfo=UTC)
    per_second = [
        f"INFO worker-{n % 8}: handled item {n:07d} of batch in {n % 90} ms\n" for n in range(200)
    ]
    size = sum(len(line) + 24 for line in per_second)
    seconds = megabytes * 1_000_000 // size
    moment = began - timedelta(seconds=int(seconds * run_at))
    with path.open("w") as log:
        for n in range(seconds):
            now = (moment + timedelta(seconds=n)).strftime("%Y-%m-%d %H:%M:%S")
            log.write("".join(f"{now},{k * 5:03d} {line}" for k, line in enumerate(per_second)))


def huge_rows(folder: Path, gigabytes: int) -> list[tuple[str, float, float]]:
    """The example beside a sorted log of 50 MB, and beside one of that many gigabytes."""
    rows = []
    for megabytes, run_at in ((50, 0.5), (gigabytes * 1000, 0.05), (gigabytes * 1000, 0.95)):
        logs = folder / f"sorted-{megabytes}-{run_at}"
        logs.mkdir()
        make_sorted_log(logs / "worker.log", megabytes, run_at)
        arguments = [
            "analyze",
            str(EXAMPLE / "report.json"),
            "--logs",
            str(EXAMPLE / "logs"),
            "--logs",
            str(logs),
        ]
        measure(arguments)
        wall, peak = min(measure(arguments) for _ in range(3))
        rows.append(
            (
                f"example beside a sorted log of {megabytes} MB, run at {run_at:.0%} of it",
                wall,
                peak,
            )
        )
        (logs / "worker.log").unlink()
    return rows


def measure(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MB of one run of the command."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", *arguments], stdout=subprocess.PIPE, check=True
    )
    wall = time.perf_counter() - began
    if not done.stdout:
        raise SystemExit("the command printed nothing")
    return wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--failed", type=int, default=1000)
    parser.add_argument("--passed", type=int, default=2000)
    parser.add_argument("--log-mb", type=int, default=200)
    parser.add_argument(
        "--huge-gb", type=int, default=0, help="also measure beside a log of this size"
    )
    chosen = parser.parse_args()
    rows = []
    wall, peak = min(measure(["--help"]) for _ in range(5))
    rows.append(("`heisenberg --help`", wall, peak))
    report = ["analyze", str(EXAMPLE)]
    wall, peak = min(measure(report) for _ in range(5))
    rows.append(("`heisenberg analyze examples/checkout`", wall, peak))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        errors = make_report(folder / "report.json", chosen.failed, chosen.passed)
        make_logs(folder / "logs", errors, chosen.log_mb)
        wall, peak = measure(
            [
                "analyze",
                str(folder / "report.json"),
                "--logs",
                str(folder / "logs"),
                "--format",
                "json",
            ]
        )
        rows.append(
            (
                f"{chosen.failed} failed of {chosen.failed + chosen.passed}, {chosen.log_mb} MB of logs",
                wall,
                peak,
            )
        )
        if chosen.huge_gb:
            rows += huge_rows(folder, chosen.huge_gb)
    print("| what | wall | peak memory |\n|---|---:|---:|")
    for what, seconds, megabytes in rows:
        print(f"| {what} | {seconds:.2f} s | {megabytes:.0f} MB |")


if __name__ == "__main__":
    main()
