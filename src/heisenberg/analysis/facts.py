"""Read a failure's text: what was expected, what came, where it stopped, what was waited for.

The phrases are those of the assertion libraries, test runners and browsers themselves, so they
hold for any suite that uses them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from heisenberg.analysis.frames import own_frame, raised, read_frames
from heisenberg.analysis.trouble import name_trouble
from heisenberg.model.diagnosis import Symptom
from heisenberg.model.facts import Facts

if TYPE_CHECKING:
    from heisenberg.model.failure import Failure
    from heisenberg.model.run import Status

MAX_TEXT = 20_000
"""Characters of a failure that are read; producers put the telling part first."""

MAX_MARKED = 200_000
"""Characters in which pytest's marked lines are looked for; it shows the source of libraries."""

_HEAD = re.compile(
    r"^\s*(?:E\s+)?(?P<type>(?:[A-Za-z_][\w$]*[.:]{1,2})*[A-Za-z_]\w*"
    r"(?:Error|Exception|Failure|Timeout|Interrupt|Refused|Warning|Failed))\b(?: \[\w+\])?(?::\s*|\s*$)(?P<rest>.*)$"
)
_PYTHON_ERROR = re.compile(r"^[ \t]{0,40}+E[ \t]{1,40}+(?P<text>\S.*)$", re.MULTILINE)
_MATCHER = re.compile(
    r"expect\([^()\n]{0,80}(?:\([^()\n]{0,80}\))?[^()\n]{0,80}\)(?:\.(?:not|resolves|rejects|soft))*\.(?P<name>\w+)"
    r"|\b(?P<unit>assert[A-Z_]\w*|Assert\.\w+|XCTAssert\w*|EXPECT_\w+|ASSERT_\w+)\b"
)
_ACTION = re.compile(
    r"(?<![\w./\\-])(?P<name>(?:locator|page|frame|elementHandle|browser|browserContext|browserType|"
    r"apiRequestContext|request|keyboard|mouse|cy)\.[a-zA-Z]+):(?=\s|$)"
)
_EXPECTED = (
    re.compile(
        r"^[ \t]*+(?:E[ \t]++)?-?[ \t]*+(?:Expected|expected)(?: \w+){0,3}:[ \t]*(?P<value>.*)$",
        re.MULTILINE,
    ),
)
_RECEIVED = (
    re.compile(
        r"^[ \t]*+(?:E[ \t]++)?\+?[ \t]*+(?:[Rr]eceived|[Aa]ctual|[Bb]ut was|[Gg]ot|[Bb]ut)(?: \w+){0,2}[ ]{0,4}:"
        r"[ \t]*(?:was )?(?P<value>.*)$",
        re.MULTILINE,
    ),
)
_PAIRS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^--- Expected\n\+\+\+ Actual\n@@[^\n]*\n-(?P<expected>[^\n]*)\n\+(?P<received>[^\n]*)",
        r"\((?P<received>[^()\n]{1,200})\) is not equal to \((?P<expected>[^()\n]{1,200})\)",
        r"Expectation failed: \([^()\n]{1,100} → (?P<received>[^()\n]{1,200})\) == (?P<expected>[^\n]{1,200})",
        (
            r" to have \w+ (?P<expected>'[^'\n]{0,999}'), but the \w+ was (?P<received>'[^'\n]{0,999}')"
        ),
        (
            r"^\s{0,9}left: `?(?P<received>[^\n]{0,999}?)`?,?\n"
            r"\s{0,9}right: `?(?P<expected>[^\n]{0,999}?)`?(?:[,:]|$)"
        ),
        (
            r"equality of these values:\n[^\n]{1,999}\n[ ]{1,9}Which is: (?P<received>[^\n]{0,999})\n"
            r"[ ]{1,9}(?P<expected>[^\n]{0,999})"
        ),
        (
            r"equality of these values:\n[ ]{1,9}(?P<expected>[^\n]{0,999})\n[^\n]{1,999}\n"
            r"[ ]{1,9}Which is: (?P<received>[^\n]{0,999})"
        ),
        r"expected:?\s{0,9}<(?P<expected>[^\n]{0,999}?)>\s{0,9}but was:?\s{0,9}<(?P<received>[^\n]{0,999}?)>",
        (
            r"[Ee]xpected (?P<received>'[^'\n]*'|\"[^\"\n]*\"|\S+) to (?:be|equal|deeply equal|match|include"
            r"|contain|have text|strictly equal) (?P<expected>'[^'\n]*'|\"[^\"\n]*\"|\S+)"
        ),
        (
            r"[Ee]xpected (?P<expected>'[^'\n]*'|\"[^\"\n]*\"|\S+),? (?:but )?(?:got|found|was|received)"
            r" (?P<received>'[^'\n]*'|\"[^\"\n]*\"|\S+)"
        ),
        r"\bgot:?\s+(?P<received>'[^'\n]*'|\"[^\"\n]*\"|[^\s,;]+)[,;]?\s+want(?:ed)?:?\s+(?P<expected>[^\s,;]+)",
        r"Failed asserting that (?P<received>\S+) (?:matches expected|is identical to|equals) (?P<expected>[^\n]+?)\.$",
        (
            r"^(?:E\s+)?(?:AssertionError: )?(?:assert )?(?P<received>'[^'\n]*'|\"[^\"\n]*\"|[-\w.$]+) [!=]==? "
            r"(?P<expected>'[^'\n]*'|\"[^\"\n]*\"|[-\w.$]+)(?:\s:.*)?$"
        ),
    )
)
_LOCATOR = re.compile(
    r"^[ \t]*+(?:-[ \t]*+)?(?:Locator:|waiting for)[ \t]++(?P<value>(?:getBy|locator|frameLocator|page\.|get_by)[^\n]*)$",
    re.MULTILINE,
)
_ELEMENT = re.compile(
    r"(?:(?:Unable to locate element|no such element|Expected to find element|Unable to find an element[^:\n]{0,200}|"
    r"NoSuchElement\w{0,40})[:\s`]++)++(?P<value>[^\n`]{1,200})"
)
_NOT_FOUND = re.compile(
    r"element\(s\) not found|resolved to 0 elements|Unable to locate element|no such element|"
    r"NoSuchElement|never found it|Unable to find an element|ElementNotFound"
)
_WAIT = re.compile(
    r"Timeout:?\s+(?P<a>\d+(?:\.\d+)?)\s?ms|timeout of (?P<b>\d+(?:\.\d+)?)\s?ms|with timeout (?P<c>\d+(?:\.\d+)?)\s?ms"
    r"|[Tt]imed out (?:after|retrying after:?) (?P<d>\d+(?:\.\d+)?)\s?ms|[Tt]ime-?out \(?>?\s?(?P<e>\d+(?:\.\d+)?)\s?s"
    r"|after (?P<f>\d+(?:\.\d+)?) ?(?:s|sec|seconds)\b"
)
_TEST_TIMEOUT = re.compile(
    r"Test timeout of [\d.]+\s?ms exceeded|[Ee]xceeded timeout of [\d.]+\s?ms for a (?:test|hook)|"
    r"Test timed out in [\d.]+\s?ms|hook timeout of|Failed: Timeout \(?>|test timed out after|"
    r"Timeout of [\d.]+\s?ms exceeded\. For async tests|did not complete within"
)
_POLLING = re.compile(
    r"^[ \t]*+-[ \t]++Expect \"|\d × |locator resolved to|Timed out retrying", re.MULTILINE
)
_NOTHING = "<element(s) not found>"
"""Told as received by Playwright before 1.50."""
_NETWORK = re.compile(
    r"net::(?P<chrome>ERR_[A-Z_]+)|\bNS_ERROR_(?P<gecko>[A-Z_]+)"
    r"|\b(?P<node>ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|ENETUNREACH|ECONNABORTED)\b"
    r"|(?P<text>[Cc]onnection refused|[Cc]onnection reset|socket hang up|Name or service not known|"
    r"Temporary failure in name resolution|No route to host|Network is unreachable|Remote end closed connection"
    r"|RemoteDisconnected|Connection aborted|Read timed out|ConnectTimeout\w*|SSLError|CERTIFICATE_VERIFY_FAILED|"
    r"certificate has expired|self[- ]signed certificate|NameResolutionError|UnknownHostException|ConnectException)"
)
_URL = re.compile(r"\b(?:https?|wss?)://(?:\[[0-9a-fA-F:.]+\])?[^\s\"'<>)\[\]]+")
_URL_PATH = re.compile(r"with url: (?P<path>/[^\s]*)")
_POOL = re.compile(r"ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\)")
_STATUS = re.compile(
    r"\b(?:status(?: ?code)?|HTTP(?:/\d(?:\.\d)?)?)[\s:=]+(?P<a>[1-5]\d\d)\b|\b(?P<b>[45]\d\d) (?:Client|Server) Error\b"
    r"|<Response \[(?P<c>[1-5]\d\d)\]>|[Rr]esponse code (?:is |was )?(?P<d>[1-5]\d\d)",
    re.IGNORECASE,
)
_CODE_MARK = re.compile(r"^\s*>\s*(?:\d+\s*\|\s*)?(?P<code>\S.*)$")
_CODE_LINE = re.compile(r"^\s*(?P<number>\d+)\s*\|\s?(?P<code>.*)$")
_PYTEST_SOURCE = re.compile(r"^(?:    |>   )\s*(?P<code>\S.*)$")
_AMBIGUOUS = re.compile(
    r"strict mode violation|resolved to \d+ elements:|(?:found|matched) multiple|multiple elements",
    re.IGNORECASE,
)
_LISTED = re.compile(r"\s*+>?\s*+\d++\s*+\|")
_SETUP = re.compile(
    r"\b(?:beforeAll|beforeEach|before all|before each|globalSetup|setUp|setUpClass|fixture)\b"
    r".{0,300}?(?:hook|failed|error|not found)"
    r"|^E?[ \t]*+fixture '|failed on setup|error at setup|ERROR at setup|hook timeout",
    re.IGNORECASE | re.MULTILINE,
)
_ASSERT = re.compile(r"\bassert")
_CRASH = re.compile(
    r"Target (?:page, context or browser )?(?:has been )?(?:closed|crashed)|browser has been closed|Page crashed|page crashed"
    r"|Worker process exited|worker .{1,40}crashed|Segmentation fault|SIGSEGV|SIGKILL|SIGABRT|core dumped"
)


