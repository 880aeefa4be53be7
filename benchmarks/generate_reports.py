"""Make large reports out of the small ones in `tests/data`: same shapes, other titles."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "tests" / "data" / "readers"


def playwright_json(target: Path, size_bytes: int, red_every: int) -> int:
    """Write a Playwright JSON report of about that size: the real one, again and again.

    Every `red_every`-th copy keeps its failures, none when that is 0; the others hold the files of
    which all tests passed.

    Returns:
        How many tests it holds.
    """
    report = json.loads((DATA / "playwright-failed.json").read_text())
    suites = report["suites"]
    passing = [suite for suite in suites if '"failed"' not in json.dumps(suite)]
    head = {**report, "suites": []}
    start, end = json.dumps(head, indent=2, ensure_ascii=False).split('"suites": []')
    with target.open("w") as file:
        file.write(f'{start}"suites": [')
        number = tests = 0
        while file.tell() < size_bytes:
            for suite in suites if _is_red(number, red_every) else passing:
                text = json.dumps(_renamed(suite, number), indent=2, ensure_ascii=False)
                file.write(f"{',' if file.tell() > len(start) + 100 else ''}\n{text}")
                tests += text.count('"projectName"')
            number += 1
        file.write(f"]{end}")
    return tests


def _is_red(number: int, red_every: int) -> bool:
    """Whether a copy keeps its failures."""
    return red_every > 0 and number % red_every == 0


def _renamed(suite: dict[str, object], number: int) -> dict[str, object]:
    """A copy whose file has another name."""
    text = json.dumps(copy.copy(suite))
    copied: dict[str, object] = json.loads(text.replace(".spec.ts", f"-{number}.spec.ts"))
    return copied


def junit(target: Path, size_bytes: int, red_every: int) -> int:
    """Write a JUnit report likewise."""
    text = (DATA / "playwright-failed-junit.xml").read_text()
    suites = re.findall(r"<testsuite .*?</testsuite>", text, re.DOTALL)
    passing = [suite for suite in suites if "<failure" not in suite]
    with target.open("w") as file:
        file.write(text[: text.index("<testsuite ")])
        number = tests = 0
        while file.tell() < size_bytes:
            for suite in suites if _is_red(number, red_every) else passing:
                file.write(suite.replace(".spec.ts", f"-{number}.spec.ts") + "\n")
                tests += suite.count("<testcase ")
            number += 1
        file.write("</testsuites>\n")
    return tests
