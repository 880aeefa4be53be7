"""Whose request it is when no key says so: an address that its sender cannot choose."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from starlette.types import Scope

    from heisenberg.backend.config import Network

UNKNOWN = "unknown"
"""All who come without an address, as through a Unix socket, together."""
IPV6_PREFIX = 64
"""A customer gets at least this much of IPv6, and may use any address within."""
MAX_HOPS = 32
"""Proxies that are followed back; nobody has so many, and each costs time."""


def client_address(scope: Scope, trusted_proxies: Sequence[Network]) -> str:
    """Tell the address that counts for a request.

    The peer of the connection, unless it is a trusted proxy. Then `X-Forwarded-For` and
    `Forwarded` are read from the right, where the nearest proxy wrote, up to the first hop that
    is no trusted proxy; what stands left of it, anybody may have written. A hop that is no
    address ends the way at the proxy that told it. A proxy passes on the one of the two headers
    that it does not know as the client sent it; hence, where the two disagree, neither is
    believed.

    Args:
        scope: Of the request.
        trusted_proxies: Networks of the proxies whose headers are believed.

    Returns:
        An IPv4 address, the /64 network of an IPv6 address, or `UNKNOWN`.
    """
    client = scope.get("client")
    host = client[0] if client else ""
    if not trusted_proxies:
        return _bucket(host)
    peer = _parsed(host)
    if peer is None or not _is_trusted(peer, trusted_proxies):
        return _bucket(host)
    headers = scope["headers"]
    told = {
        _first_untrusted(hops, peer, trusted_proxies)
        for name, read in ((b"x-forwarded-for", _plain), (b"forwarded", _forwarded_for))
        if (hops := [read(element) for element in _elements(headers, name)])
    }
    return _bucket(str(told.pop() if len(told) == 1 else peer))


def _first_untrusted(
    hops: Iterable[IPv4Address | IPv6Address | None],
    peer: IPv4Address | IPv6Address,
    trusted_proxies: Sequence[Network],
) -> IPv4Address | IPv6Address:
    """Follow the hops, nearest first, as far as they can be believed."""
    last = peer
    for hop in hops:
        if hop is None:
            break
        last = hop
        if not _is_trusted(hop, trusted_proxies):
            break
    return last


def _elements(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Iterator[str]:
    """The elements of a list header, which may have many lines; the last one first."""
    joined = b",".join(value for key, value in headers if key == name).decode("latin-1")
    for element in reversed(joined.rsplit(",", MAX_HOPS)):
        if stripped := element.strip():
            yield stripped


def _plain(element: str) -> IPv4Address | IPv6Address | None:
    """An address with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`."""
    if element.startswith("["):
        element = element[1:].partition("]")[0]
    elif element.count(":") == 1:
        element = element.partition(":")[0]
    return _parsed(element)


def _forwarded_for(element: str) -> IPv4Address | IPv6Address | None:
    """The `for` of one element of `Forwarded` (RFC 7239)."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return _plain(value.strip().strip('"'))
    return None


def _is_trusted(address: IPv4Address | IPv6Address, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)


@lru_cache(maxsize=4096)
def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of IPv4 inside IPv6 is one of IPv4."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def _bucket(host: str) -> str:
    """The name under which a peer is counted."""
    address = _parsed(host)
    if address is None:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, IPV6_PREFIX), strict=False))
    return str(address)
