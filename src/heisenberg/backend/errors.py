"""Every error as problem details (RFC 9457), with the request id; status is decided here only."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from heisenberg import text
from heisenberg.backend.logging import get_logger, request_id_ctx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
MAX_FIELDS = 20
"""Wrong fields that one answer tells of; the rest are counted."""
DATABASE_RETRY_AFTER_S = 2
"""A restart of the database takes about as long."""

log = get_logger(__name__)


class ProblemError(HTTPException):
    """An answer that is no success, raised anywhere below the edge."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Describe the problem.

        Args:
            status: HTTP status.
            name: Kebab-case, stable: the last part of the problem's `type`.
            detail: What is wrong with this request and what to do next; holds no secret.
            headers: Sent with it.
            members: Further members of the document.
        """
        super().__init__(status, detail, dict(headers or {}))
        self.name = name
        self.members = members


def problem_response(problem: ProblemError, path: str) -> JSONResponse:
    """Write the problem as the answer to a request for the path."""
    document = {
        "type": f"urn:heisenberg:problem:{problem.name}",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": path,
        "request_id": request_id_ctx.get(),
        **problem.members,
    }
    return JSONResponse(
        document, problem.status_code, headers=problem.headers, media_type=MEDIA_TYPE
    )


class ErrorMiddleware:
    """Turns what nobody caught into a 500 that tells nothing but the request id."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application when it cannot."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            # Only a stop cuts a request; its client shall know that it may ask again.
            if started:
                raise
            await problem_response(_stopping(), scope["path"])(scope, receive, send)
        except Exception as error:
            scope.setdefault("state", {})["error"] = error  # for the trace
            problem = _as_problem(error)
            if started:
                raise
            response = problem_response(problem, scope["path"])
            response.raw_headers.extend(scope["state"].get("rate_limit_headers", ()))
            await response(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the routes with problem details."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def is_unavailable(error: BaseException) -> bool:
    """Whether the database, and not the request, is at fault; another try may do."""
    if isinstance(error, (PoolTimeoutError, InterfaceError, OperationalError, OSError)):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _stopping() -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "stopping",
        "the service stopped before this was done; try again shortly",
        headers={"Retry-After": str(DATABASE_RETRY_AFTER_S), "Connection": "close"},
    )


def _as_problem(error: Exception) -> ProblemError:
    """What to answer for an exception, which is logged."""
    if isinstance(error, ProblemError):
        return error
    if is_unavailable(error):
        log.warning("database.unavailable", error=type(error).__name__, exc_info=error)
        return ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "database-unavailable",
            "the database cannot be reached; try again shortly",
            headers={"Retry-After": str(DATABASE_RETRY_AFTER_S)},
        )
    log.error("request.failed", exc_info=error)
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "an error inside the service; its log tells more under this request id",
    )


async def _http(request: Request, error: Exception) -> JSONResponse:
    """Of Starlette and FastAPI: no such path, method not allowed, a body that is no JSON."""
    if not isinstance(error, ProblemError):
        assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
        phrase = HTTPStatus(error.status_code).phrase
        name = phrase.lower().replace(" ", "-")
        error = ProblemError(error.status_code, name, str(error.detail), headers=error.headers)
    return problem_response(error, request.url.path)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit the schema: which fields, and why; values are not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for it alone)
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        detail = f"the body is no JSON: {found[0].get('ctx', {}).get('error', found[0]['msg'])}"
        problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-json", detail)
    elif isinstance(error.body, bytes):  # FastAPI has not tried to read it
        problem = ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "the body has to be JSON, with the header Content-Type: application/json",
            headers={"Accept": "application/json"},
        )
    else:
        fields = [{"field": _field(e["loc"]), "reason": e["msg"]} for e in found[:MAX_FIELDS]]
        first = fields[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        problem = ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid-request",
            f"{first['field']}: {first['reason']}{more}",
            errors=fields,
        )
    return problem_response(problem, request.url.path)


def _field(location: Sequence[int | str]) -> str:
    """Where in the request: `failed_tests[3].title`."""
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location[1:])
    return text.one_line(path.removeprefix(".") or str(location[0]))
