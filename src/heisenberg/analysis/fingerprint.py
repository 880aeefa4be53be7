"""Name a failure such that the same failure has the same name in another run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from heisenberg.analysis.normalize import normalize

if TYPE_CHECKING:
    from heisenberg.model.facts import Facts

ALGORITHM = "message-v1"
"""Bumps when the same failure could get another fingerprint: masks and parts count."""

DIGEST_LENGTH = 16


def fingerprint(facts: Facts) -> str:
    """Fingerprint a failure by what it says, with all that varies masked.

    Error class, headline, assertion, locator and what was expected and received take part; times,
    ids, numbers, paths of temporary folders and the place in the file do not.

    Returns:
        `message-v1:` and 16 hexadecimal digits.
    """
    return f"{ALGORITHM}:{digest(failure_signature(facts))}"


def failure_signature(facts: Facts) -> str:
    """The normalised text that is hashed, for explaining why two failures are one."""
    parts = (
        facts.error_type,
        facts.headline,
        facts.action or facts.matcher,
        facts.locator,
        facts.expected,
        facts.received,
        facts.network_error,
    )
    return " | ".join(normalize(part) for part in parts)


def digest(text: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]
