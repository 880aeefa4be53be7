"""`heisenberg redact`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from heisenberg.cli.artefacts import LogsOption, ReportsArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heisenberg.model.question import Question


def redact(
    paths: ReportsArgument,
    *,
    logs: LogsOption = None,
    show: Annotated[
        bool,
        typer.Option("--show", help="Print exactly what a model would be sent, for each incident."),
    ] = False,
) -> None:
    """Tell what a model would be sent about a run, and what was taken out. Sends nothing."""
    from heisenberg import pipeline  # noqa: PLC0415 (keeps --help fast)
    from heisenberg.cli import models, streams  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.consult import asked_about  # noqa: PLC0415 (likewise)

    chosen = models.choose(None)
    with streams.progress() as tell:
        prepared = pipeline.prepare(
            paths, logs or (), context_tokens=chosen.context_tokens, progress=tell
        )
    asked = asked_about(prepared.questions)
    if not prepared.questions:
        streams.write("Nothing would be sent: there is no incident.\n")
    elif show and asked:
        streams.write(_shown(asked))
    else:
        streams.write(_counted(prepared.questions))


def _shown(questions: Sequence[Question]) -> str:
    """The prompts, whole: what all have in common once, then each incident's own part."""
    import json  # noqa: PLC0415 (keeps --help fast)

    from heisenberg.diagnosis.answer import SCHEMA  # noqa: PLC0415 (likewise)
    from heisenberg.diagnosis.prompt import evidence_text, task  # noqa: PLC0415 (likewise)

    parts = [
        f"=== to every model: the task ===\n{task()}\n",
        f"=== to every model: the form of the answer ===\n{json.dumps(SCHEMA)}\n",
    ]
    parts += [f"=== incident {q.incident} ===\n{evidence_text(q)}\n" for q in questions]
    return "\n".join(parts)


def _counted(questions: Sequence[Question]) -> str:
    """A line an incident."""
    from heisenberg.diagnosis.prompt import estimate  # noqa: PLC0415 (keeps --help fast)

    lines = []
    for question in questions:
        kinds = ", ".join(f"{count} {kind}" for kind, count in question.redacted.items())
        withheld = f"; {question.withheld} lines withheld" if question.withheld else ""
        lines.append(
            f"incident {question.incident}: {len(question.items)} pieces of evidence, about "
            f"{estimate(question)} tokens; taken out: {kinds or 'nothing'}{withheld}"
        )
    return "\n".join(lines) + "\n"
