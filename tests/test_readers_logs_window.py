"""Windows, offsets and bounds of the log reader, whatever the bytes."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heisenberg.errors import SourceError
from heisenberg.model.logs import Level
from heisenberg.model.run import Artefact
from heisenberg.readers.logs import Log, count_lines, open_log
from heisenberg.readers.logs.lines import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 11, 23, 16, 45, tzinfo=UTC)
FAST = settings(max_examples=40, deadline=None)


def artefact(path: Path) -> Artefact:
    return Artefact(f"logs/{path.name}", path, path.stat().st_size)


def logged(content: bytes, name: str = "app.log") -> Log:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        # The descriptor stays open; the name is no longer needed.
        return open_log(artefact(path))


def python_line(at: datetime, message: str) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d} INFO app.main: {message}\n"


def access_line(at: datetime, message: str) -> str:
    return f'10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "GET /{message} HTTP/1.1" 200 1 "-" "-"\n'


def json_line(at: datetime, message: str) -> str:
    return f'{{"timestamp": "{at.isoformat()}", "level": "info", "event": "{message}"}}\n'


WRITERS = {"text": python_line, "access": access_line, "json": json_line}

PIECES = st.sampled_from(
    [
        b"2026-11-23 16:45:44,373 ERROR app: boom",
        b'{"timestamp": "2026-11-23T16:45:44Z", "level": "info", "msg": "x"}',
        b'{"timestamp": {"a": [1]}, "level": 3, "msg": {"b": null}, "status": "500"}',
        b"Traceback (most recent call last):",
        b'  File "a.py", line 1, in f',
        b'1.2.3.4 - - [23/Nov/2026:16:45:44 +0000] "GET / HTTP/1.1" 500 1',
        b"Nov 23 16:45:44 host app[1]: x",
        b"api-1  | 2026-11-23T16:45:44.123456789Z out",
        b"2026-99-99 99:99:99 x",
        b"time=2026-11-23T16:45:44Z level=info msg=x",
        b"2026-11-23 16:45:44 UTC [7] ERROR:  x",
        b"\x1b[31mred\x1b[0m",
        b"\r",
        b"\n",
        b"\n",
        b"\n",
        b"\0\0",
        b"\xff\xfe",
        b"\xc3\x28",
    ]
)
BYTES = st.one_of(
    st.binary(max_size=300), st.lists(st.one_of(PIECES, st.binary(max_size=9))).map(b"".join)
)


@FAST
@given(BYTES)
@example(b"\xff\xfe")
@example(b"\n" * 5)
def test_any_bytes_are_read_and_offsets_are_line_starts(content: bytes) -> None:
    """No content breaks the reader, and each record's offset is the start of a line."""
    with logged(content) as log:
        span = log.span()
        records = [*log.records(), *(log.window(*span) if span else ())]

    unit = 2 if content.startswith((b"\xff\xfe", b"\xfe\xff")) else 1
    breaks = (b"\n", b"\n\0", b"\0\n")
    for record in records:
        before = content[max(record.offset - unit, 0) : record.offset]
        assert record.offset == 0 or before.endswith(breaks)


@pytest.mark.parametrize("form", WRITERS)
@FAST
@given(
    gaps=st.lists(st.integers(0, 4000), min_size=1, max_size=60),
    low=st.integers(-5, 90),
    length=st.integers(0, 60),
    repeat=st.integers(1, 40),
)
def test_window_equals_full_scan(
    form: str, gaps: list[int], low: int, length: int, repeat: int
) -> None:
    """In a sorted log the bisected window is what a scan of the whole file would keep."""
    at, lines = START, []
    for number, gap in enumerate(gaps * repeat):
        at += timedelta(milliseconds=gap)
        lines.append(WRITERS[form](at, f"event-{number}"))
        if number % 7 == 3 and form == "text":
            lines.append("Traceback (most recent call last):\n  File\nKeyError: 'x'\n")
    begin = START + timedelta(seconds=low)
    end = begin + timedelta(seconds=length)

    with logged("".join(lines).encode()) as log:
        found = list(log.window(begin, end))
        everything = list(log.records())

    assert len(gaps) * repeat == len(everything)
    assert [r for r in everything if r.timestamp and begin <= r.timestamp <= end] == found


