from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heisenberg import __version__
from heisenberg.backend.app import create_app
from heisenberg.backend.config import Settings, SettingsError, load_settings
from heisenberg.backend.logging import configure_logging, get_logger
from heisenberg.backend.tracing import FLUSH_TIMEOUT_S, NoTracing, Tracing, make_tracing
from servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    daemon_threads = True

    def __init__(self, port: int = 0, *, mute: bool = False) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.mute = mute
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> Any:
        (span,) = [span for span in self.spans if span.name == name]
        return span


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.mute:
            self.server.closing.wait(30)
            return
        assert self.path == "/v1/traces"
        for found in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.resources.append(facts(found.resource))
            for scoped in found.scope_spans:
                self.server.spans += scoped.spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running(server: Collector) -> Iterator[Collector]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running(Collector()) as server:
        yield server


def facts(told: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in told.attributes}


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, database_url=sqlite_url, data_dir=tmp_path)


@asynccontextmanager
async def serving(settings: Settings, endpoint: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The application with tracing; its spans are out when this ends."""
    given = {**settings.model_dump(exclude_unset=True), "otlp_endpoint": endpoint}
    app: FastAPI = create_app(load_settings(_env_file=None, **given))

    @app.get("/broken/{number}")
    async def broken(number: int) -> None:
        raise ZeroDivisionError(number)

    @app.get("/spanned")
    async def spanned() -> None:
        with app.state.shared.tracing.span("work.done", size=3):
            get_logger("inside").info("work.told")

    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client


async def test_a_request_is_a_server_span(settings: Settings, collector: Collector) -> None:
    """Name, kind and attributes are those of the semantic conventions; the service is named."""
    async with serving(settings, collector.url) as client:
        await client.get("/livez")
    span = collector.named("GET /livez")
    told = facts(span)

    assert span.kind == span.SPAN_KIND_SERVER
    assert (told["http.request.method"], told["http.route"]) == ("GET", "/livez")
    assert (told["http.response.status_code"], told["url.path"]) == (200, "/livez")
    assert collector.resources[0]["service.name"] == "heisenberg"
    assert collector.resources[0]["service.version"] == __version__


async def test_the_clients_trace_goes_on(settings: Settings, collector: Collector) -> None:
    """`traceparent` names the parent, and one that is malformed is ignored."""
    async with serving(settings, collector.url) as client:
        parent = f"00-{TRACE_ID}-{PARENT_ID}-01"
        await client.get("/livez", headers={"traceparent": parent})
        await client.get("/no/such/path", headers={"traceparent": "00-nonsense"})
    continued, own = collector.named("GET /livez"), collector.named("GET")

    assert (continued.trace_id.hex(), continued.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert own.trace_id.hex() != TRACE_ID
    assert own.parent_span_id == b""


async def test_an_exception_is_on_its_span(settings: Settings, collector: Collector) -> None:
    """A request that fails has the status error and the exception, though it was answered."""
    async with serving(settings, collector.url) as client:
        answer = await client.get("/broken/7")
    span = collector.named("GET /broken/{number}")
    (event,) = span.events

    assert answer.status_code == 500
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert (event.name, facts(event)["exception.type"]) == ("exception", "ZeroDivisionError")


async def test_work_inside_is_a_child(settings: Settings, collector: Collector) -> None:
    """A span of a service is a child of the request's."""
    async with serving(settings, collector.url) as client:
        await client.get("/spanned")
    request, child = collector.named("GET /spanned"), collector.named("work.done")

    assert (child.trace_id, child.parent_span_id) == (request.trace_id, request.span_id)
    assert facts(child) == {"size": 3}


async def test_log_lines_carry_the_trace(
    settings: Settings, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of a request have its trace, and the span that was current; the access line too."""
    async with serving(settings, collector.url) as client:
        await client.get("/spanned")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    inside = next(line for line in lines if line["event"] == "work.told")
    access = next(line for line in lines if line["event"] == "request.finished")
    request, child = collector.named("GET /spanned"), collector.named("work.done")

    assert (inside["trace_id"], inside["span_id"]) == (child.trace_id.hex(), child.span_id.hex())
    assert (access["trace_id"], access["span_id"]) == (
        request.trace_id.hex(),
        request.span_id.hex(),
    )


async def test_a_collector_that_is_away_disturbs_nobody(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests are as quick, one line tells of it, and the end does not wait for it."""
    begin = time.monotonic()
    async with serving(settings, f"http://127.0.0.1:{free_port()}") as client:
        for _ in range(50):
            assert (await client.get("/livez")).status_code == 200
        answered_s = time.monotonic() - begin
    told = [line for line in capsys.readouterr().err.splitlines() if "request.finished" not in line]

    assert answered_s < FLUSH_TIMEOUT_S
    assert time.monotonic() - begin < answered_s + FLUSH_TIMEOUT_S + 2
    assert len([line for line in told if "traces." in line]) <= 2
    assert not [line for line in told if "opentelemetry" in line]


async def test_the_end_does_not_wait_for_a_mute_collector(settings: Settings) -> None:
    """One that takes a connection and never answers is given up after a few seconds."""
    with running(Collector(mute=True)) as collector:
        async with serving(settings, collector.url) as client:
            await client.get("/livez")
            begin = time.monotonic()
        waited_s = time.monotonic() - begin

    assert waited_s < FLUSH_TIMEOUT_S + 2


async def test_it_recovers_unaided(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When the collector is back, spans arrive again, and one line says so."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    port = free_port()
    err: list[str] = []

    def told(event: str) -> bool:
        err.append(capsys.readouterr().err)
        return event in "".join(err)

    async with serving(settings, f"http://127.0.0.1:{port}") as client:
        await client.get("/livez")
        wait_until(lambda: told("traces.export_failed"), "the failure is told of")
        with running(Collector(port)) as collector:
            await client.get("/livez")
            wait_until(lambda: told("traces.export_recovered"), "the recovery is told of")

    assert collector.named("GET /livez")


def test_off_by_default(settings: Settings) -> None:
    """Without an endpoint there is no tracing, and FastAPI's own is off."""
    tracing = make_tracing(settings)

    assert type(tracing) is NoTracing
    assert tracing.of_requests["tracing"] is False
    with tracing.span("anything", size=1):
        pass


def test_off_imports_nothing_of_the_sdk() -> None:
    """A service without tracing does not load what it would need."""
    code = "import sys, heisenberg.backend.app; print([m for m in sys.modules if 'opentelemetry.sdk' in m or 'otlp' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_standard_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_EXPORTER_OTLP_ENDPOINT` turns it on; what is no URL is refused by name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert load_settings(_env_file=None).otlp_endpoint == "http://collector:4318"

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: is no http"):
        load_settings(_env_file=None)


def test_a_variable_that_others_set_does_not_stop_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clusters put `OTEL_EXPORTER_OTLP_ENDPOINT` into every container: without the extra, a warning."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    given = settings.model_dump(exclude={"otlp_endpoint"}, exclude_unset=True)
    configure_logging()
    tracing = make_tracing(load_settings(_env_file=None, **given))
    told = capsys.readouterr().err

    assert type(tracing) is NoTracing
    assert told.count("traces.off") == len(told.splitlines()) == 1
    monkeypatch.setenv("HEISENBERG_OTLP_ENDPOINT", "http://collector:4318")
    with pytest.raises(SettingsError, match="HEISENBERG_OTLP_ENDPOINT"):
        make_tracing(load_settings(_env_file=None, **given))


def test_without_the_extra_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without OpenTelemetry installed is an error at start that names both."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(SettingsError, match=r"HEISENBERG_OTLP_ENDPOINT.*\[backend,tracing\]"):
        Tracing("http://collector:4318")
