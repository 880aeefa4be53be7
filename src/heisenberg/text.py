"""Text from artefacts: undo terminal escapes, make it safe to show, fit it into a width.

Nothing an artefact says may steer the terminal or the page that shows it, so whatever is shown to
a person goes through `visible` (one line) or `visible_block` (several) first.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata

ELLIPSIS = "…"

_ESCAPES = re.compile(
    r"""
    [\x1b\x90\x98\x9b\x9d-\x9f]  # first on its own: four times as fast as in each alternative
    (?: (?:(?<=\x1b)\[ | (?<=\x9b)) [0-?]*+ [ -/]*+ [@-~]?                      # CSI: colours
      | (?:(?<=\x1b)\] | (?<=\x9d)) [^\x07\x1b\x9c]*+ (?:\x07|\x1b\\|\x9c)?     # OSC: titles, links
      | (?:(?<=\x1b)[PX^_] | (?<=[\x90\x98\x9e\x9f])) [^\x1b\x9c]*+ (?:\x1b\\|\x9c)?  # DCS, SOS, PM
      | [ -/]*+ [0-~]?                                                  # two-character escapes
    )
    """,
    re.VERBOSE,
)

_UNSAFE_CLASS = (
    r"\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"  # invisible, or steering the direction
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero-width, line breaks, bidi controls
    r"\u3164\ufeff\uffa0\ufff9-\ufffb"  # fillers, byte order mark, annotations
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # invisible notation, tags
)
_UNSAFE = re.compile(rf"[{_UNSAFE_CLASS}\ud800-\udfff]")
_SPELLED = "#x1B["
_C1 = re.compile(r"[\x80-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_BREAK = re.compile(r"\r\n|[\n\r\u2028\u2029]")

_PICTURES = {"\n": "␊", "\r": "␍", "\t": " "}

_ASCII = str.maketrans(
    {
        "›": ">",
        "…": "...",
        "–": "-",
        "—": "-",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "«": "<<",
        "»": ">>",
        "·": "-",
        "•": "*",
        "×": "x",
        "→": "->",
        "│": "|",
        "─": "-",
        "✓": "+",
        "✔": "+",
        "✗": "x",
        "✘": "x",
        "␊": "\\n",
        "␍": "\\r",
        "\N{NO-BREAK SPACE}": " ",
    }
)


def strip_escapes(text: str) -> str:
    """Remove terminal escape sequences: colours, cursor moves, titles, hyperlinks.

    A sequence that is cut off loses what there is of it. Other controls stay.

    Source:
        ECMA-48, 5th edition, 5.3 to 5.6 and 8.3. pytest writes the escape character, which XML
        cannot hold, as `#x1B`.
    """
    if _SPELLED in text:
        text = text.replace(_SPELLED, "\x1b[")
    if "\x1b" in text or (not text.isascii() and _C1.search(text)):
        return _ESCAPES.sub("", text)
    return text


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def escape_for_json(line: str) -> str:
    r"""Escape what hides in a line of JSON text as `\uXXXX`, which reads back as the same.

    Lone surrogates, which UTF-8 cannot carry, become U+FFFD.
    """
    if line.isascii() and line.isprintable():
        return line
    return _UNSAFE.sub(lambda match: _json_escaped(match[0]), line)


def _json_escaped(char: str) -> str:
    """One character as JSON escapes it: above U+FFFF as a surrogate pair."""
    if _SURROGATE.match(char):
        return "\ufffd"
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _escaped(char: str) -> str:
    """One character as Python would escape it; a lone surrogate as U+FFFD."""
    if _SURROGATE.match(char):
        return "\ufffd"
    code = ord(char)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 (one byte)


def visible(text: str) -> str:
    """Make untrusted text safe to show on one line, with nothing hidden in it.

    Line ends become ␊ and ␍, tabs become spaces; other controls, bidi controls and invisible
    characters are written as escapes. Applying it twice changes nothing more.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: _PICTURES.get(match[0]) or _escaped(match[0]), text)


def visible_block(text: str, *, tab_size: int = 4) -> str:
    """Make untrusted text safe to show on several lines; line ends stay, as newlines."""
    lines = _LINE_BREAK.split(strip_escapes(text))
    return "\n".join(visible(line.expandtabs(tab_size)) for line in lines)


def fold_whitespace(text: str) -> str:
    """Join all the words with single spaces."""
    return " ".join(text.split())


def one_line(text: str) -> str:
    """Fold to one line, terminal escapes undone, safe to show."""
    return visible(fold_whitespace(strip_escapes(text)))


def first_line(text: str) -> str:
    """The first line that holds anything but blanks, without blanks around it, or nothing."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def dedent(text: str) -> str:
    """Remove blank lines around the text and the indentation that all its lines share."""
    lines = [line.rstrip() for line in text.expandtabs(4).split("\n")]
    return textwrap.dedent("\n".join(lines)).strip("\n")


def display_width(text: str) -> int:
    """Columns that a terminal gives to the text, control characters not counted."""
    return sum(_char_width(c) for c in text)


def _char_width(char: str) -> int:
    """0 for what combines with its neighbour or is not shown, 2 for wide characters, else 1."""
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char) in {"Mn", "Me", "Cf", "Cc", "Cs"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def truncate(text: str, width: int) -> str:
    """Cut to at most `width` columns, with an ellipsis where something was cut.

    Args:
        text: One line.
        width: Columns, at least 1.
    """
    columns = fits = 0
    for index, char in enumerate(text):
        columns += _char_width(char)
        if columns > width:
            return text[:fits].rstrip() + ELLIPSIS
        if columns < width:
            fits = index + 1
    return text


def truncate_middle(text: str, width: int) -> str:
    """Cut to at most `width` columns in the middle: a path's both ends matter."""
    if display_width(text) <= width:
        return text
    tail: list[str] = []
    left = width // 2
    for char in reversed(text):
        left -= _char_width(char)
        if left < 0:
            break
        tail.append(char)
    end = "".join(reversed(tail))
    return truncate(text[: len(text) - len(end)], max(1, width - display_width(end))) + end


def to_ascii(text: str) -> str:
    """Write in ASCII: typographic characters by their look-alikes, others as escapes."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
