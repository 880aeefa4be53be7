"""Which records near a failing test are suspected, and which are not."""

from __future__ import annotations

from dataclasses import replace

from builders import MemoryLog, a_record, a_run, a_test, an_attempt, at
from heisenberg.analysis.correlate import correlate
from heisenberg.model.correlation import FailedTest, SuspectKind
from heisenberg.model.diagnosis import Mechanism
from heisenberg.model.logs import Level, LogRecord
from heisenberg.model.run import Run, Status, Test

ASSERTION = "Error: expect(received).toBe(expected)\n\nExpected: 3\nReceived: 2"
WAIT = "TimeoutError: locator.click: Timeout 3000ms exceeded.\nCall log:\n  - waiting for locator('#pay')"
STACK = (
    'Traceback (most recent call last):\n  File "/srv/pay.py", line 9, in charge\n    x()\n'
    "ZeroDivisionError: division by zero"
)


def a_suite(*failing: Test) -> Run:
    """The failing tests among ten that pass, one after the other from 0 to 50 s."""
    passing = [a_test(f"passes {n}", an_attempt(5 * n, 4)) for n in range(10)]
    return a_run(*passing, *failing)


def suspects(run: Run, *records: LogRecord) -> FailedTest:
    """The only failed test of the run, with the suspects of one log."""
    timed = sorted(records, key=lambda r: r.timestamp or at(0))
    (test,) = correlate(run, [MemoryLog("api", timed)]).tests
    return test


def broken(seconds: float, path: str = "/pay", status: int = 500, **more: float) -> LogRecord:
    return a_record(
        seconds, f"POST {path} {status}", Level.ERROR, request=("POST", path, status), **more
    )


PAYS = a_test("pays by card", an_attempt(60, 4, ASSERTION))


def test_a_500_in_the_window_is_suspected() -> None:
    """An error that happened only while the test failed is its best suspect."""
    test = suspects(a_suite(PAYS), broken(63), a_record(20, "GET /orders 200"))

    assert SuspectKind.REQUEST == test.suspects[0].kind
    assert "/pay" == test.suspects[0].root.path
    assert 0 < test.suspects[0].score <= 1


def test_what_happened_elsewhere_is_not_suspected() -> None:
    """An error while another test passed has nothing to do with it."""
    assert () == suspects(a_suite(PAYS), broken(20)).suspects


def test_noise_that_is_always_there_is_no_suspect() -> None:
    """A record that falls into passing windows just as often explains nothing."""
    noise = [a_record(s / 2 + 0.2, "cache miss storm", Level.ERROR) for s in range(130)]
    test = suspects(a_suite(PAYS), *noise, broken(63))

    assert ["POST /pay 500"] == [s.root.message for s in test.suspects if s.score >= 0.3]


def test_an_exception_is_suspected_over_its_request() -> None:
    """The exception behind a 500 is the root, with its trouble, error and place."""
    boom = a_record(62.99, "unhandled error", Level.ERROR, exception=STACK, request_id="r1")
    request = broken(63)
    test = suspects(a_suite(PAYS), boom, replace(request, request_id="r1"))

    best = test.suspects[0]
    assert (SuspectKind.EXCEPTION, Mechanism.UNHANDLED_EXCEPTION) == (best.kind, best.trouble)
    assert "ZeroDivisionError: division by zero" == best.error
    assert "/srv/pay.py:9" == best.place
    assert [500] == [r.status for r in best.chain]


def test_overlapping_windows_do_not_share_a_request() -> None:
    """Of two tests that fail side by side the one that the request is about is suspected more."""
    one = a_test("pays by card", an_attempt(60, 4, ASSERTION))
    two = a_test("shows the profile", an_attempt(60.5, 4, ASSERTION))
    log = MemoryLog("api", [broken(63, "/cards/pay")])
    first, second = correlate(a_suite(one, two), [log]).tests

    scores = [max((s.score for s in t.suspects), default=0.0) for t in (first, second)]
    assert scores[0] > 1.3 * scores[1]


