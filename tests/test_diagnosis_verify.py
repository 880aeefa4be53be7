"""Which quotes are found in artefacts, on which line, and which are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heisenberg.diagnosis.claim import Citation
from heisenberg.diagnosis.verify import Verifier
from heisenberg.model.logs import Level, LogRecord
from heisenberg.model.run import Artefact, Place
from heisenberg.readers.logs import count_lines, open_log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from heisenberg.model.diagnosis import Evidence

NAME = "report"
STAMP = "2026-03-04T12:00:{:02d}.000Z"
WIDE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)  # fmt: skip
WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029"), max_size=20
)
LINES = st.lists(
    st.tuples(WORDS, st.sampled_from(["500", "total", "locator"]), WORDS).map(
        lambda parts: "".join(parts).strip()
    ),
    min_size=1,
    max_size=5,
)


def written(folder: Path, content: str) -> Artefact:
    path = folder / NAME
    path.write_text(content, encoding="utf-8", newline="")
    return Artefact(NAME, path, path.stat().st_size)


def verified(artefact: Artefact, *citations: Citation) -> list[Evidence]:
    return Verifier({artefact.source: artefact}, count_lines)(citations)


def quoted(artefact: Artefact, *quotes: str, line: int | None = None, near: str | None = None) -> list[int]:  # fmt: skip
    """Lines at which the quotes are found."""
    place = Place(artefact.source, line, near)
    return [e.line for e in verified(artefact, *(Citation(q, place=place) for q in quotes))]


def records(artefact: Artefact) -> list[LogRecord]:
    with open_log(artefact) as log:
        return list(log.records())


def test_undoes_the_escapes_of_json(tmp_path: Path) -> None:
    """A quote is found behind JSON's escapes, also those of a text that was JSON before."""
    tab = 'say "hi"\tto C:\\temp'
    report = {
        "title": "a",
        "message": tab,
        "snow": "\u2603 ☃ melts",
        "body": json.dumps({"msg": tab}),
    }
    artefact = written(tmp_path, json.dumps(report, indent=1))

    assert [3] == quoted(artefact, tab)
    assert [4] == quoted(artefact, "\u2603 ☃ melts")


def test_undoes_entities_of_xml(tmp_path: Path) -> None:
    """A quote is found behind XML's entities, named and numbered."""
    artefact = written(tmp_path, "<a>\n<b>1 &lt; 2 &amp;&#38; &quot;x&quot;</b>\n</a>\n")

    assert [2] == quoted(artefact, '1 < 2 && "x"')


def test_undoes_colours(tmp_path: Path) -> None:
    """Terminal colours do not stand between a quote and its place, raw or escaped."""
    artefact = written(
        tmp_path, "up\n\x1b[31mError:\x1b[0m pool is dry\n" + json.dumps("\x1b[2mfar\x1b[22m away")
    )

    assert [2, 3] == quoted(artefact, "Error: pool is dry", "far away")


def test_a_report_on_one_line_is_line_one(tmp_path: Path) -> None:
    """In a minified report everything stands on the first line."""
    tests = [{"title": f"test {n}", "error": f"broke {n}\nat line {n}"} for n in range(500)]
    artefact = written(tmp_path, json.dumps(tests, separators=(",", ":")))

    assert [1] == quoted(artefact, "broke 499", near="test 499")


def test_the_place_decides_among_equal_lines(tmp_path: Path) -> None:
    """A line that stands in a report many times is cited from the test's place on."""
    artefact = written(tmp_path, "".join(f"<t n='{n}'>\nboom here\n</t>\n" for n in range(9)))

    assert [17] == quoted(artefact, "boom here", line=16)
    assert [17] == quoted(artefact, "boom here", near="n='5'")
    assert [2] == quoted(artefact, "boom here")


def test_a_quote_that_is_not_there_is_dropped(tmp_path: Path) -> None:
    """Neither made-up text, nor text over two lines, nor nothing, nor another file's is evidence."""
    artefact = written(tmp_path, "one thing\nanother thing\n")

    assert [] == quoted(
        artefact, "third thing", "one thing another", "one thing\nanother", "", "  "
    )
    assert [] == verified(
        artefact, Citation("one thing"), Citation("one thing", place=Place("gone"))
    )


def test_evidence_keeps_the_order_and_comes_once(tmp_path: Path) -> None:
    """What is found comes in the order of the citations, equal ones once."""
    artefact = written(tmp_path, "a one\nb two\nc three\n")

    assert [3, 1] == quoted(artefact, "c three", "a one", "c three")


