"""Take secrets out of text before a model, a log, a page or a comment sees it.

Secrets are keys and tokens of well-known makers, passwords, private keys, cookies, what
authorizes a request, e-mail addresses and card numbers. Ids, digests and times stay.
`docs/reference/redaction.md` tells what is taken out and what is not.
"""

from __future__ import annotations

import re
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from heisenberg.redact.finding import find, may_hold_secrets
from heisenberg.redact.kinds import Kind, Span, joined
from heisenberg.redact.names import is_secret_name, secret_kind
from heisenberg.redact.pairs import is_secret_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Search = Callable[[str], list[Span]]
    _Placeholder = Callable[[str, Kind], str]

__all__ = [
    "REDACTED",
    "Kind",
    "Redactor",
    "clear_of_secrets",
    "is_secret_name",
    "may_hold_secrets",
    "redact",
]

REDACTED = "[redacted]"
"""What stands in a log line in place of a secret."""
MIN_QUOTE = 8
"""Characters of a quote that are worth quoting."""
MIN_BARE = 10
"""Characters of a secret that is known again without its name."""
MAX_BARE = 100
"""Secrets that are looked for without their names; the first ones stay."""
MAX_ROUNDS = 4
"""What is left when something is taken out may look like a secret again."""

_KNOWN_BARE = frozenset({Kind.EMAIL, Kind.CARD, Kind.JWT, Kind.PRIVATE_KEY})
"""What is known by its form wherever it stands."""


class Redactor:
    """Takes secrets out of the texts of one run, prompt or document.

    A secret has one placeholder in all of them, `<secret:1>`, `<email:1>` or `<card:1>`, numbered in
    the order of first mention. One that was found beside its name is also known bare, when it is
    long and unusual enough for that.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], str] = {}
        self._given: Counter[str] = Counter()
        self._counts: Counter[Kind] = Counter()
        self._bare: dict[str, Kind] = {}

    def __call__(self, text: str) -> str:
        """The text with its secrets replaced; applying it twice changes nothing more."""
        spans = self._find(text)
        return _replaced(text, spans, self._find, self._placeholder) if spans else text

    def pair(self, name: str, value: str) -> str:
        """The value without secrets; all of it is one when the name says so.

        Args:
            name: Under which it stands: of a field, a variable, a header.
            value: As text.
        """
        kind = secret_kind(name)
        if kind is None or not is_secret_value(value, name, is_quoted=True):
            return self(value)
        self._remember(value, kind)
        return self._placeholder(value, kind)

    def clear(self, quote: str) -> str:
        """The longest stretch of a quote that holds no secret; see `clear_of_secrets`."""
        spans = self._find(quote)
        if not spans:
            return quote
        ends = [0, *(span.end for span in spans)]
        starts = [*(span.start for span in spans), len(quote)]
        stretches = (quote[a:b].strip() for a, b in zip(ends, starts, strict=True))
        longest = max(stretches, key=len)
        return longest if len(longest) >= MIN_QUOTE and not self._find(longest) else ""

    def learn(self, text: str) -> None:
        """Remember the secrets of a text that will be known without their names elsewhere."""
        self._find(text)

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Mentions replaced, by kind."""
        return MappingProxyType(self._counts)

    def _find(self, text: str) -> list[Span]:
        spans = find(text)
        for span in spans:
            self._remember(text[span.start : span.end], span.kind)
        if self._bare:  # filled by the text itself, perhaps
            for secret, kind in self._bare.items():
                if secret in text:
                    spans += (Span(*m.span(), kind) for m in re.finditer(re.escape(secret), text))
            return joined(spans)
        return spans

    def _remember(self, secret: str, kind: Kind) -> None:
        is_room = len(self._bare) < MAX_BARE and kind not in _KNOWN_BARE
        if is_room and _is_unusual(secret):
            self._bare.setdefault(secret, kind)

    def _placeholder(self, secret: str, kind: Kind) -> str:
        key = (kind.label, secret.lower() if kind is Kind.EMAIL else secret)
        if key not in self._numbers:
            self._given[kind.label] += 1
            self._numbers[key] = f"<{kind.label}:{self._given[kind.label]}>"
        self._counts[kind] += 1
        return self._numbers[key]


def redact(text: str) -> str:
    """The text for a log line: `[redacted]` in place of each secret, nothing kept."""
    spans = find(text)
    return _replaced(text, spans, find, lambda _, __: REDACTED) if spans else text


def clear_of_secrets(quote: str) -> str:
    """The longest stretch of a quote that holds no secret, so that it stays an exact quote.

    Returns:
        The quote itself when there is no secret in it; else the stretch without blanks around it,
        empty when fewer than 8 characters are left.
    """
    return Redactor().clear(quote)


def _replaced(text: str, spans: list[Span], search: _Search, placeholder: _Placeholder) -> str:
    """Replace what was found, and what is found in the same lines after that."""
    parts: list[str] = []
    at = n = 0
    while n < len(spans):
        first = end = max(at, text.rfind("\n", at, spans[n].start) + 1)
        here: list[Span] = []
        while n < len(spans) and (not here or spans[n].start < end):
            start, stop, kind = spans[n]
            here.append(Span(start - first, stop - first, kind))
            newline = text.find("\n", stop)
            end = newline if newline >= 0 else len(text)
            n += 1
        parts += (text[at:first], _settled(text[first:end], here, search, placeholder))
        at = end
    return "".join((*parts, text[at:]))


def _settled(lines: str, spans: list[Span], search: _Search, placeholder: _Placeholder) -> str:
    """Replace what was found in some lines, and what looks like a secret after that."""
    for _ in range(MAX_ROUNDS):
        parts: list[str] = []
        at = 0
        for span in spans:
            parts += (lines[at : span.start], placeholder(lines[span.start : span.end], span.kind))
            at = span.end
        lines = "".join((*parts, lines[at:]))
        spans = search(lines)
        if not spans:
            break
    return lines


def _is_unusual(secret: str) -> bool:
    """Whether a secret is long and odd enough to be no other word wherever it stands."""
    return (
        len(secret) >= MIN_BARE
        and len(set(secret)) > MIN_BARE // 2
        and not secret.isalpha()
        and any(char.isalpha() for char in secret)
    )
