"""Which names say that a secret stands under them."""

from __future__ import annotations

import re
from functools import lru_cache

from heisenberg.redact.kinds import Kind

MAX_NAME = 128
"""Characters of a name; a longer one is none."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEY_OF = (
    r"api|app|access|private|secret|encrypt(?:ion)?|signing|sign|account|shared|shared[-_. ]?access|master|service"
    r"|auth|client|license|ssh|deploy|webhook|subscription|storage|session|jwt|aes|hmac|consumer|functions"
    r"|admin|root|security|server|write|ingest"
)
_STRONG = (
    (Kind.COOKIE, r"(?:set[-_.]?)?cookies?|(?:php|j|asp[-_.]?net[-_.]?)?sess(?:ion)?id[-_.]cookie"),
    (Kind.AUTHORIZATION, r"(?:proxy[-_.]?)?authorization"),
    (
        Kind.PASSWORD,
        r"[a-z]{0,24}passw(?:or)?d\d?|[a-z]{0,24}passphrase|passcode|[a-z]{0,16}pwd|pg[-_]?pass|user[-_]?pass|pass",
    ),
    (
        Kind.API_KEY,
        (
            rf"(?:{_KEY_OF})[-_. ]?key|credentials?|creds|(?:client|api|app|consumer|shared|webhook|jwt|oauth)?secret"
            r"|connection[-_. ]?string|shared[-_. ]?access[-_. ]?signature"
        ),
    ),
    (
        Kind.TOKEN,
        (
            r"(?:auth|api|access|refresh|id|bearer|session|csrf|xsrf|user|bot|app|device|security|personal|job|ci|npm"
            r"|github|gitlab)?token"
        ),
    ),
)
"""Kind and words: a name with one of them, as a word of its own, is a secret's."""
_SECRET_NAME = re.compile(
    "|".join(rf"(?P<{kind.value}>(?<![a-z])(?:{words})(?![a-z]))" for kind, words in _STRONG),
    re.IGNORECASE | re.ASCII,
)
_ABOUT = (
    r"id|ids|prefix|suffix|count|name|names|type|at|expires?|expiry|expired|expiration|expires[-_]in|in|field|input"
    r"|label|length|len|size|limit|limits|policy|ur[il]|endpoint|path|file|dir|index|errors?|valid|required|changed"
    r"|updated|created|version|status|state|strength|usage|used|ttl|age|max[-_]age|seconds|ms|minutes|header|param"
    r"|rules?|min|max|placeholder|provider|manager|service|store|class|form|page|test|tests|visible|budget|rate|bucket"
    r"|format|algorithm|alg|hint|selector|locator|button|link|column|table|ref|mount|rotation|enabled|disabled|exists"
    r"|missing|invalid|match|matches|set|source|schema|scheme|scope|scopes|mode|model|text|title|step|check|is|was|ok"
)
_ABOUT_IT = re.compile(rf"[-_.](?:{_ABOUT})$", re.IGNORECASE)
"""A name that ends so tells of a secret and is none: `api_key_id`, `token_count`."""
_CLAIM = re.compile(
    r"^(?:has|is|max|min|num|no|use|uses|with|without|forgot|show|hide|check|validate|verify|require|requires"
    r"|expired|invalid|missing|wrong|bad|next|prev|unexpected|expected|same)[-_.](?:pass|passw|token|secret|cookie|pwd|cred|auth|api|key)",
    re.IGNORECASE,
)
"""So does one that begins so: `has_password`, `next_token`."""
_PAGE = re.compile(
    r"^(?:next|prev|previous|page|continuation|sync|unexpected)[-_.]?(?:page[-_.]?)?token$",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"(?<![a-z])(?:(?P<authorization>_?auth|x[-_]auth|basic[-_]auth|_auth)"
    r"|(?P<cookie>(?:php|j|asp[-_.]?net[-_.]?)?sess(?:ion)?[-_.]?(?:id|key)?)"
    r"|(?P<entropy>sig|signature|x-amz-signature|x-goog-signature|code|hmac|(?<![\w.-])key))$",
    re.IGNORECASE | re.ASCII,
)


@lru_cache(maxsize=4096)
def secret_kind(name: str) -> Kind | None:
    """Which kind of secret stands under the name, whatever it looks like; None when none does."""
    if len(name) > MAX_NAME:
        return None
    name = _CAMEL.sub("_", name)
    found = None
    for match in _SECRET_NAME.finditer(name):
        found = match  # the last word is what it is: `token_secret`
    if found is None or _ABOUT_IT.search(name) or _PAGE.match(name):
        return None
    if _CLAIM.match(name) and found.end() == len(name):
        return None
    return Kind(found.lastgroup or Kind.TOKEN)


@lru_cache(maxsize=4096)
def suspicious_kind(name: str) -> Kind | None:
    """Which kind stands under the name when it is opaque: `sig`, `sessionid`, `key`."""
    match = _WEAK.search(_CAMEL.sub("_", name)) if len(name) <= MAX_NAME else None
    return Kind(match.lastgroup) if match and match.lastgroup else None


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret: `password`, `X-API-Key`, `clientSecret`."""
    return secret_kind(name) is not None
