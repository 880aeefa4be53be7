"""Rules about a value that is there and is not the expected one."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Claim
from heisenberg.diagnosis.rules.code import DRAWN, SLEEP
from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from heisenberg.diagnosis.claim import Citation
    from heisenberg.diagnosis.context import Context
    from heisenberg.model.facts import Facts

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_DATE = re.compile(
    r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[/.]\d{1,2}[/.]\d{2,4}\b|\b\d{1,2}:\d\d(?::\d\d)?\b"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2}\b|\b(?:Mon|Tue|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
)
_NOW = re.compile(
    r"new Date\(|Date\.now|datetime\.(?:now|utcnow|today)|date\.today|time\.time\(|Instant\.now|LocalDate"
    r"|time\.Now|DateTime\.(?:Utc)?Now|Time\.(?:now|zone)"
)
_LOCAL_NOW = re.compile(
    r"date\.today\(\)|datetime\.(?:now|today)\(\)|LocalDate(?:Time)?\.now\(\)|DateTime\.(?:Now|Today)"
    r"|toLocale\w*\(|getDate\(|getHours\("
)
_UTC = re.compile(r"UTC|utc|toISOString|getUTC")
_COUNT = re.compile(
    r"toHaveCount|toHaveLength|\blen\(|\.count\(|\.length\b|\.size\(|hasSize|have_length|assertCount|should\('have\.length"
    r"|[-_ '\"](?:count|badge|counter)\b"
)
_PARALLEL = re.compile(
    r"ThreadPool|Thread\(|threading|concurren|parallel|asyncio\.gather|Promise\.all|simultaneous|goroutine|ExecutorService",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[\w.$-]+")


def wrong_number(context: Context) -> Claim | None:
    """A number is computed or counted wrong."""
    f = context.fact
    if not f.has_received or f.http_status or _is_blank(f.received) or _is_status(f):
        return None
    expected, received = _NUMBER.findall(f.expected), _NUMBER.findall(f.received)
    if not expected or not received or expected == received or _DATE.search(f.received):
        return None
    strength = 0.7 if _same_words(f.expected, f.received) else 0.45
    if context.is_flaky:
        strength *= 0.35
    elif (
        _single(f.expected) == 0
        or _PARALLEL.search(context.code)
        or _COUNT.search(f"{f.code} {f.locator}")
    ):
        strength *= 0.7
    way = ", and nothing failed on the way" if context.has_logs else ""
    return Claim(
        Owner.PRODUCT,
        Mechanism.LOGIC_ERROR,
        strength,
        _component(context),
        f"{_subject(context)} is {f.received} where {f.expected} is right{way}: it is computed wrong.",
        "Trace the value from the page or answer back to where it is computed; check the rule, then the test's number.",
        _cite(context),
    )


def wrong_text(context: Context) -> Claim | None:
    """A text is there, in other words than expected."""
    f = context.fact
    if not f.has_received or _is_blank(f.received) or f.http_status:
        return None
    if _FLAG.fullmatch(f.expected) or _FLAG.fullmatch(f.received):
        return None
    words = _LETTERS.findall(f.expected), _LETTERS.findall(f.received)
    if (
        not all(words)
        or f.expected == f.received
        or _NUMBER.findall(f.expected) != _NUMBER.findall(f.received)
    ):
        return None
    common = {w.lower() for w in words[0]} & {w.lower() for w in words[1]}
    is_copy = bool(f.locator) or len(words[0]) > 1
    strength = 0.6 if is_copy and (common or len(words[1]) > 1) else 0.4
    if _STATE.fullmatch(f.expected) and _STATE.fullmatch(f.received):
        strength = 0.25  # a state that was not reached, rather than another wording
    if context.is_flaky:
        strength *= 0.4
    return Claim(
        Owner.TEST,
        Mechanism.WRONG_EXPECTATION,
        strength,
        "test",
        f"{_subject(context)} reads {f.received} where the test expects {f.expected}: the wording has changed.",
        "Check the wording with the product; update the test if the change was meant, else the text.",
        _cite(context),
    )


def wrong_value(context: Context) -> Claim | None:
    """A value of another kind is wrong: a state, a flag, nothing at all."""
    f = context.fact
    if not f.has_received or not f.expected or f.http_status:
        return None
    if wrong_number(context) or wrong_text(context):
        return None
    strength = 0.3 if _is_blank(f.received) else 0.35
    if context.is_flaky:
        strength *= 0.5
    return Claim(
        Owner.PRODUCT,
        Mechanism.LOGIC_ERROR,
        strength,
        _component(context),
        f"{_subject(context)} is {f.received or 'empty'} where the test expects {f.expected}.",
        "Trace the value back to where it is set, and compare with what the test assumes.",
        _cite(context),
    )


def lost_update(context: Context) -> Claim | None:
    """Fewer are counted than were made, and they were made side by side."""
    f = context.fact
    if not f.has_received or f.http_status or _is_status(f):
        return None
    expected, received = _single(f.expected), _single(f.received)
    if expected is None or received is None or received >= expected:
        return None
    title = context.tests[0].test.id.title if context.tests else ""
    if not _PARALLEL.search(f"{context.code}\n{title}"):
        return None
    return Claim(
        Owner.PRODUCT,
        Mechanism.RACE,
        0.75,
        _component(context),
        f"Of {expected:g} things done side by side only {received:g} are counted: one overwrites the other.",
        "Make the update atomic: count in one statement, or lock what is read before it is written.",
        _cite(context),
    )


def left_over_data(context: Context) -> Claim | None:
    """More is there than the test made: another test left it."""
    f = context.fact
    if not f.has_received or f.http_status or _is_status(f):
        return None
    expected, received = _single(f.expected), _single(f.received)
    if expected != 0 and not _COUNT.search(f"{f.code} {f.locator}"):
        return None
    if expected is None or received is None or received <= expected:
        return None
    if SLEEP.search("\n".join((*f.code_before, f.code))):
        return None
    if expected == 0 and received.is_integer():
        return Claim(
            Owner.TEST,
            Mechanism.ORDER_DEPENDENCY,
            0.6,
            "test",
            f"There are {received:g} where the test expects none: it holds only as long as no other test ran before it.",
            "Let the test start from a state that it makes itself, so that it passes in any order.",
            _cite(context),
        )
    return Claim(
        Owner.TEST,
        Mechanism.SHARED_STATE,
        0.5 if len(context.tests) == 1 and received - expected <= expected else 0.35,
        "test",
        f"There are {received:g} where the test expects {expected:g}: data of another test or an earlier run is still there.",
        "Give the test its own data, or clean up before it; assert on what it made rather than on all there is.",
        _cite(context),
    )


def wrong_time(context: Context) -> Claim | None:
    """A date or time is wrong."""
    f = context.fact
    if not f.has_received or _is_blank(f.received):
        return None
    dates = _DATE.findall(f.expected), _DATE.findall(f.received)
    if not all(dates) or dates[0] == dates[1]:
        return None
    now = bool(_NOW.search(context.code))
    is_local = bool(_LOCAL_NOW.search(context.code)) and not _UTC.search(context.code)
    return Claim(
        Owner.TEST if is_local else Owner.PRODUCT,
        Mechanism.CLOCK,
        0.75 if now else 0.55,
        "test" if is_local else _component(context),
        f"{_subject(context)} is {f.received} where {f.expected} is right: "
        "clock or time zone differ between where it is made and where it is shown.",
        "Keep times in UTC from end to end, convert only for display, and fix the clock in the test.",
        _cite(context),
    )


def other_order(context: Context) -> Claim | None:
    """The same things came in another order, or the test's own chance decides."""
    f = context.fact
    if not f.has_received:
        return None
    drawn = DRAWN.search(context.code)
    expected, received = _WORDS.findall(f.expected), _WORDS.findall(f.received)
    permuted = len(expected) > 1 and expected != received and Counter(expected) == Counter(received)
    if not permuted and not drawn:
        return None
    refused = f.http_status is not None and f.http_status < 500  # noqa: PLR2004 (HTTP classes)
    strength = 0.6 if permuted or refused or context.is_flaky else 0.35
    return Claim(
        Owner.TEST,
        Mechanism.RANDOMNESS,
        strength,
        "test",
        "The same items come in another order than the test expects."
        if permuted
        else "The test draws random data, and with some draws it fails.",
        "Sort before comparing, or ask the product for a defined order."
        if permuted
        else "Fix the seed or the data, and print the seed with the failure.",
        (*context.cite_failure(drawn.group() if drawn else ""), *_cite(context)),
    )


