"""The README shows what the command really prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_example_output_is_true() -> None:
    """The block shown under the first command is its output, word for word."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "analyze", "examples/checkout"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )

    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```\n")
    assert done.stdout.decode().strip() in [block.strip() for block in blocks]


def test_the_example_names_the_cause() -> None:
    """The diagnosis of the example rests on the line of the service that failed."""
    done = subprocess.run(
        [sys.executable, "-m", "heisenberg", "analyze", "examples/checkout", "--format", "json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )

    assert b'"component": "payments"' in done.stdout
    assert b"KeyError: 'USD'" in done.stdout
