"""Secrets that stand under a name: `password=x`, `"token": "x"`, `--api-key x`, `Cookie: a=b`."""

from __future__ import annotations

import re
import string
from typing import NamedTuple

from heisenberg.redact.kinds import Kind, Span
from heisenberg.redact.names import MAX_NAME, secret_kind, suspicious_kind

MAX_VALUE = 1 << 16
"""Characters of a value that are looked at."""
MAX_JUDGED = 1024
"""Characters of a value by which it is judged whether it is a secret."""
MIN_OPAQUE = 16
"""Characters of a value that has to be opaque to be a secret."""

PLACEHOLDER = r"<(?:secret|email|card):\d{1,9}>|\[redacted\]"
_CLEAN = re.compile(rf"(?:hb_[A-Za-z0-9]{{1,64}}_)?(?:{PLACEHOLDER})")

_NAME_CHARS = string.ascii_letters + string.digits + "_.-"
_TAIL = re.compile(
    r"""
    [\w.-]{0,128}+
    (?P<sep>
        # password=x, "password": "x", \"password\": \"x\", user[password]=x, env['PASSWORD'] := x
        (?:\\{0,8}["'`])? (?:\]|%5[Dd])? [ \t]{0,8}
        (?: =>?(?![=~]) | := | :(?!:) | %3[Dd] | \\u003[dD] ) [ \t]{0,8}
        (?:(?:str|string|String|SecretStr|char\s?\*) [ ]{0,2} = [ ]{0,2})?+
        # {"name": "password", "value": "x"}, also over two lines of YAML
      | \\{0,8}["']? [,\s] \s{0,20} \\{0,8}["']? value \\{0,8}["']? \s{0,3} [:=] \s{0,3}
        # ('password', 'x')
      | \\{0,8}["'] [ ]{0,3} , [ ]{0,3} (?=b?\\{0,8}["'])
        # <input name="password" type="text" value="x">
      | ["'] \s (?:[\w-]{1,32}=["'][^"'<>]{0,80}["']\s){0,6} value=
        # getByLabel('Password').fill('x')
      | ["'] \s? \)? \s? \) \. (?:fill|type|press_?[sS]equentially|send_?[kK]eys) \( \s? (?=["'])
        # <password>x</password>, --password x: what is before the name tells
      | (?P<xml>>) (?=[^<\s])
      | (?P<blank>[ ]{1,4}) (?=[^\s=:-])
    )
    """,
    re.VERBOSE | re.ASCII,
)
_OPENING = re.compile(r"b?(?P<quote>(?P<slashes>\\{0,8})[\"'`])")
_INSIDE = {mark: re.compile(rf"[^{mark}\\]*+(?:\\.[^{mark}\\]*+)*+", re.DOTALL) for mark in "\"'`"}
_BARE = re.compile(r"""(?:[^\s,;&"'`)\]}\\<]++|\\(?!["'nrt\\])|<(?!/))++""")
_DIGEST = re.compile(r"(?i:digest)[ ][^\r\n'`\\]++")
_ELEMENT = re.compile(r"[^<\s][^<]{0,8192}")
_PART = re.compile(r"""[^;"'\r\n=&]*+=*+""")
_HEADER = re.compile(r"""(?:[^\r\n"'`\\]|\\(?![nr"']))++""")
_SCHEME = re.compile(
    r"(?:bearer|basic|digest|token|api-?key|negotiate|ntlm)[ ]+(?=\S)", re.IGNORECASE
)

_WORDS = re.compile(
    # Types and values of code.
    r"any|async|await|bool|boolean|bytes|char|eof|false|float|function|identifier|int|integer|keyword|new|nil|none|null"
    r"|number|object|optional|return|secretstr|self|str|string|text|this|true|typeof|undefined|varchar|void"
    # What stands for a value in help, settings and messages about it.
    r"|a|accepted|an|and|are|can|cannot|created|default|deleted|denied|disabled|empty|enabled|encoded|end|env|error"
    r"|expected|expired|failed|file|filtered|for|forbidden|found|given|hash|has|have|hidden|incorrect|inherit|invalid|is"
    r"|masked|mismatch|missing|must|no|not|of|off|ok|okay|on|or|password|passwd|prompt|redacted|rejected|removed"
    r"|required|revoked|set|should|that|the|this|token|unauthorized|unexpected|unknown|unset|updated|valid|value|was"
    r"|wrong|yes",
    re.IGNORECASE,
)
_PROSE = re.compile(
    r"a|an|and|are|at|be|been|can|cannot|does|enter|field|for|has|have|in|invalid|is|least|match|may|must|not|of|or"
    r"|please|required|should|that|the|this|to|too|was|with|you|your",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[A-Za-z_$]{2,40}(?:\??\.[A-Za-z_$]{2,30})+"  # config.password
    r"|[A-Za-z_$.]{3,80}[(\[].*"  # get_token(
    r"|\$\{?[A-Z][A-Z0-9_]*\}?|\$\{.*|\$[a-z_]+|%[A-Z_]+%|%[sdr]|%\(\w+\)s|\{\{.*|\$\(.*",  # variables
    re.DOTALL,
)
"""What a program writes in place of a value: a name with dots, a call, a variable."""
_MASK = re.compile(
    r"[*•xX.#…_-]{2,}|<[\w -]{1,40}>|\[[\w -]{1,40}\]?|\w{0,4}(?:\.\.\.|…|\*{3,})\w{0,4}"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F-]+")