def wrong_status(context: Context) -> Claim | None:
    """The test itself received an HTTP status that it did not want, and no log tells why."""
    f = context.fact
    if f.http_status is None:
        return _other_success(context)
    drawn = f.http_status < 500 and DRAWN.search(context.code)  # noqa: PLR2004 (HTTP classes)
    owner, mechanism, strength = _STATUSES.get(
        f.http_status,
        (Owner.PRODUCT, Mechanism.BACKEND_ERROR, 0.6)
        if f.http_status >= 500  # noqa: PLR2004 (HTTP classes)
        else (Owner.PRODUCT, Mechanism.LOGIC_ERROR, 0.5),
    )
    return Claim(
        owner,
        mechanism,
        strength * 0.5 if drawn else strength,
        _component(context),
        f"The service answered {f.http_status} where the test expects {f.expected or 'success'}.",
        "Look up this request in the service's log: what it answered, and why.",
        _cite(context),
    )


def _other_success(context: Context) -> Claim | None:
    """Another status of success than expected, or success where refusal was expected."""
    f = context.fact
    if not (_is_status(f) and _IS_STATUS.fullmatch(f.expected)):
        return None
    if f.expected.startswith("2"):
        return Claim(
            Owner.TEST,
            Mechanism.WRONG_EXPECTATION,
            0.62,
            "test",
            f"The service answers {f.received} where the test expects {f.expected}; both mean success: "
            "the contract has changed.",
            "Check with the owner of the API which status is meant, and update the side that is behind.",
            _cite(context),
        )
    is_permission = f.expected in {"401", "403"}
    return Claim(
        Owner.PRODUCT,
        Mechanism.AUTH if is_permission else Mechanism.LOGIC_ERROR,
        0.62,
        _component(context),
        f"The service answers {f.received} where it should refuse with {f.expected}.",
        "Restore the check that refuses this request.",
        _cite(context),
    )


