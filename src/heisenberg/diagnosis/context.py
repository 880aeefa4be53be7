"""All that a rule may see of an incident."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Citation
from heisenberg.model.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heisenberg.model.correlation import ClockOffset, FailedTest, Suspect
    from heisenberg.model.facts import Facts
    from heisenberg.model.logs import LogRecord

MAX_QUOTE = 240
"""Characters; a longer line is cited by its beginning."""


@dataclass(frozen=True)
class Context:
    """An incident before it is diagnosed. Not slotted: derived facts are cached."""

    facts: tuple[Facts, ...]
    """Of each failed test; the most telling first. Never empty."""
    tests: tuple[FailedTest, ...]
    """Empty only for an error outside any test."""
    cause: Suspect | None
    """What the logs show that its tests share."""
    related: tuple[Suspect, ...]
    """What else the logs show near them, best first."""
    services: tuple[str, ...]
    """Whose logs were read."""
    offsets: tuple[ClockOffset, ...]
    answering: tuple[str, ...]
    """Services that answered requests, the most telling first."""
    run_passed: int
    ports: Mapping[str, str] = field(default_factory=dict)
    """Service by the port on which it listens."""
    has_times: bool = True

    @cached_property
    def fact(self) -> Facts:
        """The failure that speaks for the incident."""
        return self.facts[0]

    @cached_property
    def is_flaky(self) -> bool:
        """Every test in it also passed, on the same code."""
        return bool(self.tests) and all(t.test.outcome is Outcome.FLAKY for t in self.tests)

    @cached_property
    def has_logs(self) -> bool:
        """Whether any log was there to look at."""
        return bool(self.services)

    @cached_property
    def code(self) -> str:
        """The failing source line and those shown before it, of all failures."""
        return "\n".join("\n".join((*f.code_before, f.code)) for f in self.facts)

    def cite_failure(self, *fragments: str, facts: Facts | None = None) -> tuple[Citation, ...]:
        """Cite the lines of the failure in which the fragments stand, in that order."""
        chosen = facts or self.fact
        lines = chosen.failure.text.splitlines()
        citations: dict[str, Citation] = {}
        for fragment in fragments:
            if not fragment:
                continue
            line = next((text for text in lines if fragment in text), "")
            quote = clip(line)
            if quote and quote not in citations:
                citations[quote] = Citation(quote, place=chosen.failure.place)
        return tuple(citations.values())

    def cite_symptom(self) -> tuple[Citation, ...]:
        """Cite what the test itself saw: headline, expected, received, locator, code."""
        f = self.fact
        received = _labelled(f.failure.text, f.received) if f.has_received else ""
        return self.cite_failure(
            received, f.network_error, f.locator, f.code or f.headline, f.headline
        )


def clip(line: str) -> str:
    """A line as a quote: without the white space around it, cut at `MAX_QUOTE`."""
    return line.strip()[:MAX_QUOTE].rstrip()


_RECEIVED_LINE = re.compile(
    r"^[ \t]*+(?:E[ \t]++)?\+?[ \t]*+(?:Received|received|Actual|actual|But was|but was|got)\b.*$",
    re.MULTILINE,
)


def _labelled(text: str, received: str) -> str:
    """The line that labels the received value, rather than the first that happens to hold it."""
    for match in _RECEIVED_LINE.finditer(text):
        if received in match.group():
            return match.group().strip()
    return received


def cite_record(record: LogRecord, *fragments: str) -> tuple[Citation, ...]:
    """Cite the lines of a record in which the fragments stand, else its message."""
    lines = record.text.splitlines()
    citations: dict[str, Citation] = {}
    for fragment in fragments:
        if not fragment:
            continue
        line = next((text for text in lines if fragment in text), "")
        # Of a line of JSON the value says it; of a line of words the line does.
        is_short = len(line) <= MAX_QUOTE and not line.lstrip().startswith("{")
        quote = clip(line) if is_short else clip(fragment)
        if quote:
            citations.setdefault(quote, Citation(quote, record=record))
    if not citations and record.status and len(lines) == 1:
        # A line about a request says little without its method, path and status.
        citations[lines[0]] = Citation(clip(lines[0]), record=record)
    if not citations and record.message:
        citations[record.message] = Citation(clip(record.message), record=record)
    return tuple(citations.values())