_OPAQUE = re.compile(r"[\w+/=.~%:-]+", re.ASCII)
_PLAIN_OPAQUE = re.compile(r"[\w+=~%-]+", re.ASCII)
_FOLLOWING_WORD = re.compile(
    r" (?!(?:and|or|for|in|at|on|from|failed|is|was)\b(?=.*=))[a-z]{1,20}(?![\w=:@./-])"
)
_OPENERS = frozenset("{[(<")
_BEFORE_OPTION = frozenset({"", " ", "'", '"', "\n"})


class _Value(NamedTuple):
    """A value as it stands in the text."""

    start: int
    end: int
    rest: re.Pattern[str] | None
    """What goes on where it was cut off because it is long."""
    is_quoted: bool
    is_header: bool = False
    """Of several parts, at least one of which is a secret."""


def pair_at(text: str, hit: int) -> Span | None:
    """The secret whose name holds the word at a place, if it is a name and a secret stands there.

    Args:
        text: Where to look.
        hit: Where a word such as `token` begins.
    """
    tail = _TAIL.match(text, hit)
    if tail is None:
        return None
    first = _name_start(text, hit)
    if _CLEAN.match(text, max(0, first - 1)):
        return None  # a placeholder looks like a name and its value
    name = text[first : tail.start("sep")].strip(".-")
    kind = secret_kind(name) or _kind_before(text, first, name)
    suspicion = None if kind else suspicious_kind(name)
    if not (kind or suspicion) or not _fits(text, first, tail):
        return None
    is_part = kind is not None and text[first - 1 : first] == ";"
    value = _value(text, tail, kind, is_part=is_part)
    if value is None:
        return None
    told = text[value.start : min(value.end, value.start + MAX_JUDGED)]
    if suspicion:
        if _is_opaque(told, name.lower(), suspicion):
            return Span(value.start, value.end, suspicion)
    elif kind and (value.is_header or _may_be_secret(text, value, told, name, tail)):
        return Span(value.start, _whole_end(text, value, told), kind)
    return None


def _may_be_secret(text: str, value: _Value, told: str, name: str, tail: re.Match[str]) -> bool:
    """Whether a value under a secret's name is one, as far as it and what is round it tell."""
    if not is_secret_value(told, name, is_quoted=value.is_quoted):
        return False
    is_loose = ":" in tail["sep"] or tail["blank"]
    return not (is_loose and _is_prose(text, value))


def _whole_end(text: str, value: _Value, told: str) -> int:
    """Where a value ends that may have been cut off, or may end a sentence."""
    if value.rest and len(told) >= MAX_JUDGED:
        return _end(value.rest, text, value.end, min(len(text), value.end + MAX_VALUE))
    if value.rest is _BARE:
        return value.end - len(told) + len(told.rstrip(".:"))
    return value.end


def _name_start(text: str, hit: int) -> int:
    """Where the name begins that holds the word at `hit`."""
    head = text[max(0, hit - MAX_NAME) : hit]
    first = hit - len(head) + len(head.rstrip(_NAME_CHARS))
    if first < hit:
        before = text[first - 1 : first]
        if before == "\\" and text[first] in "nrt":
            return first + 1  # the letter belongs to an escape
        if before == "%" and hit - first >= 2:  # noqa: PLR2004 (two digits of a percent escape)
            return first + 2
    return first


_TWO_WORDS = re.compile(
    r"(?i)(?:api|access|private|secret|account|encryption|signing|license|master)\s$"
)


def _kind_before(text: str, first: int, name: str) -> Kind | None:
    """The kind of a name of two words, `API key`."""
    if name in {"key", "Key", "KEY"} and _TWO_WORDS.search(text[max(0, first - 12) : first]):
        return Kind.API_KEY
    return None


def _fits(text: str, first: int, tail: re.Match[str]) -> bool:
    """Whether what stands before the name fits what stands behind it."""
    if tail["xml"]:
        return text[first - 1 : first] == "<" or text[first - 2 : first - 1] == ":"
    if tail["blank"]:
        return text[first : first + 2] == "--" and text[first - 1 : first] in _BEFORE_OPTION
    return True


