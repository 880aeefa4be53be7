"""Requests laid out as a run and its artefacts, and analysed by the pipeline in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyze_requests import case_request
from heisenberg.backend.analyze_schemas import AnalysisDocument
from heisenberg.backend.services.work import Analysed, Invalid, Job, Outcome, carry_out
from heisenberg.delivery import json_report
from heisenberg.pipeline import analyze

CASES = Path(__file__).parent / "data" / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())
START = "2026-01-01T12:00:01.000Z"


def failed(title: str = "pays by card", **told: Any) -> dict[str, Any]:
    """A failed test."""
    return {"title": title, "errors": [{"message": "Expected: 200\nReceived: 500"}], **told}


def outcome_of(folder: Path, request: Any) -> Outcome:
    """What a worker would answer to a request, given as JSON or as bytes."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return carry_out(Job("id", body), folder)


def document_of(folder: Path, request: Any) -> dict[str, Any]:
    """The analysis document of a request that fits."""
    if isinstance(request, dict):
        request = {"repository": "org/repo", "failed_tests": [failed()], **request}
    outcome = outcome_of(folder, request)
    assert isinstance(outcome, Analysed), outcome
    document: dict[str, Any] = json.loads(outcome.document)
    AnalysisDocument.model_validate(document)
    assert not list(folder.iterdir())
    return document


def log(*entries: Any, name: str = "api", times: bool = True) -> dict[str, Any]:
    """A container's log: texts a tenth of a second apart from a second after START, or entries."""
    told = []
    for n, entry in enumerate(entries):
        time = {"timestamp": f"2026-01-01T12:00:{2 + n / 10:06.3f}Z"} if times else {}
        told.append({"message": entry, **time} if isinstance(entry, str) else entry)
    return {"container_name": name, "entries": told}


def red(*logs: dict[str, Any]) -> dict[str, Any]:
    """A test that failed while these were written."""
    return {
        "failed_tests": [failed(start_time=START, duration_ms=5000)],
        "container_logs": list(logs),
    }


def evidence(document: dict[str, Any], source: str) -> list[tuple[int, str]]:
    """Line and quote of what was cited from a source."""
    return [
        (e["line"], e["quote"])
        for i in document["incidents"]
        for e in i["diagnosis"]["evidence"]
        if e["source"] == source
    ]


def verdicts(document: dict[str, Any]) -> set[tuple[str, str, str, frozenset[str]]]:
    """What was found: owner, mechanism, component and tests of each incident."""
    return {
        (d["owner"], d["mechanism"], d["component"], frozenset(t["title"] for t in i["tests"]))
        for i in document["incidents"]
        for d in [i["diagnosis"]]
    }


def wrong_of(outcome: Outcome) -> list[tuple[list[str | int], str]]:
    """What was wrong with a request that does not fit."""
    assert isinstance(outcome, Invalid)
    return [(wrong.location, wrong.kind) for wrong in outcome.wrong]


REFUSED = 'ERROR POST /charge 500 connection to server at "db" failed: Connection refused'


class TestLabelledCases:
    @pytest.mark.parametrize("with_times", [True, False], ids=["times", "no-times"])
    @pytest.mark.parametrize("case", NAMES)
    def test_service_and_command_agree(self, case: str, with_times: bool, tmp_path: Path) -> None:
        """The diagnoses of a case are those of the command, and the lines that prove them are cited."""
        document = document_of(tmp_path, case_request(CASES / case, with_times=with_times))

        report = next(
            p for p in (CASES / case / "report.json", CASES / case / "junit.xml") if p.exists()
        )
        told = json_report.to_document(analyze([report], [CASES / case / "logs"]))
        assert verdicts(told) == verdicts(document)
        truth = json.loads((CASES / case / "truth.json").read_text(encoding="utf-8"))
        for true in truth["incidents"]:
            quotes = [
                e["quote"]
                for i in document["incidents"]
                if {t["title"] for t in i["tests"]} & set(true["tests"])
                for e in i["diagnosis"]["evidence"]
            ]
            assert any(key in quote for quote in quotes for key in true["key_evidence"])

    @pytest.mark.parametrize("case", NAMES)
    def test_every_quote_stands_in_the_entry_that_is_cited(self, case: str, tmp_path: Path) -> None:
        """Line n is entry n or failed test n, and holds the quote."""
        request = case_request(CASES / case)

        document = document_of(tmp_path, request)

        logs = {
            f"container_logs/{c['container_name']}": c["entries"] for c in request["container_logs"]
        }
        for item in (e for i in document["incidents"] for e in i["diagnosis"]["evidence"]):
            if item["source"] == "failed_tests":
                test = request["failed_tests"][item["line"] - 1]
                texts = [t for e in test["errors"] for t in (e["message"], e["stack"])]
                assert any(item["quote"] in text for text in texts), item
            else:
                # A record of several entries is cited by its first.
                entries = logs[item["source"]][item["line"] - 1 : item["line"] + 400]
                assert any(spoken(item["quote"], e["message"]) for e in entries), item


