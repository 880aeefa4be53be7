"""What an API key looks like, `hb_PREFIX_SECRET`, and the hash by which it is known."""

from __future__ import annotations

import hmac
import re
import secrets
import string
from functools import cached_property
from typing import TYPE_CHECKING

from heisenberg.backend.secret_key import derive_key, load_secret_key

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings

PREFIX_CHARS = 12
SECRET_CHARS = 32
"""Of 62 characters each: 190 bits."""
KEY_CHARS = len("hb_") + PREFIX_CHARS + len("_") + SECRET_CHARS

_PREFIX_ALPHABET = string.ascii_lowercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(
    rb"hb_([a-z0-9]{%d})_[A-Za-z0-9]{%d}" % (PREFIX_CHARS, SECRET_CHARS)
)  # letters, digits and underscores only: a double click selects all of it


def generate_key() -> tuple[str, str]:
    """Make a new key: its public prefix, and the whole."""
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(PREFIX_CHARS))
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(SECRET_CHARS))
    return prefix, f"hb_{prefix}_{secret}"


def key_prefix(key: bytes) -> str | None:
    """The public part of a key, or None when this cannot be a key."""
    match = _KEY.fullmatch(key)
    return match[1].decode() if match else None


class KeyHasher:
    """Hashes keys under the service's secret, which is read when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        """Remember where the secret is."""
        self._settings = settings

    def __call__(self, key: bytes) -> str:
        """HMAC-SHA-256 of the whole key, hexadecimal.

        Raises:
            SettingsError: The service's secret cannot be had.
        """
        return hmac.digest(self._secret, key, "sha256").hex()

    def load(self) -> None:
        """Read the secret now, so that what is wrong with it is told at start.

        Raises:
            SettingsError: It cannot be had.
        """
        _ = self._secret

    @cached_property
    def nobodys(self) -> str:
        """What an unknown key is compared with: the hash of nothing that has a key's form."""
        return self(b"")

    @cached_property
    def _secret(self) -> bytes:
        return derive_key(load_secret_key(self._settings), "api-key:1")
