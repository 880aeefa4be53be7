"""Which kinds of log record are told of because failing tests see them and passing ones do not."""

from __future__ import annotations

from datetime import timedelta

from builders import MemoryLog, a_record, at
from heisenberg.analysis.difference import MAX_DIFFERENCES, differing
from heisenberg.analysis.happenings import template
from heisenberg.analysis.windows import Span
from heisenberg.model.correlation import ClockOffset
from heisenberg.model.logs import Level


def span(start: float, end: float) -> Span:
    return Span(at(start), at(end))


def words(seconds: float, message: str, level: Level = Level.INFO) -> tuple[float, str, Level]:
    return seconds, message, level


def log(*entries: tuple[float, str, Level], service: str = "api") -> MemoryLog:
    records = [a_record(s, message, level, service=service) for s, message, level in entries]
    return MemoryLog(service, records)


def test_a_quiet_line_that_only_failing_tests_see_is_told() -> None:
    """Whatever its level; what passing tests see as often is not."""
    api = log(words(1, "serving"), words(11, "serving"), words(12, "cache cleared"))

    (told,) = differing([span(10, 14)], [span(0, 4)], [api], {})

    assert ("cache cleared", 1.0, 0.0) == (told.record.message, told.failing, told.passing)
    assert at(12) == told.time


def test_the_more_telling_kinds_come_first() -> None:
    """By how much more often failing attempts see them; of equals the worse, then the nearer."""
    api = log(
        words(1, "half seen here too"),
        words(11, "half seen here too"),
        words(11, "quiet but new"),
        words(12, "worse and new", Level.ERROR),
        words(13, "quiet and nearer"),
    )

    told = differing([span(10, 14)], [span(0, 4), span(5, 9)], [api], {})

    assert [
        "worse and new",
        "quiet and nearer",
        "quiet but new",
        "half seen here too",
    ] == [d.record.message for d in told]


def test_what_is_told_elsewhere_is_left_out() -> None:
    """A kind that the caller shows already is not shown again."""
    api = log(words(11, "charge failed", Level.ERROR), words(12, "retrying"))
    known = {template(api.entries[0])}

    told = differing([span(10, 14)], [], [api], {}, known=known)

    assert ["retrying"] == [d.record.message for d in told]


def test_without_passing_tests_it_says_so() -> None:
    """Then all that stands near the failure is told, and compared with nothing."""
    (told,) = differing([span(10, 14)], [], [log(words(12, "serving"))], {})

    assert (1.0, None) == (told.failing, told.passing)


def test_attempts_beside_a_failing_one_compare_nothing() -> None:
    """A test that passed while another failed saw the same records."""
    api = log(words(12, "cache cleared"))

    (told,) = differing([span(10, 14)], [span(11, 13)], [api], {})

    assert told.passing is None


def test_a_clock_that_is_off_is_corrected() -> None:
    """Windows are on the report's clock, records on the log's."""
    ahead = log(words(72, "cache cleared"))
    offset = ClockOffset(ahead.source, timedelta(seconds=60), "by shared ids")

    (told,) = differing([span(10, 14)], [], [ahead], {ahead.source: offset})

    assert at(12) == told.time


def test_no_more_than_can_be_shown() -> None:
    """However many kinds there are."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    api = log(*(words(12, f"{a}{b} happened") for a in letters for b in letters[:3]))

    assert MAX_DIFFERENCES == len(differing([span(10, 14)], [], [api], {}))


def test_without_a_failing_window_there_is_nothing() -> None:
    """A report without times cannot be compared."""
    assert () == differing([], [span(0, 4)], [log(words(1, "serving"))], {})