def test_a_file_that_is_gone_yields_nothing(tmp_path: Path) -> None:
    """An artefact that cannot be read any more proves nothing, and breaks nothing."""
    artefact = written(tmp_path, "a one\n")
    artefact.path.unlink()

    assert [] == quoted(artefact, "a one")


def a_log(folder: Path, lines: Sequence[str]) -> Artefact:
    content = "".join(f"{STAMP.format(n)} ERROR {line}\n" for n, line in enumerate(lines))
    return written(folder, content)


def test_a_record_is_cited_by_its_first_line(tmp_path: Path) -> None:
    """A quote from a traceback is evidence at the line where its record begins."""
    stack = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: 7'
    artefact = a_log(tmp_path, ["fine", f"broke\n{stack}", "fine again"])
    record = next(r for r in records(artefact) if "broke" in r.text)
    found = verified(artefact, Citation("KeyError: 7", record=record))

    assert [(2, "KeyError: 7", record.timestamp)] == [(e.line, e.quote, e.timestamp) for e in found]


def test_a_quote_of_another_record_is_not_accepted(tmp_path: Path) -> None:
    """What the log says elsewhere is no evidence of this record."""
    artefact = a_log(tmp_path, ["first words", "second words"])
    first, second = records(artefact)

    assert [] == verified(artefact, Citation("second words", record=first))
    assert [2] == [e.line for e in verified(artefact, Citation("second words", record=second))]


@given(lines=LINES)
@WIDE
def test_any_text_is_found_in_json(tmp_path: Path, lines: list[str]) -> None:
    """Whatever is written into a JSON file is found on its line."""
    artefact = written(tmp_path, json.dumps(lines, indent=1))

    for number, line in enumerate(lines):
        assert [lines.index(line) + 2] == quoted(artefact, line) or any(
            line in other for other in lines[:number]
        )


@given(lines=LINES)
@WIDE
def test_any_text_is_found_in_xml(tmp_path: Path, lines: list[str]) -> None:
    """Whatever is written into an XML file, as text or attribute, is found on its line."""
    cases = "".join(
        f"<c m={quoteattr(line)}/>\n" if n % 2 else f"<c>{escape(line)}</c>\n"
        for n, line in enumerate(lines)
    )
    artefact = written(tmp_path, f"<s>\n{cases}</s>\n")

    for number, line in enumerate(lines):
        assert [number + 2] == quoted(artefact, line, line=number + 2)


@given(lines=LINES)
@WIDE
def test_any_text_is_found_in_a_log(tmp_path: Path, lines: list[str]) -> None:
    """Whatever is written into a log is found at its record's line."""
    artefact = a_log(tmp_path, [f"said {line}" for line in lines])
    found = records(artefact)

    assert len(lines) == len(found)
    for number, (record, line) in enumerate(zip(found, lines, strict=True)):
        assert [number + 1] == [e.line for e in verified(artefact, Citation(line, record=record))]


@pytest.mark.parametrize("bom", ["utf-16", "utf-8-sig"])
def test_wide_files_are_searched(tmp_path: Path, bom: str) -> None:
    """A report of two bytes a character, or with a byte order mark, is read as what it is."""
    path = tmp_path / NAME
    path.write_bytes("<a>\n<b>grüße an alle</b>\n</a>\n".encode(bom))

    assert [2] == quoted(Artefact(NAME, path, path.stat().st_size), "grüße an alle")


def test_a_level_is_no_part_of_the_claim(tmp_path: Path) -> None:
    """A record is looked up by where it is, not by what else is said of it."""
    artefact = a_log(tmp_path, ["only words"])
    (record,) = records(artefact)

    assert record.level is Level.ERROR
    assert [1] == [e.line for e in verified(artefact, Citation("only words", record=record))]


@pytest.mark.parametrize("quote", ["支払いに失敗しました", "ошибка оплаты", "№ 7 < 8", "«ä» & «ö»"])
def test_every_script_is_found(tmp_path: Path, quote: str) -> None:
    """A quote without a Latin word is found in JSON that is all ASCII, in plain JSON, and in XML."""
    ascii_json = written(tmp_path, json.dumps({"a": 1, "m": f"x: {quote}"}, indent=1))

    assert [3] == quoted(ascii_json, quote)
    plain_json = json.dumps({"m": f'"{quote}"'}, indent=1, ensure_ascii=False)
    assert [2] == quoted(written(tmp_path, plain_json), f'"{quote}"')
    assert [2] == quoted(written(tmp_path, f"<a>\n<b>{escape(quote)}</b>\n</a>"), quote)