def read_facts(failure: Failure, status: Status | None = None) -> Facts:
    """Read one failure.

    Args:
        failure: As a reader gave it.
        status: How the attempt ended, when it is an attempt's failure.

    Returns:
        What its text tells. Never raises: a text that tells nothing yields a headline.
    """
    text = failure.text[:MAX_TEXT]
    said = essence(failure.text[:MAX_MARKED])[:MAX_TEXT]
    error_type, headline = _headline(failure, said)
    expected, received, has_received = _values(text)
    network = _network(said)
    action = _first(_ACTION, text)
    matcher = _first(_MATCHER, headline if action else text)
    is_test_timeout = bool(_TEST_TIMEOUT.search(text)) or status == "timed_out"
    timeout = _timeout_ms(said)
    not_found = bool(_NOT_FOUND.search(text))
    locator = _locator(text)
    if action and locator and timeout and "resolved to" not in text:
        not_found = True
    code, before = _code(text)
    frames = read_frames(text)
    facts = Facts(
        failure=failure,
        symptom=Symptom.OTHER,
        headline=headline,
        error_type=error_type,
        matcher=matcher or ("assert" if code.startswith("assert") else ""),
        action=action,
        locator=locator,
        expected=expected,
        received=received,
        has_received=has_received,
        not_found=not_found and not (has_received and received not in {"", '""', "0", "hidden"}),
        is_ambiguous=bool(_AMBIGUOUS.search(said)),
        timeout_ms=timeout,
        is_test_timeout=is_test_timeout,
        is_polling=bool(_POLLING.search(text)) or bool(action and timeout),
        network_error=network,
        url=_url(said),
        http_status=_http_status(said, code, expected, received),
        code=code,
        code_before=before,
        frames=frames,
        own=own_frame(frames),
        trouble=name_trouble(headline if not network else f"{headline}\n{network}"),
    )
    return replace(facts, symptom=_symptom(facts, text))


