"""The service's secret: from the settings, or generated once and kept in the data folder."""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING

from heisenberg.backend.config import MIN_SECRET_CHARS, SettingsError
from heisenberg.backend.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from heisenberg.backend.config import Settings

FILE_NAME = "secret.key"
VARIABLE = "HEISENBERG_SECRET_KEY"
GENERATED_BYTES = 32
OTHERS_MAY = 0o077
"""Permission bits that the file should not have."""

log = get_logger(__name__)


def load_secret_key(settings: Settings) -> bytes:
    """Give the secret key; make and keep one when there is none.

    Processes that start at the same moment get the same one.

    Raises:
        SettingsError: The file cannot be read or written, or holds no key.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / FILE_NAME
    try:
        if not path.exists():
            _generate(path)
        content = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"{path}: {reason}; set {VARIABLE} or HEISENBERG_DATA_DIR") from error
    if len(content) < MIN_SECRET_CHARS:
        raise SettingsError(f"{path}: no secret key in it; restore it or set {VARIABLE}")
    if mode & OTHERS_MAY:
        log.warning("secret_key.exposed", path=str(path), mode=oct(mode & 0o777))
    return content


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, that tells nothing of the secret or of another's."""
    return hmac.digest(secret, b"heisenberg:" + purpose.encode(), "sha256")


def _generate(path: Path) -> None:
    """Make the file, whole at once, unless another process was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(GENERATED_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears with its content or not at all, and never replaces another's.
        os.link(draft, path)
        log.info("secret_key.generated", path=str(path))
    except FileExistsError:
        pass
    finally:
        draft.unlink()
