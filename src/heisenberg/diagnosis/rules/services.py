"""Rules that read what the services logged near the failure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Claim
from heisenberg.diagnosis.context import cite_record
from heisenberg.hosts import is_database, is_store
from heisenberg.model.correlation import SuspectKind
from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from heisenberg.diagnosis.claim import Citation
    from heisenberg.diagnosis.context import Context
    from heisenberg.model.correlation import Suspect

_POOL = re.compile(r"pool|couldn'?t get a connection", re.IGNORECASE)
_EXPIRY = re.compile(
    r"expire|not yet valid|before issued|in the future|skew|stale token", re.IGNORECASE
)
_SCHEMA = re.compile(
    r"does not exist|no such (?:table|column)|undefined ?(?:table|column)|unknown column|migration",
    re.IGNORECASE,
)
_MEMORY = re.compile(r"out of memory|oom|memory", re.IGNORECASE)
_TIMED_OUT = re.compile(r"time[sd]?[- ]?out|deadline", re.IGNORECASE)

_TROUBLE = (SuspectKind.EXCEPTION, SuspectKind.ERROR, SuspectKind.REQUEST, SuspectKind.WARNING)


def outage(context: Context) -> Claim | None:
    """A service was away while the tests ran."""
    cause = context.cause
    if cause is None or cause.kind is not SuspectKind.OUTAGE:
        return None
    texts = f"{cause.service} {cause.root.message}"
    back = ", and came back" if cause.until else " and did not come back"
    away = f" for {(cause.until - cause.time).total_seconds():.1f} s" if cause.until else ""
    citations = (
        *cite_record(cause.root),
        *_cite_chain(cause),
        *_cite_related(context),
        *context.cite_symptom(),
    )
    crash = _crash_before(context, cause)
    if crash is not None:
        error = crash.error
        return Claim(
            Owner.PRODUCT,
            Mechanism.PROCESS_CRASH,
            0.6 * cause.score + 0.2,
            cause.service,
            f"{cause.service} crashed during the run: {error or crash.root.message}.",
            f"Fix the error that took {cause.service} down{_at(crash)}, and let it fail one request rather than the process.",
            (*cite_record(crash.root, error), *citations),
        )
    if cause.trouble is Mechanism.RESOURCE_EXHAUSTION:
        is_leak = bool(_LEAK.search("\n".join(cause.telling)))
        return Claim(
            Owner.PRODUCT if is_leak else Owner.ENVIRONMENT,
            Mechanism.RESOURCE_EXHAUSTION,
            cause.score,
            cause.service,
            f"{cause.service} ran out of a resource and died: {next(iter(cause.telling), cause.root.message)}.",
            f"Find what {cause.service} uses up, or give it more of it.",
            (*cite_record(cause.root, *cause.telling), *citations),
        )
    if cause.trouble is Mechanism.CONFIGURATION:
        return Claim(
            Owner.ENVIRONMENT,
            Mechanism.CONFIGURATION,
            cause.score,
            cause.service,
            f"{cause.service} is not running, and its last words are of its set-up: {next(iter(cause.telling), '')}.",
            f"Supply the setting or file that {cause.service} needs to start.",
            (*cite_record(cause.root, *cause.telling), *citations),
        )
    if cause.trouble is Mechanism.UNHANDLED_EXCEPTION and not cause.until:
        return Claim(
            Owner.PRODUCT,
            Mechanism.PROCESS_CRASH,
            cause.score,
            cause.service,
            f"{cause.service} died of an error: {next(iter(cause.telling), cause.root.message)}.",
            f"Catch the error where it is raised, so that it fails one request rather than all of {cause.service}.",
            (*cite_record(cause.root, *cause.telling), *citations),
        )
    if not cause.was_up and not is_database(texts):
        return Claim(
            Owner.ENVIRONMENT,
            Mechanism.DEPENDENCY_DOWN,
            cause.score,
            cause.service,
            f"{cause.service} was not running during the run.",
            f"Start {cause.service} before the tests, and wait until it answers.",
            citations,
        )
    if is_database(texts):
        return Claim(
            Owner.ENVIRONMENT,
            Mechanism.DATABASE_CONNECTION,
            cause.score,
            cause.service,
            f"The database {cause.service} was shut down or restarted during the run{away}{back}; "
            "requests in flight broke.",
            f"Find out what stopped {cause.service} in mid-run (orchestration, memory, another job) and keep it up; "
            "let its clients reconnect and retry.",
            citations,
        )
    if is_store(texts):
        return Claim(
            Owner.ENVIRONMENT,
            Mechanism.DEPENDENCY_DOWN,
            cause.score,
            cause.service,
            f"{cause.service} was away during the run{away}{back}; what depends on it failed meanwhile.",
            f"Find out what stopped {cause.service} and keep it up for the whole run.",
            citations,
        )
    return Claim(
        Owner.ENVIRONMENT,
        Mechanism.PROCESS_CRASH,
        cause.score,
        cause.service,
        f"The {cause.service} process went away during the run{away}{back}; tests that needed it meanwhile failed.",
        f"Look for what ended {cause.service} (killed, out of memory, redeployed, crashed) in the host's or orchestrator's log; "
        "restart policies hide it.",
        citations,
    )


def _crash_before(context: Context, cause: Suspect) -> Suspect | None:
    """An error of the same service in its last moments."""
    return next(
        (
            s
            for s in context.related
            if s.kind is SuspectKind.EXCEPTION
            and s.service == cause.service
            and s.trouble in (Mechanism.UNHANDLED_EXCEPTION, Mechanism.PROCESS_CRASH)
            and 0 <= (cause.time - s.time).total_seconds() <= 3  # noqa: PLR2004 (last moments)
        ),
        None,
    )


def crashed(context: Context) -> Claim | None:
    """An error took its whole process down."""
    cause = context.cause
    if cause is None or cause.kind is not SuspectKind.EXCEPTION:
        return None
    end = next((s for s in context.related if _is_end_of(s, cause)), None)
    if end is None:
        return None
    return Claim(
        Owner.PRODUCT,
        Mechanism.PROCESS_CRASH,
        min(0.95, cause.score * 1.1),
        cause.service,
        f"{cause.error or cause.root.message} took the {cause.service} process down.",
        f"Catch the error{_at(cause)} where it is raised, so that it fails one request rather than the process.",
        (*_cite(context, cause.error), *cite_record(end.root)),
    )


def _is_end_of(other: Suspect, cause: Suspect) -> bool:
    """Whether it tells that the service of the cause went down right after it."""
    if not -1 <= (other.time - cause.time).total_seconds() <= 5:  # noqa: PLR2004 (right after)
        return False
    if other.kind is SuspectKind.OUTAGE:
        return other.service == cause.service
    return other.trouble is Mechanism.PROCESS_CRASH and cause.service in (
        other.service,
        other.dependency,
    )


def raced(context: Context) -> Claim | None:
    """A service failed at something that works at other times, on the same code and data."""
    cause = context.cause
    if cause is None or cause.kind not in (SuspectKind.EXCEPTION, SuspectKind.ERROR):
        return None
    says_so = cause.trouble is Mechanism.RACE
    plain = cause.trouble in (Mechanism.UNKNOWN, Mechanism.UNHANDLED_EXCEPTION)
    if not says_so and not (context.is_flaky and plain):
        return None
    error = cause.error
    return Claim(
        Owner.PRODUCT,
        Mechanism.RACE,
        cause.score * (0.85 if says_so else 0.7),
        cause.service,
        f"{cause.service} fails now and then under concurrent work: {error or cause.root.message}.",
        f"Make the operation{_at(cause)} safe against concurrent change (take a snapshot, lock, or retry), "
        "and test it under parallel load.",
        _cite(context, error),
    )


def named_trouble(context: Context) -> Claim | None:
    """The logs name a well-known kind of trouble."""
    cause = context.cause
    if cause is None or cause.kind not in _TROUBLE:
        return None
    reading = _READINGS.get(cause.trouble)
    if reading is None:
        return None
    owner, factor, sentence, fix = reading
    error = cause.error
    joined = "\n".join((cause.root.message, error, *cause.telling))
    component = cause.service
    mechanism = cause.trouble
    if mechanism in _REMOTE:
        component = cause.dependency or cause.service
        if cause.outside and mechanism is not Mechanism.AUTH:
            # Credentials that another party refuses are ours to renew.
            owner, component = Owner.EXTERNAL, cause.outside
    if mechanism is Mechanism.DATABASE_CONNECTION and not _POOL.search(joined):
        owner, component = Owner.ENVIRONMENT, cause.dependency or cause.service
    if mechanism is Mechanism.DATABASE_CONNECTION and owner is Owner.PRODUCT:
        sentence = "{service} runs out of database connections: {error}."
    if mechanism is Mechanism.AUTH and (_EXPIRY.search(joined) and context.offsets):
        owner, mechanism, factor = Owner.ENVIRONMENT, Mechanism.CLOCK, 1.2
        sentence = (
            "The clock of {service} is off, so that to it things expire at the wrong time: {error}."
        )
        fix = "Synchronise the clock of {service} with the others."
    if mechanism is Mechanism.CONFIGURATION and _SCHEMA.search(joined):
        fix = "Apply the migrations that the code needs before the tests start, or roll the code back."
    if mechanism is Mechanism.DEPENDENCY_DOWN and _is_misdirected(context, cause):
        owner, mechanism, component = Owner.ENVIRONMENT, Mechanism.CONFIGURATION, cause.service
        sentence = f"{{service}} looks for {cause.dependency} at {cause.address}, where it does not listen: {{error}}."
        fix = f"Correct the address of {cause.dependency} in the settings of {{service}}."
    change = next((r for r in cause.chain if _SCHEMA_CHANGE.search(r.message)), None)
    if mechanism is Mechanism.DATABASE_LOCK and change is not None:
        owner, component = Owner.ENVIRONMENT, change.service
        sentence = "A change of the schema holds the lock that {service} waits for: {error}."
        fix = "Keep migrations and maintenance out of the time of the run, or give them a short lock time-out."
    if mechanism is Mechanism.SHARED_STATE and _GENERATED.search(joined):
        owner, mechanism = Owner.PRODUCT, Mechanism.RANDOMNESS
        sentence = "{service} makes up the same key twice: {error}."
        fix = "Draw keys from a space that is large enough, or let the database number them{place}."
    if mechanism is Mechanism.RESOURCE_EXHAUSTION and _LEAK.search(joined):
        owner = Owner.PRODUCT
        fix = "Find what {service} keeps open or in memory{place}, and release it on all paths."
    what = (error or cause.root.message).rstrip(".")
    return Claim(
        owner,
        mechanism,
        min(1.0, cause.score * factor),
        component,
        sentence.format(service=cause.service, component=component, error=what),
        fix.format(service=cause.service, component=component, place=_at(cause)),
        _cite(context, error),
    )


def _is_misdirected(context: Context, cause: Suspect) -> bool:
    """The dependency runs, and listens at another port than the one that was tried."""
    port = cause.address.rpartition(":")[2]
    return bool(port) and port not in context.ports and cause.dependency in context.ports.values()


_DRAWN = re.compile(r"random|faker|shuffle|choice\(", re.IGNORECASE)
_SCHEMA_CHANGE = re.compile(
    r"\b(?:(?:ALTER|LOCK|TRUNCATE|DROP) TABLE|CREATE (?:UNIQUE )?INDEX|VACUUM FULL|REINDEX) \w",
    re.IGNORECASE,
)
_GENERATED = re.compile(r"_pkey\b|for key '(?:\w+\.)?PRIMARY'|pk_\w+|PRIMARY KEY", re.IGNORECASE)
"""The key of a row itself, which no test chooses."""
_LEAK = re.compile(
    r"too many open files|EMFILE|heap out of memory|java\.lang\.OutOfMemory|Java heap|GC overhead|new thread|native thread",
    re.IGNORECASE,
)
"""What a process uses up by itself, where disk and memory of the machine are everybody's."""

