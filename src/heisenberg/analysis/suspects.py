"""Turn a happening into a suspect: its deepest record, its kind, its signature, its prior."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from heisenberg.analysis.frames import is_library, own_frame, raised, read_frames
from heisenberg.analysis.normalize import normalize
from heisenberg.analysis.trouble import INFRASTRUCTURE, TROUBLES, find_trouble, name_trouble
from heisenberg.hosts import address, dependency, external_host
from heisenberg.model.correlation import Suspect, SuspectKind
from heisenberg.model.diagnosis import Mechanism
from heisenberg.model.logs import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


_SETTING = re.compile(
    r"<frozen os>|os\.environ\[|os\.py\", line \d+, in __getitem__|process\.env\.|ENV\.fetch|System\.getenv",
)
"""Frames of reading a setting from the environment: the key that is missing is a setting."""
_ASSET = re.compile(r"/(?:favicon\.\w+|robots\.txt|apple-touch-icon[\w.-]*|[\w.-]+\.map)$")


def suspect_of(happening: Happening, services: Iterable[str], ports: Mapping[str, str]) -> Suspect:
    """The happening as a suspect, its score the prior of its kind.

    Args:
        happening: At least one record.
        services: Services whose logs are known, to name a dependency by.
        ports: Service by the port that it listens on.
    """
    root = _behind(root_of(happening), happening, services, ports)
    record = root.record
    kind = _kind(record, happening)
    score = PRIOR[kind]
    status = next((s.record.status for s in happening.sightings if s.record.status), None)
    if kind is SuspectKind.REQUEST and status is not None and status < 500 and status != 429:  # noqa: PLR2004 (HTTP classes)
        score *= CLIENT_ERROR
    if not is_tied(happening):
        score *= UNTIED
    error = raised(record.exception) if record.exception else None
    said = _said(record)
    around = tuple(text for s in happening.sightings if s is not root for text in _said(s.record))
    trouble, telling = _trouble((error[2],) if error else (), said, around, status)
    if trouble is Mechanism.UNHANDLED_EXCEPTION and _SETTING.search(record.exception):
        trouble = Mechanism.CONFIGURATION
    frame = own_frame(read_frames(record.exception)) if record.exception else None
    return Suspect(
        kind=kind,
        service=record.service,
        signature=_signature(kind, record, trouble),
        root=record,
        chain=tuple(s.record for s in happening.sightings if s is not root),
        time=root.time,
        fit=0.0,
        noise=0.0,
        score=score,
        trouble=trouble,
        dependency=dependency(said, services, ports, record.service),
        status=status,
        address=address(said),
        is_tied=is_tied(happening),
        outside=external_host((*said, *around)),
        telling=telling,
        error=error[2] if error else "",
        place=f"{frame.file}:{frame.line}" if frame and not is_library(frame) else "",
    )


def _behind(
    root: Sighting, happening: Happening, services: Iterable[str], ports: Mapping[str, str]
) -> Sighting:
    """The complaint of the service that the root complains of, when it is part of the happening."""
    named = dependency(_said(root.record), services, ports, root.record.service)
    own = [s for s in happening.sightings if s.record.service == named and _depth(s.record) >= 3]  # noqa: PLR2004 (see _depth)
    return max(own, key=lambda s: bool(s.record.exception), default=root)


def _said(record: LogRecord) -> tuple[str, ...]:
    """What a record says in words: message, end of its stack, fields; no frames."""
    error = raised(record.exception) if record.exception else None
    words = (record.message, error[2] if error else "", *record.fields.values())
    return tuple(text for text in words if len(text) > 2)  # noqa: PLR2004 (words, not flags)


def _trouble(
    error: tuple[str, ...],
    said: tuple[str, ...],
    around: tuple[str, ...],
    status: int | None,
) -> tuple[Mechanism, tuple[str, ...]]:
    """What the error names, else the record's own words, else those around it; and the words."""
    for texts in (error, said, around):
        found = [find_trouble(text) for text in texts]
        named = min((mechanism for mechanism, _ in found), key=_specific, default=Mechanism.UNKNOWN)
        if named is not Mechanism.UNKNOWN:
            words = tuple(words for mechanism, words in found if mechanism is named)
            return named, words[:2] if texts is said else ()
    if status == 429:  # noqa: PLR2004 (HTTP Too Many Requests)
        return Mechanism.RATE_LIMIT, ()
    if status in (401, 403):
        return Mechanism.AUTH, ()
    return Mechanism.UNKNOWN, ()


_ORDER = {trouble.mechanism: rank for rank, trouble in enumerate(TROUBLES)}


def _specific(mechanism: Mechanism) -> int:
    return _ORDER.get(mechanism, len(_ORDER))


def is_tied(happening: Happening) -> bool:
    """Whether it belongs to a request or ends a process, rather than to work in the background."""
    return any(
        s.record.request_id or s.record.path or s.record.exception or s.record.level >= Level.FATAL
        for s in happening.sightings
    )


_WORK = re.compile(
    r"\b(?:request|req|job|task|order|trace|message|msg|session|user|id)s?[ =:#]+[\w-]*\d",
    re.IGNORECASE,
)


def is_of_a_request(happening: Happening) -> bool:
    """Whether it names the request, job or other piece of work that it belongs to."""
    return any(
        s.record.request_id or s.record.path or _WORK.search(s.record.message[:400])
        for s in happening.sightings
    )


def root_of(happening: Happening) -> Sighting:
    """The deepest record: the first service to complain, and there its exception."""
    complaints = [s for s in happening.sightings if _depth(s.record) >= 3]  # noqa: PLR2004 (see _depth)
    if not complaints:
        return max(happening.sightings, key=lambda s: (_depth(s.record), -s.time.timestamp()))
    first = min(complaints, key=lambda s: s.time)
    same = [s for s in complaints if s.record.source == first.record.source]
    return max(same, key=lambda s: (bool(s.record.exception), -s.time.timestamp()))


def _depth(record: LogRecord) -> int:
    """4 an exception, 3 an error in words, 2 a warning in words, 1 an error status, 0 the rest."""
    if record.exception:
        return 4
    if record.status is None and record.level >= Level.WARNING:
        return 3 if record.level >= Level.ERROR else 2
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


def _signature(kind: SuspectKind, record: LogRecord, trouble: Mechanism) -> str:
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
    if kind in (SuspectKind.REQUEST, SuspectKind.SLOW) and record.path:
        return f"{record.method} {normalize(record.path)} {record.status or ''} {kind}".strip()
    return f"{record.service}: {normalize(record.message[:400])} ({trouble})"


def is_ordinary(happening: Happening) -> bool:
    """Whether browsers ask for it by themselves, and nobody minds that it is not there."""
    return all(_ASSET.search(s.record.path) and s.record.status == 404 for s in happening.sightings)  # noqa: PLR2004 (HTTP Not Found)


def is_mild(suspect: Suspect) -> bool:
    """Whether a test may well provoke it on purpose: a refused request, a warning."""
    if suspect.kind is SuspectKind.WARNING:
        return True
    status = suspect.status
    return suspect.kind is SuspectKind.REQUEST and status is not None and status < 500  # noqa: PLR2004 (HTTP classes)
