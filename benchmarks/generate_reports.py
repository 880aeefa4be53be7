"""Make large reports out of the small ones in `tests/data`: same shapes, other titles."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "tests" / "data" / "readers"


def playwright_json(target: Path, size_bytes: int) -> None:
    """Write a Playwright JSON report of about that size: the real one, again and again.

    One copy in three keeps its failures; the others hold the files of which all tests passed.
    """
    report = json.loads((DATA / "playwright-failed.json").read_text())
    suites = report["suites"]
    passing = [suite for suite in suites if '"failed"' not in json.dumps(suite)]
    head = {**report, "suites": []}
    start, end = json.dumps(head, indent=2, ensure_ascii=False).split('"suites": []')
    with target.open("w") as file:
        file.write(f'{start}"suites": [')
        number = 0
        while file.tell() < size_bytes:
            for suite in suites if number % 3 == 0 else passing:
                text = json.dumps(_renamed(suite, number), indent=2, ensure_ascii=False)
                file.write(f"{',' if file.tell() > len(start) + 100 else ''}\n{text}")
            number += 1
        file.write(f"]{end}")


def _renamed(suite: dict[str, object], number: int) -> dict[str, object]:
    """A copy whose file has another name."""
    text = json.dumps(copy.copy(suite))
    copied: dict[str, object] = json.loads(text.replace(".spec.ts", f"-{number}.spec.ts"))
    return copied


def junit(target: Path, size_bytes: int) -> None:
    """Write a JUnit report of about that size, one copy in three with its failures."""
    text = (DATA / "playwright-failed-junit.xml").read_text()
    suites = re.findall(r"<testsuite .*?</testsuite>", text, re.DOTALL)
    passing = [suite for suite in suites if "<failure" not in suite]
    with target.open("w") as file:
        file.write(text[: text.index("<testsuite ")])
        number = 0
        while file.tell() < size_bytes:
            for suite in suites if number % 3 == 0 else passing:
                file.write(suite.replace(".spec.ts", f"-{number}.spec.ts") + "\n")
            number += 1
        file.write("</testsuites>\n")
