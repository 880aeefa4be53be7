from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg import text

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\x1b\x9b\x9d\x07\\[]0;m8\r\n\t\x00\x7f\u202e\u2066\u200b\u200f\u061c\ufeff"
        ),
        st.characters(),
    )
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("\x1b[31mred\x1b[39m", "red"),
        ("\x1b[38;5;196mred\x1b[0m", "red"),
        ("\x9b1mbold\x9b0m", "bold"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("\x1b(B\x1b[mplain", "plain"),
        ("a\x1b7b\x1b8c\x1bMd", "abcd"),
        ("cut \x1b[3", "cut "),
        ("cut \x1b", "cut "),
        ("[31mno escape", "[31mno escape"),
        ("naïve › ok", "naïve › ok"),
    ],
)
def test_strip_escapes_leaves_what_a_terminal_would_show(raw: str, expected: str) -> None:
    """Escape sequences of every kind go, whole; the text between them stays."""
    assert expected == text.strip_escapes(raw)


def test_strip_escapes_is_linear() -> None:
    """A megabyte of unfinished sequences costs no more than a moment."""
    assert not text.strip_escapes("\x1b]" * 500_000)
    assert "a" * 500_000 == text.strip_escapes("\x1b[m" + "a" * 500_000)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("two\nlines", "two␊lines"),
        ("a\tb", "a b"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("half \ud83d", "half \ufffd"),
        ("tag \U000e0041", "tag \\ue0041"),
        ("日本 › é", "日本 › é"),
    ],
)
def test_visible_shows_what_hides(raw: str, expected: str) -> None:
    """What a terminal would obey or not show is spelled out."""
    assert expected == text.visible(raw)


@given(HOSTILE)
def test_visible_text_cannot_steer_a_terminal(raw: str) -> None:
    """No control, bidi control or surrogate survives, and a second pass changes nothing."""
    safe = text.visible(raw)

    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in safe)
    assert not any(
        unicodedata.bidirectional(c) in {"LRE", "RLE", "PDF", "LRO", "RLO"} for c in safe
    )
    assert not any(unicodedata.bidirectional(c) in {"LRI", "RLI", "FSI", "PDI"} for c in safe)
    assert safe == text.visible(safe)


@given(HOSTILE)
def test_visible_block_has_no_control_but_newlines(raw: str) -> None:
    """A block may break lines and nothing else."""
    safe = text.visible_block(raw)

    assert {"\n"} >= {c for c in safe if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}}


@given(HOSTILE, st.integers(1, 40))
def test_truncate_fits(raw: str, width: int) -> None:
    """A truncated text is at most as wide as asked, and short ones are left alone."""
    safe = text.visible(raw)

    for cut in (text.truncate(safe, width), text.truncate_middle(safe, width)):
        assert text.display_width(cut) <= width
        assert cut == safe or text.ELLIPSIS in cut


def test_truncate_counts_columns_not_characters() -> None:
    """A wide character takes two columns and is never halved."""
    assert "日本…" == text.truncate("日本語です", 6)
    assert "日本…" == text.truncate("日本語です", 5)
    assert "abc" == text.truncate("abc", 3)


def test_truncate_middle_keeps_both_ends() -> None:
    """The file's name stays visible at the end of a long path."""
    cut = text.truncate_middle("packages/web/tests/checkout.spec.ts", 24)

    assert "packages/we…kout.spec.ts" == cut


@given(HOSTILE)
def test_to_ascii_is_ascii(raw: str) -> None:
    """Any text can be written to a stream that knows ASCII only."""
    assert text.to_ascii(raw).isascii()


def test_to_ascii_prefers_look_alikes() -> None:
    """Typography degrades to what one would type; the rest is escaped."""
    assert "a > b... 'c' \\u65e5" == text.to_ascii("a › b… ‘c’ 日")


def test_one_line_folds_colours_and_whitespace() -> None:
    """A message of several coloured lines becomes one plain line."""
    assert "Error: expected 1 got 2" == text.one_line(
        "\x1b[31mError:\x1b[39m expected 1\n\n  got\t2\n"
    )


def test_dedent_keeps_relative_indentation() -> None:
    """Shared indentation and blank edges go; what is inside stays."""
    assert "if x:\n    y()" == text.dedent("\n    if x:\n\ty()  \n\n".replace("\ty", "        y"))


def test_first_line_skips_blank_lines() -> None:
    """A message that starts with blank lines still has a first line."""
    assert "Error" == text.first_line("\n  \n  Error \nmore")
    assert not text.first_line(" \n")
