"""Take secrets out of what is logged: by the name of a key, and inside text."""

from __future__ import annotations

import re

REDACTED = "[redacted]"

_SIGNS = ("hb_", "earer ", "EARER ", "asic ", "ASIC ", "sk-", "ghp_", "ghs_", "github_pat_", "eyJ")
"""What all secrets have that stand by themselves; the others need one of `:`, `=` and quotes."""

_WORDS = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|credentials?|authorization|cookie"
)
_SECRET_NAME = re.compile(rf"(?<![a-z])(?:{_WORDS})(?![a-z])", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ABOUT_IT = re.compile(r"[-_](?:id|ids|prefix|count|name|type|at|expires|expiry)$", re.IGNORECASE)
"""A name that ends so tells of a secret and is none: `api_key_id`."""

_PATTERNS = (
    # Our own keys: the prefix is public and finds the key again.
    (re.compile(r"\bhb_([A-Za-z0-9]{1,64})_[A-Za-z0-9_-]+"), rf"hb_\1_{REDACTED}"),
    # A password in a URL, with whatever it holds unescaped; `host:8000/…@` is no password.
    (
        re.compile(r"(://[^\s/:@\"']{0,256}:)(?!\d{1,5}(?:[/?#\s]|$))[^\s\"']{1,256}@"),
        rf"\1{REDACTED}@",
    ),
    # A token in place of the user.
    (re.compile(r"(://)[^\s/:@\"']{20,256}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\b(basic\s+)[\w+/=-]{16,}", re.IGNORECASE), rf"\1{REDACTED}"),
    # Keys of model providers and of GitHub, and signed tokens, wherever they stand.
    (re.compile(r"\b(sk-|gh[ps]_|github_pat_)[\w-]{16,}"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
)
_PAIR = re.compile(
    rf"""
    (?P<name>(?<![\w-])[\w.-]{{0,40}}?(?:{_WORDS})[\w-]{{0,40}})
    (?P<sep>\\?["']?\s{{0,3}}(?:=>?|:)\s{{0,3}} | ["']\s{{0,3}},\s{{0,3}})  # or a pair of a tuple
    (?: b?(?P<quote>\\?["'])(?P<quoted>.*?)(?P<end>(?P=quote)|\Z)
      | (?P<bare>(?:(?:bearer|basic|digest)\s+)?[^\s,;&"')\]}}]+) )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_WHOLE_LINE = re.compile(
    r"(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,3}[:=]\s{0,3})(?=[^\s\"'])[^\n\r\"']+",
    re.IGNORECASE,
)
"""Headers whose value may hold blanks and semicolons."""
_SUSPECT = re.compile(rf"{_WORDS}|://[^\s@]*@|(?:{'|'.join(_SIGNS)})", re.IGNORECASE)


def may_hold_secrets(text: str) -> bool:
    """Whether the text has to be searched: a quick no for nearly all values of a log line."""
    if ":" in text or "=" in text or "'" in text or '"' in text:
        return _SUSPECT.search(text) is not None
    return any(sign in text for sign in _SIGNS)


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret: `password`, `X-API-Key`, `clientSecret`."""
    name = _CAMEL.sub("_", name)
    return bool(_SECRET_NAME.search(name)) and not _ABOUT_IT.search(name)


def redact(text: str) -> str:
    """Replace what looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    text = _WHOLE_LINE.sub(rf"\1\2{REDACTED}", text)
    return _PAIR.sub(_without_value, text)


def _without_value(match: re.Match[str]) -> str:
    """A name and its value, the value gone when the name is one of a secret."""
    value = match["bare"] if match["quoted"] is None else match["quoted"]
    if not is_secret_name(match["name"]) or value.startswith(REDACTED[:-1]):
        return match[0]
    if match["quoted"] is None:
        return f"{match['name']}{match['sep']}{REDACTED}"
    return f"{match['name']}{match['sep']}{match['quote']}{REDACTED}{match['end']}"
