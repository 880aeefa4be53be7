"""Turn a happening into a suspect: its deepest record, its kind, its signature, its prior."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.analysis.frames import is_library, own_frame, raised, read_frames
from heisenberg.analysis.normalize import normalize
from heisenberg.analysis.trouble import INFRASTRUCTURE, name_trouble
from heisenberg.model.correlation import Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism
from heisenberg.model.logs import Level

if TYPE_CHECKING:
    from heisenberg.analysis.happenings import Happening, Sighting
    from heisenberg.model.logs import LogRecord

PRIOR = {
    SuspectKind.EXCEPTION: 0.95,
    SuspectKind.OUTAGE: 0.92,
    SuspectKind.ERROR: 0.75,
    SuspectKind.REQUEST: 0.7,
    SuspectKind.SLOW: 0.5,
    SuspectKind.WARNING: 0.2,
}
"""How much each kind is suspected before time, subject and noise are looked at."""
CLIENT_ERROR = 0.45
"""Factor for a request refused with 4xx: often what the test meant to provoke."""
UNTIED = 0.75
"""Factor for an error that belongs to no request: background work fails without a test noticing."""


_ASSET = re.compile(r"/(?:favicon\.\w+|robots\.txt|apple-touch-icon[\w.-]*|[\w.-]+\.map)$")


def suspect_of(happening: Happening) -> Suspect:
    """The happening as a suspect, its score the prior of its kind."""
    root = root_of(happening)
    record = root.record
    kind = _kind(record, happening)
    score = PRIOR[kind]
    status = next((s.record.status for s in happening.sightings if s.record.status), None)
    if kind is SuspectKind.REQUEST and status is not None and status < 500 and status != 429:  # noqa: PLR2004 (HTTP classes)
        score *= CLIENT_ERROR
    is_tied = status is not None or any(
        s.record.request_id or s.record.path for s in happening.sightings
    )
    if (
        not is_tied
        and kind in (SuspectKind.ERROR, SuspectKind.WARNING)
        and record.level < Level.FATAL
    ):
        score *= UNTIED
    text = f"{record.message}\n{record.exception[-1500:]}" if record.exception else _wording(record)
    error = raised(record.exception) if record.exception else None
    frame = own_frame(read_frames(record.exception)) if record.exception else None
    return Suspect(
        kind=kind,
        service=record.service,
        signature=_signature(kind, record),
        root=record,
        chain=tuple(s.record for s in happening.sightings if s is not root),
        time=root.time,
        fit=0.0,
        noise=0.0,
        score=score,
        trouble=_trouble(error[2] if error else "", text, status),
        error=error[2] if error else "",
        place=f"{frame.file}:{frame.line}" if frame and not is_library(frame) else "",
    )


def _wording(record: LogRecord) -> str:
    """The message and the fields that go on to explain it."""
    details = [v for v in record.fields.values() if 2 < len(v) < 300]  # noqa: PLR2004 (words, not flags)
    return "\n".join([record.message, *details])


def _trouble(error: str, text: str, status: int | None) -> Mechanism:
    """What the deepest error names; only then what is around it."""
    named = name_trouble(error)
    if named is not Mechanism.UNKNOWN:
        return named
    named = name_trouble(text)
    if named is Mechanism.UNKNOWN and status == 429:  # noqa: PLR2004 (HTTP Too Many Requests)
        return Mechanism.RATE_LIMIT
    if named is Mechanism.UNKNOWN and status in (401, 403):
        return Mechanism.AUTH
    return named


def root_of(happening: Happening) -> Sighting:
    """The deepest record: the first service to complain, and there its exception."""
    complaints = [s for s in happening.sightings if _depth(s.record) >= 2]  # noqa: PLR2004 (see _depth)
    if not complaints:
        return max(happening.sightings, key=lambda s: (_depth(s.record), -s.time.timestamp()))
    first = min(complaints, key=lambda s: s.time)
    same = [s for s in complaints if s.record.source == first.record.source]
    return max(same, key=lambda s: (bool(s.record.exception), -s.time.timestamp()))


def _depth(record: LogRecord) -> int:
    """3 an exception, 2 an error in words, 1 an error status, 0 the rest."""
    if record.exception:
        return 3
    if record.level >= Level.ERROR and record.status is None:
        return 2
    return 1 if record.status is not None and record.status >= 400 else 0  # noqa: PLR2004 (HTTP errors)


def _kind(record: LogRecord, happening: Happening) -> SuspectKind:
    if record.exception:
        return SuspectKind.EXCEPTION
    if record.level >= Level.ERROR and record.status is None:
        return SuspectKind.ERROR
    if any(s.record.status is not None and s.record.status >= 400 for s in happening.sightings):  # noqa: PLR2004 (HTTP errors)
        return SuspectKind.REQUEST
    if record.level >= Level.ERROR:
        return SuspectKind.ERROR
    return SuspectKind.WARNING if record.level >= Level.WARNING else SuspectKind.SLOW


def _signature(kind: SuspectKind, record: LogRecord) -> str:
    """Same cause, same signature, whichever request or test ran into it."""
    if kind is SuspectKind.EXCEPTION:
        error = raised(record.exception)
        if error:
            named = name_trouble(error[2])
            where = ""
            if named not in INFRASTRUCTURE:
                frames = read_frames(record.exception)
                frame = own_frame(frames)
                if frame and frames and not is_library(frames[0]):
                    where = f" in {frame.file}:{frame.function}"
            return f"{record.service}: {normalize(f'{error[0]}: {error[1]}')}{where}"
    if kind in (SuspectKind.REQUEST, SuspectKind.SLOW):
        return f"{record.method} {normalize(record.path)} {record.status or ''} {kind}".strip()
    return f"{record.service}: {normalize(record.message[:400])}"


def is_ordinary(happening: Happening) -> bool:
    """Whether browsers ask for it by themselves, and nobody minds that it is not there."""
    return all(_ASSET.search(s.record.path) and s.record.status == 404 for s in happening.sightings)  # noqa: PLR2004 (HTTP Not Found)


def is_mild(suspect: Suspect) -> bool:
    """Whether a test may well provoke it on purpose: a refused request, a warning."""
    if suspect.kind is SuspectKind.WARNING:
        return True
    status = suspect.root.status
    return suspect.kind is SuspectKind.REQUEST and status is not None and status < 500  # noqa: PLR2004 (HTTP classes)
