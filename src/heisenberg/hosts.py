"""Hosts and services that a text names, and whose side of the fence they are on."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_URL = re.compile(r"\b(?:https?|wss?|grpc|amqp|redis|postgres(?:ql)?|mysql)://[^\s\"'<>)\]}]+")
SHORTEST_NAME = 3
"""Characters of a service's name by which it can be told in a text."""

_DOMAINS = (
    "com|net|org|io|dev|app|cloud|co|ai|gov|edu|info|biz|example|invalid|uk|de|fr|eu|us|ca|au|jp|cn"
    "|in|br|nl|ch|se|pl|es|it"
)
_HOST_WORD = re.compile(
    r"(?:host(?:name)?[=:'\" ]+|to |for |resolve |lookup |from )['\"]?"
    rf"(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:{_DOMAINS}))(?![\w(.-])(?::\d+)?"
)
_HOST_AND_PORT = re.compile(
    r"\b(?:host=?|at|to)[ '\"]*(?P<host>[\w.-]{1,253})['\"]*,? port=? ?['\"]?(?P<port>\d{2,5})"
)
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b|\blocalhost:\d{1,5}\b")
_INSIDE = re.compile(
    r"(?:^|\.)(?:localhost|local|internal|intranet|lan|home|corp|svc|cluster|consul|docker|test|invalid|private)$",
    re.IGNORECASE,
)
_FILE_LIKE = re.compile(
    r"\.(?:py|js|ts|tsx|mjs|java|go|rb|log|json|html|spec|c|h|so|sock)$", re.IGNORECASE
)
_SUBJECT = re.compile(
    r"^(?:error:? )?(?:the )?(?P<name>[A-Za-z][\w-]*(?: [a-z][\w-]*){0,2}?) (?:is |was |are |currently )*"
    r"(?:unreachable|unavailable|not reachable|not responding|down|offline|refused|timed out|did not (?:answer|respond)|"
    r"connection (?:refused|failed))",
    re.IGNORECASE,
)
_DATABASE = re.compile(
    r"postgres|mysql|mariadb|mongo|sqlite|oracle|mssql|cockroach|cassandra|database|(?:^|[-_ ])(?:db|pg)(?:$|[-_ ])",
    re.IGNORECASE,
)
_STORE = re.compile(
    r"redis|valkey|memcache|rabbit|kafka|nats|activemq|elasticsearch|opensearch|minio|\bs3\b|broker|cache|queue",
    re.IGNORECASE,
)


def host_of(url: str) -> str:
    """`HOST` or `HOST:PORT` of a URL, without credentials; empty when it is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def hosts_of(text: str) -> tuple[str, ...]:
    """Hosts, with ports where given, that a text names in URLs or as where it went."""
    found = [host_of(url) for url in _URL.findall(text)]
    found += [m["host"] for m in _HOST_WORD.finditer(text)]
    found += [f"{m['host']}:{m['port']}" for m in _HOST_AND_PORT.finditer(text)]
    found += _ADDRESS.findall(text)
    return tuple(dict.fromkeys(host for host in found if host and not _FILE_LIKE.search(host)))


def is_external(host: str) -> bool:
    """Whether a host belongs to somebody else: a public name or address."""
    name = host.rsplit(":", 1)[0].strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return "." in name and not _INSIDE.search(name)


def external_host(texts: Iterable[str]) -> str:
    """The first host of another party that the texts name; empty when there is none."""
    return next((host for text in texts for host in hosts_of(text) if is_external(host)), "")


def is_database(name: str) -> bool:
    """Whether a service's name or message speaks of a database server."""
    return bool(_DATABASE.search(name))


def is_store(name: str) -> bool:
    """Whether it speaks of a cache, a queue or another backing store."""
    return bool(_STORE.search(name))


def address(texts: Iterable[str]) -> str:
    """The first `HOST:PORT` that the texts name; empty when there is none."""
    return next((host for text in texts for host in hosts_of(text) if ":" in host), "")


def dependency(
    texts: Iterable[str], services: Iterable[str], ports: Mapping[str, str], own: str
) -> str:
    """The dependency that a service complains of: another service, a host, or the words for it.

    Args:
        texts: What the service says, the message first.
        services: Services whose logs are known.
        ports: Service by the port that it listens on.
        own: The service that complains.

    Returns:
        Its name, or empty when the texts name none.
    """
    said = tuple(texts)
    joined = " ".join(said).lower()
    outside = external_host(said)
    if outside:
        return outside
    known = [s for s in services if s != own]
    named = next(
        (
            s
            for s in known
            if len(s) >= SHORTEST_NAME and re.search(rf"\b{re.escape(s.lower())}\b", joined)
        ),
        "",
    )
    if named:
        return named
    listening = ports.get(address(said).rpartition(":")[2], own)
    if listening != own:
        return listening
    for word, name in _KINDS:
        if word.search(joined):
            return next((s for s in known if word.search(s.lower())), name)
    subject = _SUBJECT.match(said[0]) if said else None
    if subject:
        return subject["name"]
    return next((host for text in said for host in hosts_of(text)), "")


_KINDS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"postgres|psycopg|asyncpg|pgsql", "postgres"),
        (r"mysql|mariadb", "mysql"),
        (r"mongo", "mongodb"),
        (r"valkey", "valkey"),
        (r"redis", "redis"),
        (r"rabbit|amqp", "rabbitmq"),
        (r"kafka", "kafka"),
        (r"elasticsearch|opensearch", "elasticsearch"),
        (r"memcache", "memcached"),
    )
)
