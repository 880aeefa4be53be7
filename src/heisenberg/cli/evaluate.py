"""`heisenberg eval`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 (typer reads the annotations when it runs)
from typing import Annotated

import typer


class Format(StrEnum):
    """How the scores are written."""

    TEXT = "text"
    JSON = "json"


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of labelled cases: subfolders with a truth.json, a report and logs/.",
            show_default=False,
        ),
    ],
    *,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TEXT,
    report: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which report of each case to read: a path in the case's folder, or auto.",
        ),
    ] = "auto",
) -> None:
    """Score the diagnoses of runs whose cause is known."""
    from heisenberg import evaluation  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.cli import streams  # noqa: PLC0415 (likewise)

    with streams.progress() as progress:
        result = evaluation.evaluate(folder, report=report, progress=progress)
    if form is Format.JSON:
        streams.write_document(evaluation.render_json(result))
    else:
        streams.write(evaluation.render_text(result, ascii_only=streams.look().ascii_only))
