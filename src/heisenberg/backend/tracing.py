"""OpenTelemetry: a span for each request, analysis and call of an engine, sent when it is asked for.

Spans of requests are FastAPI's own; here is where they go, and off is what FastAPI leaves on. The
address of the collector is a setting; the other variables of OpenTelemetry's specification (service
name, headers, sampler, batch sizes) are read by its SDK, which is imported only when it is needed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import get_current_span

from heisenberg import __version__
from heisenberg.backend.config import OTLP_VARIABLES, SettingsError, variable_of
from heisenberg.backend.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from contextlib import AbstractContextManager

    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span

    from heisenberg.backend.config import Settings

FLUSH_TIMEOUT_S = 3.0
"""Wait at the end for a collector to take the last spans."""

log = get_logger(__name__)


class NoTracing:
    """Tracing that is off."""

    enabled = False

    @property
    def of_requests(self) -> TelemetryConfig:
        """What FastAPI is told; left alone, it asks on every request whether it is on."""
        return {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}

    def span(self, name: str, **attributes: str | float) -> AbstractContextManager[object]:  # noqa: ARG002 (the interface's)
        """A span of this name as a child of the current one.

        Args:
            name: Of the kind of work, not of this piece of it.
            attributes: Facts, without secrets.
        """
        return nullcontext()

    async def stop(self) -> None:
        """Send what is not sent yet, for `FLUSH_TIMEOUT_S` at most."""


class Tracing(NoTracing):
    """Spans, sent in batches by a thread of its own to a collector that may as well be away."""

    enabled = True

    def __init__(self, endpoint: str) -> None:
        """Make the pipeline; nothing is sent before there are spans.

        Args:
            endpoint: The collector's address, without the `/v1/traces`.

        Raises:
            SettingsError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 (an extra)
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import (  # noqa: PLC0415 (likewise)
                OTELResourceDetector,
                Resource,
            )
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (likewise)
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 (likewise)
        except ImportError as error:
            raise SettingsError(
                f"{' or '.join(OTLP_VARIABLES)} is set, but OpenTelemetry is not installed; "
                "pip install 'heisenberg[backend,tracing]'"
            ) from error
        resource = Resource.create(
            {"service.name": "heisenberg", "service.version": __version__}
        ).merge(OTELResourceDetector().detect())
        self._exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Told(self._exporter)))  # type: ignore[arg-type] # its base is in the extra
        self.tracer = self._provider.get_tracer("heisenberg", __version__)

    @property
    def of_requests(self) -> TelemetryConfig:
        """What FastAPI is told: a span a request, continuing the client's trace, around everything."""
        return {
            **super().of_requests,
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
        }

    def span(self, name: str, **attributes: str | float) -> AbstractContextManager[Span]:
        """A span of this name as a child of the current one; what is raised inside is on it."""
        return self.tracer.start_as_current_span(name, attributes=attributes)

    async def stop(self) -> None:
        """Send what is not sent yet, for `FLUSH_TIMEOUT_S` at most."""
        # The provider's own shutdown waits 30 s for a collector that does not answer.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, FLUSH_TIMEOUT_S)
        if sending.is_alive():
            log.warning("traces.lost", waited_s=FLUSH_TIMEOUT_S)
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # theirs


class _Told:
    """An exporter that says once that the collector is away, and once that it is back."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._away = False
        self._lost = 0
        # They tell of each batch and each try.
        for name in ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send, and tell when that has become otherwise than it was."""
        result = self._exporter.export(spans)
        if result.name != "SUCCESS":
            self._lost += len(spans)
            if not self._away:
                log.warning("traces.export_failed", spans=len(spans))
            self._away = True
        elif self._away:
            log.info("traces.export_recovered", lost=self._lost)
            self._away, self._lost = False, 0
        return result

    def shutdown(self) -> None:
        """Give up what is being tried."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)


def make_tracing(settings: Settings) -> NoTracing:
    """What the settings ask for.

    Raises:
        SettingsError: They ask for traces, and OpenTelemetry is not installed. Where only the
            standard variable is set, which clusters put into every container, there are none.
    """
    if not settings.otlp_endpoint:
        return NoTracing()
    try:
        return Tracing(settings.otlp_endpoint)
    except SettingsError as error:
        if variable_of(OTLP_VARIABLES) != OTLP_VARIABLES[-1]:
            raise
        log.warning("traces.off", reason=str(error))
        return NoTracing()


def add_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the current trace and span on a log line."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event
