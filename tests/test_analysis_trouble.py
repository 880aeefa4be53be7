"""The words by which systems name their trouble."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heisenberg.analysis.trouble import MAX_FRAGMENT, find_trouble, name_trouble
from heisenberg.model.diagnosis import Mechanism

PHRASES: dict[Mechanism, tuple[str, ...]] = {
    Mechanism.DATABASE_LOCK: (
        "ERROR:  deadlock detected",
        "ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction",
        "sqlite3.OperationalError: database is locked",
        "Transaction (Process ID 52) was deadlocked; Lock request time out period exceeded.",
        "could not serialize access due to concurrent update",
    ),
    Mechanism.DATABASE_CONNECTION: (
        "psycopg_pool.PoolTimeout: couldn't get a connection after 2.00 sec",
        "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
        "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached",
        "FATAL:  sorry, too many clients already",
        "ER_CON_COUNT_ERROR: Too many connections",
        "MongoServerSelectionError: connect ECONNREFUSED 127.0.0.1:27017",
    ),
    Mechanism.RESOURCE_EXHAUSTION: (
        "OSError: [Errno 28] No space left on device",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "java.lang.OutOfMemoryError: Java heap space",
        "accept4: too many open files",
    ),
    Mechanism.RATE_LIMIT: (
        "HTTPError: 429 Client Error: Too Many Requests for url",
        "ThrottlingException: Rate exceeded, request was throttled",
        "rpc error: code = ResourceExhausted desc = rate limit exceeded",
    ),
    Mechanism.TLS: (
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "javax.net.ssl.SSLHandshakeException: PKIX path building failed",
        "x509: certificate signed by unknown authority",
        "Error: self-signed certificate in certificate chain",
    ),
    Mechanism.DNS: (
        "socket.gaierror: [Errno -2] Name or service not known",
        "Error: getaddrinfo ENOTFOUND pay.internal",
        "java.net.UnknownHostException: pay.internal",
        "dial tcp: lookup pay.internal: no such host",
    ),
    Mechanism.CLOCK: (
        "jwt.exceptions.ImmatureSignatureError: The token is not yet valid (iat)",
        "RequestTimeTooSkewed: The difference between the request time and the current time is too large",
        "Token used before issued",
    ),
    Mechanism.AUTH: (
        'FATAL:  password authentication failed for user "shop"',
        "WRONGPASS invalid username-password pair or user is disabled.",
        "Access denied for user 'shop'@'localhost' (using password: YES)",
        "io.jsonwebtoken: invalid signature",
    ),
    Mechanism.CONFIGURATION: (
        "KeyError: 'PAYMENT_URL' in os.environ",
        "django.core.exceptions.ImproperlyConfigured: SECRET_KEY",
        "Error: Cannot find module 'express'",
        'relation "coupons" does not exist',
        "NoSuchBeanDefinitionException: No qualifying bean of type 'Clock'",
        "Error: listen EADDRINUSE: address already in use :::3000",
    ),
    Mechanism.PROCESS_CRASH: (
        "[CRITICAL] WORKER TIMEOUT: worker 31 was killed",
        "server process (PID 71) was terminated by signal 9: Killed",
        "Segmentation fault (core dumped)",
        "npm ERR! process exited with code 137",
    ),
    Mechanism.SHARED_STATE: (
        'duplicate key value violates unique constraint "users_email_key"',
        "Duplicate entry 'ann' for key 'users.name'",
        "E11000 duplicate key error collection: shop.users",
        "UNIQUE constraint failed: users.email",
    ),
    Mechanism.RACE: (
        "RuntimeError: dictionary changed size during iteration",
        "java.util.ConcurrentModificationException",
        "fatal error: concurrent map writes",
        "ActiveRecord::StaleObjectError: Attempted to update a stale object: Order",
    ),
    Mechanism.DEPENDENCY_DOWN: (
        "Error: connect ECONNREFUSED 10.0.0.4:8081",
        "ConnectionRefusedError: [Errno 111] Connection refused",
        "connect() failed (111: Connection refused) while connecting to upstream",
        "dial tcp 10.0.0.4:80: connect: connection refused",
    ),
    Mechanism.NETWORK: (
        "Error: read ECONNRESET",
        "java.net.SocketException: Broken pipe",
        "http.client.RemoteDisconnected: Remote end closed connection without response",
    ),
    Mechanism.TIMEOUT_BUDGET: (
        "requests.exceptions.ReadTimeout: HTTPConnectionPool(host='pay', port=80): Read timed out.",
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
        "504 Gateway Time-out",
    ),
    Mechanism.UNHANDLED_EXCEPTION: (
        "TypeError: Cannot read properties of undefined (reading 'id')",
        "java.lang.NullPointerException: order is null",
        "System.NullReferenceException: Object reference not set to an instance of an object.",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "KeyError: 'total'",
        "NoMethodError: undefined method `price' for nil",
    ),
}


@pytest.mark.parametrize(("mechanism", "text"), [(m, t) for m, all_of in PHRASES.items() for t in all_of])  # fmt: skip
def test_systems_own_words_name_their_trouble(mechanism: Mechanism, text: str) -> None:
    """What databases, runtimes, servers and client libraries print names its kind."""
    if mechanism is Mechanism.UNHANDLED_EXCEPTION and "panic" in text:
        text = text.removeprefix("panic: ")
    if mechanism is Mechanism.RACE and "fatal error" in text:
        text = text.removeprefix("fatal error: ")

    assert mechanism == name_trouble(text)


@pytest.mark.parametrize(
    ("text", "specific"),
    [
        ("could not connect to server: Connection refused", Mechanism.DATABASE_CONNECTION),
        ("connection pool exhausted: connect timed out", Mechanism.DATABASE_CONNECTION),
        ("SSLError: certificate verify failed, connection aborted", Mechanism.TLS),
        ("getaddrinfo ENOTFOUND api: failed to connect", Mechanism.DNS),
        ("IntegrityError: TypeError in duplicate key", Mechanism.SHARED_STATE),
        ("RuntimeError: set changed size during iteration", Mechanism.RACE),
        ("Worker was terminated: out of memory", Mechanism.RESOURCE_EXHAUSTION),
    ],
)
def test_the_specific_comes_before_the_general(text: str, specific: Mechanism) -> None:
    """A text that tells of two kinds is of the one that tells more."""
    assert specific == name_trouble(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /orders 200 in 12 ms",
        "user signed in",
        "order 7 was paid by card",
        "listening on port 8080",
        "expected 'paid' to be 'open'",
        "cache refreshed with 40 entries",
        "connection from 10.0.0.4 accepted",
        "checkpoint complete: wrote 44 buffers",
        "the price is 12.50 EUR",
        "Hello, world",
    ],
)
def test_an_ordinary_sentence_names_no_trouble(text: str) -> None:
    """What services say on a good day is no trouble."""
    assert name_trouble(text) is Mechanism.UNKNOWN


@given(st.text() | st.sampled_from([t for all_of in PHRASES.values() for t in all_of]), st.text())
def test_the_telling_words_stand_in_the_text(text: str, after: str) -> None:
    """The fragment is one line's part of the text, short, and there just when trouble is named."""
    whole = f"{text}\n{after}"
    mechanism, fragment = find_trouble(whole)

    assert mechanism is name_trouble(whole)
    assert (mechanism is Mechanism.UNKNOWN) == (fragment == "")
    assert fragment in whole
    assert len(fragment) <= MAX_FRAGMENT


@pytest.mark.parametrize("unit", [
    " ", "a", "0", "redis", "valkey.", "a@", "connect", "is not configured", "worker ", "server process ",
    "hostname ", "IntegrityError", "acquiring connection", "connection to server at ", "1|", "_ ", "\n",
    "unicode", "ERR_SSL_", "status ", "ConstraintViolation",
])  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    """A long text that repeats any piece is judged within a fraction of a second."""
    started = time.process_time()
    name_trouble(unit * 20_000)
    elapsed_s = time.process_time() - started

    assert elapsed_s < 0.3
