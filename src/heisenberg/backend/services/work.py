"""What a worker process is asked, what it answers, and how it finds the answer."""

from __future__ import annotations

import re
import time
import traceback
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from heisenberg.backend.analyze_schemas import AnalyzeRequest
from heisenberg.backend.logging import get_logger
from heisenberg.backend.services.material import InconsistentError, lay_out
from heisenberg.delivery import json_report
from heisenberg.model.question import Question  # noqa: TC001 (msgspec reads annotations)
from heisenberg.pipeline import prepare_run

if TYPE_CHECKING:
    from pathlib import Path

MAX_TOLD = 1000
"""Wrong fields that are told of."""

log = get_logger(__name__)


class Job(Struct, frozen=True, array_like=True):
    """A request to analyse, as its bytes."""

    request_id: str
    body: bytes
    """Of `POST /analyze`; it is read and checked here, where it holds nobody up."""
    context_tokens: int | None = None
    """Budget of a question for a model; None when none is to be asked."""


class Wrong(Struct, frozen=True, array_like=True):
    """One thing about a request that does not fit."""

    kind: str
    """As pydantic names it."""
    location: list[str | int]
    reason: str


class Analysed(Struct, frozen=True, array_like=True, tag="analysed"):
    """A request was analysed."""

    document: bytes
    """JSON, as the contract of the analysis document has it."""
    repository: str
    commit_sha: str | None
    branch: str | None
    pull_request_number: int | None
    questions: tuple[Question, ...] = ()
    """One an incident, in the order of the document; they hold no secrets."""


class Invalid(Struct, frozen=True, array_like=True, tag="invalid"):
    """The request is no JSON, or does not fit the schema."""

    wrong: list[Wrong]


class TooLarge(Struct, frozen=True, array_like=True, tag="too_large"):
    """The memory that a worker may have does not hold it."""


class Failed(Struct, frozen=True, array_like=True, tag="failed"):
    """An error of ours."""

    trace: str


Outcome: TypeAlias = Analysed | Invalid | TooLarge | Failed


class Reply(Struct, frozen=True, array_like=True):
    """What a worker answers."""

    outcome: Outcome
    last: bool
    """The worker has grown large and ends now."""


def carry_out(job: Job, folder: Path) -> Outcome:
    """Read, check and analyse a request.

    Args:
        job: The request.
        folder: Private; what is written there is gone afterwards.
    """
    try:
        return _analysed(job, folder)
    except ValidationError as error:
        return Invalid(_wrong(error))
    except InconsistentError as error:
        return Invalid([Wrong("value_error", [error.field], str(error))])
    except MemoryError:
        return TooLarge()
    except Exception:  # noqa: BLE001 (whatever it is, the service tells of it and goes on)
        return Failed(traceback.format_exc())


def _analysed(job: Job, folder: Path) -> Analysed:
    began = time.perf_counter()
    request = read_request(job.body)
    with TemporaryDirectory(dir=folder) as private:
        material = lay_out(request, type(folder)(private))
        prepared = prepare_run(
            material.run,
            material.logs,
            material.sources,
            counts=material.counts,
            context_tokens=job.context_tokens,
        )
    report = prepared.report
    document = json_report.to_document(report)
    document["problems"][:0] = [{"source": p.source, "reason": p.reason} for p in material.problems]
    log.info(
        "pipeline.finished",
        failed_tests=len(material.run.tests),
        logs=len(material.logs),
        incidents=len(report.incidents),
        duration_ms=round((time.perf_counter() - began) * 1000, 1),
    )
    return Analysed(
        _encode(document),
        request.repository,
        request.commit_sha or None,
        request.branch or None,
        request.pull_request_number,
        prepared.questions,
    )


def read_request(body: bytes) -> AnalyzeRequest:
    """Read and check a request's body.

    Raises:
        ValidationError: It is no JSON, or does not fit.
    """
    try:
        return AnalyzeRequest.model_validate_json(body)
    except ValidationError as error:
        # Text that was cut inside a character beyond U+FFFF ends in half of it.
        if error.errors(include_url=False)[0]["type"] != "json_invalid" or b"\\u" not in body:
            raise
        return AnalyzeRequest.model_validate_json(_ESCAPE.sub(_whole, body))


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|(u[dD][c-fC-F][0-9a-fA-F]{2})|(.))",
    re.DOTALL,
)


def _whole(found: re.Match[bytes]) -> bytes:
    """A surrogate pair or any other escape as it is; half a pair as U+FFFD."""
    return found[0] if found[1] or found[3] else rb"\ufffd"


def _wrong(error: ValidationError) -> list[Wrong]:
    found = error.errors(include_url=False, include_input=False)[:MAX_TOLD]
    return [
        Wrong(e["type"], list(e["loc"]), str(e.get("ctx", {}).get("error", e["msg"])))
        if e["type"] == "json_invalid"
        else Wrong(e["type"], list(e["loc"]), e["msg"])
        for e in found
    ]


def _encode(document: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # half a character that an artefact's own escapes made
        return json_report.dump(document).encode()