def spoken(quote: str, message: str) -> bool:
    """Whether a message holds the quote, its own JSON escapes undone or not."""
    return quote in message or quote in message.replace('\\"', '"').replace("\\n", "\n")


class TestContainerNames:
    @pytest.mark.parametrize(
        ("name", "cited"),
        [
            ("api", "api"),
            ("/api", "api"),
            ("shop/api", "shop/api"),
            ("../../etc/passwd", "_/_/etc/passwd"),
            ("..", "_"),
            ("", "unnamed"),
            ("\0", "\\x00"),
            ("a\nb\tc", "a b c"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("x" * 100_000, "x" * 199 + "…"),
            ("über 名", "über 名"),
        ],
    )
    def test_name_is_shown_and_names_no_file(self, name: str, cited: str, tmp_path: Path) -> None:
        """A container may be called anything: the citation shows it, made safe."""
        document = document_of(tmp_path, red(log(REFUSED, name=name)))

        assert [(1, REFUSED)] == evidence(document, f"container_logs/{cited}")

    def test_second_log_of_a_name_gets_a_number(self, tmp_path: Path) -> None:
        """Two logs of one name are told apart, neither takes a third's name, and it is said."""
        quiet = log("INFO ready", name="api")

        document = document_of(tmp_path, red(quiet, log("INFO up", name="api-2"), log(REFUSED)))

        assert [(1, REFUSED)] == evidence(document, "container_logs/api-3")
        assert ["container_logs/api-3"] == [p["source"] for p in document["problems"]]


class TestEntries:
    def test_line_is_the_entry_s_number_whatever_the_messages_hold(self, tmp_path: Path) -> None:
        """Line ends, NUL, colours and emptiness in messages move no number."""
        odd = ("a\nb\nc", "", "nul\0nul", "\x1b[32mINFO\x1b[0m ok", "\r\n\r\n", "\u2028")

        document = document_of(tmp_path, red(log(*odd, REFUSED)))

        assert [(len(odd) + 1, REFUSED)] == evidence(document, "container_logs/api")

    def test_unsorted_entries_keep_their_numbers(self, tmp_path: Path) -> None:
        """Entries need not come in order of time."""
        entries = log("INFO one", REFUSED, "INFO two")["entries"]

        document = document_of(tmp_path, red({"container_name": "api", "entries": entries[::-1]}))

        assert [(2, REFUSED)] == evidence(document, "container_logs/api")

    @pytest.mark.parametrize(
        "time",
        [
            "2026-01-01T12:00:02Z",
            "2026-01-01T12:00:02.123456789Z",
            "2026-01-01T12:00:02",
            "2026-01-01 12:00:02",
            "2026-01-01T14:00:02+02:00",
            1767268802,
            1767268802.5,
            1767268802123,
            "1767268802",
        ],
    )
    def test_time_in_any_form(self, time: Any, tmp_path: Path) -> None:
        """ISO 8601 in any zone, without one in UTC, and numbers since 1970 are the same moment."""
        entry = {"message": REFUSED, "timestamp": time}

        document = document_of(tmp_path, red(log(entry)))

        [item] = [
            e
            for e in document["incidents"][0]["diagnosis"]["evidence"]
            if e["source"] == "container_logs/api"
        ]
        assert item["timestamp"].startswith("2026-01-01T12:00:02")
        assert not document["problems"]

    @pytest.mark.parametrize(
        "time", ["yesterday", "", -1, 1e300, "9" * 5000, "0001-01-01T00:00:00+14:00"]
    )
    def test_unreadable_time_is_told_of_and_the_rest_goes_on(
        self, time: Any, tmp_path: Path
    ) -> None:
        """A bad time costs that time only: the entry stands at the time of the one before."""
        entries = log("INFO up")["entries"]
        entries.append({"message": REFUSED, "timestamp": time})

        document = document_of(tmp_path, red({"container_name": "api", "entries": entries}))

        assert [(2, REFUSED)] == evidence(document, "container_logs/api")
        told = [p for p in document["problems"] if "entry 2" in p["reason"]]
        assert (time != "") == bool(told)

    def test_messages_tell_the_time_when_no_entry_does(self, tmp_path: Path) -> None:
        """Without timestamps the messages' own count."""
        lines = [f"2026-01-01 12:00:0{n} INFO ok" for n in range(3)]
        line = f"2026-01-01 12:00:03 {REFUSED}"

        document = document_of(tmp_path, red(log(*lines, line, times=False)))

        assert [(4, REFUSED)] == [
            (n, q[-len(REFUSED) :]) for n, q in evidence(document, "container_logs/api")
        ]

    def test_traceback_over_several_entries_is_one_record(self, tmp_path: Path) -> None:
        """Entries that continue a record are cited by its first, as in a log file."""
        trace = [
            "ERROR in handler",
            "Traceback (most recent call last):",
            '  File "/app/pay.py", line 12, in charge',
            "    total = cart.total",
            "AttributeError: 'NoneType' object has no attribute 'total'",
        ]

        document = document_of(tmp_path, red(log("INFO up", *trace)))

        assert "unhandled_exception" == document["incidents"][0]["diagnosis"]["mechanism"]
        cited = evidence(document, "container_logs/api")
        assert any(line == 2 and "AttributeError" in quote for line, quote in cited)

    def test_traceback_in_one_entry_is_the_same_record(self, tmp_path: Path) -> None:
        """A message of several lines is read as the lines that it holds."""
        trace = (
            "ERROR in handler\nTraceback (most recent call last):\n"
            '  File "/app/pay.py", line 12, in charge\n    total = cart.total\n'
            "AttributeError: 'NoneType' object has no attribute 'total'\n"
        )

        document = document_of(tmp_path, red(log("INFO up", trace)))

        assert "unhandled_exception" == document["incidents"][0]["diagnosis"]["mechanism"]
        cited = evidence(document, "container_logs/api")
        assert cited
        assert all(line == 2 and quote in trace for line, quote in cited)

    def test_json_in_messages_is_read(self, tmp_path: Path) -> None:
        """A message may itself be a JSON log line."""
        message = json.dumps({"level": "error", "msg": REFUSED.removeprefix("ERROR ")})

        document = document_of(tmp_path, red(log("INFO up", message)))

        assert [2] == [line for line, _ in evidence(document, "container_logs/api")]

    def test_overlong_message_is_cut_and_told_of(self, tmp_path: Path) -> None:
        """A message beyond the reader's longest line keeps its beginning, and the others are read."""
        document = document_of(tmp_path, red(log("\0" * 3_000_000, REFUSED)))

        assert [(2, REFUSED)] == evidence(document, "container_logs/api")
        assert any("entry 1" in p["reason"] for p in document["problems"])


class TestTests:
    def test_only_the_required(self, tmp_path: Path) -> None:
        """A repository and a title are enough: the test failed, nobody knows why."""
        document = document_of(
            tmp_path, {"failed_tests": [{"title": "pays"}], "repository": "org/repo"}
        )

        assert {"total": 1, "failed": 1, "passed": 0} == {
            k: document["run"][k] for k in ("total", "failed", "passed")
        }
        assert "insufficient_evidence" == document["incidents"][0]["diagnosis"]["owner"]

    def test_same_test_again_is_a_further_attempt(self, tmp_path: Path) -> None:
        """Retries are sent as the same test; another project's is another test."""
        tests = [failed(file="a.ts"), failed(file="a.ts"), failed(file="a.ts", project="webkit")]

        document = document_of(tmp_path, {"failed_tests": tests})

        found = {t["project"]: t["attempts"] for i in document["incidents"] for t in i["tests"]}
        assert {"": 2, "webkit": 1} == found
        assert 2 == document["run"]["failed"]

    def test_title_path(self, tmp_path: Path) -> None:
        """The suites' titles go before the test's; a file among them is not repeated."""
        test = failed("pays", file="e2e/pay.spec.ts", suite="pay.spec.ts › checkout > card")

        document = document_of(tmp_path, {"failed_tests": [test]})

        assert "checkout › card › pays" == document["incidents"][0]["tests"][0]["title"]

    def test_error_is_cited_by_the_number_of_its_test(self, tmp_path: Path) -> None:
        """Line n of `failed_tests` is failed test n, with lines and colours in its message."""
        tests = [
            failed(f"t{n}", errors=[{"message": f"\x1b[31mError\x1b[0m:\n  ValueError: {n * 111}"}])
            for n in range(1, 4)
        ]

        document = document_of(tmp_path, {"failed_tests": tests})

        cited = evidence(document, "failed_tests")
        assert cited
        assert all(quote in f"Error:\n  ValueError: {line * 111}" for line, quote in cited)

    def test_same_words_are_cited_where_they_were_said(self, tmp_path: Path) -> None:
        """What a test said is looked for in that test, though another before it said so, too."""
        tests = [
            failed(
                "first", errors=[{"message": "TypeError: no cart, after ValueError: bad total"}]
            ),
            failed("second", errors=[{"message": "ValueError: bad total"}]),
        ]

        document = document_of(tmp_path, {"failed_tests": tests})

        assert (2, "ValueError: bad total") in evidence(document, "failed_tests")

    def test_green_run_has_no_incidents(self, tmp_path: Path) -> None:
        """Nothing failed, whatever the logs say."""
        document = document_of(
            tmp_path, {"failed_tests": [], "passed_tests": 3, "container_logs": [log(REFUSED)]}
        )

        assert [] == document["incidents"]
        assert 3 == document["run"]["passed"]

    @pytest.mark.parametrize(
        ("told", "counts"),
        [
            ({}, (1, 0, 0)),
            ({"total_tests": 40}, (40, 39, 0)),
            ({"total_tests": 40, "skipped_tests": 4}, (40, 35, 4)),
            ({"passed_tests": 7, "skipped_tests": 2}, (10, 7, 2)),
            ({"total_tests": 40, "passed_tests": 30, "skipped_tests": 2}, (40, 30, 2)),
        ],
    )
    def test_counts(self, told: dict[str, int], counts: tuple[int, ...], tmp_path: Path) -> None:
        """What is not told follows from what is; tests that did not run are in the total only."""
        run = document_of(tmp_path, told)["run"]

        assert counts == (run["total"], run["passed"], run["skipped"])

    @pytest.mark.parametrize("told", [{"total_tests": 0}, {"total_tests": 5, "passed_tests": 5}])
    def test_total_below_its_parts_is_refused(self, told: dict[str, int], tmp_path: Path) -> None:
        """Numbers that contradict each other are refused under the name of the total."""
        request = {"repository": "org/repo", "failed_tests": [failed()], **told}

        outcome = outcome_of(tmp_path, request)

        assert [(["total_tests"], "value_error")] == wrong_of(outcome)

    def test_unreadable_start_is_told_of(self, tmp_path: Path) -> None:
        """A start that cannot be read is not used, and its test's number is told."""
        tests = [failed("a"), failed("b", start_time="soon"), failed("c", start_time="later")]

        document = document_of(tmp_path, {"failed_tests": tests, "start_time": "now"})

        assert {
            "request": "start_time cannot be read, so it was not used",
            "failed_tests": "start_time cannot be read, so it was not used: test 2 and 1 more",
        } == {p["source"]: p["reason"] for p in document["problems"]}


class TestBody:
    @pytest.mark.parametrize(
        ("change", "location"),
        [
            ({"repository": None}, ["repository"]),
            ({"repository": " "}, ["repository"]),
            ({"repository": "x" * 513}, ["repository"]),
            ({"pull_request_number": 0}, ["pull_request_number"]),
            ({"pull_request_number": 2**31}, ["pull_request_number"]),
            ({"pull_request_number": "7"}, ["pull_request_number"]),
            ({"total_tests": 1.5}, ["total_tests"]),
            ({"total_tests": True}, ["total_tests"]),
            ({"passed_tests": -1}, ["passed_tests"]),
            ({"failed_tests": {}}, ["failed_tests"]),
            ({"failed_tests": [failed(), {}]}, ["failed_tests", 1, "title"]),
            ({"failed_tests": [failed("")]}, ["failed_tests", 0, "title"]),
            ({"failed_tests": [failed(duration_ms=-1)]}, ["failed_tests", 0, "duration_ms"]),
            ({"failed_tests": [failed(errors=[{"message": 1}])]}, ["failed_tests", 0, "errors", 0, "message"]),
            ({"failed_tests": [failed()] * 10_001}, ["failed_tests"]),
            ({"failed_tests": [failed(errors=[{}] * 101)]}, ["failed_tests", 0, "errors"]),
            ({"container_logs": [log()] * 501}, ["container_logs"]),
            ({"container_logs": [{"container_name": "api"}]}, ["container_logs", 0, "entries"]),
            ({"container_logs": [log({"timestamp": START})]}, ["container_logs", 0, "entries", 0, "message"]),
        ],
    )  # fmt: skip
    def test_wrong_field_is_named(
        self, change: dict[str, Any], location: list[Any], tmp_path: Path
    ) -> None:
        """Types and limits are strict, and the field's path is told."""
        request = {"repository": "org/repo", "failed_tests": [failed()], **change}

        outcome = outcome_of(tmp_path, request)

        assert [location] == [where for where, _ in wrong_of(outcome)]

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"\xff", b"[" * 1_000_000, b'{"repository": NaN}{', b'{"a": "\\x"}', b'{"a": "\\ud800'],
        ids=["empty", "cut", "no-utf8", "deep", "two", "escape", "half"],
    )  # fmt: skip
    def test_no_json(self, body: bytes, tmp_path: Path) -> None:
        """What is no JSON is told to be none."""
        outcome = outcome_of(tmp_path, body)

        assert [([], "json_invalid")] == wrong_of(outcome)

    def test_half_a_character_is_replaced(self, tmp_path: Path) -> None:
        """Text cut inside a character is taken, as clients cut so; whole characters stay."""
        title = rb"\ud83d\ude00 \ud83d \ude00 \\ud83d"
        body = rb'{"repository": "r", "failed_tests": [{"title": "%s"}]}' % title

        document = document_of(tmp_path, body)

        assert "😀 \ufffd \ufffd \\ud83d" == document["incidents"][0]["tests"][0]["title"]

    def test_unknown_keys_are_told_of(self, tmp_path: Path) -> None:
        """A newer client's keys do no harm, and a typing mistake does not go unseen."""
        document = document_of(
            tmp_path,
            {
                "brnch": "main",
                "failed_tests": [failed(retries=2)] * 3,
                "container_logs": [{**log(), "id": 1}],
            },
        )

        assert [
            {
                "source": "request",
                "reason": "unknown keys were passed over: brnch, failed_tests[].retries, container_logs[].id",
            }
        ] == document["problems"]

    def test_null_is_as_good_as_nothing(self, tmp_path: Path) -> None:
        """Clients write null for what they do not know."""
        keys = ("commit_sha", "branch", "pull_request_number", "total_tests", "container_logs")

        document = document_of(
            tmp_path,
            dict.fromkeys(keys)
            | {"failed_tests": [failed(file=None, suite=None, errors=None, start_time=None)]},
        )

        assert [] == document["problems"]


TIMES = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes().map(str),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.text(max_size=8), max_size=4),
    messages=st.lists(st.text(max_size=60), max_size=6),
    times=st.lists(
        TIMES,
        min_size=6, max_size=6,
    ),
    title=st.text(min_size=1, max_size=30),
    error=st.text(max_size=80),
)  # fmt: skip
def test_any_text_is_analysed(  # noqa: PLR0913, PLR0917 (what is drawn)
    names: list[str], messages: list[str], times: list[Any], title: str, error: str, tmp_path: Path
) -> None:
    """Whatever texts and times a client sends, it gets a document, and each quote stands where it says."""
    entries = [{"message": m, "timestamp": t} for m, t in zip(messages, times, strict=False)]
    logs = [{"container_name": name, "entries": entries} for name in names]
    tests = [{"title": title, "errors": [{"message": error}]}]

    document = document_of(tmp_path, {"failed_tests": tests, "container_logs": logs})

    assert 1 == sum(len(i["tests"]) for i in document["incidents"])
    for item in (e for i in document["incidents"] for e in i["diagnosis"]["evidence"]):
        assert item["source"] == "failed_tests" or item["line"] <= len(entries)