_REMOTE = frozenset(
    {
        Mechanism.DNS,
        Mechanism.TLS,
        Mechanism.NETWORK,
        Mechanism.DEPENDENCY_DOWN,
        Mechanism.RATE_LIMIT,
        Mechanism.BACKEND_ERROR,
        Mechanism.TIMEOUT_BUDGET,
        Mechanism.AUTH,
    }
)

_READINGS: dict[Mechanism, tuple[Owner, float, str, str]] = {
    Mechanism.DATABASE_LOCK: (
        Owner.PRODUCT,
        0.9,
        "Transactions of {service} wait for each other's locks: {error}.",
        "Take locks in one order and keep transactions short{place}; retry on deadlock.",
    ),
    Mechanism.DATABASE_CONNECTION: (
        Owner.PRODUCT,
        0.9,
        "{service} loses its database connection: {error}.",
        "Return every connection to the pool on all paths{place}, and size the pool for the load.",
    ),
    Mechanism.RESOURCE_EXHAUSTION: (
        Owner.ENVIRONMENT,
        0.88,
        "{service} ran out of a resource: {error}.",
        "Give the job the disk, memory or handles that it needs, and look for what uses them up.",
    ),
    Mechanism.RATE_LIMIT: (
        Owner.ENVIRONMENT,
        0.85,
        "{component} turned requests away for coming too fast: {error}.",
        "Raise the limit for the test environment, or slow down and honour Retry-After.",
    ),
    Mechanism.TLS: (
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot agree on TLS with {component}: {error}.",
        "Renew or trust the certificate of {component}.",
    ),
    Mechanism.DNS: (
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot resolve the name of {component}: {error}.",
        "Check the name in the settings of {service} and the resolver of the test environment.",
    ),
    Mechanism.CLOCK: (
        Owner.ENVIRONMENT,
        0.85,
        "The clocks disagree: {error}.",
        "Synchronise the clocks of the machines, and allow some leeway where times are compared.",
    ),
    Mechanism.AUTH: (
        Owner.ENVIRONMENT,
        0.7,
        "{service} is refused or refuses credentials: {error}.",
        "Check the credentials that the test environment gives to {service} and when they expire.",
    ),
    Mechanism.CONFIGURATION: (
        Owner.ENVIRONMENT,
        0.85,
        "{service} is not set up as it needs: {error}.",
        "Supply the missing setting, file or schema to {service} in the test environment.",
    ),
    Mechanism.PROCESS_CRASH: (
        Owner.ENVIRONMENT,
        0.8,
        "A process of {service} died: {error}.",
        "Find out what ended the process (memory, signal, fault) and keep it from happening again.",
    ),
    Mechanism.SHARED_STATE: (
        Owner.TEST,
        0.85,
        "Two tests use the same data, and the second finds it taken: {error}.",
        "Give each test its own data (a unique name per run and worker), or clean it up before.",
    ),
    Mechanism.DEPENDENCY_DOWN: (
        Owner.ENVIRONMENT,
        0.9,
        "{service} cannot reach {component}: {error}.",
        "Start {component} before the tests and wait until it answers; check its address in the settings of {service}.",
    ),
    Mechanism.BACKEND_ERROR: (
        Owner.PRODUCT,
        0.9,
        "{component} answers {service} with an error: {error}.",
        "Look into {component} at that moment: its own log has, or should have, the reason.",
    ),
    Mechanism.TIMEOUT_BUDGET: (
        Owner.PRODUCT,
        0.8,
        "{component} takes longer to answer than {service} waits: {error}.",
        "Find out what makes {component} slow, or give the call a budget that fits it.",
    ),
    Mechanism.NETWORK: (
        Owner.ENVIRONMENT,
        0.8,
        "The connection from {service} to {component} broke: {error}.",
        "Check the network between {service} and {component}; retry what is safe to repeat.",
    ),
}
"""Whose it is by default, how sure, the sentence and the fix."""


