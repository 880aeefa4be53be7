"""Find secrets: cheap searches for a few bytes over the whole text, patterns only around the hits.

Nearly all text has no secret, so what costs is to find that out. `str.find` reads two gigabytes
a second where an alternation of words reads a tenth of one. Whatever the words do not betray
has a long run of letters and digits, or of digits alone: the text is translated so that a run is
one byte over and over, and a run of the least length is searched for like a word.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from heisenberg.redact import makers
from heisenberg.redact.kinds import Kind, Span, joined
from heisenberg.redact.pairs import PLACEHOLDER, is_mixed, is_secret_value, pair_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMES = ("pass", "token", "key", "secret", "auth", "cookie", "sig", "pwd", "cred")
"""What the names of secrets hold."""
_RUN = b"x" * makers.MIN_RUN
_RUN_CHARS = (string.ascii_letters + string.digits + "_-~").encode()
_RUN_TABLE = bytes(ord("x") if byte in _RUN_CHARS else ord(" ") for byte in range(256))
_DIGIT = b"9"
_CARD_TABLE = bytes(ord(_DIGIT) if byte in b"0123456789" else 0 for byte in range(256))
_CARD_GAPS = b" -"
_CARD_SIGN = _DIGIT * 14
_CARD = re.compile(
    r"(?<![\w.-])(?:\d{14,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5})(?!\w|[.-]\d)",
    re.ASCII,
)
_ISSUER = re.compile(
    r"(?:4\d{15}|4\d{18}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17})"
)
"""Lengths and first digits that issuers have: Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay."""

_USERINFO = re.compile(
    r"""://(?P<user>[^\s/:@"'<>`]{0,256}):(?!\d{1,5}(?:[/?\#\s]|$))(?P<password>[^\s"'`]{1,256})@"""
)
_USER_TOKEN = re.compile(r"""://(?P<token>[^\s/:@"'`<>]{20,256})@""")
_DRIVER = re.compile(r"""(?:^|[\s"'=(])[\w.-]{1,64}:(?P<password>[^\s"'`:]{1,128})$""")
"""A user and password before `@tcp(`, as Go's drivers of databases write them."""
_SPACES = re.compile(r"[\s\"'`]")
_MAX_URL = 520
_LOCAL = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~.-"
_LOCAL_LEAD = "!#$%&'*+/=?^`{|}~.-"
_DOMAIN = re.compile(
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24})(?![\w@:/-]*@)(?![A-Za-z0-9])"
)
_NO_MAIL = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|css|m?js|tsx?|jsx|json|map|service|socket|target|py|tgz|gz)$",
    re.IGNORECASE,
)

_BEARER = re.compile(
    r"(?<![\w-])(?:bearer|basic)[ ]+(?P<value>[\w.~+/-]{8,8192}+=*+)(?![\w=])",
    re.IGNORECASE | re.ASCII,
)
_USER_OPTION = re.compile(r" -u ['\"]?[\w.@+-]{1,64}:(?P<password>[^\s'\"]{1,256})")

_PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(r"(?:[\w+/=:,. -]++|\s|\\+[nrt])*+", re.ASCII)
"""Lines of a key that is cut off."""
_PEM_LINE = string.ascii_letters + string.digits + "+/="
_PEM_GAPS = "\\\r\n\t "
_MAX_PEM = 1 << 15
_PLACEHOLDER = re.compile(PLACEHOLDER)
_VARIABLE = re.compile(r"\$\{?[A-Z][A-Z0-9_]*\}?|%s|\{\w*\}")
_MASKS = frozenset("*x.")
_BEFORE_VALUE = frozenset("=\"'")

SHORT = 4096
"""Characters of a text for which a quick look costs less than the search."""
MIN_KEY = 16
"""Characters of a maker's key, without what stands before it in its run."""
MAX_KEY = 1024
"""Characters of a run that are searched at once."""


