"""Measure the log readers: windows of small and large files, lines a second, line counting.

    python benchmarks/bench_logs.py [--small 50] [--large 5000] [--folder /tmp]

Sizes are in MB. The files are real, not sparse, and are deleted afterwards. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from heisenberg.model.run import Artefact
from heisenberg.readers.logs import count_lines, open_log

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 1, 1, tzinfo=UTC)
LINES = 100_000
WINDOWS = 20
WINDOW = timedelta(seconds=5)

JSON = (
    '{{"timestamp": "{at:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z", "level": "info", "logger": "shop.api", '
    '"event": "request finished", "request_id": "{n:012x}", "method": "GET", '
    '"path": "/api/products/{n}", "status": 200, "duration_ms": 6.4}}'
)
FORMATS = {
    "JSON lines": JSON,
    "Python logging": "{at:%Y-%m-%d %H:%M:%S},{ms:03d} INFO shop.db.pool: connection {n} returned",
    "Spring Boot": "{at:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z  INFO 1 --- [shop] [http-{n}] c.e.Orders : "
    "listed {n} orders",
    "logfmt": 'time={at:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z level=INFO msg="order listed" id={n:x} took=3ms',
    "access log": '10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /api/orders/{n}?page=2 HTTP/1.1" '
    '200 1234 "-" "Mozilla/5.0 (X11; Linux x86_64)" rt=0.012',
    "PostgreSQL": "{at:%Y-%m-%d %H:%M:%S}.{ms:03d} UTC [{n}] shop@shop LOG:  checkpoint {n} complete",
    "docker logs": "{at:%Y-%m-%dT%H:%M:%S}.{ms:03d}000001Z {at:%Y-%m-%d %H:%M:%S},{ms:03d} INFO "
    "shop.db: connection {n} returned",
}


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=50)
    parser.add_argument("--large", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    needed = (options.small + options.large) * 1_100_000
    if shutil.disk_usage(options.folder).free < needed * 2:
        sys.exit(f"{options.folder}: {needed * 2:,} bytes free are needed; choose --folder")
    print("| What | Measured |\n|---|---|")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure_windows(Path(folder), options.small, options.large)
        measure_formats(Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| peak memory of the whole benchmark | {peak:,.0f} MB |")


def measure_windows(folder: Path, *sizes_mb: int) -> None:
    """Time opening a log and reading windows spread over it, and counting its lines."""
    taken = []
    for size_mb in sizes_mb:
        path = folder / f"api-{size_mb}.log"
        seconds = write_sorted(path, size_mb * 1_000_000)
        artefact = Artefact(path.name, path, path.stat().st_size)
        found = 0

        def windows(artefact: Artefact = artefact, seconds: int = seconds) -> int:
            with open_log(artefact) as log:
                starts = (START + timedelta(seconds=seconds * n / WINDOWS) for n in range(WINDOWS))
                return sum(1 for s in starts for _ in log.window(s, s + WINDOW))

        found = windows()
        taken.append(best(windows))
        print(
            f"| {WINDOWS} windows of {WINDOW.seconds} s from {size_mb:,} MB, open included "
            f"({found:,} records) | {taken[-1] * 1000:,.0f} ms |"
        )
        size = artefact.size_bytes
        spent = best(lambda path=path, size=size: count_lines(path, [size]), times=2)  # type: ignore[misc]
        print(f"| count_lines over {size_mb:,} MB | {spent:.2f} s, {size / spent / 1e9:.1f} GB/s |")
        path.unlink()
    print(f"| large against small | {taken[-1] / taken[0]:.2f} times |")


def measure_formats(folder: Path) -> None:
    """Count records a second of processor time, by format, all fields read."""
    for name, template in FORMATS.items():
        path = folder / "x.log"
        lines = (
            template.format(at=START + timedelta(milliseconds=n), ms=n % 1000, n=n % 997)
            for n in range(LINES)
        )
        path.write_text("\n".join(lines) + "\n")
        with open_log(Artefact(path.name, path, path.stat().st_size)) as log:
            spent = best(lambda log=log: sum(1 for _ in log.records()))  # type: ignore[misc]
            megabytes = path.stat().st_size / 1e6
            print(
                f"| {name} (`{log.format}`) | {LINES / spent / 1000:,.0f} thousand records/s, "
                f"{megabytes / spent:.0f} MB/s |"
            )


def write_sorted(path: Path, size_bytes: int) -> int:
    """Write a sorted log of JSON lines, 64 a second; return how many seconds it spans."""
    stamp = "2026-01-01T00:00:00"
    block = "".join(
        JSON.format(at=START, ms=ms, n=ms) + "\n" for ms in range(0, 1000, 1000 // 64)
    ).encode()
    seconds = size_bytes // len(block)
    with path.open("wb", buffering=1 << 20) as file:
        for second in range(seconds):
            at = START + timedelta(seconds=second)
            file.write(block.replace(stamp.encode(), f"{at:%Y-%m-%dT%H:%M:%S}".encode()))
    return seconds


def best(run: Callable[[], object], times: int = 3) -> float:
    """Least processor seconds of a few runs: other work on the machine does not count."""
    spent = []
    for _ in range(times):
        begin = time.process_time()
        run()
        spent.append(time.process_time() - begin)
    return min(spent)


if __name__ == "__main__":
    main()