def unhandled_exception(context: Context) -> Claim | None:
    """A service's own code raised an error that it did not handle."""
    cause = context.cause
    if cause is None or cause.kind is not SuspectKind.EXCEPTION:
        return None
    factor = {Mechanism.UNHANDLED_EXCEPTION: 0.92, Mechanism.UNKNOWN: 0.85}.get(cause.trouble, 0.25)
    if context.is_flaky:
        factor *= 0.6
    error = cause.error
    request = _request(cause)
    doing = f" while serving {request}" if request else ""
    return Claim(
        Owner.PRODUCT,
        Mechanism.UNHANDLED_EXCEPTION,
        cause.score * factor,
        cause.service,
        f"{cause.service} raises {error or cause.root.message}{doing}.",
        f"Handle the case{_at(cause)} that leads to this error, and cover it with a test of {cause.service} alone.",
        _cite(context, error),
    )


def backend_error(context: Context) -> Claim | None:
    """A service answered with 5xx, or logged an error, and says no more."""
    cause = context.cause
    if cause is None or cause.kind not in (SuspectKind.REQUEST, SuspectKind.ERROR):
        return None
    statuses = [r.status for r in (cause.root, *cause.chain) if r.status]
    is_5xx = any(s >= 500 for s in statuses)  # noqa: PLR2004 (HTTP classes)
    if cause.kind is SuspectKind.REQUEST and not is_5xx:
        return None
    if cause.trouble not in (Mechanism.UNKNOWN, Mechanism.UNHANDLED_EXCEPTION):
        return None
    request = _request(cause)
    what = cause.root.message.rstrip(".") or request
    owner, mechanism = Owner.PRODUCT, Mechanism.BACKEND_ERROR
    outside = cause.outside
    if outside:
        owner, mechanism = Owner.EXTERNAL, Mechanism.DEPENDENCY_DOWN
    component = outside or cause.service
    return Claim(
        owner,
        mechanism,
        cause.score * (0.85 if is_5xx or outside else 0.65),
        component,
        f"{cause.service} answers {request or 'requests'} with an error: {what}.",
        f"Look into {component} at that moment; log the cause beside the error so that it can be told.",
        _cite(context, ""),
        missing=()
        if outside
        else (f"the stack trace behind this error in the log of {cause.service}",),
    )


