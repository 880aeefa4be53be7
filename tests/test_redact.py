"""Secrets are taken out of text, and what only looks like one stays."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.redact import (
    Kind,
    Redactor,
    clear_of_secrets,
    is_secret_name,
    may_hold_secrets,
    redact,
)
from planted_secrets import MAKERS, plant, private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data"
GITHUB = "gh" + "p_" + "a1B2" * 9
OURS = "h" + "b_abcdefghijk1_" + "x9Y8" * 8
LINES = [
    line
    for path in sorted(DATA.rglob("logs/*"))
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
]


def missed(seed: int, rounds: int) -> Iterator[tuple[str, str, bool]]:
    """Kind and surroundings of planted secrets, and whether any good part of one was left."""
    for planted in plant(random.Random(seed), rounds):  # noqa: S311 (test data)
        left = Redactor()(planted.text)
        ends = (planted.secret[:8], planted.secret[-8:]) if len(planted.secret) > 12 else ()
        yield (
            planted.kind,
            f"{planted.where}: {planted.text}",
            any(part in left for part in (planted.secret, *ends)),
        )


def test_planted_secrets_are_found() -> None:
    """At least 99 in 100 of each kind, in whatever a logger writes round them."""
    total, left = Counter[str](), Counter[str]()
    for kind, _, is_left in missed(seed=7, rounds=3):
        total[kind] += 1
        left[kind] += is_left

    assert {} == {kind: n for kind, n in left.items() if n > total[kind] / 100}
    assert {kind.value for kind in Kind} == set(total)


@pytest.mark.parametrize("maker", MAKERS)
def test_keys_of_makers_are_known_bare(maker: str) -> None:
    """A key is known by the form that its maker gave it, with no name beside it."""
    key = MAKERS[maker](random.Random(maker))  # noqa: S311 (test data)

    assert key not in redact(f"it said {key} twice")


def test_ordinary_lines_stay() -> None:
    """Of real logs without secrets at most one line in a thousand changes, but for addresses."""
    changed = [line for line in LINES if redact(line) != line and ".test" not in line]

    assert len(LINES) > 5000
    assert len(changed) <= len(LINES) / 1000


@pytest.mark.parametrize(
    "text",
    [
        "commit 25a82798e3875f1f2d3c4b5a69788796a5b4c3d2 by Ada",
        "request_id=6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "image: shop@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "integrity sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "time=1795481449034 ns=1795481449034123456 us=1795481449034123 x=0.4111111111111111",
        "main.3f2a1b4c5d6e7f8a9b0c.chunk.js",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "token_count=5 max_tokens=100 has_password=true api_key_id=7 next_page_token=abcDEF123456xyz7",
        "def login(user: str, password: str, token: str | None = None) -> Token:",
        "const token = await getToken(user); let secret = config.secret;",
        "password=os.environ['PASSWORD'] password: ${DB_PASSWORD} password=%s password = None",
        'password: ******** token=x... "token": null "secret": false password=<hidden>',
        "expect(page.getByLabel('Password')).toBeVisible()",
        "getByRole('textbox', { name: 'Password' })",
        "waiting for locator('input[name=\"password\"]')",
        "password is required",
        '{"errors": {"password": "This field is required."}}',
        "Invalid password: must be at least 8 characters",
        "SyntaxError: Unexpected token: identifier",
        "error: token: expected ')' but got ','",
        'FATAL: password authentication failed for user "app"',
        'duplicate key value violates unique constraint "users_pkey"; Key (id)=(17) already exists',
        "cache_key=user:17:profile key=uploads/2026/01/01/logo.png hotkey: ctrl+s",
        "authorization: denied; author: Jane; authenticated as user 5",
        'www-authenticate: Bearer realm="api", error="invalid_token"',
        "Bearer token missing; token_type=Bearer expires_in=3600",
        "usage: run --password TEXT --token TOKEN",
        "signal=SIGTERM sig=SIGKILL code=ECONNREFUSED pass=12 fail=3",
        "PWD=/home/ada OLDPWD=/srv",
        "session 12 started; sessionId=4f8c2b7a90e1d2c3b4a5968778695a4b",
        "git@github.com:acme/shop.git lodash@4.17.21 logo@2x.png @babel/core@7.0.0",
        "http://127.0.0.1:8000/health?x=a@b http://localhost:5173/@vite/client",
        "order 1234-5678-9012-3456 card 4111 1111 1111 1112",
        "-----BEGIN PUBLIC KEY----- and -----BEGIN CERTIFICATE-----",
        "sk-loading-spinner-container-large hb_interval_seconds_max",
        "test_the_whole_thing_works_when_the_token_is_missing PASSED",
        "o.s.s.web.authentication.UsernamePasswordAuthenticationFilter - Credentials=[PROTECTED]",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    """Ids, digests, times, code and prose are no secrets."""
    assert text == redact(text)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *((n, True) for n in (
            "password", "DB_PASSWORD", "PGPASSWORD", "clientSecret", "X-API-Key", "accessToken",
            "Set-Cookie", "authorization", "smtp_pass", "private_key", "password2", "token_secret",
        )),
        *((n, False) for n in (
            "token_count", "max_tokens", "api_key_id", "has_password", "author", "key", "primaryKey",
            "passed", "compass", "secretName", "monkey", "next_token", "signature", "a" * 5000,
        )),
    ],
)  # fmt: skip
def test_names(name: str, is_secret: bool) -> None:
    """A name says whether what stands under it is a secret."""
    assert is_secret == is_secret_name(name)


@pytest.mark.parametrize("before", [0, 500, 1000, 1500, 5000])
def test_a_key_inside_a_long_run(before: int) -> None:
    """A key is found whole wherever it stands in a word of thousands of letters."""
    run = "_".join(["ab"] * (before // 3) + [GITHUB] + ["cd"] * 1000)

    assert run.replace(GITHUB, "[redacted]") == redact(run)


class TestPlaceholders:
    def test_number_by_first_mention(self) -> None:
        """Two mentions of one secret have one placeholder; kinds are numbered on their own."""
        said = Redactor()(f"{GITHUB} ada@example.org token=Abc123xyzQ {GITHUB} Ada@example.org")

        assert "<secret:1> <email:1> token=<secret:2> <secret:1> <email:1>" == said

    def test_stay_from_text_to_text(self) -> None:
        """A redactor numbers all its texts together."""
        redactor = Redactor()

        said = [redactor(t) for t in ("token=Abc123xyzQ", "pwd=other77", "token=Abc123xyzQ")]

        assert ["token=<secret:1>", "pwd=<secret:2>", "token=<secret:1>"] == said

    def test_a_secret_found_by_its_name_is_known_bare(self) -> None:
        """Once seen beside its name it is found alone, before and after, when it is unusual."""
        redactor = Redactor()

        said = redactor("hunter2hunter2? password=hunter2hunter2, user=banana, pwd=banana")

        assert "<secret:1>? password=<secret:1>, user=banana, pwd=<secret:2>" == said
        assert "it was <secret:1>" == redactor("it was hunter2hunter2")

    def test_our_own_keys_keep_their_prefix(self) -> None:
        """The public part of a key of ours stays."""
        assert "hb_abcdefghijk1_<secret:1>" == Redactor()(OURS)
        assert "hb_abcdefghijk1_[redacted]" == redact(OURS)

    def test_schemes_stay(self) -> None:
        """How a request is authorized is no secret."""
        assert "Authorization: Basic <secret:1>" == Redactor()("Authorization: Basic YTpodW50ZXIy")

    def test_pairs(self) -> None:
        """All of a value goes when its name says so; else what is found in it."""
        redactor = Redactor()

        said = [
            redactor.pair("password", "correct horse"),
            redactor.pair("note", f"use {GITHUB}"),
            redactor.pair("token_count", "12"),
            redactor.pair("api_key", "null"),
        ]

        assert ["<secret:1>", "use <secret:2>", "12", "null"] == said

    def test_counts(self) -> None:
        """Mentions are counted by kind."""
        redactor = Redactor()
        redactor(f"{GITHUB} {GITHUB} password=hunter2 4111 1111 1111 1111 a@b.co")
        redactor("GET /?x=1")

        assert {
            Kind.API_KEY: 2, Kind.PASSWORD: 1, Kind.CARD: 1, Kind.EMAIL: 1,
        } == redactor.counts  # fmt: skip


class TestPrivateKeys:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\\n", "\\\\n"])
    def test_whole(self, end: str) -> None:
        """A key goes from its first to its last line, however its line ends are written."""
        key = end.join(private_key(random.Random(1)))  # noqa: S311 (test data)

        assert f'{{"key": "<secret:1>{end}"}}' == Redactor()(f'{{"key": "{key}{end}"}}')

    def test_cut_off(self) -> None:
        """What is left of a key that is cut off goes too."""
        lines = private_key(random.Random(1))  # noqa: S311 (test data)

        assert "it: <secret:1>" == Redactor()("it: " + "\n".join(lines[:-2]))
        assert "it:\n<secret:1> was it" == Redactor()("it:\n" + "\n".join(lines[2:]) + " was it")


class TestQuotes:
    def test_without_a_secret(self) -> None:
        """A quote without a secret stays as it is."""
        assert " connection refused " == clear_of_secrets(" connection refused ")

    def test_longest_stretch(self) -> None:
        """What is left occurs in the quote, and no secret in it."""
        quote = f"login of ada@example.org failed: bad key {GITHUB} x"

        assert "failed: bad key" == clear_of_secrets(quote)

    def test_nothing_of_worth(self) -> None:
        """A stretch of a few characters proves nothing."""
        assert "" == clear_of_secrets(f"at {GITHUB} it")

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_is_exact_and_clear(self, before: str, after: str) -> None:
        """Whatever is left stands in the quote and is left again."""
        left = clear_of_secrets(f"{before} {GITHUB} {after}")

        assert left in f"{before} {GITHUB} {after}"
        assert GITHUB not in left
        assert left == clear_of_secrets(left)


SCRAPS = st.sampled_from([
    *"\"'`\\=:;,&@<>{}()[] \n\t\0", '\\"', "://", "://u:", "password", "token=", "key", "--password ",
    "Cookie: ", "Authorization: ", "Bearer ", "-----BEGIN PRIVATE " + "KEY-----", "<secret:1>", "<email:2>",
    "[redacted]", GITHUB, OURS, "4111111111111111", "a@b.co", "eyJ", "hb_a1_", "%3D", "\x1b[31m", "\ud800", "İ",
    "Abc123xyzQ7", "value", "true", "hunter2hunter2", "sig=", "Q7xY9zAb" * 3,
])  # fmt: skip


@given(st.lists(SCRAPS | st.text(max_size=8), max_size=12).map("".join))
def test_twice_is_once(text: str) -> None:
    """Redacting what is redacted changes nothing more, and the quick no is never wrong."""
    redactor = Redactor()
    once, line = redactor(text), redact(text)

    assert once == redactor(once) == Redactor()(once)
    assert line == redact(line)
    assert may_hold_secrets(text) or once == line == text


SIZE = 1_000_000
HOSTILE = [
    "@", "a@b.co", "://u:", "://a:b@", "password", "password=", 'password="', "pwd='", 'password=\\"',
    "password=((", "password=<secret:1>", "token:", "key ", "KEY-----", "-----BEGIN PRIVATE " + "KEY-----",
    "-----END PRIVATE " + "KEY-----", "bearer a", "eyJ", "eyJa-", "hb_1_", "sk-", "gh" + "p_", "4", "4111 ", "a",
    "a_", "a.", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.", " -u a:", "cookie: a=b;", "authorization: ",
    "authorization: digest ", "sig=", "<password>", "--password ", "password:\n", 'name="password" ', "secret_",
    "\x1b[31m", "\ud800", "\0", "İ", "0a", "AAAAAAAAAAAAAAAAAAAAA\n", "x=a; password=",
]  # fmt: skip


@pytest.mark.parametrize("scrap", HOSTILE)
def test_hostile_text_takes_linear_time(scrap: str) -> None:
    """A megabyte of whatever is slowest to search is done in seconds; half of it in half."""
    text = scrap * (SIZE // len(scrap))
    begin = os.times().user
    Redactor()(text)

    assert os.times().user - begin < 15


@pytest.mark.parametrize("text", ["\ud800", "\0", "\x1b[31m", "é", "İ"])
def test_odd_characters_change_nothing(text: str) -> None:
    """Lone surrogates, controls and letters that grow in lower case move no secret's place."""
    assert f"{text}password=<secret:1>,{text}" == Redactor()(f"{text}password=Abc123xyzQ,{text}")
    assert f"{text} <secret:1> {text}" == Redactor()(f"{text} {GITHUB} {text}")
