"""`heisenberg eval`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 (typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Annotated

import typer

from heisenberg.cli.models import MaxCostOption, ModelOption, ModelUrlOption, NoCacheOption
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.model.report import Report


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
    model: ModelOption = None,
    model_url: ModelUrlOption = None,
    max_cost: MaxCostOption = None,
    no_cache: NoCacheOption = False,
    learn: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write how far the model's confidence can be trusted, for `analyze --calibration`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score the diagnoses of runs whose cause is known."""
    from heisenberg import evaluation, pipeline  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.cli import models, streams  # noqa: PLC0415 (likewise)

    chosen = models.choose(model, model_url=model_url, max_cost=max_cost, no_cache=no_cache)
    if learn is not None and len(chosen.names) != 1:
        raise UsageError("--learn: takes one model (--model), as each is trusted differently")

    def analyze(paths: Sequence[Path], logs: Sequence[Path]) -> Report:
        if not chosen.names:
            return pipeline.analyze(paths, logs)
        prepared = pipeline.prepare(paths, logs, context_tokens=chosen.wanted_tokens)
        return models.consult(prepared, chosen)

    with streams.progress() as progress:
        result = evaluation.evaluate(folder, report=report, analyze=analyze, progress=progress)
    if learn is not None:
        from heisenberg.diagnosis import calibration  # noqa: PLC0415 (keeps --help fast)

        claims = [(c.stated, float(c.is_right)) for c in result.claims if c.stated is not None]
        calibration.write_calibration(learn, calibration.learn(claims, engine=chosen.names[0]))
    if form is Format.JSON:
        streams.write_document(evaluation.render_json(result))
    else:
        streams.write(evaluation.render_text(result, ascii_only=streams.look().ascii_only))
