"""The OpenAPI document, made true: what the middleware answers is not known to the routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from heisenberg.backend.errors import MEDIA_TYPE
from heisenberg.backend.middleware import PRIVATE, UNLIMITED_PATHS
from heisenberg.backend.schemas import FieldProblem, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from fastapi.routing import APIRoute

METHODS = ("get", "put", "post", "delete", "patch")

DESCRIPTION = """\
What broke, whose is it, is it new, and how do you know: a diagnosis of every red build, with the
lines that prove it.

**Keys.** Everything below `/api/` needs one, in `X-API-Key` or as `Authorization: Bearer`. A key has
the scope `read`, `write` or `admin`, and each includes the ones before it. A key sees its own
organization and nothing else.

**Errors** are problem details (RFC 9457, `application/problem+json`). `type` is stable; `request_id`
is what to look for in the service's log, and is `X-Request-ID` of every answer.

**Limits.** Requests are counted by key, or by address without a valid one. Every limited answer tells
what is left; a 429 tells in `Retry-After` when to come again.
"""
TAGS = [
    {"name": "analyses", "description": "Failed tests and logs in, diagnoses out."},
    {"name": "usage", "description": "What models were asked, and what that cost."},
    {"name": "organizations", "description": "Who owns keys, runs and analyses."},
    {"name": "api-keys", "description": "Make, list, rotate and revoke keys."},
    {"name": "operations", "description": "For orchestrators and monitoring."},
]
SECURITY = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "`hb_PREFIX_SECRET`",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key."},
}
HEADERS = {
    "X-Request-ID": (
        "Of this request, as in the service's log; the client's own when it sent a proper one.",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    ),
    "X-RateLimit-Limit": ("Requests in any 60 s.", {"type": "integer", "minimum": 1}),
    "X-RateLimit-Remaining": ("How many of them are left.", {"type": "integer", "minimum": 0}),
    "X-RateLimit-Reset": (
        "Unix time in seconds, when the next of them becomes free again.",
        {"type": "integer", "minimum": 0},
    ),
    "RateLimit": (
        "What is left under each limit, as the IETF draft has it.",
        {"type": "string"},
    ),
    "RateLimit-Policy": ("The limits, as the IETF draft has it.", {"type": "string"}),
    "Retry-After": ("Seconds until another try may do.", {"type": "integer", "minimum": 0}),
}
LIMIT_HEADERS = tuple(name for name in HEADERS if "RateLimit" in name)
PROBLEMS = {
    400: "The request cannot be read.",
    401: "There is no key, or it is unknown, expired or revoked.",
    403: "The key's scope or the service's settings do not allow this.",
    404: "Nothing of yours has this id.",
    408: "The body took too long to arrive.",
    409: "It is not in a state that allows this.",
    413: "The body is too large.",
    415: "The body is compressed, or not called JSON; send JSON as it is.",
    422: "The request does not fit the schema; `errors` names the fields.",
    429: "Too many requests; come again after `Retry-After`.",
    500: "An error inside the service; its log tells more under the request id.",
    503: "The service cannot do this now, because the database is away or it is full; try again.",
}
"""What an answer means that no route describes for itself."""


def describe(app: FastAPI) -> None:
    """Have the application tell the whole truth at `/openapi.json`."""
    app.openapi = _Document(app)  # type: ignore[method-assign] # FastAPI's own way to replace it


def operation_id(route: APIRoute) -> str:
    """The function's name; they are chosen to be unique."""
    return route.name


class _Document:
    """Made at the first request for it, kept from then on."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        if self._made is None:
            self._made = _document(self._app)
        return self._made


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="A diagnosis of every red build",
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/", "description": "Where this document comes from."}],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (Problem, FieldProblem):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    components["securitySchemes"] = SECURITY
    components["headers"] = {
        name: {"description": meaning, "schema": schema}
        for name, (meaning, schema) in HEADERS.items()
    }
    used = set()
    for path, operation in _operations(document):
        used.update(operation.get("tags", []))
        _complete(path, operation)
    document["tags"] = [tag for tag in TAGS if tag["name"] in used]
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield path, item[method]


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add what the middleware and the handlers of errors answer."""
    responses: dict[str, Any] = operation["responses"]
    secured = path.startswith(PRIVATE)
    limited = path not in UNLIMITED_PATHS
    expected = {
        401: secured,
        403: secured,
        408: "requestBody" in operation,
        413: "requestBody" in operation,
        422: "requestBody" in operation or "parameters" in operation,
        429: limited,
        500: True,
        503: secured,
    }
    if _is_default(responses.get("422")):
        del responses["422"]
    for status, may_happen in expected.items():
        if may_happen:
            responses.setdefault(str(status), {"content": {MEDIA_TYPE: {}}})
    for code, response in responses.items():
        _as_problem(int(code), response)
        _with_headers(int(code), response, limited=limited)
    operation["responses"] = dict(sorted(responses.items()))
    operation["security"] = [{name: []} for name in SECURITY] if secured else []


def _is_default(response: dict[str, Any] | None) -> bool:
    """Whether it is the one that FastAPI adds, which never goes out."""
    return "HTTPValidationError" in str(response)


def _as_problem(status: int, response: dict[str, Any]) -> None:
    """Problems have their own media type, which FastAPI does not give to a `model`."""
    content = response.get("content", {})
    if MEDIA_TYPE not in content:
        return
    if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
        del content["application/json"]
    content[MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if response.get("description") in {None, HTTPStatus(status).phrase}:
        response["description"] = PROBLEMS[status]


def _with_headers(status: int, response: dict[str, Any], *, limited: bool) -> None:
    """Which headers it carries."""
    names = ["X-Request-ID"]
    if limited:
        names += LIMIT_HEADERS
    if status in {429, 503}:
        names.append("Retry-After")
    headers = response.setdefault("headers", {})
    for name in names:
        headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
