from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator
from schemathesis.core.result import Ok

from heisenberg.backend.errors import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2
    from fastapi import FastAPI

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
async def document(client: httpx2.AsyncClient) -> Any:
    return (await client.get("/openapi.json")).json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def references(node: object) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


async def test_it_is_a_valid_document(document: dict[str, Any]) -> None:
    """A tool reads it whole: every operation, every reference, every schema."""
    read = schemathesis.openapi.from_dict(document)

    found = [operation.ok() for operation in read.get_all_operations() if isinstance(operation, Ok)]
    assert {(one.path, one.method) for one in found} == {
        (path, method) for path, method, _ in operations(document)
    }
    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_every_route_is_in_it(app: FastAPI, document: dict[str, Any]) -> None:
    """What is served and is no page is documented."""
    routes = {
        (context.path, method.lower())
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or set()) - {"HEAD"}  # its GET without the body
        if context.path is not None and not context.path.startswith(("/docs", "/openapi.json"))
    }

    assert routes == {(path, method) for path, method, _ in operations(document)}


async def test_every_operation_is_told_in_words(document: dict[str, Any]) -> None:
    """Each has a summary, a description, a known tag and a readable id of its own."""
    found = list(operations(document))
    ids = [operation["operationId"] for _, _, operation in found]
    tags = {tag["name"] for tag in document["tags"]}

    assert len(set(ids)) == len(ids)
    for path, method, operation in found:
        what = f"{method} {path}"
        assert operation["summary"], what
        assert operation.get("description"), what
        assert operation["tags"], what
        assert set(operation["tags"]) <= tags, what
        assert operation["operationId"].replace("_", "").isalpha(), what


async def test_errors_are_problems(document: dict[str, Any]) -> None:
    """Errors have the problem's media type and schema; the framework's own schema is gone."""
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            what = f"{method} {path} {status}"
            assert response["description"] not in {"", "Error", "Validation Error"}, what
            if MEDIA_TYPE in response.get("content", {}):
                assert response["content"] == {MEDIA_TYPE: reference}, what

    assert "HTTPValidationError" not in str(document)
    assert {"type", "status", "request_id"} <= document["components"]["schemas"]["Problem"][
        "properties"
    ].keys()


async def test_keys_are_asked_for_where_they_are_needed(document: dict[str, Any]) -> None:
    """Below /api/ either way to give a key is documented, with its 401, 403; elsewhere none is."""
    schemes = document["components"]["securitySchemes"]

    assert (schemes["apiKey"]["name"], schemes["bearer"]["scheme"]) == ("X-API-Key", "bearer")
    for path, method, operation in operations(document):
        secured = path.startswith("/api/")
        expected: list[dict[str, list[str]]] = []
        if secured:
            expected = [{"apiKey": []}, {"bearer": []}]
        assert operation["security"] == expected, f"{method} {path}"
        assert secured == ({"401", "403"} <= operation["responses"].keys()), f"{method} {path}"


async def test_limits_are_told(document: dict[str, Any]) -> None:
    """Limited routes document their headers on every answer, and 429; the others neither."""
    for path, method, operation in operations(document):
        limited = path not in {"/livez", "/readyz", "/metrics"}
        responses = operation["responses"]
        what = f"{method} {path}"
        assert limited == ("429" in responses), what
        for response in responses.values():
            assert limited == ("X-RateLimit-Remaining" in response["headers"]), what
            assert "X-Request-ID" in response["headers"], what


async def test_it_holds_behind_any_proxy(document: dict[str, Any]) -> None:
    """No address is in it."""
    assert [server["url"] for server in document["servers"]] == ["/"]


async def test_nobody_is_sent_elsewhere(client: httpx2.AsyncClient) -> None:
    """A path with one slash too many is none; a redirect would name the host without its TLS."""
    answers = [await client.get(path) for path in ("/health/", "/api/v1/organizations/")]

    assert [404, 404] == [answer.status_code for answer in answers]


async def test_answers_are_as_documented(client: httpx2.AsyncClient) -> None:
    """What goes wrong before a route is reached is documented too.

    Each answer that `client` gets, in this test and all others, is held against the document.
    """
    answers = [
        await client.post("/api/v1/analyze", content=b"{}"),
        await client.post("/api/v1/analyze", json={}, headers={"X-API-Key": "hb_made_up"}),
        await client.get("/metrics"),
        await client.get("/livez"),
        *[await client.get("/health") for _ in range(15)],
    ]

    assert {401, 200, 429} <= {answer.status_code for answer in answers}