def may_hold_secrets(text: str) -> bool:
    """Whether the text has to be searched: a quick no for nearly all of it."""
    raw = text.encode("ascii", "replace")
    low = text.lower() if text.isascii() else raw.decode().lower()
    # Written out: a loop over the signs takes three times as long, and every log line comes here.
    if (
        "pass" in low
        or "token" in low
        or "key" in low
        or "@" in low
        or "secret" in low
        or "auth" in low
        or "cookie" in low
        or "sig" in low
        or "pwd" in low
        or "cred" in low
        or "bearer " in low
        or "basic " in low
        or " -u " in low
        or _CARD_SIGN in raw.translate(_CARD_TABLE, _CARD_GAPS)
    ):
        return True
    runs = raw.translate(_RUN_TABLE)
    at = runs.find(_RUN)
    while at >= 0:
        hexadecimal = makers.HEX.match(text, at)
        if hexadecimal is None:
            return True
        at = runs.find(_RUN, hexadecimal.end())
    return False


def _runs(text: str, runs: bytes) -> Iterator[int]:
    """Where runs begin that are long enough and not hexadecimal."""
    at = runs.find(_RUN)
    while at >= 0:
        hexadecimal = makers.HEX.match(text, at)
        if hexadecimal:
            end = hexadecimal.end()
        else:
            yield at
            end = runs.find(b" ", at)
            if end < 0:
                return
        at = runs.find(_RUN, end)


def find(text: str) -> list[Span]:
    """All secrets of a text, in order; none overlaps another."""
    if len(text) < SHORT and not may_hold_secrets(text):
        return []
    raw = text.encode("ascii", "replace")
    low = text.lower() if text.isascii() else raw.decode().lower()
    spans: list[Span] = []
    for finder, sign in _FINDERS:
        if sign in low:
            _find_each(text, low, sign, finder, spans)
    for at in _runs(text, raw.translate(_RUN_TABLE)):
        _find_keys(text, at, spans)
    if _CARD_SIGN in raw.translate(_CARD_TABLE, _CARD_GAPS):
        spans += (Span(*m.span(), Kind.CARD) for m in _CARD.finditer(text) if is_card(m[0]))
    return joined(spans) if spans else spans


def _find_each(
    text: str, low: str, sign: str, finder: Callable[[str, int], Span | None], spans: list[Span]
) -> None:
    """Look around each place of a sign; what lies in a secret found is passed over."""
    at = low.find(sign)
    step = len(sign)
    while at >= 0:
        span = finder(text, at)
        if span is None:
            at = low.find(sign, at + step)
        else:
            spans.append(span)
            at = low.find(sign, max(at + step, span.end))


def _find_keys(text: str, at: int, spans: list[Span]) -> None:
    """All keys of known makers in the run that begins at a place."""
    if text[at - 1 : at] in _BEFORE_VALUE and (span := _named_run(text, at)):
        spans.append(span)
    start, end = makers.run_at(text, at)
    while end - start >= MIN_KEY:
        stop = min(end, start + MAX_KEY)
        span = makers.find_in_run(text, start, stop)
        if span and span.end == stop < end and span.start > start:
            start = span.start  # it may go on
        elif span:
            spans.append(span)
            start = max(span.end, start + 1)
        elif stop == end:
            return
        else:
            start = stop - MAX_KEY // 2


def _named_run(text: str, at: int) -> Span | None:
    """A run that stands under a name which makes it suspicious."""
    name = text[max(0, at - 10) : at].rstrip("\\\"'=: ")
    return pair_at(text, max(0, at - 10) + len(name) - 1) if name else None


def is_card(text: str) -> bool:
    """Whether digits, perhaps in groups, are a card's number: an issuer's, with a right check digit.

    Source:
        ISO/IEC 7812-1, annex B, for the check digit.
    """
    digits = text.replace(" ", "").replace("-", "")
    if not _ISSUER.fullmatch(digits) or len(set(digits)) == 1:
        return False
    odd = sum(int(d) for d in digits[-1::-2])
    even = sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (odd + even) % 10 == 0


def _at_sign(text: str, at: int) -> Span | None:
    """A password in a URL, a token in place of its user, or an e-mail address."""
    first = max(0, at - _MAX_URL)
    begin = text.rfind("://", first, at)
    if begin >= 0 and not _SPACES.search(text, begin, at):
        span = _in_url(text, begin)
        if span:
            return span
        if text.find("/", begin + 3, at) < 0:
            return None  # the user of a URL
    if text.startswith(("tcp(", "unix("), at + 1):
        match = _DRIVER.search(text, max(0, at - 200), at)
        return Span(match.start("password"), at, Kind.PASSWORD) if match else None
    return _address(text, at)


