"""The HTTP server: one process, told what to accept, how long to wait, and how to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import resource
import signal
import socket
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from heisenberg.backend.errors import ProblemError, problem_response
from heisenberg.backend.logging import get_logger, request_id_ctx
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from fastapi import FastAPI

    from heisenberg.backend.state import State

MAX_HEAD_BYTES = 64 << 10
"""Request line and header fields; as much as any browser sends, and proxies let through."""
HEAD_TIMEOUT_S = 10.0
"""From the first byte of a request, or of a connection, to the end of its header fields."""
KEEP_ALIVE_S = 5
"""An idle connection is closed after this."""
MAX_CONNECTIONS = 4096
"""At once; beyond them a new one is closed unheard, so that file descriptors are left for the rest."""
OTHER_FILES = 1024
"""Beside connections: the database, the limiter's store, workers, and what is just being opened."""
BACKLOG = 2048
"""Connections that the kernel holds until we come to them."""
FRAME_BYTES = 16
"""What a chunk of a body may need around it."""
FORCED_STOP_S = 2.0
"""Longest that giving up takes when a second signal came."""
FORCED = 130
"""Exit code when a second signal cut the requests in flight."""
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Why an address cannot be had that this machine does not have."""

log = get_logger(__name__)


def take_address(host: str, port: int) -> list[socket.socket]:
    """Take the address before anything else is done; connections are refused until `serve`.

    Args:
        host: Name or address; a name may stand for several addresses.
        port: 0 takes any free one.

    Raises:
        UsageError: It cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sockets.append(_bound(family, kind, protocol, address))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error  # of `localhost`, an address of IPv6 where there is none
            if port == 0 and sockets:
                break
        if absent is not None and not sockets:
            raise absent
    except OSError as error:
        for one in sockets:
            one.close()
        raise UsageError(_why_not(error, host, port)) from error
    return sockets


def _bound(family: int, kind: int, protocol: int, address: Any) -> socket.socket:  # noqa: ANN401 (of any family)
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def configure(app: FastAPI, sockets: list[socket.socket], *, host: str) -> uvicorn.Config:
    """Tell uvicorn how the application is to be served."""
    return uvicorn.Config(
        app,
        host=host,
        port=sockets[0].getsockname()[1],
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whose word is believed is decided in client_address
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(app.state.shared.settings.shutdown_grace_s),
    )


def serve(app: FastAPI, sockets: list[socket.socket], *, host: str) -> int:
    """Answer requests until told to stop, then finish those in flight.

    Args:
        app: From `create_app`.
        sockets: From `take_address`; closed at the end.
        host: As the log is to name it.

    Returns:
        The exit code.

    Raises:
        UsageError: Another process listens on the address since it was taken.
    """
    try:
        for one in sockets:
            one.listen(BACKLOG)
    except OSError as error:
        raise UsageError(_why_not(error, host, one.getsockname()[1])) from error
    _make_room()
    server = Server(configure(app, sockets, host=host), app.state.shared)
    server.run(sockets)
    return FORCED if server.force_exit else 0


class Server(uvicorn.Server):
    """Stops at the first signal when the requests in flight are done, at the second at once."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        """Serve the application whose state is given."""
        super().__init__(config)
        self.state = state
        self.told: str | None = None
        self.told_at = 0.0

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; uvicorn's errors are told, our own lines tell the rest."""
        theirs = logging.getLogger("uvicorn.error")
        before = theirs.level
        theirs.setLevel(logging.ERROR)
        try:
            await super().serve(sockets)
        finally:
            theirs.setLevel(before)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Keep the signals to ourselves: having obeyed one, the process is not to die of it."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (as called)
        """Note the signal; what it asks for happens in the loop, not in the middle of anything."""
        if self.told is not None:
            self.should_exit = self.force_exit = True
            return
        self.told = signal.Signals(sig).name
        self.told_at = time.monotonic()
        self.state.stopping = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where it is to be found."""
        await super().startup(sockets)
        if self.started:
            log.info("server.started", host=self.config.host, port=self.config.port)

    async def on_tick(self, counter: int) -> bool:
        """Stop when told so, after the time in which load balancers learn that it is not ready."""
        delay_s = self.state.settings.shutdown_delay_s
        if self.told is not None and time.monotonic() >= self.told_at + delay_s:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is in flight."""
        log.info("server.stopping", signal=self.told, in_flight=len(self.server_state.tasks))
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn leaves at once; workers and connections are to be given up all the same.
            for task in self.server_state.tasks:
                task.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), FORCED_STOP_S)
        log.info("server.stopped", cut=len(self.server_state.tasks))


class Protocol(HttpToolsProtocol):
    """One connection: header fields are limited in size and time, which uvicorn leaves open."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, unless there are too many connections already."""
        self._overhead_bytes = 0
        self._in_head = False
        self._deadline: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            log.warning("connections.exceeded", limit=MAX_CONNECTIONS)
            transport.abort()
        else:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; all that is no body may not grow too long, trailers and chunks' frames included."""
        self._overhead_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._overhead_bytes > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._is_idle() and self._deadline is None and self.timeout_keep_alive_task is None:
            # The rest of a body that nobody wanted, or blank lines.
            self._start_deadline()

    def on_message_begin(self) -> None:
        """A request has begun: its header fields have to follow."""
        super().on_message_begin()
        self._in_head = True
        if self._deadline is None:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        """From here on the application decides how long it waits."""
        self._stop_deadline()
        self._in_head = False
        self._overhead_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what is left when the body and its frame are taken away."""
        self._overhead_bytes = max(0, self._overhead_bytes - len(body) - FRAME_BYTES)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (ours says more)
        """Answer what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid-http", "this is no valid HTTP/1.1 request")

    def _refuse_head(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "header-too-large",
            f"request line and header fields are longer than {MAX_HEAD_BYTES} bytes",
        )

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEAD_TIMEOUT_S, self._on_deadline)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        """Give up on a head that does not come; an answer that is under way is not cut for it."""
        if not self._is_idle():
            self._start_deadline()
        elif self._in_head:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                "header-too-slow",
                f"the header fields have to arrive within {HEAD_TIMEOUT_S:g} s",
            )
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, name: str, detail: str) -> None:
        """Answer on the application's behalf, which does not know of this request, and close."""
        if self._is_idle() or not self.cycle.response_started:
            token = request_id_ctx.set(uuid.uuid4().hex)
            try:
                log.info("connection.refused", problem=name, client=self.client and self.client[0])
                answer = problem_response(ProblemError(status, name, detail), "")
                answer.headers["X-Request-ID"] = request_id_ctx.get()
            finally:
                request_id_ctx.reset(token)
            answer.headers["Connection"] = "close"
            lines = [b"%s: %s\r\n" % field for field in answer.raw_headers]
            start = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
            self.transport.write(b"".join([start, *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


def _make_room() -> None:
    """Ask for as many files as there may be connections; shells and systemd begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MAX_CONNECTIONS + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("files.scarce", allowed=allowed, needed=needed)


def _why_not(error: OSError, host: str, port: int) -> str:
    """Why the address cannot be had, in words that name the option."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"--port {port}: already in use on {host}; choose another, or stop what has it"
        case errno.EACCES:
            return f"--port {port}: needs privileges; choose one from 1024 on"
        case errno.EADDRNOTAVAIL:
            return f"--host {host}: is no address of this machine"
        case _:
            return f"{host}:{port}: {error.strerror}"
