"""What Playwright's JUnit reporter puts into texts because JUnit XML has no place for it.

Source:
    packages/playwright/src/reporters/junit.ts and base.ts (formatFailure), versions 1.30 to 1.58.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from heisenberg.model.run import Attachment, Location, Status

UNTOLD_TRY = (
    "This try failed and a retry passed. JUnit XML keeps no error text of a try that was retried:"
    " see the attachments, or the JSON report."
)

_INDENT = " " * 4
_HEADER = re.compile(r"\s*(?:\[[^\]\n]*\] › )?(\S.*?):(\d+):(\d+) › [^\n]*")
# A line break, unlike `^`, is looked for at the speed of memory.
_RETRY = re.compile(r"\n {0,8}Retry #(\d+)(?: [─-]+)?[ \t]*$", re.MULTILINE)
_ATTACHMENT_BLOCK = re.compile(
    r"\n[ ]*attachment #\d+: (?P<name>.*?) \((?P<type>[^()\n]*)\) ─+\n(?P<body>.*?)^[ ]*─{20,}[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_CONTEXT = re.compile(r"\n[ ]*Error Context: (.+?)[ ]*$", re.MULTILINE)
_NEXT_ERROR = re.compile(
    r"\n\n(?=(?:[A-Z]\w*)?Error(?: \[\w+\])?: |Test timeout of \d|Test was interrupted|"
    r"Worker process |Fixture \"|\"\w+\" hook timeout of|Tearing down )"
)
_TIMED_OUT = re.compile(
    r"(?:Test|\"\w+\" hook|\w+ fixture\b.*) timeout of \d+ms exceeded|Tearing down"
)
_ATTACHED = re.compile(r"\[\[ATTACHMENT\|(.*?)\]\]")
_TRY = re.compile(r"-retry(\d+)/")
_OF_A_FAILURE = re.compile(r"(?:^|/)(?:error-context\.md|test-failed-\d+\.\w+)$")


@dataclass(frozen=True, slots=True)
class Try:
    """What the texts say of one attempt."""

    retry: int
    errors: tuple[str, ...]
    attachments: tuple[Attachment, ...] = ()

    @property
    def status(self) -> Status:
        """Timed out when its first error says so."""
        if self.errors and _TIMED_OUT.match(self.errors[0]):
            return Status.TIMED_OUT
        if self.errors and self.errors[0].startswith("Test was interrupted"):
            return Status.INTERRUPTED
        return Status.FAILED


def parse_location(body: str) -> Location | None:
    """Where the test stands in the code, from the first line of a failure's body."""
    header = _HEADER.match(body)
    if header is None:
        return None
    return Location(header[1].strip(), int(header[2]), int(header[3]))


def parse_tries(body: str) -> tuple[Try, ...]:
    """Split a failure's body into its attempts: the first, then one a `Retry #N` heading."""
    header = _HEADER.match(body)
    pieces = _RETRY.split(body[header.end() :] if header else f"\n{body}")
    numbered = [(0, pieces[0])]
    numbered += [(int(pieces[i]), pieces[i + 1]) for i in range(1, len(pieces) - 1, 2)]
    return tuple(_parse_try(number, text) for number, text in numbered)


def _parse_try(retry: int, text: str) -> Try:
    """Separate the errors of one attempt from what is attached to it."""
    attached: list[Attachment] = []

    def take_block(found: re.Match[str]) -> str:
        path = found["body"].strip().split("\n")[0].strip()
        attached.append(Attachment(found["name"], found["type"], path))
        return "\n"

    def take_context(found: re.Match[str]) -> str:
        attached.append(Attachment("error-context", "text/markdown", found[1]))
        return "\n"

    text = _CONTEXT.sub(take_context, _ATTACHMENT_BLOCK.sub(take_block, text))
    plain = _without_indent(text)
    errors = tuple(e.strip("\n") for e in _NEXT_ERROR.split(plain) if e.strip())
    return Try(retry, errors, tuple(attached))


def _without_indent(text: str) -> str:
    """Undo the indentation that the reporter adds to every line."""
    lines = [line.rstrip() for line in text.split("\n")]
    if not any(line and line[:4] != _INDENT for line in lines):
        return "\n".join([line[4:] for line in lines]).strip("\n")
    return textwrap.dedent("\n".join(lines)).strip("\n")


def attached_paths(output: str) -> tuple[tuple[int, str], ...]:
    """Paths of the attachments listed in `system-out`, each with the retry it belongs to."""
    paths = [path.strip().replace("\\", "/") for path in _ATTACHED.findall(output)]
    return tuple([(retry_of(path), path) for path in paths])


def without_attachments(output: str) -> str:
    """The output without the list of attachments."""
    return _ATTACHED.sub("", output).strip()


def retry_of(path: str) -> int:
    """Which try left this file."""
    found = _TRY.search(path)
    return int(found[1]) if found else 0


def failed_tries(paths: tuple[tuple[int, str], ...]) -> int:
    """How many tries failed before the one that passed, as the files left behind tell.

    A try is retried only when it failed, so a file of try N tells of N failures before it; a
    screenshot or an error context is only taken of a try that failed itself.
    """
    last = max((retry for retry, _ in paths), default=0)
    return last + any(retry == last and _OF_A_FAILURE.search(path) for retry, path in paths)
