"""A model for the tests: a real HTTP server that speaks Anthropic Messages and Chat Completions.

In a test, `model_server` of conftest.py is one that runs. It answers with the smallest value that
the schema of the request allows, unless it is told otherwise:

    model_server.answer = {"owner": "product"}         # or text, or a function of the Asked
    model_server.will(rate_limited(retry_after=1), ANSWER)

The switches are used up in order, one a request; after the last it answers. Each request is kept in
`requests`. `python tests/model_server.py --answer FILE` is one to play with.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from model_switches import ANSWER, written
from model_wires import NO_MODEL_FAULT, UNAUTHORIZED_FAULT, Request, wire_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model_switches import Answer, Answerer, Switch
    from model_wires import Asked, Fault

KEY = "sk-test-0123456789abcdef"
"""The only one that is accepted, unless the server is told to take any."""
NO_MODEL = "no-such-model"
"""The only model that does not exist."""


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, server: ModelServer, handler: _Handler, request: Request) -> None:
        """Take what a handler has read."""
        self.server: ModelServer = server
        self.handler = handler
        self.request = request
        self.wire = wire_of(request)

    @property
    def question(self) -> Asked:
        """The request as the model sees it."""
        return self.wire.question(self.request.body)

    def answer(self, text: str, stop: str = "stop") -> None:
        """Answer with a text, in the envelope of the wire format.

        Args:
            text: What the model says.
            stop: Why it stopped: `stop`, `length`, `refusal`, or `no_room`, which Anthropic knows alone.
        """
        self.send(200, self.wire.envelope(self.question, text, stop))

    def fail(self, fault: Fault, **headers: str) -> None:
        """Answer with an error, as the provider words it."""
        key = self.wire.key(self.request.headers)
        words = {"model": self.request.body.get("model", ""), "key": key}
        self.send(fault.status, self.wire.error(fault, words), **headers)

    def send(self, status: int, document: object, **headers: str) -> None:
        """Send JSON."""
        self.send_bytes(status, json.dumps(document).encode(), "application/json", **headers)

    def send_bytes(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        """Send a body."""
        self.start(status, len(body), content_type, **headers)
        self.handler.wfile.write(body)

    def start(self, status: int, length: int, content_type: str, **headers: str) -> None:
        """Send what stands before a body."""
        self.handler.send_response(status)
        self.handler.send_header(self.wire.request_id_header, f"req_{next(self.server.ids):024}")
        self.handler.send_header("Content-Type", content_type)
        self.handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()

    def drop(self) -> None:
        """Break the connection, as a crash or a firewall does: with a reset."""
        linger = struct.pack("ii", 1, 0)
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.close_connection = True
        self.handler.connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def do_POST(self) -> None:
        """Read a request, keep it, and play what is next."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path.partition("?")[0], headers, raw, time.monotonic())
        server = self.server.models
        server.requests.append(request)
        exchange = Exchange(server, self, request)
        with contextlib.suppress(ConnectionError):  # the other side has given up
            if not request.path.endswith(("/v1/messages", "/chat/completions")):
                exchange.send(404, {"error": {"message": f"Unknown request URL: {request.path}"}})
            elif server.key is not None and exchange.wire.key(headers) != server.key:
                exchange.fail(UNAUTHORIZED_FAULT)
            elif fault := exchange.wire.refuse(request):
                exchange.fail(fault)
            elif exchange.question.model == NO_MODEL:
                exchange.fail(NO_MODEL_FAULT)
            else:
                server.next_switch().play(exchange)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's)
        """Say nothing; the requests are kept."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    models: ModelServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about connections that were broken on purpose."""
        if not isinstance(sys.exception(), (OSError, ValueError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class ModelServer:
    """Listens on loopback from `start` to `stop`, or within a `with`."""

    def __init__(self, port: int = 0, key: str | None = KEY) -> None:
        """Take an address; nothing is answered yet.

        Args:
            port: 0 for one that is free.
            key: That has to be sent; None accepts any, as local servers do.
        """
        self.key = key
        self.answer: Answer | Answerer | None = None
        """What it says; None for the smallest value that the schema allows."""
        self.requests: list[Request] = []
        """All that came in, in order."""
        self.closing = threading.Event()
        self.ids = itertools.count(1)
        self._script: deque[Switch] = deque()
        self._listener = _Listener(("127.0.0.1", port), _Handler)
        self._listener.models = self
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        """Of loopback."""
        return int(self._listener.server_address[1])

    @property
    def anthropic_url(self) -> str:
        """Base URL for Anthropic's wire format."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """Base URL for OpenAI's wire format."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def questions(self) -> list[Asked]:
        """The requests, as the model saw them."""
        return [wire_of(one).question(one.body) for one in self.requests]

    def will(self, *switches: Switch) -> None:
        """Say how the next requests are treated, one each; those after them are answered."""
        self._script.extend(switches)

    def forget(self) -> None:
        """Drop the switches that were not used."""
        self._script.clear()

    def next_switch(self) -> Switch:
        """How the next request is treated."""
        try:
            return self._script.popleft()
        except IndexError:
            return ANSWER

    def said(self, question: Asked) -> str:
        """The text of an answer."""
        if self.answer is None:
            return json.dumps(smallest(question.schema))
        return written(self.answer, question)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Break off what is being answered, and give up the port."""
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def smallest(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """The smallest value that a JSON Schema allows, as far as answers of models use it."""
    root = root or schema
    if reference := schema.get("$ref"):
        return smallest(root["$defs"][str(reference).rpartition("/")[2]], root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if alternatives := schema.get("anyOf"):
        return smallest(alternatives[-1], root)
    match schema.get("type"):
        case "object" | None:
            properties = schema.get("properties", {})
            wanted = schema.get("required", ())
            return {name: smallest(properties.get(name, {}), root) for name in wanted}
        case "array":
            return [smallest(schema.get("items", {}), root)] * schema.get("minItems", 0)
        case "string":
            return "x" * schema.get("minLength", 0)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
    return None


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A pretended model on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 for one that is free")
    parser.add_argument("--answer", type=Path, help="file with what it says; else the least it may")
    arguments = parser.parse_args()
    with ModelServer(arguments.port, key=None) as server:
        if arguments.answer:
            server.answer = arguments.answer.read_text(encoding="utf-8")
        sys.stdout.write(f"HEISENBERG_ANTHROPIC_BASE_URL={server.anthropic_url}\n")
        sys.stdout.write(f"HEISENBERG_OPENAI_BASE_URL={server.openai_url}\n")
        sys.stdout.write(f"HEISENBERG_COMPATIBLE_BASE_URL={server.openai_url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