def test_bisection_reads_little_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second of a large sorted log costs a few reads, not a pass over the file."""
    path = tmp_path / "api.log"
    path.write_text("".join(python_line(START + timedelta(seconds=n), "x") for n in range(60_000)))
    read, real = [], os.pread
    with open_log(artefact(path)) as log:

        def counted(descriptor: int, count: int, offset: int) -> bytes:
            read.append(count)
            return real(descriptor, count, offset)

        monkeypatch.setattr(os, "pread", counted)
        moment = START + timedelta(seconds=40_000)
        found = list(log.window(moment, moment + timedelta(seconds=1)))

    assert [moment, moment + timedelta(seconds=1)] == [r.timestamp for r in found]
    assert sum(read) < path.stat().st_size / 4


def traceback_lines(count: int) -> Iterator[str]:
    for number in range(count):
        yield python_line(START + timedelta(seconds=number), f"failed {number}")
        yield "Traceback (most recent call last):\n"
        yield from (f'  File "a.py", line {n}, in f\n' for n in range(5))
        yield f"KeyError: {number}\n"


@pytest.mark.parametrize("second", [0, 1, 777, 2999])
def test_window_borders_never_split_a_record(second: int) -> None:
    """A record of several lines is in the window as a whole or not at all."""
    moment = START + timedelta(seconds=second)
    with logged("".join(traceback_lines(3000)).encode()) as log:
        (record,) = log.window(moment, moment)

    assert f"failed {second}" == record.message
    assert record.text.endswith(f"KeyError: {second}")
    assert record.exception.startswith("Traceback")
    assert record.text.count("\n") == 7


def test_small_disorder_is_allowed_for() -> None:
    """Lines of interleaved writers that lie seconds apart are found on both sides of a border."""
    lines = [
        python_line(START + timedelta(seconds=n - (3 if n % 2 else 0)), f"n{n}")
        for n in range(5000)
    ]
    begin, end = START + timedelta(seconds=2000), START + timedelta(seconds=2004)
    with logged("".join(lines).encode()) as log:
        found = {r.message for r in log.window(begin, end)}

    assert log.is_sorted
    assert {"n2000", "n2002", "n2004", "n2003", "n2005", "n2007"} == found


def test_unsorted_log_is_scanned() -> None:
    """A log whose parts were joined in the wrong order still yields all of the window."""
    late = [python_line(START + timedelta(seconds=n), f"n{n}") for n in range(9000, 18_000)]
    early = [python_line(START + timedelta(seconds=n), f"n{n}") for n in range(9000)]
    begin, end = START + timedelta(seconds=8999), START + timedelta(seconds=9000)
    with logged("".join(late + early).encode()) as log:
        found = [r.message for r in log.window(begin, end)]

    assert not log.is_sorted
    assert ["n9000", "n8999"] == found


def test_span_is_read_from_head_and_tail() -> None:
    """The span is the first and the last time, even when a long trace ends the file."""
    content = python_line(START, "a") + python_line(START + timedelta(hours=1), "b")
    with logged((content + "  trace\n" * 20_000).encode()) as log:
        span = log.span()

    assert (START, START + timedelta(hours=1)) == span


def test_times_without_zone_are_utc_and_said_so() -> None:
    """A log that names no zone is taken as UTC, and the log says that it was assumed."""
    with (
        logged(python_line(START, "a").encode()) as naive,
        logged(json_line(START, "a").encode()) as zoned,
    ):
        spans = naive.span(), zoned.span()

    assert ((START, START), (START, START)) == spans
    assert (True, False) == (naive.zone_assumed, zoned.zone_assumed)


def test_lines_before_the_first_time_have_none() -> None:
    """A banner before the first time is a record without a timestamp."""
    with logged(b"My App v1\n  (c) me\n" + python_line(START, "up").encode()) as log:
        banner, first = log.head(5)

    assert None is banner.timestamp
    assert ("My App v1\n  (c) me", "up") == (banner.text, first.message)


def test_line_of_100_mb_is_cut(tmp_path: Path) -> None:
    """A monstrous line is cut with a problem, and the lines after it are read."""
    path = tmp_path / "app.log"
    with path.open("w") as file:
        file.write(python_line(START, "before"))
        file.write(python_line(START, "x" * 3_000_000))
        file.write(python_line(START, "after"))
    with open_log(artefact(path)) as log:
        messages = [r.message for r in log.window(START, START)]
        problems = log.problems

    assert ["before", "after"] == [messages[0], messages[2]]
    assert len(messages[1]) <= MAX_LINE_BYTES
    assert "longer than" in problems[0]


def test_shrinking_file_ends_the_reading(tmp_path: Path) -> None:
    """A log truncated while it is read ends early, without an error."""
    path = tmp_path / "app.log"
    path.write_text(python_line(START, "x") * 50_000)
    with open_log(artefact(path)) as log:
        records = log.records()
        next(records)
        path.write_text("")

        assert sum(1 for _ in records) < 50_000


def test_growing_file_is_read_as_it_was(tmp_path: Path) -> None:
    """What is appended after opening is not read."""
    path = tmp_path / "app.log"
    path.write_text(python_line(START, "x") * 3)
    with open_log(artefact(path)) as log:
        with path.open("a") as file:
            file.write(python_line(START, "y"))

        assert 3 == sum(1 for _ in log.records())


def test_empty_file_has_nothing() -> None:
    """An empty log has no records, no span, no problems."""
    with logged(b"") as log:
        assert ([], None, (), []) == (
            list(log.records()), log.span(), log.problems, list(log.window(START, START))
        )  # fmt: skip


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    """A log that cannot be opened raises one error of ours."""
    with pytest.raises(SourceError, match="cannot be opened"):
        open_log(Artefact("x.log", tmp_path / "x.log", 0))


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [("utf-8", b""), ("utf-8", b"\xef\xbb\xbf"), ("latin-1", b""), ("utf-16-le", b"\xff\xfe"),
     ("utf-16-be", b"\xfe\xff"), ("utf-16-le", b"")],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings(tmp_path: Path, encoding: str, bom: bytes, newline: str) -> None:
    """Text comes out the same from every encoding, and offsets lead to the right lines."""
    text = "".join(python_line(START + timedelta(seconds=n), f"café ÿ {n}") for n in range(400))
    path = tmp_path / "app.log"
    path.write_bytes(bom + text.replace("\n", newline).encode(encoding))
    moment = START + timedelta(seconds=333)
    with open_log(artefact(path)) as log:
        (record,) = log.window(moment, moment)

    assert ("café ÿ 333", Level.INFO) == (record.message, record.level)
    assert {record.offset: 334} == count_lines(path, [record.offset])


def test_nuls_of_a_truncated_log_are_skipped() -> None:
    """A log truncated under its writer begins with NULs; its first line is still read."""
    with logged(b"\0" * 3_000_000 + python_line(START, "after").encode()) as log:
        (record,) = log.window(START, START)

    assert "after" == record.message


def test_undecodable_bytes_are_a_problem() -> None:
    """Bytes that are not the file's encoding are replaced, and it is said."""
    line = python_line(START, "naïve façade déjà vu").encode() * 3
    with logged(line + b"2026-11-23 16:45:00,000 INFO app: \xff\n") as log:
        last = list(log.records())[-1]

    assert "�" in last.message
    assert "utf-8" in log.problems[0]


