"""Bodies over real sockets: too large, too slow, lying, encoded, cut off."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Request  # noqa: TC002 (FastAPI reads the annotations)
from structlog.testing import capture_logs

from heisenberg.backend import body_limit, server
from heisenberg.backend.app import create_app
from heisenberg.backend.config import Settings, load_settings
from heisenberg.backend.schemas import Schema
from servers import wait_until
from serving import Answer, connect, head, is_closed, read_answer, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from pathlib import Path

    from fastapi import FastAPI

LIMIT = 60_000
BLOCK = b"x" * 65_536


class Named(Schema):
    """A JSON body."""

    name: str


def make_app(settings: Settings) -> FastAPI:
    """The real application with routes that read a body, for anybody."""
    app = create_app(settings)

    @app.post("/size")
    async def size(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.post("/ignores")
    async def ignores() -> dict[str, str]:
        return {"read": "nothing"}

    @app.post("/named")
    async def named(body: Named) -> dict[str, str]:
        return {"name": body.name}

    return app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Limits that a test reaches quickly."""
    return load_settings(
        data_dir=tmp_path,
        max_body_bytes=LIMIT,
        body_timeout_s=0.3,
        rate_limit_burst=1000,
        rate_limit_per_minute=1000,
        _env_file=None,
    )


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    """Where the application listens."""
    with serving(make_app(settings)) as port:
        yield port


def ask(port: int, request: bytes) -> Answer:
    """Send the bytes and read one answer."""
    with connect(port) as connection:
        connection.sendall(request)
        return read_answer(connection)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_a_body_up_to_the_limit_is_read(port: int, size: int) -> None:
    """The limit itself is allowed, told beforehand or not."""
    told = ask(port, head(Content_Length=size) + b"x" * size)
    chunks = chunk(b"x" * size) if size else b""
    chunked = ask(port, head(Transfer_Encoding="chunked") + chunks + b"0\r\n\r\n")

    assert [{"size": size}] * 2 == [json.loads(told.body), json.loads(chunked.body)]


def test_a_large_body_is_refused_before_it_is_sent(port: int) -> None:
    """A Content-Length beyond the limit is answered at once, and the connection is closed."""
    with connect(port) as connection:
        connection.sendall(head(Content_Length=100 << 20))
        answer = read_answer(connection)

        assert (413, "body-too-large", "close") == (
            answer.status,
            answer.problem,
            answer.headers["connection"],
        )
        assert LIMIT == json.loads(answer.body)["max_bytes"]
        assert is_closed(connection)


def test_who_asks_first_is_spared_the_sending(port: int) -> None:
    """With `Expect: 100-continue` the refusal comes instead of the invitation, and no wait after it."""
    with connect(port) as connection:
        connection.sendall(head(Content_Length=100 << 20, Expect="100-continue"))
        answer = read_answer(connection)
        started = time.monotonic()

        assert 413 == answer.status
        assert is_closed(connection)
    assert time.monotonic() - started < body_limit.LINGER_S / 2


def test_a_body_without_end_is_refused_as_it_passes_the_limit(port: int) -> None:
    """Chunks are counted as they come."""
    with connect(port) as connection:
        connection.sendall(head(Transfer_Encoding="chunked"))
        sent = 0
        while sent < LIMIT + 1:
            connection.sendall(chunk(BLOCK))
            sent += len(BLOCK)
        answer = read_answer(connection)

    assert (413, "body-too-large") == (answer.status, answer.problem)


def test_who_sends_on_hears_the_refusal(port: int) -> None:
    """A client that sends all before it reads gets the answer, not a reset, if it is not too long."""
    with connect(port) as connection:
        connection.sendall(head(Content_Length=2 << 20))
        for _ in range(32):
            connection.sendall(BLOCK)
            time.sleep(0.001)
        answer = read_answer(connection)

    assert 413 == answer.status


def test_sending_on_without_end_is_cut(port: int) -> None:
    """After a refusal no more than a little is read."""
    with connect(port) as connection:
        connection.sendall(head(Transfer_Encoding="chunked"))
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 1 << 30:
                connection.sendall(chunk(BLOCK))
                sent += len(BLOCK)

    # What the kernel holds on both sides comes on top.
    assert sent < body_limit.LINGER_BYTES + (32 << 20)


