"""Every error as problem details (RFC 9457), with the request id; status is decided here only."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from opentelemetry.trace import get_current_span
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match

from heisenberg import text
from heisenberg.backend.database_errors import is_unavailable
from heisenberg.backend.logging import get_logger, request_id_ctx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
MAX_FIELDS = 20
"""Wrong fields that one answer tells of; the rest are counted."""
MAX_FIELD_CHARS = 200
"""Of one field's name, which the client chose."""
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
        **members: object,
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


class _ProblemResponse(JSONResponse):
    """A problem, which may repeat what a client sent: even what UTF-8 cannot carry."""

    media_type = MEDIA_TYPE

    def render(self, content: object) -> bytes:
        """Write the document."""
        written: str = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str)
        return written.encode(errors="replace")


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
    return _ProblemResponse(document, problem.status_code, headers=problem.headers)


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
        except ClientDisconnect:
            log.debug("client.left")  # the access line tells the rest
        except Exception as error:
            get_current_span().record_exception(error)  # nothing happens without tracing
            problem = _as_problem(error)
            if started:
                raise  # the server cuts the connection: half an answer must not pass for a whole
            response = problem_response(problem, scope["path"])
            response.raw_headers.extend(scope.get("state", {}).get("rate_limit_headers", ()))
            await response(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the routes with problem details."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def _stopping() -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "stopping",
        "the service stopped before this was done; try again shortly",
        headers={"Retry-After": str(DATABASE_RETRY_AFTER_S), "Connection": "close"},
    )


def _as_problem(error: BaseException) -> ProblemError:
    """What to answer for an exception, which is logged."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]  # a task group wraps what its one task raised
    if isinstance(error, HTTPException):
        return _of_http(error)
    if is_unavailable(error):
        # Without its frames: while the database is away, each request would write them.
        reason = getattr(error, "orig", None) or error
        log.warning(
            "database.unavailable",
            error=type(error).__name__,
            reason=text.first_line(str(reason)),
        )
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
    """Of Starlette and FastAPI: no such path, method not allowed, a body that cannot be read."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
    problem = _of_http(error)
    if problem.name == "method-not-allowed":
        problem = _not_allowed(request)
    return problem_response(problem, request.url.path)


def _of_http(error: HTTPException) -> ProblemError:
    """The problem that Starlette or FastAPI means."""
    if isinstance(error, ProblemError):
        return error
    match error.__cause__:
        case RecursionError():
            return _no_json("it is nested too deeply")
        case UnicodeDecodeError():
            return _no_json("it is not UTF-8")
        case ValueError() if error.status_code == HTTPStatus.BAD_REQUEST:
            return _no_json("a number in it has too many digits")
    phrase = HTTPStatus(error.status_code).phrase
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == phrase:
        detail = "there is no such path; /docs lists them all"
    name = phrase.lower().replace(" ", "-")
    return ProblemError(error.status_code, name, detail, headers=error.headers)


def _no_json(reason: str) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-json", f"the body is no JSON: {reason}"
    )


def _not_allowed(request: Request) -> ProblemError:
    """Which methods the path has: the router names those of the first route alone."""
    known = ("type", "path", "root_path", "headers", "query_string")
    scope = {name: request.scope[name] for name in known}
    allowed = ", ".join(
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    )
    return ProblemError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        f"this path has no {_cut(request.method)}; it has {allowed}",
        headers={"Allow": allowed},
    )


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit the schema: which fields, and why; values are not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for it alone)
    found = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        problem = _no_json(found[0].get("ctx", {}).get("error", found[0]["msg"]))
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
    return _cut(path.removeprefix(".") or str(location[0]))


def _cut(told: str) -> str:
    """What a client chose, safe to show."""
    return text.truncate(text.one_line(told[: 4 * MAX_FIELD_CHARS]), MAX_FIELD_CHARS)
