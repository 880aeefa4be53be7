"""Rules that read what the services logged near the failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heisenberg.diagnosis.claim import Claim
from heisenberg.diagnosis.context import cite_record
from heisenberg.diagnosis.rules.citing import at_place, cite_cause, request_of
from heisenberg.diagnosis.rules.code import DRAWN
from heisenberg.diagnosis.rules.readings import EXPIRY, reading_of
from heisenberg.model.correlation import SuspectKind
from heisenberg.model.diagnosis import Mechanism, Owner

if TYPE_CHECKING:
    from heisenberg.diagnosis.context import Context

_SAID = (SuspectKind.EXCEPTION, SuspectKind.ERROR, SuspectKind.REQUEST, SuspectKind.WARNING)
"""Kinds of suspects that say something in words."""


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
        f"Make the operation{at_place(cause)} safe against concurrent change (take a snapshot, lock, or retry), "
        "and test it under parallel load.",
        cite_cause(context, error),
    )


def named_trouble(context: Context) -> Claim | None:
    """The logs name a well-known kind of trouble."""
    cause = context.cause
    if cause is None or cause.kind not in _SAID:
        return None
    reading = reading_of(context)
    if reading is None:
        return None
    owner, component = reading.owner, cause.service
    if reading.is_remote:
        component = cause.held_by or cause.dependency or cause.service
        # Credentials that another party refuses are ours to renew.
        if cause.outside and reading.trouble is not Mechanism.AUTH:
            owner, component = Owner.EXTERNAL, cause.outside
    words = {
        "service": cause.service,
        "component": component,
        "dependency": cause.dependency,
        "address": cause.address,
        "error": (cause.error or cause.root.message).rstrip("."),
        "place": at_place(cause),
    }
    return Claim(
        owner,
        reading.mechanism or reading.trouble,
        min(1.0, cause.score * reading.factor),
        component,
        reading.sentence.format_map(words),
        reading.fix.format_map(words),
        cite_cause(context, cause.error),
    )


def unhandled_exception(context: Context) -> Claim | None:
    """A service's own code raised an error that it did not handle."""
    cause = context.cause
    if cause is None or cause.kind is not SuspectKind.EXCEPTION:
        return None
    factor = {Mechanism.UNHANDLED_EXCEPTION: 0.92, Mechanism.UNKNOWN: 0.85}.get(cause.trouble, 0.25)
    if context.is_flaky:
        factor *= 0.6
    error = cause.error
    request = request_of(cause)
    doing = f" while serving {request}" if request else ""
    return Claim(
        Owner.PRODUCT,
        Mechanism.UNHANDLED_EXCEPTION,
        cause.score * factor,
        cause.service,
        f"{cause.service} raises {error or cause.root.message}{doing}.",
        f"Handle the case{at_place(cause)} that leads to this error, and cover it with a test of {cause.service} alone.",
        cite_cause(context, error),
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
    request = request_of(cause)
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
        cite_cause(context),
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
    if context.offsets and EXPIRY.search(cause.root.message):
        return None  # a clock that is off is what expires things too soon
    if DRAWN.search(context.code):
        strength *= 0.25  # what the test sends is left to chance
    return Claim(
        owner,
        mechanism,
        min(1.0, cause.score * strength),
        cause.service,
        f"{request_of(cause)} was refused with {status}: {why}.",
        fix,
        cite_cause(context),
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
    request = request_of(slow)
    return Claim(
        Owner.PRODUCT,
        Mechanism.TIMEOUT_BUDGET,
        min(0.75, slow.score * 1.4) if slow is cause else slow.score * 0.6,
        slow.service,
        f"{slow.service} took {took:.1f} s to answer {request or 'a request'}, longer than the test waits.",
        f"Find out what makes {request or 'the request'} slow, or give the wait a budget that fits it.",
        (*cite_record(slow.root), *context.cite_symptom()),
    )