def essence(text: str) -> str:
    """What the failure says, without the source code that is shown with it.

    pytest marks what it says by `E`; others number the source lines that they show. The source of
    a library may speak of any error under the sun.
    """
    marked = [m["text"] for m in _PYTHON_ERROR.finditer(text)]
    if marked:
        return "\n".join([text.partition("\n")[0], *marked])
    return "\n".join(line for line in text.splitlines() if not _LISTED.match(line))


def _headline(failure: Failure, said: str) -> tuple[str, str]:
    """Error class and the first line that says something."""
    lines = [line for line in said.splitlines() if line.strip()]
    # pytest tells a chain of errors from the inside out; the last is the one that failed the test.
    marked = [m["text"] for m in _PYTHON_ERROR.finditer(failure.text[:MAX_MARKED])]
    for line in [*lines[:1], *reversed(marked), *lines]:
        match = _HEAD.match(line)
        if match:
            rest = match["rest"].strip()
            return match["type"], rest or match["type"]
        if line.startswith("Error: "):
            return "Error", line[len("Error: ") :].strip()
    error = (
        raised(said) if lines and lines[0].startswith("Traceback (most recent call last)") else None
    )
    if error:
        return error[0], error[1] or error[0]
    headline = next(iter(marked or lines), "").strip()
    return failure.type if failure.type.upper() != "FAILURE" else "", headline