def refused_request(context: Context) -> Claim | None:
    """A request was refused with 4xx where the test needed it."""
    cause = context.cause
    if cause is None or cause.kind is not SuspectKind.REQUEST:
        return None
    status = cause.status or 0
    reading = _REFUSALS.get(status) or (_REFUSALS[400] if 400 <= status < 500 else None)  # noqa: PLR2004 (HTTP classes)
    if reading is None:
        return None
    owner, mechanism, strength, why, fix = reading
    if context.offsets and _EXPIRY.search(cause.root.message):
        return None  # a clock that is off is what expires things too soon
    if _DRAWN.search(context.code):
        strength *= 0.25  # what the test sends is left to chance
    return Claim(
        owner,
        mechanism,
        min(1.0, cause.score * strength),
        cause.service,
        f"{_request(cause)} was refused with {status}: {why}.",
        fix,
        _cite(context, ""),
    )


_REFUSALS: dict[int, tuple[Owner, Mechanism, float, str, str]] = {
    400: (
        Owner.PRODUCT,
        Mechanism.LOGIC_ERROR,
        1.3,
        "client and server do not agree on the request",
        "Compare what the client sends with what the server accepts, and mend the side that changed.",
    ),
    401: (
        Owner.PRODUCT,
        Mechanism.AUTH,
        1.4,
        "the session or token was not accepted",
        "Find out why the credentials of the test were not accepted: expired, not sent, or signed with another key.",
    ),
    403: (
        Owner.PRODUCT,
        Mechanism.AUTH,
        1.4,
        "the user may not do this",
        "Check the permissions of the test's user against what the endpoint demands.",
    ),
    409: (
        Owner.TEST,
        Mechanism.SHARED_STATE,
        1.6,
        "it conflicts with what is there already",
        "Give each test its own data, or clean up what an earlier one left.",
    ),
    429: (
        Owner.ENVIRONMENT,
        Mechanism.RATE_LIMIT,
        1.1,
        "too many requests",
        "Raise the limit for the test environment, or slow down and honour Retry-After.",
    ),
}


