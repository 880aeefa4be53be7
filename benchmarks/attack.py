"""Attack `heisenberg analyze` with bad input, under a memory limit and a clock.

    uv run python benchmarks/attack.py [--only WORD] [--folder /tmp]

Each input is written to a folder of its own, analysed by the real command, and deleted. Prints a
Markdown table: input, exit code, seconds, peak memory, what was said, and what is wrong with that,
if anything. Exits 1 when anything is. Needs 7 GB of disk. The inputs themselves are in
`attack_inputs.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attack_inputs
from attack_inputs import Call

COMMAND = (sys.executable, "-m", "heisenberg", "analyze")
MEMORY_BYTES = 2 << 30
"""Of private memory; beyond it an allocation fails."""
COLUMNS = 110


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call."""

    code: int
    """Negative when a signal ended it."""
    seconds: float
    peak_mb: float
    """Of resident memory; never below what this script took when it started the command."""
    out: bytes
    err: str


def main() -> None:
    """Run the attacks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the name of the attacks wanted")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    print("| Input | Exit | Seconds | Peak MB | Said | Wrong |\n|---|--:|--:|--:|---|---|")
    wrong = 0
    for name, make in attack_inputs.ATTACKS.items():
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="attack-") as folder:
            call = make(Path(folder))
            outcome = run(call, Path(folder))
            faults = find_faults(call, outcome)
        wrong += bool(faults)
        print(
            f"| {name} | {outcome.code} | {outcome.seconds:.2f} | {outcome.peak_mb:.0f} "
            f"| {said(outcome)} | {'; '.join(faults) or '-'} |",
            flush=True,
        )
    sys.exit(1 if wrong else 0)


def run(call: Call, folder: Path) -> Outcome:
    """Run the command on the input, with the folder as its working directory."""
    written = [folder / ".stdout", folder / ".stderr"]
    arguments = [*COMMAND, *(str(a) for a in call.arguments)]
    environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    with (
        Path(call.stdin).open("rb") as stdin,
        Path(call.stdout or written[0]).open("wb") as out,
        written[1].open("wb") as err,
    ):
        started = time.monotonic()
        process = subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**environment, "PYTHONPATH": os.pathsep.join(sys.path), **call.environment},
            preexec_fn=_limit,  # noqa: PLW1509 (no thread runs yet)
        )
        clock = threading.Timer(call.limit_s * 2 + 10, process.kill)
        clock.start()
        if call.disturb is not None:
            call.disturb(folder, process)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        clock.cancel()
    seconds = time.monotonic() - started
    out_bytes = written[0].read_bytes() if written[0].exists() else b""
    err_text = written[1].read_text(errors="backslashreplace")
    return Outcome(process.returncode, seconds, usage.ru_maxrss / 1024, out_bytes, err_text)


def _limit() -> None:
    # Whoever starts us in the background may ignore Ctrl-C, and that would be inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def find_faults(call: Call, outcome: Outcome) -> list[str]:
    """Name what is wrong; nothing when the command kept its promises."""
    faults = []
    if outcome.code not in call.codes:
        faults.append(f"exit {outcome.code}, not {' or '.join(str(c) for c in call.codes)}")
    if outcome.seconds > call.limit_s:
        faults.append(f"over {call.limit_s:g} s")
    if outcome.peak_mb > call.limit_mb:
        faults.append(f"over {call.limit_mb} MB")
    if "Traceback" in outcome.err or "internal error" in outcome.err:
        faults.append("unhandled error")
    if outcome.code == 2 and outcome.err.count("\n") != 1:
        faults.append(f"{outcome.err.count(chr(10))} lines on stderr")
    if outcome.code == 0 and outcome.err:
        faults.append("words on stderr")
    everything = outcome.out.decode("utf-8", "replace") + outcome.err
    faults += [f"passes on {c!r}" for c in HOSTILE if c in everything]
    faults += [f"does not say {word!r}" for word in call.says if word not in everything]
    document = document_of(outcome)
    if call.check is not None and outcome.code in {0, 1}:
        faults += call.check(document if document is not None else everything)
    return [fault.replace("|", "\\|") for fault in faults]


HOSTILE = ("\x1b", "\u202e", "\u2066", "\x07", "\x9b")
"""What no output may pass on raw."""


def document_of(outcome: Outcome) -> dict[str, Any] | None:
    """The JSON document that was printed, if it was one."""
    try:
        value = json.loads(outcome.out)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def said(outcome: Outcome) -> str:
    """What was said, in a cell's width."""
    document = document_of(outcome)
    if outcome.err.strip():
        text = outcome.err.strip().splitlines()[-1]
    elif document and "problems" in document:
        run = document["run"]
        parts = [f"{run['failed']} of {run['total']} failed", *_incidents(document)]
        parts += [f"problem: {p['source']}: {p['reason']}" for p in document["problems"]]
        text = "; ".join(parts)
    else:
        text = " ".join(outcome.out.decode("utf-8", "replace").split())
    return ascii(text[:COLUMNS])[1:-1].replace("|", "\\|").replace("<", "&lt;") or "-"


def _incidents(document: dict[str, Any]) -> list[str]:
    count = len(document["incidents"])
    return [f"{count} incident{'s' if count != 1 else ''}"] if count else []


if __name__ == "__main__":
    main()
