"""An application behind our real HTTP server, in a thread of the tests, and bare sockets to it."""

from __future__ import annotations

import json
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from heisenberg.backend import server
from servers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

PATIENCE_S = 20.0
"""Longest that a test waits for a server."""


class Answer(NamedTuple):
    """What came back on a connection until it was closed, or one answer was complete."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        """Name of the problem that it tells of."""
        document: dict[str, Any] = json.loads(self.body)
        assert self.headers["content-type"] == "application/problem+json"
        assert document["status"] == self.status
        return str(document["type"]).removeprefix("urn:heisenberg:problem:")


@contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    """Serve the application on a port of loopback until the block ends."""
    sockets = server.take_address("127.0.0.1", 0)
    port = int(sockets[0].getsockname()[1])
    one = server.Server(server.configure(app, sockets, host="127.0.0.1"), app.state.shared)
    thread = threading.Thread(target=one.run, args=(sockets,), daemon=True)
    thread.start()
    try:
        wait_until(lambda: one.started or not thread.is_alive(), "server started")
        yield port
    finally:
        one.handle_exit(signal.SIGTERM, None)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def head(**headers: object) -> bytes:
    """A POST to `/size` as far as the end of its header fields."""
    fields = {"Host": "test", **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /size HTTP/1.1\r\n{lines}\r\n".encode()


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer; its length has to be told."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    top, _, body = data.partition(b"\r\n\r\n")
    start, *lines = top.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += _more(connection)
    return Answer(int(start.split()[1]), headers, body)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes without another byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise EOFError("closed in the middle of an answer")
    return data
