"""The worker process: it takes jobs from a socket until its parent closes it, or is gone.

What it reads is untrusted, so it holds no secret, its memory and processor time are bounded, and
only the service kills it: the signals that end a process group are for the service, which lets the
work in flight finish.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from heisenberg.backend.logging import configure_logging, request_id_ctx
from heisenberg.backend.services.work import Job, Reply, carry_out

LENGTH = struct.Struct(">Q")
"""Before each message."""
PR_SET_PDEATHSIG = 1
PARENT_GONE = signal.SIGHUP
RECYCLE_BYTES = 512 << 20
"""A worker that has needed more ends after the answer, and its memory is the system's again."""
CPU_SLACK_S = 5


class Terms(Struct, frozen=True):
    """What a worker is told when it starts."""

    descriptor: int
    """Of its end of the socket."""
    parent: int
    """Process id of the service."""
    folder: str
    """Private to this worker; the service removes it."""
    log_level: str
    json_format: bool
    memory_bytes: int
    """Address space that it may have."""
    timeout_s: float
    """The service kills it after this long on one job."""


def main(terms: Terms) -> None:
    """Serve until the parent closes the socket."""
    _live_and_die_with_parent(terms)
    _limit(resource.RLIMIT_AS, terms.memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    configure_logging(terms.log_level, terms.json_format)
    gc.freeze()
    try:
        _serve(terms, Path(terms.folder))
    finally:
        shutil.rmtree(terms.folder, ignore_errors=True)


def _serve(terms: Terms, folder: Path) -> None:
    last = False
    with socket.socket(fileno=terms.descriptor) as connection:
        while not last and (message := receive(connection)) is not None:
            _bound_processor_time(terms.timeout_s)
            job = msgspec.msgpack.decode(message, type=Job)
            token = request_id_ctx.set(job.request_id)
            outcome = carry_out(job, folder)
            request_id_ctx.reset(token)
            last = _peak_bytes() > RECYCLE_BYTES
            send(connection, msgspec.msgpack.encode(Reply(outcome, last)))


def receive(connection: socket.socket) -> bytes | None:
    """Read a message; None when the other end is closed."""
    head = _exactly(connection, LENGTH.size)
    return None if head is None else _exactly(connection, LENGTH.unpack(head)[0])


def send(connection: socket.socket, message: bytes) -> None:
    """Write a message."""
    connection.sendall(LENGTH.pack(len(message)) + message)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        more = connection.recv_into(view[got:])
        if not more:
            return None
        got += more
    return bytes(data)


def _live_and_die_with_parent(terms: Terms) -> None:
    """End when the parent does, however it does, and for nothing else but SIGKILL."""

    def leave(*_: object) -> None:
        shutil.rmtree(terms.folder, ignore_errors=True)
        os._exit(0)

    signal.signal(PARENT_GONE, leave)
    for harmless in (signal.SIGINT, signal.SIGTERM):
        signal.signal(harmless, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, PARENT_GONE)
    if os.getppid() != terms.parent:
        leave()


def _bound_processor_time(timeout_s: float) -> None:
    """See to it that the next job ends even when nobody is left to end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + timeout_s) + CPU_SLACK_S
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(hard, limit), hard))


def _limit(which: int, wanted: int) -> None:
    """Set a limit for good; where the system's own is lower, that one holds."""
    allowed = _at_most(resource.getrlimit(which)[1], wanted)
    resource.setrlimit(which, (allowed, allowed))


def _at_most(hard: int, wanted: int) -> int:
    """Only the superuser may go beyond a hard limit."""
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Terms))