def test_a_slow_body_is_given_up(port: int) -> None:
    """The whole has to arrive in time, however steadily it drips."""
    with connect(port) as connection:
        connection.sendall(head(Content_Length=LIMIT))
        started = time.monotonic()
        dripping = threading.Event()

        def drip() -> None:
            while not dripping.wait(0.02):
                connection.send(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            answer = read_answer(connection)
        finally:
            dripping.set()
            thread.join()

    assert (408, "body-too-slow", "close") == (
        answer.status,
        answer.problem,
        answer.headers["connection"],
    )
    assert 0.25 < time.monotonic() - started < 5


@pytest.mark.parametrize(
    "lengths", [("-1",), ("ten",), ("1e3",), ("5", "6"), ("",), ("99999999999999999999999",)]
)
def test_a_length_that_is_none_is_refused(port: int, lengths: tuple[str, ...]) -> None:
    """A Content-Length that is no number, or two that differ, is a 400 or 413 problem."""
    fields = "".join(f"Content-Length: {length}\r\n" for length in lengths)
    answer = ask(port, f"POST /size HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())

    assert answer.status in {400, 413}
    assert answer.problem in {"invalid-http", "invalid-content-length", "body-too-large"}


@pytest.mark.parametrize("lengths", [(b"-1",), (b"ten",), (b"5", b"5")])
async def test_another_server_may_let_such_a_length_pass(
    settings: Settings, lengths: tuple[bytes, ...]
) -> None:
    """The application itself refuses a bad Content-Length, whatever server runs it."""
    sent = await call(settings, [(b"content-length", length) for length in lengths])

    assert 400 == sent[0]["status"]
    assert b"invalid-content-length" in sent[1]["body"]


async def call(
    settings: Settings, headers: list[tuple[bytes, bytes]]
) -> list[MutableMapping[str, Any]]:
    """Ask the application without a server; what it sends."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/size", "raw_path": b"/size", "root_path": "",
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
        "server": ("127.0.0.1", 80), "http_version": "1.1", "asgi": {"version": "3.0"}, "state": {},
    }  # fmt: skip
    await make_app(settings)(scope, receive, send)
    return sent


def test_a_client_that_announces_more_than_it_sends_is_given_up(port: int) -> None:
    """Too short a body is waited for as long as a slow one, and no longer."""
    answer = ask(port, head(Content_Length=50) + b"x" * 49)

    assert (408, "body-too-slow") == (answer.status, answer.problem)


def test_bytes_beyond_the_announced_are_no_body(port: int) -> None:
    """What follows the announced length is the next request, and nonsense as that."""
    with connect(port) as connection:
        connection.sendall(head(Content_Length=3) + b"xyz\x00\x01nonsense\r\n\r\n")
        answers = [read_answer(connection)]

    assert answers[0].status in {200, 400}


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused(port: int, coding: str) -> None:
    """A small body that unpacks to a large one cannot come in."""
    answer = ask(port, head(Content_Length=2, Content_Encoding=coding) + b"\x1f\x8b")

    assert (415, "unsupported-encoding") == (answer.status, answer.problem)
    assert "identity" == answer.headers["accept-encoding"]


def test_a_body_of_another_type_is_refused_clearly(port: int) -> None:
    """A JSON route that gets a form says what it wants."""
    body = b'{"name": "x"}'
    request = head(Content_Length=len(body), Content_Type="text/plain").replace(b"/size", b"/named")
    answer = ask(port, request + body)

    assert (415, "unsupported-media-type") == (answer.status, answer.problem)
    assert "application/json" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    "start", [head(Content_Length=50) + b"x", head(Transfer_Encoding="chunked")]
)
def test_a_client_that_vanishes_makes_no_noise(port: int, start: bytes) -> None:
    """Leaving in the middle of a body logs no error and no traceback."""
    with capture_logs() as lines:
        with connect(port) as connection:
            connection.sendall(start)
            time.sleep(0.05)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        answer = ask(port, head(Content_Length=1) + b"x")

    assert 200 == answer.status
    assert [] == [line for line in lines if line["log_level"] in {"warning", "error", "critical"}]


def test_a_refused_small_request_keeps_its_connection(port: int) -> None:
    """Who sends a little that nobody reads may go on asking on the same connection."""
    with connect(port) as connection:
        nowhere = head(Content_Length=10).replace(b"/size", b"/nowhere")
        connection.sendall(nowhere + b"x" * 10)
        first = read_answer(connection)
        connection.sendall(head(Content_Length=3) + b"abc")
        second = read_answer(connection)

    assert [404, 200] == [first.status, second.status]


def test_a_long_body_that_nobody_reads_ends_the_connection(port: int) -> None:
    """A route that ignores its body does not make the server read all of it."""
    with connect(port) as connection:
        request = head(Transfer_Encoding="chunked").replace(b"/size", b"/ignores")
        connection.sendall(request)
        answer = read_answer(connection)

        assert (200, "close") == (answer.status, answer.headers["connection"])
        assert is_closed(connection)


def test_a_stranger_cannot_send_much(settings: Settings) -> None:
    """Without a key no more than a little is read, however much a key may send."""
    with serving(make_app(settings.model_copy(update={"max_body_bytes": 1 << 20}))) as port:
        answer = ask(port, head(Content_Length=200_000) + b"x" * 200_000)

    assert (401, "missing-api-key", "close") == (
        answer.status,
        answer.problem,
        answer.headers["connection"],
    )


def test_all_bodies_together_are_limited(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all requests hold at once is bounded; beyond it a client is told to come again."""
    monkeypatch.setattr(body_limit, "BODIES_AT_ONCE", 2)
    patient = settings.model_copy(update={"body_timeout_s": 20.0})
    with serving(make_app(patient)) as port:
        holders = [connect(port) for _ in range(2)]
        for holder in holders:
            holder.sendall(head(Content_Length=LIMIT) + b"x" * (LIMIT - 1))
        answers: list[Answer] = []

        def refused() -> bool:
            answers.append(ask(port, head(Content_Length=10) + b"x" * 10))
            return answers[-1].status == 503

        wait_until(refused, "refused")  # the servers' reading of the first two takes a moment
        for holder in holders:
            holder.sendall(b"x")
        served = [read_answer(holder).status for holder in holders]
        after = ask(port, head(Content_Length=10) + b"x" * 10)
        for holder in holders:
            holder.close()

    assert ("overloaded", "1") == (answers[-1].problem, answers[-1].headers["retry-after"])
    assert [200, 200, 200] == [*served, after.status]


def test_header_fields_without_end_are_refused(port: int) -> None:
    """Request line and fields are limited in size."""
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with contextlib.suppress(OSError):  # closed on us, with the answer sent before
            while True:
                connection.sendall(BLOCK)
        answer = read_answer(connection)

    assert (431, "header-too-large") == (answer.status, answer.problem)


def test_trailers_without_end_are_refused(port: int) -> None:
    """What follows the last chunk is limited like the fields before the first."""
    with connect(port) as connection:
        connection.sendall(head(Transfer_Encoding="chunked") + b"0\r\n")
        with contextlib.suppress(OSError):  # closed on us, with the answer sent before
            while True:
                connection.sendall(b"X-Trailer: " + BLOCK[:30_000] + b"\r\n")
        answer = read_answer(connection)

    assert (431, "header-too-large") == (answer.status, answer.problem)


def test_many_small_chunks_are_no_header(port: int) -> None:
    """A body in chunks of one byte, frames five times as long, is a body."""
    size = LIMIT
    answer = ask(port, head(Transfer_Encoding="chunked") + chunk(b"x") * size + b"0\r\n\r\n")

    assert {"size": size} == json.loads(answer.body)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost:", (408, "header-too-slow")),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (b"", None),
    ],
)
def test_a_head_that_does_not_come_is_given_up(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes, expected: tuple[int, str] | None
) -> None:
    """A connection cannot be held by sending part of a head, nothing, or blank lines."""
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.2)
    with connect(port) as connection:
        connection.sendall(sent)
        if sent.endswith(b"\r\n\r\n"):
            read_answer(connection)
            connection.sendall(b"\r\n")
        if expected:
            answer = read_answer(connection)
            assert expected == (answer.status, answer.problem)

        assert is_closed(connection)


def test_nonsense_is_a_problem_too(port: int) -> None:
    """What is no HTTP is answered with a problem that carries a request id."""
    answer = ask(port, b"\x16\x03\x01\x02\x00 nonsense\r\n\r\n")

    assert (400, "invalid-http") == (answer.status, answer.problem)
    assert answer.headers["x-request-id"] == json.loads(answer.body)["request_id"]


def test_connections_are_limited(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection too many is closed; when another has gone there is room again."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    first, second = connect(port), connect(port)
    with connect(port) as third:
        assert is_closed(third)

    first.close()
    wait_until(lambda: not _refused(port), "room for another")
    second.close()


def _refused(port: int) -> bool:
    with connect(port) as connection:
        try:
            connection.sendall(head(Content_Length=1) + b"x")
            return read_answer(connection).status != 200
        except (OSError, EOFError):
            return True
