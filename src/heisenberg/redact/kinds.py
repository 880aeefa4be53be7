"""What is taken out of text, and where it stands."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What was taken out."""

    API_KEY = "api_key"
    """A key of a maker that is known by its form, or stands under a name such as `api_key`."""
    TOKEN = "token"  # noqa: S105 (the name of a kind)
    JWT = "jwt"
    """A JSON Web Token, with or without its signature."""
    PASSWORD = "password"  # noqa: S105 (likewise)
    PRIVATE_KEY = "private_key"
    COOKIE = "cookie"
    AUTHORIZATION = "authorization"
    """What an `Authorization` header or a scheme such as `Bearer` carries."""
    ENTROPY = "entropy"
    """An opaque string in a suspicious place: a signature or one-time code of a URL."""
    EMAIL = "email"
    CARD = "card"

    @property
    def label(self) -> str:
        """How a placeholder names it: what is no address and no card is a secret."""
        return self.value if self in (Kind.EMAIL, Kind.CARD) else "secret"


class Span(NamedTuple):
    """A secret's place in a text."""

    start: int
    end: int
    kind: Kind


def joined(spans: list[Span]) -> list[Span]:
    """Spans in order, those that overlap made one; what reaches further gives the kind."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            if span.end > last.end:
                merged[-1] = Span(last.start, span.end, last.kind)
        else:
            merged.append(span)
    return merged
