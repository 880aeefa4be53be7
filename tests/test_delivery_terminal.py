from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from delivery_samples import a_diagnosis, a_report, green_report, hostile_report, hostile_text
from heisenberg.delivery import terminal
from heisenberg.model.diagnosis import Evidence, Owner, State
from heisenberg.model.report import Counts, Incident, Problem, Report

SGR = re.compile(r"\x1b\[[0-9;]*m")

AT_80 = """\
✘  6 failed, 1 flaky of 40 tests in 1 min 1 s: 2 causes (1 product, 1 test)

1  PRODUCT  unhandled exception in payments  [first seen]  very likely (91%)
   Listing orders fails on an order without a coupon.
   tests  ✘ orders › lists past orders 0  shop.spec.ts:12
          ✘ orders › lists past orders 1  shop.spec.ts:12
          ✘ orders › lists past orders 2  shop.spec.ts:12
          ✘ orders › lists past orders 3  shop.spec.ts:12
          ✘ orders › lists past orders 4  shop.spec.ts:12
          and 1 more
   proof  logs/payments.log:812  12:00:03.120Z
            AttributeError: 'NoneType' object has no attribute 'upper'
          report.json:33
            Error: expect(locator).toBeVisible() failed
   fix    Handle an order whose coupon is None before calling upper().
   or     test, async wait (6%)
   needs  the log of postgres

2  TEST  async wait  [flaky]  probably (55%)
   Listing orders fails on an order without a coupon.
   tests  ~ finds a product  [webkit] · shop.spec.ts:12 · passed on attempt 2
   fix    Handle an order whose coupon is None before calling upper().

1 problem
-  junit.xml: line 3: the document is cut off; was the job killed?
"""

AT_40 = """\
✘  1 failed, 1 flaky of 40 tests in 1
   min 1 s: 2 causes (1 product, 1 test)

1  PRODUCT  unhandled exception in
   payments  [first seen]  very likely
   (91%)
   Listing orders fails on an order
   without a coupon.
   tests  ✘ orders › lists past orders 0
          shop.spec.ts:12
   proof  logs/payments.log:812
          12:00:03.120Z
            AttributeError: 'NoneType'
            object has no attribute
            'upper'
          report.json:33
            Error:
            expect(locator).toBeVisible(
            ) failed
   fix    Handle an order whose coupon
          is None before calling
          upper().
   or     test, async wait (6%)
   needs  the log of postgres
"""


def test_a_red_run_reads_top_down() -> None:
    """Headline, verdict, cause, tests, proof, fix, alternatives, what is missing, problems."""
    assert AT_80 == terminal.render(a_report(tests=6), width=80, color=False)


def test_a_narrow_terminal_wraps_within_its_columns() -> None:
    """At 40 columns the same text hangs below its labels."""
    shown = terminal.render(a_report(tests=1), width=40, color=False)

    assert shown.startswith(AT_40)


def test_a_green_run_takes_one_line() -> None:
    """Good news is short."""
    shown = terminal.render(green_report, width=80, color=False)

    assert "✔  39 tests passed, 1 skipped in 480 ms\n" == shown


def test_no_tests_is_said() -> None:
    """A run without tests is not called green."""
    shown = terminal.render(Report(Counts(0, 0, 0, 0, 0, None)), width=80, color=False)

    assert "no tests ran" in shown


def test_errors_outside_tests_are_incidents() -> None:
    """An incident without tests says so, instead of an empty list."""
    incident = Incident("i", "f", (), a_diagnosis())
    shown = terminal.render(Report(Counts(3, 3, 0, 0, 0, 9.0), (incident,)), width=80, color=False)

    assert "errors outside any test, of 3 tests in 9 ms: one cause" in shown
    assert "tests  errors outside any test" in shown


def test_too_little_evidence_is_said() -> None:
    """An abstention names no owner, and an unknown state is not shown."""
    diagnosis = a_diagnosis(owner=Owner.INSUFFICIENT_EVIDENCE, state=State.UNKNOWN, root_cause="")
    report = replace(a_report(), incidents=(replace(a_report().incidents[0], diagnosis=diagnosis),))
    shown = terminal.render(report, width=80, color=False)

    assert "NOT ENOUGH EVIDENCE" in shown
    assert "The cause could not be told." in shown
    assert "[unknown]" not in shown


def test_many_incidents_stay_readable() -> None:
    """Beyond ten an incident takes one line; beyond fifty it is counted."""
    one = a_report().incidents[0]
    shown = terminal.render(
        Report(Counts(60, 0, 60, 0, 0, 1.0), (one,) * 60), width=80, color=False
    )

    assert 10 == shown.count("proof")
    assert 50 == shown.count("PRODUCT")
    assert "and 10 more; --format json has them all" in shown


def test_a_long_quote_is_cut_and_says_so() -> None:
    """A quote of many lines shows its first ones."""
    quote = "\n".join(f"    line {n}" for n in range(20))
    diagnosis = a_diagnosis(evidence=(Evidence("a.log", 1, quote),))
    report = Report(Counts(1, 0, 1, 0, 0, 1.0), (Incident("i", "f", (), diagnosis),))
    shown = terminal.render(report, width=80, color=False)

    assert "            line 5\n            … 14 more lines\n" in shown
    assert "line 6" not in shown


def test_many_problems_are_counted() -> None:
    """A folder full of broken files does not bury the diagnosis."""
    problems = tuple(Problem(f"{n}.xml", "cut off") for n in range(100))
    shown = terminal.render(replace(a_report(), problems=problems), width=80, color=False)

    assert "100 problems" in shown
    assert "and 80 more" in shown


def test_color_only_when_asked() -> None:
    """Colours change nothing but colours."""
    colored = terminal.render(a_report(), width=80, color=True)

    plain = terminal.render(a_report(), width=80, color=False)
    assert "\x1b" not in plain
    assert plain.split() == SGR.sub("", colored).split()
    assert "\x1b[1;31mPRODUCT" in colored


@pytest.mark.parametrize("name", ["NO_COLOR", "FORCE_COLOR"])
def test_the_environment_is_not_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering is a function of its arguments; the command line decides on colour."""
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("COLUMNS", "7")

    assert "\x1b" in terminal.render(a_report(), width=80, color=True)
    assert AT_80 == terminal.render(a_report(tests=6), width=80, color=False)


@given(hostile_text, st.integers(40, 200), st.booleans(), st.booleans())
def test_nothing_steers_the_terminal(name: str, width: int, color: bool, ascii_only: bool) -> None:
    """Whatever the artefacts say, only our colours reach the terminal, and no line is too wide."""
    shown = terminal.render(hostile_report(name), width=width, color=color, ascii_only=ascii_only)

    plain = SGR.sub("", shown) if color else shown
    assert {"\n"} >= {c for c in plain if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}}
    assert not re.search("[\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069]", plain)
    assert all(cell_len(line) <= width for line in plain.split("\n"))
    assert not ascii_only or plain.isascii()