_FLAG = re.compile(r"[\"']?(?:true|false|null|none|nil|undefined|nan)[\"']?", re.IGNORECASE)
_STATE = re.compile(r"[\"']?[a-z_]+[\"']?")
_IS_STATUS = re.compile(r"[2-5]\d\d")


_STATUSES: dict[int, tuple[Owner, Mechanism, float]] = {
    401: (Owner.PRODUCT, Mechanism.AUTH, 0.5),
    403: (Owner.PRODUCT, Mechanism.AUTH, 0.5),
    409: (Owner.TEST, Mechanism.SHARED_STATE, 0.6),
    429: (Owner.ENVIRONMENT, Mechanism.RATE_LIMIT, 0.75),
    502: (Owner.ENVIRONMENT, Mechanism.DEPENDENCY_DOWN, 0.55),
    503: (Owner.ENVIRONMENT, Mechanism.DEPENDENCY_DOWN, 0.55),
    504: (Owner.ENVIRONMENT, Mechanism.DEPENDENCY_DOWN, 0.5),
}


def _is_status(f: Facts) -> bool:
    return "status" in f.failure.text.lower() and bool(_IS_STATUS.fullmatch(f.received))


def _is_blank(value: str) -> bool:
    return value.strip("\"'` ") == ""


def _same_words(one: str, other: str) -> bool:
    return _LETTERS.findall(one) == _LETTERS.findall(other)


def _single(text: str) -> float | None:
    found = _NUMBER.findall(text)
    try:
        return float(found[0].replace(",", "")) if len(found) == 1 else None
    except ValueError:
        return None


def _subject(context: Context) -> str:
    return context.fact.locator or "The value"


def _component(context: Context) -> str:
    """The service that the values come from, when only one speaks HTTP; else the page."""
    return context.answering[0] if context.answering else "product"


def _cite(context: Context) -> tuple[Citation, ...]:
    f = context.fact
    return (*context.cite_symptom(), *context.cite_failure(f"xpected: {f.expected}"))