def _values(text: str) -> tuple[str, str, bool]:
    expected = _value(_EXPECTED, text)
    received = _value(_RECEIVED, text)
    if received == _NOTHING:
        return expected or "", "", False
    if expected is not None and received is not None:
        return expected, received, True
    for pattern in _PAIRS:
        match = pattern.search(text)
        if match:
            return match["expected"], match["received"], True
    return expected or "", received or "", received is not None


def _value(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    for pattern in patterns:
        match = pattern.search(text)
        if match:
            return match["value"].strip()
    return None


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return next((group for group in match.groups() if group), "") if match else ""


def _network(text: str) -> str:
    match = _NETWORK.search(text)
    return next((group for group in match.groups() if group), "") if match else ""


def _locator(text: str) -> str:
    match = _LOCATOR.search(text) or _ELEMENT.search(text)
    if not match:
        return ""
    value = match["value"].strip()
    return re.sub(r"\s+to be (?:visible|attached|enabled|hidden)$", "", value)


def _timeout_ms(text: str) -> float | None:
    match = _WAIT.search(text)
    if not match:
        return None
    milliseconds = match["a"] or match["b"] or match["c"] or match["d"]
    return float(milliseconds) if milliseconds else 1000 * float(match["e"] or match["f"])


def _url(text: str) -> str:
    match = _URL.search(text)
    if match and _is_url(match.group()):
        return match.group().rstrip(".,;:")
    pool, path = _POOL.search(text), _URL_PATH.search(text)
    return f"http://{pool['host']}:{pool['port']}{path['path'] if path else ''}" if pool else ""


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:  # a broken IPv6 address, or letters that a host may not have
        return False


def _http_status(text: str, code: str, expected: str, received: str) -> int | None:
    """The error status that the test received and did not want."""
    is_pair = _is_status(received) and _is_status(expected)
    if is_pair or ("status" in code.lower() and _is_status(received)):
        return int(received) if int(received) >= 400 else None  # noqa: PLR2004 (HTTP errors)
    for match in _STATUS.finditer(text):
        status = int(next(group for group in match.groups() if group))
        if status >= 400 and str(status) != expected:  # noqa: PLR2004 (the first error status)
            return status
    return None


def _is_status(value: str) -> bool:
    return len(value) == 3 and value.isdigit() and "1" <= value[0] <= "5"  # noqa: PLR2004 (digits of a status)


def _code(text: str) -> tuple[str, tuple[str, ...]]:
    """The marked source line and the ones shown before it."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        match = _CODE_MARK.match(line)
        if not match:
            continue
        before: list[str] = []
        numbered = "|" in line[: line.find(match["code"])]
        for earlier in reversed(lines[:index]):
            if not earlier.strip():
                continue
            shown = _CODE_LINE.match(earlier) if numbered else _PYTEST_SOURCE.match(earlier)
            if not shown:
                break
            before.append(shown["code"].strip())
        return match["code"].strip(), tuple(reversed(before[:12]))
    return "", ()


def _symptom(facts: Facts, text: str) -> Symptom:
    """What the test saw, the most telling sign first."""
    if _CRASH.search(text):
        return Symptom.CRASH
    if facts.network_error:
        return Symptom.NETWORK
    if _SETUP.search(text):
        return Symptom.SETUP
    waited = facts.timeout_ms is not None
    if facts.is_test_timeout or (waited and facts.action) or "Timeout" in facts.error_type:
        return Symptom.TIMEOUT
    if facts.matcher or facts.has_received or "Assert" in facts.error_type or _ASSERT.search(text):
        return Symptom.ASSERTION
    return Symptom.TIMEOUT if waited else Symptom.OTHER
