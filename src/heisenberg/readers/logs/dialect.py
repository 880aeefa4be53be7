"""How one log is written: learned from a sample, then used to read each of its lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from heisenberg.readers.logs.access import AccessLine
from heisenberg.readers.logs.envelope import PEELERS, Peeled, find_envelope, strip_sections
from heisenberg.readers.logs.json_lines import TimeKey, decode_object, json_record, time_key
from heisenberg.readers.logs.logfmt import logfmt_record, pairs
from heisenberg.readers.logs.origin import Origin, replica_of
from heisenberg.readers.logs.plain import HEADED, plain_record
from heisenberg.readers.logs.postgres import postgres_entry
from heisenberg.readers.logs.roles import ROLES, Slot
from heisenberg.readers.logs.times import has_zone, make_forms
from heisenberg.readers.logs.values import read_time
from heisenberg.text import strip_escapes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from heisenberg.model.logs import LogRecord
    from heisenberg.readers.logs.times import Form

MAX_FORMS = 4
"""Ways to write the time that are tried on each line."""

MIN_TIMED = 20
"""One of so many lines flush left must tell its time; a console may show a clock now and then."""

SAMPLE_LINE_CHARS = 20_000


class Reading(NamedTuple):
    """What one line amounts to."""

    stream: str
    """Interleaved writer it is from: compose service, stdout or stderr, PostgreSQL process."""
    body: str
    """The line without envelope and terminal colours."""
    record: LogRecord | None
    """The record that it begins; None when it continues one, or `by_shape` is to decide."""
    by_shape: bool = False
    """Nothing marks where a record begins but indentation and the shape of stack traces."""
    when: datetime | None = None
    """Time that the envelope tells."""
    service: str = ""
    rest: tuple[str, ...] = ()
    """Further lines, of an envelope that holds several as one."""


class Dialect:
    """Reads the lines of one log."""

    def __init__(self, origin: Origin, sample: Sequence[str], clock: datetime) -> None:
        self._origin = origin
        self._origins: dict[str, Origin] = {}
        lines = [strip_escapes(line[:SAMPLE_LINE_CHARS]) for line in sample]
        self.envelope = find_envelope(lines)
        self._peelers = [PEELERS[name] for name in self.envelope]
        peeled = [self._peel(line) for line in lines]
        bodies = [p.body for p in peeled if p.body.strip()]
        self._access = AccessLine(clock)
        self._forms = _rank_forms(make_forms(clock), bodies)
        self.syntax = self._find_syntax(bodies)
        self._key = _find_time_key(bodies) if self.syntax == "json" else None
        stamped = sum(1 for body in bodies if self._inner_time(body))
        flush = sum(1 for body in bodies if not body[0].isspace())
        self.is_timed_inside = stamped > 0 and stamped * MIN_TIMED >= flush
        self.has_envelope_times = any(p.when for p in peeled)
        self.is_timed = self.is_timed_inside or self.has_envelope_times
        self.zone_assumed = (
            self.is_timed and not self.has_envelope_times and self._lacks_zone(bodies)
        )

    @property
    def name(self) -> str:
        """Format by name: the envelope, if any, and the syntax (`docker-json+json`)."""
        syntax = self.syntax if self.is_timed or self.syntax != "text" else "console"
        return "+".join([*self.envelope, syntax])

    def read(self, offset: int, line: str) -> Reading:
        """Read one line."""
        if "\x1b" in line:
            line = strip_sections(strip_escapes(line))
        if not self._peelers:
            return self._read_body(self._origin, offset, line, "", None)
        peeled = self._peel(line)
        origin = self._origin
        if peeled.names_service:
            origin = self._origins.get(peeled.stream) or self._learn(peeled.stream)
        body, stream, when = peeled.body, peeled.stream, peeled.when
        if "\n" not in body or (body[:1] == "{" and decode_object(body) is not None):
            return self._read_body(origin, offset, body, stream, when)
        body, *rest = (part.rstrip("\r") for part in body.split("\n"))
        return self._read_body(origin, offset, body, stream, when)._replace(rest=tuple(rest))

    def quick(self, offset: int, line: str) -> LogRecord | None:
        """Read a line that begins a record with a time, in a log of one writer.

        None says only that `read` is to be asked.
        """
        if self._peelers or "\x1b" in line:
            return None
        origin = self._origin
        if self.syntax == "json":
            record = json_record(origin, offset, line) if line[:1] == "{" else None
        elif self.syntax == "access":
            record = self._access.read(origin, offset, line)
        elif self.syntax == "logfmt":
            record = logfmt_record(origin, offset, line)
        elif self.syntax == "text" and self._forms and line[:1] != "{":
            form = self._forms[0]
            stamp = form.read(line)
            if stamp is None:
                return None
            return plain_record(origin, offset, line, stamp.when, stamp.end, form)
        else:
            return None
        return record if record is not None and record.timestamp is not None else None

    def time(self, line: str) -> datetime | None:
        """Read only the time of a line that begins a record; None when it tells none."""
        if "\x1b" in line:
            line = strip_escapes(line)
        if self._peelers:
            peeled = self._peel(line)
            return peeled.when or (
                None if self.has_envelope_times else self._inner_time(peeled.body)
            )
        return self._inner_time(line)

    def orphan(self, reading: Reading, offset: int) -> LogRecord:
        """Make a record of a line that nothing before it explains."""
        origin = self._origin
        if reading.service:
            origin = Origin(origin.source, reading.service)
        return plain_record(origin, offset, reading.body, reading.when, 0)

    def _peel(self, line: str) -> Peeled:
        stream, when, named = "", None, False
        for peel in self._peelers:
            peeled = peel(line)
            if peeled is None:
                break
            line, when = peeled.body, peeled.when or when
            stream, named = peeled.stream or stream, named or peeled.names_service
        return Peeled(stream, when, line, named)

    def _learn(self, stream: str) -> Origin:
        origin = Origin(self._origin.source, replica_of(stream))
        if len(self._origins) < 1000:  # noqa: PLR2004 -- services, unless the log misleads
            self._origins[stream] = origin
        return origin

    def _read_body(
        self, origin: Origin, offset: int, body: str, stream: str, when: datetime | None
    ) -> Reading:
        if body[:1] == "{" and (record := json_record(origin, offset, body, when)):
            return Reading(stream, body, record)
        if self.syntax == "access" and (record := self._access.read(origin, offset, body, when)):
            return Reading(stream, body, record)
        if self.syntax == "logfmt" and (record := logfmt_record(origin, offset, body, when)):
            return Reading(stream, body, record)
        for form in self._forms:
            if stamp := form.read(body):
                if self.syntax == "postgres" and (
                    entry := postgres_entry(
                        origin, offset, body, when or stamp.when, body[stamp.end :]
                    )
                ):
                    return Reading(
                        entry.pid or stream, body, None if entry.more else entry.record,
                        when=entry.record.timestamp,
                    )  # fmt: skip
                record = plain_record(origin, offset, body, when or stamp.when, stamp.end, form)
                return Reading(stream, body, record)
        service = origin.service if origin is not self._origin else ""
        if not self.is_timed_inside:
            return Reading(stream, body, None, by_shape=True, when=when, service=service)
        if HEADED.match(body):
            return Reading(stream, body, plain_record(origin, offset, body, when, 0))
        return Reading(stream, body, None, when=when, service=service)

    def _inner_time(self, body: str) -> datetime | None:
        if body[:1] == "{":
            if self._key and (when := self._key.read(body)):
                return when
            record = json_record(self._origin, 0, body)
            return None if record is None else record.timestamp
        if self.syntax == "access" and (when := self._access.time(body)):
            return when
        if self.syntax == "logfmt" and (when := _time_of(pairs(body[:1000]))):
            return when
        for form in self._forms:
            if stamp := form.read(body):
                return stamp.when
        return None

    def _find_syntax(self, bodies: Sequence[str]) -> str:
        origin, votes = self._origin, Counter[str]()
        for body in bodies:
            if body[:1] == "{" and json_record(origin, 0, body):
                votes["json"] += 1
            elif self._access.read(origin, 0, body):
                votes["access"] += 1
            elif _is_logfmt(origin, body):
                votes["logfmt"] += 1
            elif stamp := next((s for f in self._forms if (s := f.read(body))), None):
                is_postgres = postgres_entry(origin, 0, body, None, body[stamp.end :])
                votes["postgres" if is_postgres else "text"] += 1
        return votes.most_common(1)[0][0] if votes else "text"

    def _lacks_zone(self, bodies: Sequence[str]) -> bool:
        if self.syntax == "json":
            raws = [self._key.raw(b) for b in bodies] if self._key else []
            return any(raw and not has_zone(raw) for raw in raws)
        if self.syntax == "logfmt":
            times = [v for b in bodies for k, v in pairs(b).items() if ROLES[k].slot is Slot.TIME]
            return any(read_time(v) and not has_zone(v) for v in times)
        forms = self._access.forms if self.syntax == "access" else self._forms
        return any(f.saw_no_zone for f in forms) and not any(f.saw_zone for f in forms)


def _is_logfmt(origin: Origin, body: str) -> bool:
    record = logfmt_record(origin, 0, body)
    return record is not None and record.timestamp is not None


def _time_of(data: dict[str, object] | dict[str, str]) -> datetime | None:
    key = time_key(data)
    return None if key is None else read_time(data[key])


def _find_time_key(bodies: Sequence[str]) -> TimeKey | None:
    votes = Counter[str]()
    for body in bodies:
        data = decode_object(body) if body[:1] == "{" else None
        if data and (key := time_key(data)):
            votes[key] += 1
    return TimeKey(votes.most_common(1)[0][0]) if votes else None


def _rank_forms(forms: Sequence[Form], bodies: Sequence[str]) -> list[Form]:
    """Keep the forms that the sample shows, the commonest first."""
    votes = Counter[int]()
    for body in bodies:
        if body[:1] == "{":
            continue
        for number, form in enumerate(forms):
            if form.read(body):
                votes[number] += 1
                break
    for form in forms:
        form.saw_zone = form.saw_no_zone = False
    kept = [forms[number] for number, _ in votes.most_common(MAX_FORMS)]
    for form in forms:
        # A line that the sample did not show is most often in the commonest form of all.
        if form.name == "iso" and form not in kept:
            kept.append(form)
    return kept
