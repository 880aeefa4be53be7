"""Failed tests and logs in, diagnoses out."""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

from heisenberg.backend.analyze_schemas import AnalysisResponse, AnalyzeRequest, AnalyzeResponse
from heisenberg.backend.auth import Reader, Writer
from heisenberg.backend.errors import ProblemError
from heisenberg.backend.schemas import problems
from heisenberg.backend.services.analyze import (
    AnalysisTimeoutError,
    InvalidRequestError,
    RequestTooLargeError,
)
from heisenberg.backend.state import Shared
from heisenberg.errors import EngineOverloadedError, TransientEngineError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from heisenberg.backend.services.analyze import StoredRun

JSON = "application/json"
RETRY_AFTER_S = 5
"""When the engine does not say."""

router = APIRouter(prefix="/api/v1", tags=["analyses"])


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 (a JSON value)
    """The schema with its definitions put where they are referred to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {k: _inlined(v, definitions) for k, v in schema.items() if k != "$defs"}
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    return schema


def _body() -> dict[str, Any]:
    """The request body as OpenAPI has it: FastAPI does not read it, a worker does."""
    schema = AnalyzeRequest.model_json_schema()
    schema = _inlined(schema, schema.get("$defs", {}))
    example = schema.pop("examples")[0]
    content = {JSON: {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/analyze",
    response_model=AnalyzeResponse,
    responses=problems(401, 403, 413, 408, 415, 422, 429, 500, 503),
    openapi_extra=_body(),
)
async def analyze(
    request: Request,
    state: Shared,
    principal: Writer,
) -> Response:
    """Diagnose a red run.

    The answer is the analysis document, as `heisenberg analyze --format json` prints it. Keys that
    are not known are passed over and told of under `problems`, and so is what cannot be used.
    """
    _refuse_other_media(request.headers.get("content-type", JSON))
    body = await request.body()
    stored = await _unless_gone(request, state.analyzer.analyze(principal.organization_id, body))
    return Response(stored.encode(), media_type=JSON)


@router.get(
    "/analyses/{analysis_id}",
    response_model=AnalysisResponse,
    responses=problems(401, 403, 404, 422, 429, 500, 503),
)
async def read_analysis(
    analysis_id: UUID,
    state: Shared,
    principal: Reader,
) -> Response:
    """What was found for one failed test."""
    found = await state.analyzer.find(principal.organization_id, analysis_id)
    if found is None:
        raise no_such_analysis()
    # As it is, so that every text in it reads as it did in the answer of `analyze`.
    return Response(msgspec.json.encode(found), media_type=JSON)


def no_such_analysis() -> ProblemError:
    """Of an id that is nobody's, or somebody else's."""
    return ProblemError(HTTPStatus.NOT_FOUND, "analysis-not-found", "there is no such analysis")


def _refuse_other_media(content_type: str) -> None:
    """JSON under its own name, or under one that says it is JSON too."""
    media = content_type.partition(";")[0].strip().lower()
    if media != JSON and not (media.startswith("application/") and media.endswith("+json")):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body has to be JSON; send it with Content-Type: application/json",
        )


async def _unless_gone(request: Request, work: Coroutine[Any, Any, StoredRun]) -> StoredRun:
    """Do the work, but drop it when the client goes.

    Raises:
        ClientDisconnect: It has gone.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await _answered(working)
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answered(working: asyncio.Future[StoredRun]) -> StoredRun:
    try:
        return await working
    except InvalidRequestError as error:
        raise RequestValidationError(
            [{"type": w.kind, "loc": ("body", *w.location), "msg": w.reason} for w in error.wrong]
        ) from error
    except RequestTooLargeError as error:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "analysis-too-large", str(error)
        ) from error
    except AnalysisTimeoutError as error:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE, "analysis-timed-out", str(error)
        ) from error
    except (TransientEngineError, TimeoutError) as error:
        overloaded = isinstance(error, EngineOverloadedError)
        name = "analysis-overloaded" if overloaded else "analysis-unavailable"
        asked_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
        wait_s = max(1, math.ceil(asked_s))
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            name,
            f"{error}; try again in {wait_s} s",
            headers={"Retry-After": str(wait_s)},
        ) from error
