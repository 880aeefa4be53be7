"""Processes that analyse, one job each at a time, outside the event loop.

Each worker has a socket of its own, so that one that dies or is killed takes no other with it.
Workers are started when there is work for them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec

from heisenberg.backend.config import PREFIX, SECRET_VARIABLES, LogFormat
from heisenberg.backend.logging import get_logger
from heisenberg.backend.services.work import Reply
from heisenberg.backend.services.worker import LENGTH, Terms
from heisenberg.errors import EngineOverloadedError, TransientEngineError

if TYPE_CHECKING:
    from heisenberg.backend.config import Settings
    from heisenberg.backend.services.work import Job, Outcome

WAITING_PER_WORKER = 16
"""More jobs than this wait for no worker: they are refused."""
RETRY_AFTER_S = 2.0
"""Told to whom is refused; about as long as the queue takes."""
GOODBYE_S = 2.0
"""A worker that is idle ends at once when its socket closes."""
MODULE = "heisenberg.backend.services.worker"

log = get_logger(__name__)


class WorkerDiedError(TransientEngineError):
    """A worker ended in the middle of a job: killed by the system or an operator."""


class JobTimeoutError(Exception):
    """A job took longer than it may. It would again, so it is not tried again."""


@dataclass(slots=True)
class Worker:
    """One process and our end of its socket."""

    process: subprocess.Popen[bytes]
    folder: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, settings: Settings) -> Self:
        """Start a process; it is ready as soon as it reads."""
        ours, theirs = socket.socketpair()
        folder = tempfile.mkdtemp(prefix="heisenberg-worker-")
        process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                terms = Terms(
                    descriptor=theirs.fileno(),
                    parent=os.getpid(),
                    folder=folder,
                    log_level=settings.log_level,
                    json_format=settings.log_format is LogFormat.JSON,
                    memory_bytes=settings.analysis_memory_bytes,
                    timeout_s=settings.analysis_timeout_s,
                )
                # Started by the loop's own thread: the kernel ends the child with that thread.
                process = subprocess.Popen(  # noqa: ASYNC220, S603 (returns at once; our own program)
                    [sys.executable, "-P", "-m", MODULE, msgspec.json.encode(terms).decode()],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            if process is not None:
                process.kill()
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        log.info("worker.started", pid=process.pid)
        return cls(process, folder, reader, writer)

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self.process.poll() is None and not self.reader.at_eof()

    async def ask(self, job: bytes) -> bytes:
        """Give it a job and wait for the answer.

        Raises:
            OSError: It is gone.
            EOFError: Likewise.
        """
        self.writer.write(LENGTH.pack(len(job)))
        self.writer.write(job)
        await self.writer.drain()
        (count,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        return await self.reader.readexactly(count)

    def kill(self) -> int:
        """End it at once, and remove what it wrote; how it ended."""
        self.writer.close()
        self.process.kill()
        code = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code

    async def dismiss(self) -> None:
        """Let it end by itself; it has nothing to do."""
        self.writer.close()
        try:
            await asyncio.to_thread(self.process.wait, GOODBYE_S)
        except subprocess.TimeoutExpired:
            log.warning("worker.killed", pid=self.process.pid, reason="did not end by itself")
        self.kill()


class WorkerPool:
    """At most so many workers, and at most so many jobs that wait for one."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; the first job starts the first worker."""
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.analysis_workers)
        self._idle: list[Worker] = []
        self._max_waiting = settings.analysis_workers * WAITING_PER_WORKER
        self.waiting = 0
        """Jobs without a worker."""
        self.busy = 0
        """Jobs that a worker has."""

    async def run(self, job: Job) -> Outcome:
        """Have a job done.

        Raises:
            EngineOverloadedError: Too many wait already.
            WorkerDiedError: Its worker was killed by somebody else.
            JobTimeoutError: It took too long; its worker was killed.
        """
        if self.waiting >= self._max_waiting and self._slots.locked():
            raise EngineOverloadedError(
                f"{self.waiting} analyses are waiting already", retry_after_s=RETRY_AFTER_S
            )
        message = msgspec.msgpack.encode(job)
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.busy += 1
        try:
            return await self._have_done(message)
        finally:
            self.busy -= 1
            self._slots.release()

    async def close(self) -> None:
        """End the workers; nobody waits for one any more."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(worker.dismiss() for worker in idle))

    async def _have_done(self, message: bytes) -> Outcome:
        worker = await self._worker()
        timeout_s = self._settings.analysis_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                answer = await worker.ask(message)
        except TimeoutError:
            worker.kill()
            log.warning("worker.killed", pid=worker.process.pid, reason="timed out")
            raise JobTimeoutError(f"the analysis took longer than {timeout_s:g} s") from None
        except (OSError, EOFError):
            how = _ending(worker.kill())
            log.warning("worker.died", pid=worker.process.pid, how=how)
            raise WorkerDiedError(f"the worker that analysed was ended ({how})") from None
        except BaseException:
            worker.kill()  # nobody wants the answer any more
            raise
        reply = msgspec.msgpack.decode(answer, type=Reply)
        if reply.last:
            log.info("worker.recycled", pid=worker.process.pid)
            worker.kill()
        else:
            self._idle.append(worker)
        return reply.outcome

    async def _worker(self) -> Worker:
        """The worker that was used last and still lives, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            how = _ending(worker.kill())
            log.warning("worker.died", pid=worker.process.pid, how=how)
        try:
            return await Worker.start(self._settings)
        except OSError as error:
            raise TransientEngineError(f"no worker could be started: {error}") from error


def _environment() -> dict[str, str]:
    """Ours without the settings, which hold secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(PREFIX) and name.upper() not in SECRET_VARIABLES
    }


def _ending(code: int) -> str:
    """A process's return code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
