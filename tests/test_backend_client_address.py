from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.backend.client_address import UNKNOWN, client_address

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))
ADDRESSES = st.ip_addresses().map(str)


def seen(peer: str | None, *headers: tuple[str, str], proxies: tuple[Any, ...] = PROXIES) -> str:
    """The address that counts for a request of the peer."""
    scope: dict[str, Any] = {
        "type": "http",
        "client": None if peer is None else (peer, 4711),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    return client_address(scope, proxies)


class TestPeer:
    @pytest.mark.parametrize(
        ("peer", "expected"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("testclient", UNKNOWN),
            ("", UNKNOWN),
            (None, UNKNOWN),
        ],
    )
    def test_one_name_for_all_that_one_customer_has(self, peer: str | None, expected: str) -> None:
        """An IPv4 address in either form, the /64 of an IPv6 one, and one name for all the rest."""
        assert expected == seen(peer)
        assert expected == seen(peer, proxies=())

    @given(ADDRESSES)
    def test_headers_of_strangers_are_not_believed(self, claimed: str) -> None:
        """Without a trusted proxy in between, what the client says of itself changes nothing."""
        headers = (("x-forwarded-for", claimed), ("forwarded", f"for={claimed}"))

        assert "192.0.2.1" == seen("192.0.2.1", *headers)
        assert "10.0.0.1" == seen("10.0.0.1", *headers, proxies=())


class TestForwarded:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7:51234", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::/64"),
            ("[2001:db8::7]", "2001:db8::/64"),
            ("[2001:db8::7]:443", "2001:db8::/64"),
            ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
            ("1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
            ("203.0.113.7,10.0.0.3,2001:db8:ffff::1,  10.0.0.2 ", "203.0.113.7"),
            ("203.0.113.7,,", "203.0.113.7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("1.1.1.1, <script>", "10.0.0.1"),
            ("1.1.1.1, 999.1.1.1", "10.0.0.1"),
            ("", "10.0.0.1"),
            (" , ,", "10.0.0.1"),
            ("\xff\xfe", "10.0.0.1"),
        ],
    )
    def test_x_forwarded_for(self, value: str, expected: str) -> None:
        """The right-most hop that is no trusted proxy counts; garbage ends the way there."""
        assert expected == seen("10.0.0.1", ("x-forwarded-for", value))

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For=203.0.113.7;proto=https;by=10.0.0.1", "203.0.113.7"),
            ('proto=https; for="203.0.113.7:4711"', "203.0.113.7"),
            ('for="[2001:db8::7]:4711"', "2001:db8::/64"),
            ("for=1.1.1.1, for=203.0.113.7, for=10.0.0.2", "203.0.113.7"),
            ("for=1.1.1.1, for=_hidden", "10.0.0.1"),
            ("for=1.1.1.1, proto=https", "10.0.0.1"),
            ('for="1.1.1.1, for=203.0.113.7', "203.0.113.7"),
            ("for", "10.0.0.1"),
        ],
    )
    def test_forwarded(self, value: str, expected: str) -> None:
        """The field of RFC 7239 is read likewise."""
        assert expected == seen("10.0.0.1", ("forwarded", value))

    def test_lines_are_one_list(self) -> None:
        """A header on several lines is joined in their order: the last one is the proxy's."""
        lines = (("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "203.0.113.7"))

        assert "203.0.113.7" == seen("10.0.0.1", *lines)

    def test_headers_that_disagree_are_not_believed(self) -> None:
        """The header that the proxy does not write is the client's own: nobody can tell which."""
        agreeing = (("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7"))
        spoofed = (("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=1.1.1.1"))

        assert "203.0.113.7" == seen("10.0.0.1", *agreeing)
        assert "10.0.0.1" == seen("10.0.0.1", *spoofed)

    def test_ipv4_within_ipv6_is_trusted_as_ipv4(self) -> None:
        """A proxy that a socket of both families tells in the long form is the same proxy."""
        assert "203.0.113.7" == seen("::ffff:10.0.0.1", ("x-forwarded-for", "203.0.113.7"))

    @given(st.lists(ADDRESSES | st.text(st.characters(codec="latin-1"))), ADDRESSES)
    def test_nothing_left_of_the_client_counts(self, claimed: list[str], client: str) -> None:
        """Whatever the client sends, the hop that the proxy adds decides alone."""
        if any(
            IPv4Address(client) in p
            if "." in client and ":" not in client
            else IPv6Address(client) in p
            for p in PROXIES
        ):
            return
        value = ", ".join([*claimed, client])

        assert seen(client) == seen("10.0.0.1", ("x-forwarded-for", value))

    def test_a_long_list_costs_little(self) -> None:
        """Only so many hops are followed, so a header of many trusted ones is no attack."""
        value = ",".join(f"10.{n >> 8 & 255}.{n & 255}.1" for n in range(100_000))

        started = time.perf_counter()
        found = seen("10.0.0.1", ("x-forwarded-for", value))

        assert time.perf_counter() - started < 0.1
        assert found.startswith("10.")