def test_endless_record_is_bounded() -> None:
    """One stamp before megabytes of other text makes a record of bounded size."""
    content = python_line(START, "dump").encode() + b"  x" * 10 + b"\n  0123456789" * 300_000
    with logged(content) as log:
        (record,) = log.records()

    assert len(record.text) <= 1 << 20
    assert "left out" in log.problems[0]


@FAST
@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 400), max_size=20))
def test_count_lines_counts_newlines(lines: list[bytes], offsets: list[int]) -> None:
    """A line's number is one more than the newlines before it."""
    content = b"\n".join(lines)
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in content:
        content = b"x" + content.replace(b"\0", b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(content)
        numbers = count_lines(path, offsets)

    assert {offset: content[:offset].count(b"\n") + 1 for offset in offsets} == numbers


@pytest.mark.parametrize(
    "piece", ["-", "a-", "a.", " ", "(", "a=b ", "GET / ", "[a] ", "a | ", "1"]
)
def test_long_lines_cost_no_more_than_their_length(piece: str) -> None:
    """No pattern runs away on a long line of few characters."""
    line = python_line(START, "")[:24] + piece * (100_000 // len(piece))
    begin = time.process_time()
    with logged(f"{line}\n{line}\n  {line}\n".encode()) as log:
        count = sum(1 for _ in log.records())

    assert 2 == count
    assert time.process_time() - begin < 2
