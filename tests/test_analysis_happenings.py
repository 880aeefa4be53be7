"""Which records are joined into one happening, and which are kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builders import MemoryLog, a_record, at
from heisenberg.analysis.happenings import Happening, Sighting, join, observe, template
from heisenberg.analysis.windows import Span
from heisenberg.model.logs import Level, LogRecord

RUN = Span(at(0), at(100))
FAILING = [Span(at(40), at(50))]


def joined(*records: LogRecord) -> list[Happening]:
    sightings = [Sighting(r, r.timestamp, template(r)) for r in records if r.timestamp]
    return join(sorted(sightings, key=lambda s: s.time))


def pay(seconds: float, service: str = "api", request_id: str = "") -> LogRecord:
    return a_record(
        seconds,
        "POST /pay 500",
        Level.ERROR,
        service=service,
        request=("POST", "/pay", 500),
        request_id=request_id,
    )


def test_one_id_is_one_happening() -> None:
    """Records of two services that carry the same id tell of one request."""
    found = joined(pay(1, request_id="r1"), pay(1.4, "web", "r1"), pay(1.2, "web", "r2"))

    assert [1, 2] == sorted(len(h.sightings) for h in found)


def test_an_id_that_returns_late_is_another_happening() -> None:
    """Ids are used again; after a minute it is another request."""
    assert 2 == len(joined(pay(1, request_id="7"), pay(90, "web", "7")))


def test_two_ids_are_two_happenings() -> None:
    """Two requests in one moment stay two."""
    assert 2 == len(joined(pay(1, request_id="a"), pay(1.01, request_id="b")))


def test_one_moment_of_one_service_is_one_happening() -> None:
    """An exception and the request that it broke are logged in the same moment."""
    broke = a_record(1, "boom", Level.ERROR, exception="E", request=("POST", "/pay", 500))

    assert 1 == len(joined(broke, pay(1.05)))
    assert 2 == len(joined(broke, pay(2.0)))


def test_access_lines_pair_one_to_one() -> None:
    """Of three equal requests in one second each has its own access line."""
    own = [pay(1.1), pay(1.5), pay(1.8)]
    access = [pay(1, "access"), pay(1, "access"), pay(1, "access")]
    found = joined(*own, *access)

    services = [sorted(s.record.service for s in h.sightings) for h in found]
    assert [["access", "api"]] * 3 == services


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from(["api", "web"]), st.sampled_from(["", "a", "b"])),
        max_size=12,
    )
)  # fmt: skip
def test_each_record_is_in_one_happening(requests: list[tuple[int, str, str]]) -> None:
    """Happenings are a partition of the records, by time."""
    records = [pay(n / 3, service, name) for n, service, name in requests]
    found = joined(*records)

    told = [id(s.record) for h in found for s in h.sightings]
    assert sorted(id(r) for r in records) == sorted(told)
    assert found == sorted(found, key=lambda h: h.time)


def test_only_what_reaches_into_a_failing_window_is_kept() -> None:
    """An error in clean time is counted and not kept; a slow request that began earlier is kept."""
    log = MemoryLog(
        "api",
        [
            a_record(10, "boom", Level.ERROR),
            a_record(45, "boom", Level.ERROR),
            a_record(46, "fine"),
            a_record(52, "slow", request=("GET", "/a", 200), duration_ms=4000.0),
        ],
    )
    seen = observe([log], {}, RUN, FAILING)

    assert ["boom", "slow"] == [s.record.message for s in seen.unusual]
    assert 2 == seen.count(template(log.entries[0]), [RUN])
    assert 1 == seen.count(template(log.entries[0]), [Span(at(0), at(20))])


def test_a_flood_is_bounded() -> None:
    """Of a kind of record that repeats many times a second only a few are kept, all are counted."""
    log = MemoryLog("api", [a_record(45 + n / 1000, f"boom {n}", Level.ERROR) for n in range(900)])
    seen = observe([log], {}, RUN, FAILING)

    assert 900 == seen.count(template(log.entries[0]), [RUN])
    assert len(seen.unusual) < 20


def test_ids_of_their_own_do_not_part_a_request() -> None:
    """Where a gateway numbers requests for itself, its line still tells of the service's request."""
    assert 1 == len(joined(pay(1, request_id="r1"), pay(1.4, "web", "w9")))
