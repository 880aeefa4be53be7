"""Secrets as their makers specify them, in surroundings as programs write them; all made up.

Knows nothing of the patterns that look for them. Every value is put together when it is asked for,
so that no file holds one.
"""

from __future__ import annotations

import base64
import json
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
WORD = ALNUM + "_-"
BASE64 = ALNUM + "+/"
WORDS = ("blue", "table", "horse", "winter", "garden", "lemon", "paper", "stone", "river", "cloud")


@dataclass(frozen=True, slots=True)
class Planted:
    """A text and the secret in it."""

    kind: str
    where: str
    """Which surroundings, to tell of a miss."""
    text: str
    secret: str
    """What must not be left of it."""


def chars(rng: Random, alphabet: str, n: int) -> str:
    """So many characters of an alphabet."""
    return "".join(rng.choices(alphabet, k=n))


def _base64url(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


MAKERS: dict[str, Callable[[Random], str]] = {
    "aws": lambda r: "AK" + "IA" + chars(r, string.ascii_uppercase + "234567", 16),
    "aws session": lambda r: "AS" + "IA" + chars(r, string.ascii_uppercase + "234567", 16),
    "github classic": lambda r: "gh" + r.choice("pousr") + "_" + chars(r, ALNUM, 36),
    "github fine": lambda r: "github" + "_pat_" + chars(r, ALNUM, 22) + "_" + chars(r, ALNUM, 59),
    "gitlab": lambda r: "gl" + r.choice(("pat", "dt", "rt", "ptt")) + "-" + chars(r, WORD, 20),
    "slack": lambda r: (
        "xox"
        + r.choice("bp")
        + "-"
        + chars(r, string.digits, 12)
        + "-"
        + chars(r, string.digits, 12)
        + "-"
        + chars(r, ALNUM, 24)
    ),
    "slack app": lambda r: (
        "xapp"
        "-1-A" + chars(r, UPPER, 10) + "-" + chars(r, string.digits, 13) + "-" + chars(r, HEX, 64)
    ),
    "slack hook": lambda r: (
        "hooks.slack"
        ".com/services/T"
        + chars(r, UPPER, 8)
        + "/B"
        + chars(r, UPPER, 8)
        + "/"
        + chars(r, ALNUM, 24)
    ),
    "stripe": lambda r: (
        r.choice("sr") + "k_" + r.choice(("live", "test")) + "_" + chars(r, ALNUM, 24)
    ),
    "stripe hook": lambda r: "wh" + "sec_" + chars(r, ALNUM, 32),
    "openai": lambda r: "s" + "k-" + chars(r, ALNUM, 48),
    "openai project": lambda r: (
        "s" + "k-proj-" + chars(r, WORD, 74) + "T3Blbk" + "FJ" + chars(r, WORD, 74)
    ),
    "anthropic": lambda r: "s" + "k-ant-api03-" + chars(r, WORD, 93) + "AA",
    "google": lambda r: "AI" + "za" + chars(r, WORD, 35),
    "google oauth": lambda r: "ya" + "29." + "a0" + chars(r, WORD, 120),
    "google secret": lambda r: "GOC" + "SPX-" + chars(r, WORD, 28),
    "npm": lambda r: "np" + "m_" + chars(r, ALNUM, 36),
    "pypi": lambda r: "py" + "pi-AgEIcHlwaS5vcmc" + chars(r, WORD, 120),
    "hugging face": lambda r: "h" + "f_" + chars(r, string.ascii_letters, 34),
    "sendgrid": lambda r: "S" + "G." + chars(r, WORD, 22) + "." + chars(r, WORD, 43),
    "twilio": lambda r: "S" + "K" + chars(r, HEX, 32),
    "mailgun": lambda r: "ke" + "y-" + chars(r, HEX, 32),
    "mailchimp": lambda r: chars(r, HEX, 32) + "-u" + "s" + str(r.randint(1, 21)),
    "azure application": lambda r: chars(r, ALNUM, 3) + "8" + "Q~" + chars(r, ALNUM + "_~-", 34),
    "digitalocean": lambda r: "do" + "p_v1_" + chars(r, HEX, 64),
    "databricks": lambda r: "da" + "pi" + chars(r, HEX, 32),
    "shopify": lambda r: "sh" + "pat_" + chars(r, HEX, 32),
    "docker hub": lambda r: "dc" + "kr_pat_" + chars(r, WORD, 27),
    "telegram": lambda r: chars(r, "123456789", 10) + ":A" + "A" + chars(r, WORD, 33),
    "vault": lambda r: "hv" + "s." + chars(r, WORD, 24),
    "terraform": lambda r: chars(r, ALNUM, 14) + ".atlas" + "v1." + chars(r, ALNUM, 67),
    "grafana": lambda r: "gl" + "sa_" + chars(r, ALNUM, 32) + "_" + chars(r, HEX, 8),
    "linear": lambda r: "li" + "n_api_" + chars(r, ALNUM, 40),
    "atlassian": lambda r: "AT" + "ATT3" + chars(r, WORD, 180),
    "groq": lambda r: "gs" + "k_" + chars(r, ALNUM, 52),
    "postman": lambda r: "PM" + "AK-" + chars(r, HEX, 24) + "-" + chars(r, HEX, 34),
    "discord": lambda r: (
        "M" + chars(r, ALNUM, 25) + "." + chars(r, WORD, 6) + "." + chars(r, WORD, 38)
    ),
    "ours": lambda r: "h" + "b_" + chars(r, LOWER, 12) + "_" + chars(r, ALNUM, 32),
}
"""Form of a key by its maker."""

BARE = {
    "prose": "request with key {} was refused",
    "end": "using {}",
    "json": '{{"level":"info","msg":"calling upstream","value":"{}"}}',
    "logfmt": 'level=info msg="calling upstream" arg={} took=3ms',
    "list": "args: ['--verbose', '{}', 'x']",
    "header": "> X-Custom: {}",
    "query": "GET /v1/items?q=1&access={}&page=2 HTTP/1.1",
    "path": "GET /bot/{}/send HTTP/1.1",
    "escaped": '{{"msg":"first line\\n{}\\nthird"}}',
    "colour": "\x1b[32m{}\x1b[0m done",
    "paren": "client(Client({}), retries=3)",
}


def _passwords(rng: Random) -> str:
    """A password as people and generators make them."""
    form = rng.randrange(4)
    if form == 0:
        return rng.choice(WORDS).title() + str(rng.randint(10, 9999)) + rng.choice("!$#*")
    if form == 1:
        return chars(rng, ALNUM, rng.randint(8, 32))
    if form == 2:
        return "-".join(rng.sample(WORDS, 3)) + str(rng.randint(1, 99))
    return chars(rng, ALNUM + "!#$%*+-.?@^_", rng.randint(10, 24)) + "7a"


def _letters(rng: Random) -> str:
    return "".join(rng.sample(WORDS, 2))


NAMED = {
    "env": "{NAME}={}",
    "export": "export {NAME}={}",
    "docker env": 'Env=["PATH=/usr/bin","{NAME}={}","TERM=xterm"]',
    "json": '{{"user": "ada", "{name}": "{}", "retries": 3}}',
    "tight json": '{{"user":"ada","{name}":"{}"}}',
    "escaped json": '{{"body":"{{\\"{name}\\":\\"{}\\"}}","status":400}}',
    "python dict": "payload={{'{name}': '{}', 'n': 1}}",
    "yaml": "db:\n  {name}: {}\n  port: 5432",
    "quoted yaml": "  {name}: '{}'",
    "toml": '{name} = "{}"',
    "ini": "{name} = {}",
    "logfmt": "level=warn msg=retry {name}={} attempt=2",
    "query": "POST /login?user=ada&{name}={}&next=%2F HTTP/1.1",
    "form": "body: user=ada&{name}={}",
    "kubernetes": "- name: {NAME}\n  value: {}",
    "har": '{{"name": "{name}", "value": "{}"}}',
    "code": 'const {camel} = "{}";',
    "call": 'connect(host="db", {name}="{}", port=1)',
    "repr": "Settings(host='db', {name}='{}', port=1)",
    "go": "&{{Host:db {name}:{} Port:1}}",
    "ruby": '{{:host=>"db", "{name}"=>"{}"}}',
    "option": "run --{dashed} {} --verbose",
    "option is": "run --{dashed}={} --verbose",
    "xml": "<config><{camel}>{}</{camel}></config>",
}
PASSWORD_NAMES = (
    "password",
    "db_password",
    "passwd",
    "user_pwd",
    "admin_password",
    "smtp_pass",
    "passphrase",
)
TOKEN_NAMES = ("token", "access_token", "refresh_token", "auth_token", "csrf_token", "id_token")
KEY_NAMES = (
    "api_key",
    "secret_key",
    "client_secret",
    "access_key",
    "app_secret",
    "signing_key",
    "secret",
)
PASSWORDS_ONLY = {
    "url": "postgresql://shop:{}@db.internal:5432/shop",
    "url in prose": 'could not connect to "redis://:{}@cache:6379/0": timed out',
    "url json": '{{"dsn":"amqp://guest:{}@mq:5672/"}}',
    "connection string": "Server=db,1433;Database=shop;User Id=sa;Password={};Encrypt=True",
    "odbc": "Driver={{PostgreSQL}};Server=db;Uid=sa;Pwd={};",
    "jdbc": "jdbc:mysql://db/shop?user=sa&password={}",
    "fill": "await page.fill('#password', '{}')",
    "label": "await page.getByLabel('Password').fill('{}')",
    "html": '<input type="password" name="password" value="{}">',
    "curl": "curl -u ada:{} https://api.internal/v1",
}
AUTHORIZATION = {
    "header": "Authorization: Bearer {}",
    "basic": "Authorization: Basic {}",
    "token": "authorization: token {}",
    "json": '{{"headers":{{"Authorization":"Bearer {}","Accept":"*/*"}}}}',
    "curl": "curl -H 'Authorization: Bearer {}' https://api.internal",
    "prose": "sent Bearer {} to upstream",
    "tuple": "[(b'host', b'x'), (b'authorization', b'Bearer {}')]",
    "dict": "headers={{'Authorization': 'Basic {}'}}",
    "api key": "X-API-Key: {}",
    "h2": "[HTTP/2] [1] [authorization: Bearer {}]",
}
COOKIES = {
    "header": "Cookie: theme=dark; session={}; lang=en",
    "set": "Set-Cookie: session={}; Path=/; HttpOnly",
    "json": '{{"cookie":"theme=dark; session={}"}}',
    "curl": "curl -b x -H 'Cookie: sid={}' https://x",
    "java": "GET /shop;JSESSIONID={} HTTP/1.1",
    "php": "found PHPSESSID={} in request",
}
OPAQUE = {
    "azure sas": "https://x.blob.core.windows.net/c/b?sv=2022-11-02&sr=b&sig={}&se=2026-01-01",
    "signature": "GET /download?file=1&signature={} HTTP/1.1",
    "amazon": "https://b.s3.amazonaws.com/k?X-Amz-Expires=900&X-Amz-Signature={}",
    "quoted": 'Signature="{}"',
}
MAIL = {
    "prose": "mail sent to {} in 3 ms",
    "json": '{{"email":"{}","id":3}}',
    "logfmt": "msg=rejected user={} n=1",
    "angle": "From: Ada Miller <{}>",
    "sql": "DETAIL:  Key (email)=({}) already exists.",
    "query": "GET /reset?email={}&x=1",
    "escaped": '{{"msg":"users:\\n{}\\n"}}',
}
CARDS = {
    "prose": "charging card {} for 10.00",
    "json": '{{"card":"{}","cvc":"***"}}',
    "logfmt": "msg=declined number={} n=1",
    "sentence": "Card {}.",
}


def card(rng: Random) -> str:
    """A number of Visa, Mastercard, Amex or Discover, perhaps in groups, with its check digit."""
    lead, length = rng.choice(
        (("4", 16), ("5" + str(rng.randint(1, 5)), 16), ("37", 15), ("6011", 16))
    )
    body = lead + chars(rng, string.digits, length - len(lead) - 1)
    total = sum(
        sum(divmod(int(d) * (2 if n % 2 == 0 else 1), 10)) for n, d in enumerate(reversed(body))
    )
    number = body + str(-total % 10)
    gap = rng.choice(("", "", " ", "-"))
    if length == 15:
        return gap.join((number[:4], number[4:10], number[10:]))
    return gap.join(number[n : n + 4] for n in range(0, 16, 4))


def email(rng: Random) -> str:
    """An address of somebody."""
    name = (
        rng.choice(WORDS)
        + rng.choice((".", "_", "+", ""))
        + rng.choice(WORDS)
        + rng.choice(("", "7"))
    )
    return f"{name}@{rng.choice(WORDS)}.{rng.choice(('com', 'org', 'example', 'co.uk', 'io'))}"


def jwt(rng: Random) -> str:
    """A signed token."""
    header = {"alg": rng.choice(("HS256", "RS256", "none")), "typ": "JWT"}
    payload = {"sub": str(rng.randint(1, 10**6)), "iat": 1_700_000_000, "name": rng.choice(WORDS)}
    return ".".join((_base64url(header), _base64url(payload), _base64url(rng.randbytes(32))))


def private_key(rng: Random) -> list[str]:
    """The lines of a PEM file."""
    name = rng.choice(("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "))
    lines = [chars(rng, BASE64, 64) for _ in range(rng.randint(3, 25))]
    return [f"-----BEGIN {name}PRIVATE " + "KEY-----", *lines, chars(rng, BASE64, 30) + "==",
            f"-----END {name}PRIVATE " + "KEY-----"]  # fmt: skip


def plant(rng: Random, rounds: int = 1) -> Iterator[Planted]:
    """Secrets of all kinds in all surroundings, so many times over."""
    for _ in range(rounds):
        for maker, make in MAKERS.items():
            for where, form in BARE.items():
                key = make(rng)
                left = key.rpartition("_")[2] if maker == "ours" else key
                yield Planted("api_key", f"{maker}, {where}", form.format(key), left)
        yield from _named(rng)
        for kind, forms, value_of in _KINDS:
            for where, form in forms.items():
                value = value_of(rng, where)
                yield Planted(kind, where, form.format(value), value)
        yield from _private_keys(rng)


def _credentials(rng: Random, where: str) -> str:
    if "Basic" in AUTHORIZATION[where]:
        return base64.b64encode(f"ada:{_passwords(rng)}".encode()).decode()
    return chars(rng, ALNUM, rng.randint(20, 60))


def _signature(rng: Random, where: str) -> str:
    if where == "amazon":
        return chars(rng, HEX, 64)
    return quote(base64.b64encode(rng.randbytes(32)).decode(), safe="")


_KINDS: tuple[tuple[str, dict[str, str], Callable[[Random, str], str]], ...] = (
    ("jwt", BARE, lambda rng, _: jwt(rng)),
    ("password", PASSWORDS_ONLY, lambda rng, _: _passwords(rng)),
    ("authorization", AUTHORIZATION, _credentials),
    ("cookie", COOKIES, lambda rng, _: chars(rng, ALNUM, rng.randint(26, 40))),
    ("entropy", OPAQUE, _signature),
    ("email", MAIL, lambda rng, _: email(rng)),
    ("card", CARDS, lambda rng, _: card(rng)),
)


def _private_keys(rng: Random) -> Iterator[Planted]:
    lines = private_key(rng)
    ends = {"lines": "\n", "escaped": "\\n", "twice": "\\\\n", "crlf": "\r\n"}
    for where, end in ends.items():
        yield Planted("private_key", where, f'key: "{end.join(lines)}{end}" loaded', lines[1])
    cut = "\n".join(lines[:-1])
    yield Planted("private_key", "cut", f"loaded {cut}", lines[-2])


def _named(rng: Random) -> Iterator[Planted]:
    for kind, names, make in (
        ("password", PASSWORD_NAMES, _passwords),
        ("password", PASSWORD_NAMES[:3], _letters),
        ("token", TOKEN_NAMES, lambda r: chars(r, WORD, r.randint(16, 64))),
        ("api_key", KEY_NAMES, lambda r: chars(r, BASE64, r.randint(20, 40))),
    ):
        for where, form in NAMED.items():
            name = rng.choice(names)
            value = make(rng)
            if where in {"query", "form"}:
                value = quote(value, safe="")
            head, *rest = name.split("_")
            text = form.replace("{NAME}", name.upper()).replace("{name}", name)
            text = text.replace("{camel}", head + "".join(part.title() for part in rest))
            text = text.replace("{dashed}", name.replace("_", "-"))
            yield Planted(kind, f"{name}, {where}", text.format(value), value)
