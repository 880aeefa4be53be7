"""What can be read out of a failure's text, whatever framework wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heisenberg.model.diagnosis import Mechanism, Symptom

if TYPE_CHECKING:
    from heisenberg.model.failure import Failure


@dataclass(frozen=True, slots=True)
class Frame:
    """A stack frame."""

    file: str
    line: int | None
    function: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A failure, read. Empty strings and None where the text does not tell."""

    failure: Failure
    symptom: Symptom
    headline: str
    """First line that says something, without the error class."""
    error_type: str = ""
    """`TimeoutError`, `AssertionError`, `requests.exceptions.ConnectionError`."""
    matcher: str = ""
    """Assertion: `toHaveText`, `assert`, `assertEquals`."""
    action: str = ""
    """Call of the test library that failed: `locator.click`, `page.goto`."""
    locator: str = ""
    """What was looked for on the page, as the test wrote it."""
    expected: str = ""
    received: str = ""
    """What was there instead; empty also when nothing was (see `not_found`)."""
    has_received: bool = False
    not_found: bool = False
    """The locator matched nothing for as long as the test waited."""
    is_ambiguous: bool = False
    """The locator matched several elements where one was meant: the page was there."""
    timeout_ms: float | None = None
    """How long it waited before it gave up."""
    is_test_timeout: bool = False
    """The budget of the whole test ran out, rather than that of one wait."""
    is_polling: bool = False
    """It looked again and again until the time-out, so a late value would have been seen."""
    network_error: str = ""
    """`ERR_CONNECTION_REFUSED`, `ECONNRESET`, `NameResolutionError`."""
    url: str = ""
    http_status: int | None = None
    """Status that the test itself received and did not want."""
    code: str = ""
    """Source line that failed."""
    code_before: tuple[str, ...] = ()
    """Source lines shown before it, nearest last."""
    frames: tuple[Frame, ...] = ()
    """Innermost first."""
    own: Frame | None = None
    """The innermost frame outside libraries."""
    trouble: Mechanism = Mechanism.UNKNOWN
    """What kind of technical trouble the text names."""
