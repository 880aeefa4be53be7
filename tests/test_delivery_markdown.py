from __future__ import annotations

import re
from html.parser import HTMLParser

import cmarkgfm  # type: ignore[import-untyped]  # ships no types
import pytest
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]  # ships no types
from hypothesis import given

from delivery_samples import (
    HOSTILE_NAMES,
    a_diagnosis,
    a_report,
    a_test,
    green_report,
    hostile_report,
    hostile_text,
)
from heisenberg.delivery import markdown
from heisenberg.model.diagnosis import Evidence
from heisenberg.model.report import Counts, Incident, Report

OURS = set("h3 h4 p strong sub ul li code pre details summary br em".split())  # noqa: SIM905 (short)


class Page(HTMLParser):
    """What a browser would get: tags, links, and the text outside code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.prose = ""
        self._code = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._code += tag in {"code", "pre"}

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in {"code", "pre"}

    def handle_data(self, data: str) -> None:
        self.text += data
        self.prose += "" if self._code else data


def page(comment: str) -> Page:
    """The comment as GitHub's own Markdown engine renders it, raw HTML and all."""
    return Page(cmarkgfm.github_flavored_markdown_to_html(comment, Options.CMARK_OPT_UNSAFE))


def test_a_comment_has_the_verdict_the_tests_and_the_proof() -> None:
    """What a reviewer needs is there, and the proof is folded away."""
    comment = markdown.render(a_report(tests=12))

    text = page(comment).text
    assert text.startswith("❌ Heisenberg: 12 failed, 1 flaky of 40 tests in 1 min 1 s: 2 causes")
    assert "1. product: unhandled exception in payments" in text
    assert "first seen, very likely (91%)" in text
    assert "orders › lists past orders 0 (shop.spec.ts:12)" in text
    assert "and 2 more" in text
    assert "finds a product (shop.spec.ts:12, webkit, flaky, passed on attempt 2)" in text
    assert "<details><summary>Proof: 2 quotes</summary>" in comment
    assert "logs/payments.log:812 at 12:00:03.120Z" in text
    assert "Or: test, async wait (6%)" in text
    assert "What would settle it: the log of postgres" in text
    assert "junit.xml: line 3: the document is cut off" in text


def test_a_green_run_takes_one_heading() -> None:
    """Good news is short."""
    assert "### ✅ Heisenberg: 39 tests passed, 1 skipped in 480 ms\n" == markdown.render(
        green_report
    )


def test_a_quote_cannot_leave_its_fence() -> None:
    """A quote with fences of its own is shown whole, in a longer one."""
    quote = "```\n</details>\n~~~~\n````js\n# title"
    diagnosis = a_diagnosis(evidence=(Evidence("a.log", 1, quote),))
    report = Report(Counts(1, 0, 1, 0, 0, 1.0), (Incident("i", "f", (), diagnosis),))

    assert quote in page(markdown.render(report)).text


@pytest.mark.parametrize(
    "title",
    ["- item", "+ item", "1. item", "12) item", "123456. item", "---", "# h", "> q", "[ ] t"],
)
def test_a_title_is_no_block(title: str) -> None:
    """A title that looks like a list, a heading or a quotation is shown as it is."""
    report = Report(
        Counts(1, 0, 1, 0, 0, 1.0),
        (Incident("i", "f", (a_test(title),), a_report().incidents[0].diagnosis),),
    )
    shown = page(markdown.render(report))

    assert title in shown.text.replace("\u200b", "")
    assert not shown.tags & {"h1", "blockquote", "ol", "input", "hr"}


@given(hostile_text)
def test_untrusted_text_is_only_text(name: str) -> None:
    """No tag, link, image, mention, reference or mathematics comes from an artefact."""
    shown = page(markdown.render(hostile_report(name)))

    assert OURS >= shown.tags
    assert {"lang", "class"} >= shown.attributes
    assert not re.search(r"@\w|#\d|\bgh-\d|https?://|www\.\w", shown.prose, re.IGNORECASE)
    assert not re.search("[\x1b\u202e\u2066]", shown.text)


@pytest.mark.parametrize("name", ["https://e.example/x", "www.e.example", "a@e.example", "GH-12"])
def test_addresses_do_not_link(name: str) -> None:
    """What GitHub would turn into a link or a reference stays words."""
    assert "a" not in page(markdown.render(hostile_report(name))).tags


@pytest.mark.parametrize("name", ["plain", *HOSTILE_NAMES])
def test_a_comment_fits(name: str) -> None:
    """Incidents that do not fit are left out whole, and their number is said."""
    incident = hostile_report(name).incidents[0]
    comment = markdown.render(Report(Counts(1000, 0, 1000, 0, 0, 1.0), (incident,) * 1000))

    assert len(comment.encode()) <= markdown.LIMIT_BYTES
    assert comment.count("<details>") == comment.count("</details>") > 0
    left_out = re.search(r"_(\d+) more causes left out", comment)
    assert left_out
    assert 1000 == int(left_out[1]) + comment.count("\n#### ")
