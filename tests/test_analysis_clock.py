"""When a log's clock is found to be off, and when it is left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import MemoryLog, a_record, at
from heisenberg.analysis.clock import estimate_offsets
from heisenberg.analysis.windows import Span

if TYPE_CHECKING:
    from heisenberg.model.logs import LogRecord

RUN = Span(at(0), at(120))


def requests(service: str, ahead: float = 0.0, count: int = 20, **spread: float) -> MemoryLog:
    """A log with one record of each request, its clock ahead by seconds."""
    jitter = spread.get("jitter", 0.0)
    return MemoryLog(
        service,
        [
            a_record(
                5 * i + ahead + jitter * (-1) ** i * (i % 3),
                "served",
                service=service,
                request_id=f"4f1c{i:08x}",
            )
            for i in range(count)
        ],
    )


def chatter(service: str, ahead: float = 0.0) -> list[LogRecord]:
    """Records that say nothing of any request."""
    return [a_record(2 * i + ahead, "tick", service=service) for i in range(50)]


def test_a_clock_ahead_is_noticed_by_shared_ids() -> None:
    """A log 37 s ahead of the others is told so, and only that log."""
    web = MemoryLog("web", [*requests("web").entries, *chatter("web")])
    offsets = estimate_offsets([web, requests("api"), requests("pay", 37.0)], RUN)

    assert ["logs/pay.log"] == list(offsets)
    assert 37 == pytest.approx(offsets["logs/pay.log"].offset.total_seconds(), abs=0.5)
    assert "ids" in offsets["logs/pay.log"].reason


def test_ids_in_messages_count_too() -> None:
    """An id is found in the words of a plain log."""
    plain = MemoryLog(
        "pay",
        [a_record(5 * i - 20, f"charged for 4f1c{i:08x}", service="pay") for i in range(20)],
    )
    web = MemoryLog("web", [*requests("web").entries, *chatter("web")])
    offsets = estimate_offsets([web, plain], RUN)

    assert -20 == pytest.approx(offsets["logs/pay.log"].offset.total_seconds(), abs=0.5)


@given(st.integers(-13, 13).filter(bool))
@settings(deadline=None)
def test_a_log_in_another_zone_is_noticed(hours: int) -> None:
    """A log that does not meet the run at all, but does when shifted by hours, is shifted."""
    log = requests("pay", 3600.0 * hours, count=24)
    offsets = estimate_offsets([requests("web"), log], RUN)

    assert ["logs/pay.log"] == list(offsets)
    assert timedelta(hours=hours) == offsets["logs/pay.log"].offset


def test_few_ids_say_nothing() -> None:
    """One id that two logs share may be a coincidence."""
    assert {} == estimate_offsets([requests("web"), requests("pay", 37.0, count=1)], RUN)


def test_a_wide_spread_says_nothing() -> None:
    """Ids that are now near, now far apart tell of slow work, not of a clock."""
    assert {} == estimate_offsets([requests("web"), requests("pay", 4.0, jitter=10.0)], RUN)


def test_the_way_of_a_request_is_no_offset() -> None:
    """A fraction of a second between two services is the time that a request takes."""
    assert {} == estimate_offsets([requests("web"), requests("pay", 0.3)], RUN)


def test_an_old_log_is_left_alone() -> None:
    """A log of another day cannot be shifted into the run."""
    assert {} == estimate_offsets([requests("web"), requests("pay", 86400.0 * 9)], RUN)


def test_a_log_without_times_is_left_alone() -> None:
    """A log that tells no time, or is empty, has no clock."""
    silent = MemoryLog("pay", [a_record(None, "hello", service="pay")])

    assert {} == estimate_offsets([requests("web"), silent, MemoryLog("empty")], RUN)