def slow_request(context: Context) -> Claim | None:
    """A request took longer than the test was willing to wait."""
    cause = context.cause
    slow = next((s for s in (cause, *context.related) if s and s.kind is SuspectKind.SLOW), None)
    if slow is None:
        return None
    took = (slow.root.duration_ms or 0) / 1000
    request = _request(slow)
    return Claim(
        Owner.PRODUCT,
        Mechanism.TIMEOUT_BUDGET,
        min(0.75, slow.score * 1.4) if slow is cause else slow.score * 0.6,
        slow.service,
        f"{slow.service} took {took:.1f} s to answer {request or 'a request'}, longer than the test waits.",
        f"Find out what makes {request or 'the request'} slow, or give the wait a budget that fits it.",
        (*cite_record(slow.root), *context.cite_symptom()),
    )


def _at(suspect: Suspect) -> str:
    return f" at {suspect.place}" if suspect.place else ""


def _request(suspect: Suspect) -> str:
    record = next((r for r in (suspect.root, *suspect.chain) if r.path), None)
    return f"{record.method} {record.path}".strip() if record else ""


def _cite(context: Context, error: str) -> tuple[Citation, ...]:
    """The root first, then what followed from it, then what the test saw."""
    cause = context.cause
    if cause is None:
        return context.cite_symptom()
    root = cite_record(cause.root, error, *cause.telling, cause.root.message)
    return (*root, *_cite_chain(cause), *_cite_related(context), *context.cite_symptom())


def _cite_chain(cause: Suspect) -> tuple[Citation, ...]:
    return tuple(c for record in cause.chain[:3] for c in cite_record(record)[:1])


def _cite_related(context: Context) -> tuple[Citation, ...]:
    """What else the logs show of the same trouble, from other services."""
    cause = context.cause
    if cause is None:
        return ()
    near = [
        s
        for s in context.related
        if s is not cause
        and s.signature != cause.signature
        and (s.score >= 0.35 or s.trouble is cause.trouble)  # noqa: PLR2004 (well suspected itself)
        and s.trouble is not Mechanism.UNKNOWN
        and abs((s.time - cause.time).total_seconds()) <= 5  # noqa: PLR2004 (the same moment)
    ]
    return tuple(c for s in near[:2] for c in cite_record(s.root, s.error, *s.telling)[:1])
