"""Rules about services that were away while the tests ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Claim
from heisenberg.diagnosis.context import cite_record
from heisenberg.diagnosis.rules.citing import at_place, cite_cause
from heisenberg.diagnosis.rules.readings import LEAK
from heisenberg.hosts import is_database, is_store
from heisenberg.model.correlation import SuspectKind
from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context
    from heisenberg.model.correlation import Suspect

LAST_MOMENTS_S = 3.0
"""Before a service goes, within which an error may be what took it down."""
RIGHT_AFTER_S = 5.0
"""After an error, within which the end of its process follows from it."""


def outage(context: Context) -> Claim | None:
    """A service was away, and nothing tells of a deeper reason."""
    cause = _outage_of(context)
    if cause is None or _fatal_error(context, cause) or _last_words(cause):
        return None
    name, away = cause.service, _away(cause)
    said = f"{name} {cause.root.message}"
    mechanism = Mechanism.PROCESS_CRASH
    sentence = (
        f"The {name} process went away during the run{away}; tests that needed it meanwhile failed."
    )
    fix = (
        f"Look for what ended {name} (killed, out of memory, redeployed, crashed) in the log of the host or "
        "orchestrator; restart policies hide it."
    )
    if is_database(said):
        mechanism = Mechanism.DATABASE_CONNECTION
        sentence = f"The database {name} was shut down or restarted during the run{away}; requests in flight broke."
        fix = f"Find out what stopped {name} in mid-run and keep it up; let its clients reconnect and retry."
    elif not cause.was_up:
        mechanism = Mechanism.DEPENDENCY_DOWN
        sentence = f"{name} was not running during the run."
        fix = f"Start {name} before the tests, and wait until it answers."
    elif is_store(said):
        mechanism = Mechanism.DEPENDENCY_DOWN
        sentence = f"{name} was away during the run{away}; what depends on it failed meanwhile."
        fix = f"Find out what stopped {name} and keep it up for the whole run."
    return Claim(
        Owner.ENVIRONMENT, mechanism, cause.score, name, sentence, fix, cite_cause(context)
    )


def died(context: Context) -> Claim | None:
    """A service that is away said last why it died."""
    cause = _outage_of(context)
    if cause is None:
        return None
    reason = _last_words(cause)
    if not reason:
        return None
    name = cause.service
    owner, mechanism = Owner.PRODUCT, Mechanism.PROCESS_CRASH
    sentence = f"{name} died of an error: {reason}."
    fix = f"Catch the error where it is raised, so that it fails one request rather than all of {name}."
    if cause.trouble is Mechanism.RESOURCE_EXHAUSTION:
        mechanism = Mechanism.RESOURCE_EXHAUSTION
        owner = Owner.PRODUCT if LEAK.search(reason) else Owner.ENVIRONMENT
        sentence = f"{name} ran out of a resource and died: {reason}."
        fix = f"Find what {name} uses up, or give it more of it."
    elif cause.trouble is Mechanism.CONFIGURATION:
        owner, mechanism = Owner.ENVIRONMENT, Mechanism.CONFIGURATION
        sentence = f"{name} is not running, and its last words are of its set-up: {reason}."
        fix = f"Supply the setting or file that {name} needs to start."
    return Claim(owner, mechanism, cause.score, name, sentence, fix, cite_cause(context))


def crashed(context: Context) -> Claim | None:
    """An error took its whole process down."""
    cause = context.cause
    if cause is None:
        return None
    if cause.kind is SuspectKind.OUTAGE:
        error = _fatal_error(context, cause)
        end: Suspect | None = cause
    else:
        error = cause if cause.kind is SuspectKind.EXCEPTION else None
        end = next((s for s in context.related if _is_end_of(s, cause)), None)
    if error is None or end is None:
        return None
    what = error.error or error.root.message
    return Claim(
        Owner.PRODUCT,
        Mechanism.PROCESS_CRASH,
        min(0.95, cause.score * 1.1),
        error.service,
        f"{what} took the {error.service} process down.",
        f"Catch the error{at_place(error)} where it is raised, so that it fails one request rather than the process.",
        (
            *cite_record(error.root, error.error),
            *cite_cause(context, cause.error),
            *cite_record(end.root),
        ),
    )


def _outage_of(context: Context) -> Suspect | None:
    cause = context.cause
    return cause if cause is not None and cause.kind is SuspectKind.OUTAGE else None


def _last_words(cause: Suspect) -> str:
    """Why the service died, when the end of its log tells; empty when it came back or does not."""
    telling = (
        Mechanism.RESOURCE_EXHAUSTION,
        Mechanism.CONFIGURATION,
        Mechanism.UNHANDLED_EXCEPTION,
    )
    return next(iter(cause.telling), "") if cause.trouble in telling and not cause.until else ""


def _fatal_error(context: Context, cause: Suspect) -> Suspect | None:
    """An error of the same service in its last moments."""
    fatal = (Mechanism.UNHANDLED_EXCEPTION, Mechanism.PROCESS_CRASH)
    return next(
        (
            s
            for s in context.related
            if s.kind is SuspectKind.EXCEPTION
            and s.service == cause.service
            and s.trouble in fatal
            and 0 <= (cause.time - s.time).total_seconds() <= LAST_MOMENTS_S
        ),
        None,
    )


def _is_end_of(other: Suspect, cause: Suspect) -> bool:
    """Whether it tells that the service of the cause went down right after it."""
    if not -1 <= (other.time - cause.time).total_seconds() <= RIGHT_AFTER_S:
        return False
    if other.kind is SuspectKind.OUTAGE:
        return other.service == cause.service
    named = (other.service, other.dependency)
    return other.trouble is Mechanism.PROCESS_CRASH and cause.service in named


def _away(cause: Suspect) -> str:
    if cause.until is None:
        return " and did not come back"
    return f" for {(cause.until - cause.time).total_seconds():.1f} s, and came back"
