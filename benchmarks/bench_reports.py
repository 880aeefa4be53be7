"""Time the report readers beside the libraries under them, each in a process of its own.

`uv run --group bench python benchmarks/bench_reports.py [MB]` prints a Markdown table.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import generate_reports
import msgspec
from lxml import etree

from heisenberg.model.run import Artefact
from heisenberg.readers import junit, playwright_json, playwright_schema
from heisenberg.readers.content import no_collection

ROUNDS = 3


def read_json(path: Path) -> None:
    """Our reader of Playwright JSON."""
    run = playwright_json.read(Artefact(path.name, path, path.stat().st_size))
    assert run.tests  # noqa: S101 (keeps the run alive, as a caller would)


def raw_json(path: Path) -> None:
    """The pass below it: decode into the same Structs."""
    with no_collection():
        report = msgspec.json.decode(path.read_bytes(), type=playwright_schema.Report)
    assert report.suites  # noqa: S101 (likewise)


def read_junit(path: Path) -> None:
    """Our reader of JUnit XML."""
    run = junit.read(Artefact(path.name, path, path.stat().st_size))
    assert run.tests  # noqa: S101 (likewise)


def raw_junit(path: Path) -> None:
    """The pass below it: parse, look at nothing, clear."""
    for _, element in etree.iterparse(str(path)):
        element.clear()


def junitparser(path: Path) -> None:
    """The peer."""
    peer = importlib.import_module("junitparser")  # only the bench group has it
    document = peer.JUnitXml.fromfile(str(path))
    found = [
        (case.classname, case.name, case.time, [(r.message, r.text) for r in case.result])
        for suite in document
        for case in suite
    ]
    assert found  # noqa: S101 (a peer's cases are lazy: read what we read)


PASSES = {
    "read_json": read_json,
    "raw_json": raw_json,
    "read_junit": read_junit,
    "raw_junit": raw_junit,
    "junitparser": junitparser,
}


SHAPES = {"every third copy red": 3, "all green": 0}
"""The share of copies of a real run that keep their failures."""


def measure(name: str, path: Path) -> tuple[float, float, float]:
    """Best CPU and wall seconds of `ROUNDS`, and peak MB above the start, in fresh processes."""
    command = [sys.executable, __file__, "--pass", name, str(path)]
    rounds = [
        [float(figure) for figure in subprocess.check_output(command).split()]
        for _ in range(ROUNDS)
    ]
    cpu, wall, peak = zip(*rounds, strict=True)
    return min(cpu), min(wall), max(peak)


def run_pass(name: str, path: Path) -> None:
    """Run one pass in this process and print CPU seconds, wall seconds and MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    PASSES[name](path)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(cpu, wall, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main(megabytes: int) -> None:
    """Generate, measure, print."""
    print("| Report | Pass | CPU s | to raw | Wall s | to raw | Peak above start, MB |")
    print("|---|---|---|---|---|---|---|")
    peer = ["junitparser"] if importlib.util.find_spec("junitparser") else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report")
        for shape, red_every in SHAPES.items():
            tests = generate_reports.playwright_json(path, megabytes << 20, red_every)
            compare(_title("Playwright JSON", path, tests, shape), ["raw_json", "read_json"], path)
            tests = generate_reports.junit(path, megabytes << 20, red_every)
            passes = ["raw_junit", "read_junit", *peer]
            compare(_title("JUnit", path, tests, shape), passes, path)


def _title(name: str, path: Path, tests: int, shape: str) -> str:
    """What a report is: format, size, tests, bytes a test, share of failures."""
    size = path.stat().st_size
    return f"{name}, {size >> 20} MB, {tests} tests, {size // tests} B a test, {shape}"


def compare(title: str, passes: list[str], path: Path) -> None:
    """Print a row a pass; the first is what the others are compared with."""
    raw: tuple[float, float] | None = None
    for name in passes:
        cpu, wall, peak = measure(name, path)
        raw = raw or (cpu, wall)
        print(
            f"| {title} | {name} | {cpu:.2f} | {cpu / raw[0]:.2f} | {wall:.2f}"
            f" | {wall / raw[1]:.2f} | {peak:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pass"]:
        run_pass(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
