"""`heisenberg serve` as a process of its own, for tests of what only a process does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from servers import die_with_parent, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 60.0
"""Longest that a test waits for a process."""


class Service(NamedTuple):
    """A `heisenberg serve` that runs."""

    process: subprocess.Popen[str]
    port: int
    lines: list[dict[str, Any]]
    """Of its log, as far as it has come."""

    def get(self, path: str, key: str = "") -> tuple[int, dict[str, Any]]:
        """Ask it; status and document."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"X-API-Key": key} if key else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_ready(self) -> None:
        """Wait until it serves."""
        wait_until(
            lambda: "server.started" in self.events() or self.process.poll() is not None, "started"
        )
        assert self.process.poll() is None, self.lines

    def events(self) -> list[str]:
        """What its log has told so far."""
        return [str(line["event"]) for line in self.lines]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Tell it to stop; exit code, and what it wrote on stdout."""
        self.process.send_signal(how)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Exit code, and what it wrote on stdout."""
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout
        return code, self.process.stdout.read()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Settings of the service, and nothing of who runs the tests."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("HEISENBERG_", "DATABASE_URL"))
    }
    return {**kept, "HEISENBERG_DATA_DIR": str(folder / "data"), **more}


@contextmanager
def started(folder: Path, *program: str, ready: bool = True, **variables: str) -> Iterator[Service]:
    """Run the command on a free port until the block ends."""
    port = free_port()
    command = program or ("-m", "heisenberg", "serve")
    with subprocess.Popen(
        [sys.executable, *command, "--port", str(port)],
        env=environment(folder, **variables), cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (it calls prctl alone)
    ) as process:  # fmt: skip
        service = Service(process, port, [])

        def read() -> None:
            assert process.stderr
            for line in process.stderr:
                service.lines.append(json.loads(line) if line.startswith("{") else {"event": line})

        reader = threading.Thread(target=read)
        reader.start()
        try:
            if ready:
                service.wait_ready()
            yield service
        finally:
            process.kill()
            reader.join(PATIENCE_S)


def first_key(said: str) -> str:
    """The key that the first start prints."""
    (key,) = set(re.findall(r"hb_[a-z0-9]+_[A-Za-z0-9]+", said))
    return str(key)
