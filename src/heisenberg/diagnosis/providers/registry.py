"""The providers that can be named, and what each needs. Imports no SDK until one is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from heisenberg import text
from heisenberg.errors import EngineAuthenticationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heisenberg.diagnosis.provider import Access, Provider

NEEDED = ("anthropic", "openai", "pydantic_ai", "tenacity")
"""Of the extra `llm`."""
MAX_MODEL_CHARS = 200
"""Of a model's name; the longest in use, paths of weights included, are half of it."""

_MODEL = re.compile(rf"[!-~]{{1,{MAX_MODEL_CHARS}}}")
_KEY = re.compile(r"[!-~]+")
_NAME_WIDTH = 80
"""Of a wrong name, as it is repeated in an error."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """What is known of a provider."""

    module: str
    """In this package: how it is spoken to."""
    key_variables: tuple[str, ...]
    """Environment variables of its key; the first one that is set counts."""
    base_url_variables: tuple[str, ...]
    """Likewise, of where it is."""
    base_url: str = ""
    """Where it is when nothing else is said; empty when that has to be said."""
    needs_key: bool = True


def _variables(name: str, *others: str) -> tuple[str, ...]:
    return (f"HEISENBERG_{name}", *others)


VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "anthropic": Vendor(
            "anthropic",
            _variables("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
            _variables("ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"),
            "https://api.anthropic.com",
        ),
        "openai": Vendor(
            "openai",
            _variables("OPENAI_API_KEY", "OPENAI_API_KEY"),
            _variables("OPENAI_BASE_URL", "OPENAI_BASE_URL"),
            "https://api.openai.com/v1",
        ),
        "gemini": Vendor(
            "compatible",
            _variables("GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
            _variables("GEMINI_BASE_URL"),
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        "ollama": Vendor(
            "compatible",
            _variables("OLLAMA_API_KEY", "OLLAMA_API_KEY"),
            _variables("OLLAMA_BASE_URL", "OLLAMA_BASE_URL"),
            "http://localhost:11434/v1",
            needs_key=False,
        ),
        "compatible": Vendor(
            "compatible",
            _variables("COMPATIBLE_API_KEY"),
            _variables("COMPATIBLE_BASE_URL"),
            needs_key=False,
        ),
    }
)
"""By the name that stands before the colon."""


def split_name(name: str) -> tuple[str, str]:
    """Take `PROVIDER:MODEL` apart at the first colon.

    Raises:
        UsageError: It is not of that form, or names no provider that is known.
    """
    provider, colon, model = name.partition(":")
    known = ", ".join(VENDORS)
    shown = text.truncate(text.one_line(name), _NAME_WIDTH)
    if not colon or provider not in VENDORS:
        raise UsageError(f"{shown!r}: no such model; write PROVIDER:MODEL, PROVIDER of {known}")
    if not _MODEL.fullmatch(model):
        raise UsageError(
            f"{shown!r}: no name of a model behind the colon; it has 1 to {MAX_MODEL_CHARS} "
            "characters, without blanks"
        )
    return provider, model


def make_provider(name: str, access: Access) -> Provider:
    """Make the provider of a model. Nothing is connected to until it is asked.

    Args:
        name: `PROVIDER:MODEL`.
        access: With a key and a base URL where `VENDORS` says that one is needed.

    Raises:
        UsageError: The name, the base URL or the installation is not what is needed.
        EngineAuthenticationError: There is no key, or one that cannot be one.
    """
    provider, model = split_name(name)
    vendor = VENDORS[provider]
    access = replace(
        access,
        api_key=_key(provider, vendor, access.api_key),
        base_url=_base_url(provider, vendor, access.base_url),
    )
    missing = [package for package in NEEDED if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"no language model can be asked (no {missing[0]}); pip install 'heisenberg[llm]'"
        )
    made: Provider = import_module(f"{__package__}.{vendor.module}").make(provider, model, access)
    return made


def _key(provider: str, vendor: Vendor, given: str) -> str:
    """The key as a header can carry it."""
    key = given.strip()
    if not key and vendor.needs_key:
        raise EngineAuthenticationError(f"{provider}: no key; set {vendor.key_variables[0]}")
    if key and not _KEY.fullmatch(key):
        raise EngineAuthenticationError(
            f"{provider}: what {vendor.key_variables[0]} holds is no key: "
            "it has blanks or characters other than ASCII"
        )
    return key


def _base_url(provider: str, vendor: Vendor, given: str) -> str:
    """Where to ask, checked, without a slash at its end."""
    url = (given.strip() or vendor.base_url).rstrip("/")
    variable = vendor.base_url_variables[0]
    if not url:
        raise UsageError(
            f"{provider}: where is it? Set {variable}, for instance to http://localhost:8000/v1"
        )
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (reading it is the check)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _KEY.fullmatch(url):
        raise UsageError(f"{provider}: {variable} is no http:// or https:// URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            f"{provider}: {variable} has a user, a query or a fragment; a key goes into "
            f"{vendor.key_variables[0]}"
        )
    return url
