"""`heisenberg analyze`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 (typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Annotated

import typer

from heisenberg.cli.artefacts import LogsOption, ReportsArgument
from heisenberg.cli.models import (
    CalibrationOption,
    MaxCostOption,
    ModelOption,
    ModelUrlOption,
    NoCacheOption,
    TranscriptOption,
)

if TYPE_CHECKING:
    from heisenberg.cli import streams
    from heisenberg.model.report import Report


class Format(StrEnum):
    """How the analysis is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"


class FailOn(StrEnum):
    """When the exit code is 1."""

    NEVER = "never"
    NEW = "new"
    ANY = "any"


def analyze(
    paths: ReportsArgument,
    *,
    logs: LogsOption = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write to a file instead of stdout.", show_default=False),
    ] = None,
    fail_on: Annotated[
        FailOn,
        typer.Option(help="Exit 1 on any incident, or on one that is not known to be old."),
    ] = FailOn.NEVER,
    model: ModelOption = None,
    model_url: ModelUrlOption = None,
    max_cost: MaxCostOption = None,
    no_cache: NoCacheOption = False,
    transcript: TranscriptOption = None,
    calibration: CalibrationOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Ask no model: tell on stderr what would be asked, and what it costs."
        ),
    ] = False,
) -> int:
    """Say what broke, whose it is, and which lines prove it."""
    from heisenberg import pipeline  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.cli import models  # noqa: PLC0415 (likewise)
    from heisenberg.cli.streams import progress  # noqa: PLC0415 (likewise)

    chosen = models.choose(
        model,
        model_url=model_url,
        max_cost=max_cost,
        no_cache=no_cache,
        transcript=transcript,
        calibration=calibration,
    )
    if not dry_run:
        models.load_in_background(chosen)
    with progress() as tell:
        prepared = pipeline.prepare(
            paths, logs or (), context_tokens=chosen.wanted_tokens, progress=tell
        )
        report = prepared.report if dry_run else models.consult(prepared, chosen, tell)
    if dry_run:
        typer.echo(models.forecast(prepared, chosen), err=True)
    _deliver(report, form, output)
    return int(_fails(report, fail_on))


def _deliver(report: Report, form: Format, output: Path | None) -> None:
    """Write the report to the file, or to stdout."""
    from heisenberg.cli import streams  # noqa: PLC0415 (keeps --help fast)

    if output is not None:
        streams.write_file(output, _render(report, form, streams.PLAIN))
    elif form is Format.TEXT:
        streams.write(_render(report, form, streams.look()))
    else:
        streams.write_document(_render(report, form, streams.PLAIN))


def _render(report: Report, form: Format, look: streams.Look) -> str:
    """Write the report in the form asked for."""
    match form:
        case Format.JSON:
            from heisenberg.delivery import json_report  # noqa: PLC0415 (only what is used)

            return json_report.render(report)
        case Format.MARKDOWN:
            from heisenberg.delivery import markdown  # noqa: PLC0415 (only what is used)

            return markdown.render(report)
        case Format.SARIF:
            from heisenberg.delivery import sarif  # noqa: PLC0415 (only what is used)

            return sarif.render(report)
        case Format.TEXT:
            from heisenberg.delivery import terminal  # noqa: PLC0415 (rich is slow to import)

            return terminal.render(
                report, width=look.width, color=look.color, ascii_only=look.ascii_only
            )


def _fails(report: Report, fail_on: FailOn) -> bool:
    """Whether the exit code has to tell of the incidents."""
    from heisenberg.model.diagnosis import State  # noqa: PLC0415 (keeps --help fast)

    if fail_on is FailOn.NEVER:
        return False
    known = {State.BROKEN, State.FLAKY, State.INFRA_BURST, State.RECOVERED}
    return any(
        fail_on is FailOn.ANY or incident.diagnosis.state not in known
        for incident in report.incidents
    )