def test_a_slow_request_is_suspected_of_a_timeout() -> None:
    """A request that took as long as the test waited is suspected, though it succeeded."""
    run = a_suite(a_test("pays", an_attempt(60, 4, WAIT)))
    slow = a_record(64.1, "POST /pay 200", request=("POST", "/pay", 200), duration_ms=3300.0)

    assert SuspectKind.SLOW == suspects(run, slow).suspects[0].kind


def test_a_fast_request_is_not_suspected() -> None:
    """An ordinary answer is nothing out of the ordinary."""
    fast = a_record(63, "POST /pay 200", request=("POST", "/pay", 200), duration_ms=12.0)

    assert () == suspects(a_suite(PAYS), fast).suspects


def test_a_missing_icon_is_not_suspected() -> None:
    """Browsers ask for a favicon by themselves."""
    icon = a_record(63, "GET /favicon.ico 404", Level.WARNING, request=("GET", "/favicon.ico", 404))

    assert () == suspects(a_suite(PAYS), icon).suspects


def test_a_flaky_test_is_correlated_by_its_failing_attempt() -> None:
    """Only the attempt that failed is looked at; that it passed later does not hide it."""
    flaky = a_test("pays", an_attempt(60, 4, ASSERTION), an_attempt(70, 4, retry=1))
    test = suspects(a_suite(flaky), broken(63), broken(73, "/other"))

    assert ["/pay"] == [s.root.path for s in test.suspects]


def test_a_restart_is_suspected_of_what_it_interrupts() -> None:
    """A service that was away while the test ran is a suspect of its own kind."""
    lines = [(-1, "Server starting"), (10, "GET /a"), (61, "Shutting down"), (63, "Server starting"), (64, "GET /b")]  # fmt: skip
    test = suspects(a_suite(PAYS), *(a_record(s, text) for s, text in lines))

    assert SuspectKind.OUTAGE == test.suspects[0].kind
    assert at(63) == test.suspects[0].until


def test_a_log_ahead_of_time_is_read_where_its_clock_was() -> None:
    """With its clock 37 s ahead, the record that belongs to the failure is still found."""
    ids = [f"4f1c{n:08x}" for n in range(14)]
    web = [a_record(5 * n, "in", service="web", request_id=i) for n, i in enumerate(ids)]
    pay = [a_record(5 * n + 37, "out", service="pay", request_id=i) for n, i in enumerate(ids)]
    boom = a_record(100, "boom", Level.ERROR, service="pay", exception=STACK)
    chatter = [a_record(s, "tick", service="web") for s in range(60)]
    logs = [
        MemoryLog("web", sorted([*web, *chatter], key=lambda r: r.timestamp or at(0))),
        MemoryLog("pay", [*pay, boom]),
    ]
    found = correlate(a_suite(PAYS), logs)

    assert ["logs/pay.log"] == list(found.offsets)
    assert "boom" == found.tests[0].suspects[0].root.message
    assert abs((found.tests[0].suspects[0].time - at(63)).total_seconds()) < 1


def test_without_logs_every_failed_test_is_there() -> None:
    """Failed and flaky tests come in the order of the report, with their facts."""
    run = a_run(
        a_test("a", an_attempt(None, message=ASSERTION)),
        a_test("b", an_attempt()),
        a_test("c", an_attempt(None, message=WAIT), an_attempt(retry=1)),
        a_test("d", an_attempt(status=Status.FAILED)),
    )
    found = correlate(run, [])

    assert ["a", "c", "d"] == [t.test.id.title for t in found.tests]
    assert "2" == found.tests[0].facts.received
    assert found.tests[2].facts.headline
    assert not found.has_times


def test_noise_just_before_an_error_does_not_hide_it() -> None:
    """What a service always says is no announcement of the 500 that happens to follow it."""
    noise = [a_record(s / 2, "cache miss storm", Level.ERROR) for s in range(130)]
    test = suspects(a_suite(PAYS), *noise, broken(63.015))

    assert ["/pay"] == [s.root.path for s in test.suspects if s.score >= 0.3]
