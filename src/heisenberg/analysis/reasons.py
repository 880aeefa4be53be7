"""What lies behind a complaint: a service that fell silent, a statement that holds a lock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from heisenberg.analysis.suspects import PRIOR
from heisenberg.analysis.trouble import INFRASTRUCTURE, SCHEMA_CHANGE, find_trouble, name_trouble
from heisenberg.model.correlation import Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism

if TYPE_CHECKING:
    from heisenberg.analysis.happenings import Observations
    from heisenberg.analysis.outages import Outage
    from heisenberg.analysis.scene import Failing

LOCK_HELD = timedelta(seconds=120)
"""How long before a time-out the statement may have begun that holds the lock."""
MAX_LAST_WORDS = 4000
"""Characters from the end of a service's last record: a crash prints below its last line."""
RECOVERY = timedelta(seconds=0.5)
"""After it is back, a service may still refuse what comes first."""


def reason_of(suspect: Suspect, seen: Observations) -> Suspect:
    """The suspect, or what lies behind it as far as the logs show."""
    return _held_up(_silence(suspect, seen), seen)


def _silence(suspect: Suspect, seen: Observations) -> Suspect:
    """The silence of the service that is complained of, when it said its last word before."""
    if suspect.trouble is not Mechanism.DEPENDENCY_DOWN or not suspect.dependency:
        return suspect
    own = [a for a in seen.activities.values() if a.service == suspect.dependency and a.last]
    if len(own) != 1 or own[0].last is None or own[0].last.time >= suspect.time:
        return suspect
    last = own[0].last
    trouble, telling = find_trouble(last.record.text[-MAX_LAST_WORDS:])
    return replace(
        suspect,
        kind=SuspectKind.OUTAGE,
        service=suspect.dependency,
        signature=f"{suspect.dependency}: outage",
        root=last.record,
        chain=(suspect.root, *suspect.chain),
        time=last.time,
        score=PRIOR[SuspectKind.OUTAGE],
        trouble=trouble,
        telling=(telling,) if telling else (),
        error="",
        place="",
        was_up=last.time >= seen.started,
    )


def _held_up(suspect: Suspect, seen: Observations) -> Suspect:
    """Add to a wait for a lock the change of the schema that was begun before it."""
    if suspect.trouble is not Mechanism.DATABASE_LOCK:
        return suspect
    begun = [
        s.record
        for s in seen.lifecycle
        if SCHEMA_CHANGE.search(s.record.message)
        and timedelta() <= suspect.time - s.time <= LOCK_HELD
    ]
    if not begun:
        return suspect
    return replace(suspect, chain=(begun[-1], *suspect.chain), held_by=begun[-1].service)


def outage_suspect(outage: Outage, f: Failing) -> Suspect | None:
    """The outage as a suspect of an attempt that it overlaps."""
    end = outage.end + RECOVERY if outage.end else f.window.span.end
    span = f.window.span
    if outage.start > span.end or end < span.start:
        return None
    refused = bool(f.facts.network_error) or f.facts.trouble in INFRASTRUCTURE
    fit = 1.0 if refused else 0.9
    score = PRIOR[SuspectKind.OUTAGE] * fit * (1.0 if f.window.is_exact else 0.85)
    return Suspect(
        kind=SuspectKind.OUTAGE,
        service=outage.service,
        signature=f"{outage.service}: outage",
        root=outage.root.record,
        chain=(outage.back.record,) if outage.back and outage.back is not outage.root else (),
        time=outage.start,
        fit=fit,
        noise=0.0,
        score=score,
        trouble=name_trouble(outage.root.record.message),
        until=outage.end,
    )
