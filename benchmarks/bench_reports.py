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


def measure(name: str, path: Path) -> tuple[float, float]:
    """Best seconds of `ROUNDS` and peak MB above the interpreter, in fresh processes."""
    seconds, peaks = [], []
    for _ in range(1 if name == "junitparser" else ROUNDS):
        line = subprocess.check_output([sys.executable, __file__, "--pass", name, str(path)])
        taken, peak = line.split()
        seconds.append(float(taken))
        peaks.append(float(peak))
    return min(seconds), max(peaks)


def run_pass(name: str, path: Path) -> None:
    """Run one pass in this process and print seconds and MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    PASSES[name](path)
    taken = time.perf_counter() - start
    print(taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main(megabytes: int) -> None:
    """Generate, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        json_path, xml_path = Path(folder, "report.json"), Path(folder, "junit.xml")
        generate_reports.playwright_json(json_path, megabytes << 20)
        generate_reports.junit(xml_path, megabytes << 20)
        print(f"| Pass over {megabytes} MB | Seconds | Peak above start, MB | To the raw pass |")
        print("|---|---|---|---|")
        rows = [("raw_json", json_path), ("read_json", json_path)]
        rows += [("raw_junit", xml_path), ("read_junit", xml_path)]
        if importlib.util.find_spec("junitparser"):
            rows.append(("junitparser", xml_path))
        raw = 0.0
        for name, path in rows:
            seconds, peak = measure(name, path)
            raw = seconds if name.startswith("raw") else raw
            print(f"| {name} | {seconds:.2f} | {peak:.0f} | {seconds / raw:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pass"]:
        run_pass(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