def _in_url(text: str, begin: int) -> Span | None:
    """What authorizes in the URL whose `://` is at a place."""
    match = _USERINFO.match(text, begin)
    if match:
        start, end = match.span("password")
        return None if _is_clean(text, start, end) else Span(start, end, Kind.PASSWORD)
    match = _USER_TOKEN.match(text, begin)
    return Span(*match.span("token"), Kind.TOKEN) if match else None


def _is_clean(text: str, start: int, end: int) -> bool:
    """Whether nothing but a placeholder, or a variable's name, stands there."""
    value = text[start:end]
    return bool(_PLACEHOLDER.fullmatch(value) or _VARIABLE.fullmatch(value)) or set(value) <= _MASKS


def _address(text: str, at: int) -> Span | None:
    """An e-mail address around its `@`."""
    domain = _DOMAIN.match(text, at)
    if domain is None or _NO_MAIL.search(domain[1]):
        return None
    head = text[max(0, at - 64) : at]
    local = head[len(head.rstrip(_LOCAL)) :].lstrip(_LOCAL_LEAD)
    for mark in ("=", "'", "`", "/", "{", "|"):
        local = local.rpartition(mark)[2]  # allowed in an address, and seldom part of one
    start = at - len(local)
    if start >= 1 and text[start - 1] == "\\" and local[:1] in {"n", "r", "t"}:
        start += 1  # the letter belongs to an escape
    elif start >= 1 and text[start - 1] == "%" and re.match("[0-9A-Fa-f]{2}", local):
        start += 2
    if start >= at or text[start:at] == "git":
        return None
    return Span(start, domain.end(), Kind.EMAIL)


def _scheme(text: str, at: int) -> Span | None:
    """What follows `Bearer` or `Basic` outside a header."""
    match = _BEARER.match(text, at)
    if match is None:
        return None
    value = match["value"]
    has_digit = any(char.isdigit() for char in value)
    if not (has_digit or is_mixed(value)) or not is_secret_value(value, "", is_quoted=False):
        return None
    return Span(*match.span("value"), Kind.AUTHORIZATION)


def _user_option(text: str, at: int) -> Span | None:
    """The password of `curl -u user:password`."""
    match = _USER_OPTION.match(text, at)
    if match is None or not is_secret_value(match["password"], "", is_quoted=False):
        return None
    return Span(*match.span("password"), Kind.PASSWORD)


def _private_key(text: str, at: int) -> Span | None:
    """A private key in PEM, whole or cut off, in lines or with their line ends escaped."""
    line = text.rfind("-----", max(0, at - 80), at)
    if line < 0:
        return None
    begin = _PEM_BEGIN.match(text, line)
    if begin:
        limit = min(len(text), begin.end() + _MAX_PEM)
        closing = _PEM_END.search(text, begin.end(), limit)
        if closing:
            return Span(line, closing.end(), Kind.PRIVATE_KEY)
        body = _PEM_BODY.match(text, begin.end(), limit)
        if body and len(body[0].strip()) >= makers.MIN_RUN:
            return Span(line, body.end(), Kind.PRIVATE_KEY)
    closing = _PEM_END.match(text, line)
    start = _body_start(text, line) if closing else line
    return Span(start, closing.end(), Kind.PRIVATE_KEY) if closing and start < line else None


def _body_start(text: str, end: int) -> int:
    """Where the lines of base64 begin that go on to a place; the place itself when there are none."""
    start, head = end, text[max(0, end - _MAX_PEM) : end]
    offset = end - len(head)
    while head:
        head = head.removesuffix("\\n").removesuffix("\\r").rstrip(_PEM_GAPS)
        rest = head.rstrip(_PEM_LINE)
        if rest.endswith("\\") and head[len(rest)] in "nr":
            rest += head[len(rest)]  # of the escaped line end before this line
        if len(head) - len(rest) < MIN_KEY:
            break
        start, head = offset + len(rest), rest
    return start


def _key(text: str, at: int) -> Span | None:
    """A private key, or what stands under the name of a key."""
    if text.startswith(" KEY", at - 1) and (found := _private_key(text, at)):
        return found
    return pair_at(text, at)


_FINDERS: tuple[tuple[Callable[[str, int], Span | None], str], ...] = (
    (_key, "key"),
    *((pair_at, name) for name in _NAMES if name != "key"),
    (_at_sign, "@"),
    (_scheme, "bearer "),
    (_scheme, "basic "),
    (_user_option, " -u "),
)