def _value(text: str, tail: re.Match[str], kind: Kind | None, *, is_part: bool) -> _Value | None:
    """The value behind a name; None when there is none, or it is taken out already.

    Args:
        text: Where it stands.
        tail: The end of its name and what separates them.
        kind: Of secret, when the name tells for sure.
        is_part: Whether the name follows a semicolon, as in a connection string.
    """
    start = tail.end()
    limit = min(len(text), start + MAX_VALUE)
    rest = None
    opening = _OPENING.match(text, start)
    if opening:
        end = _closing(text, opening, limit)
        start = opening.end()
    elif text[start : start + 1] in _OPENERS and not tail["xml"]:
        return None  # a structure of code, or a placeholder
    else:
        if kind in (Kind.COOKIE, Kind.AUTHORIZATION) and (header := _header(text, start, kind)):
            return header
        rest = _ELEMENT if tail["xml"] else _PART if is_part and tail["sep"] == "=" else _BARE
        scheme = _SCHEME.match(text, start, limit)
        start = scheme.end() if scheme else start
        end = _end(rest, text, start, min(limit, start + MAX_JUDGED))
    scheme = _SCHEME.match(text, start, end)
    start = scheme.end() if scheme else start
    if end <= start or _CLEAN.match(text, start):
        return None
    return _Value(start, end, rest, is_quoted=bool(opening or tail["xml"]))


def _end(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int:
    match = pattern.match(text, start, limit)
    return match.end() if match else start


def _closing(text: str, opening: re.Match[str], limit: int) -> int:
    """Where a quoted value ends: at its quote, or at the end of the line when it is never closed."""
    start, quote = opening.end(), opening["quote"]
    if opening["slashes"]:
        end = text.find(quote, start, limit)
    else:
        end = _end(_INSIDE[quote], text, start, limit)
        end = end if end < limit else -1
    if end < 0:
        end = text.find("\n", start, limit)
    return end if end >= 0 else limit


def _header(text: str, start: int, kind: Kind) -> _Value | None:
    """The value of a header without quotes, when it holds blanks and semicolons."""
    limit = min(len(text), start + MAX_JUDGED)
    pattern = _DIGEST if _DIGEST.match(text, start, limit) else _HEADER
    if kind is Kind.AUTHORIZATION and pattern is _HEADER and _SCHEME.match(text, start):
        return None
    line = text[start : _end(pattern, text, start, limit)].rstrip()
    if "=" not in line or (kind is Kind.AUTHORIZATION and " " not in line) or _CLEAN.match(line):
        return None
    return _Value(start, start + len(line), pattern, is_quoted=False, is_header=True)


def is_secret_value(value: str, name: str, *, is_quoted: bool) -> bool:
    """Whether a value under a secret's name may be one, rather than a type, a mask or code.

    Args:
        value: What stands there, without quotes.
        name: Under which it stands.
        is_quoted: Whether it stood in quotes.
    """
    plain = value.strip().strip(".:!?")
    if not plain or _CLEAN.fullmatch(plain) or _WORDS.fullmatch(plain):
        return False
    if not any(c.isalnum() for c in plain) or _MASK.fullmatch(value.strip()):
        return False
    if plain.lower().replace("_", "") == name.lower().replace("_", "").replace("-", ""):
        return False
    if plain.isdecimal() and (len(plain) < 4 or name.lower() == "pass"):  # noqa: PLR2004 (a PIN)
        return False
    if name.lower().endswith("pwd") and value.startswith(("/", "~", "C:")):
        return False  # the shell's working directory
    if is_quoted:
        words = value.split()
        told = sum(bool(_PROSE.fullmatch(word.strip(".,:;!?"))) for word in words)
        return not (len(words) > 2 and told > 1) and not value.startswith(("${", "{{"))  # noqa: PLR2004
    return value[0] not in _OPENERS and not _CODE.fullmatch(value)


def _is_prose(text: str, value: _Value) -> bool:
    """Whether a value behind a colon or an option is a word of a sentence, or of a usage."""
    told = text[value.start : value.end]
    if value.is_quoted or not told.isalpha():
        return False
    if told.isupper() and text[value.start - 1] == " ":
        return True  # `--password TEXT`
    return (told.islower() or told.istitle()) and bool(_FOLLOWING_WORD.match(text, value.end))


def _is_opaque(value: str, name: str, kind: Kind) -> bool:
    """Whether a value is long and without meaning, and no id either."""
    pattern = _OPAQUE if kind is Kind.ENTROPY and name != "key" else _PLAIN_OPAQUE
    if (
        not MIN_OPAQUE <= len(value) < MAX_JUDGED
        or not pattern.fullmatch(value)
        or _UUID.fullmatch(value)
    ):
        return False
    if (kind is not Kind.ENTROPY or name == "key") and _HEX.fullmatch(value):
        return False
    return is_mixed(value)


def is_mixed(value: str) -> bool:
    """Whether letters and digits, or both cases, stand in no order that words have."""
    changes = 0
    last = ""
    for char in value[:64]:
        now = "d" if char.isdigit() else "u" if char.isupper() else "l" if char.islower() else last
        changes += now != last
        last = now
    return changes > len(value[:64]) // 6 and changes > 3  # noqa: PLR2004 (CamelCase changes less often)
