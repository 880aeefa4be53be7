"""Which silences of a service are outages."""

from __future__ import annotations

from builders import MemoryLog, a_record, at
from heisenberg.analysis.happenings import observe
from heisenberg.analysis.outages import Outage, find_outages
from heisenberg.analysis.windows import Span

RUN = Span(at(0), at(100))
BANNER = ("Server starting", "Listening on port 8080")


def outages(*entries: tuple[float, str], service: str = "api") -> list[Outage]:
    """Of a log of (seconds, message)."""
    log = MemoryLog(service, [a_record(s, text, service=service) for s, text in sorted(entries)])
    return find_outages(observe([log], {}, RUN, [Span(at(0), at(100))]), RUN)


def up(seconds: float) -> list[tuple[float, str]]:
    """The lines of a start."""
    return [(seconds + n / 100, line) for n, line in enumerate(BANNER)]


def busy(start: int, end: int) -> list[tuple[float, str]]:
    """Ordinary work, a line a second."""
    return [(float(s), f"GET /orders/{s}") for s in range(start, end)]


def test_a_stop_and_a_start_are_an_outage() -> None:
    """A service that says that it stops, and starts later, was away in between."""
    found = outages(*up(-3), *busy(0, 40), (40.5, "Shutting down"), *up(46), *busy(47, 99))

    assert 1 == len(found)
    assert (at(40.5), at(46)) == (found[0].start, found[0].end)


def test_a_second_start_is_an_outage() -> None:
    """A service that starts anew without a word was killed at its last word."""
    found = outages(*up(-3), *busy(0, 40), *up(46), *busy(47, 99))

    assert 1 == len(found)
    assert (at(39), at(46)) == (found[0].start, found[0].end)


def test_a_stop_without_return_is_an_outage() -> None:
    """A service that stops in mid-run and is never back stays away."""
    found = outages(*up(-3), *busy(0, 40), (40.5, "received SIGTERM, shutting down"))

    assert [(at(40.5), None)] == [(o.start, o.end) for o in found]


def test_the_first_start_is_none() -> None:
    """Coming up for the run is no outage, even a little into it."""
    assert [] == outages(*up(-3), *busy(0, 99))
    assert [] == outages(*up(2), *busy(3, 99))


def test_the_tear_down_is_none() -> None:
    """What stops after the last test stopped because the run was over."""
    assert [] == outages(*up(-3), *busy(0, 100), (100.2, "Shutting down"), (100.4, "bye"))


def test_a_session_s_end_is_none() -> None:
    """A client, a session or a job that ends is not the service."""
    lines = (
        "client connection closed: shutting down session",
        "background worker exited",
        "job killed",
    )

    assert [] == outages(*up(-3), *busy(0, 99), *((40.0 + n, t) for n, t in enumerate(lines)))  # fmt: skip


def test_two_restarts_are_two_outages() -> None:
    """Each time that it went away counts, in the order of time."""
    found = outages(
        *up(-3), *busy(0, 20), (20.5, "Shutting down"), *up(25), *busy(26, 60), *up(70), *busy(71, 99)
    )  # fmt: skip

    assert [at(25), at(70)] == [o.end for o in found]


def test_postgres_says_it_in_its_own_words() -> None:
    """PostgreSQL's fast shutdown and its coming back are an outage."""
    start = ("starting PostgreSQL 16.3", "database system is ready to accept connections")
    found = outages(
        *((-3.0 + n / 10, t) for n, t in enumerate(start)),
        (10, "checkpoint complete"),
        (40, "received fast shutdown request"),
        (40.1, "database system is shut down"),
        *((43 + n / 10, t) for n, t in enumerate(start)),
        service="postgres",
    )

    assert [(at(40), at(43))] == [(o.start, o.end) for o in found]


def test_a_log_that_begins_in_mid_life_shows_no_start() -> None:
    """When the first line of a log is ordinary work, its coming again is no restart."""
    jobs = [(7.0 * n - 3, f"processing order {n}") for n in range(14)]
    checks = [(1.7 * n, f"checked {n} items") for n in range(50)]

    assert [] == outages(*jobs, *checks)


def test_work_that_is_started_is_no_start() -> None:
    """Services say of each request and each job that it is started."""
    rails = [(9.0 * n - 2, 'Started GET "/orders" for 10.0.0.4') for n in range(4)]
    jobs = [(9.0 * n + 1, "Task reindex started") for n in range(4)]

    assert [] == outages(*rails, *busy(0, 99))
    assert [] == outages((-3, "Task reindex started"), *jobs, *busy(0, 99))


def test_a_banner_in_words_of_its_own_is_a_start() -> None:
    """A service that greets in no common words is known by its greeting as a whole."""
    hello = ("Welcome to Frobnicator", "42 plugins found")
    before, after = ([(s + n / 10, t) for n, t in enumerate(hello)] for s in (-3.0, 46.0))
    work = [(float(s), f"order {s} frobnicated") for s in (*range(40), *range(47, 99))]
    stats = [(s + n / 10, t) for s in (-2.5, 46.5) for n, t in enumerate(("cache of 7 MB", "metrics at /m"))]  # fmt: skip
    found = outages(*before, *after, *stats, *work)

    assert [at(46)] == [o.end for o in found]
