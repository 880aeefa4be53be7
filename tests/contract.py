"""Holds each answer that a test gets against what the service says of itself in OpenAPI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    import httpx2
    from fastapi import FastAPI

PROBLEM = "application/problem+json"
CLIENT_ERROR = 400


class Contract:
    """What the application documents."""

    def __init__(self, app: FastAPI) -> None:
        """Read the document."""
        self.document: dict[str, Any] = app.openapi()
        self._paths = [
            (re.compile(re.sub(r"\\{[^/]+\\}", "[^/]+", re.escape(path))), item)
            for path, item in self.document["paths"].items()
        ]

    async def check(self, response: httpx2.Response) -> None:
        """Fail unless status, media type, body and headers are as documented.

        Raises:
            AssertionError: They are not; the message tells what.
        """
        await response.aread()
        what = f"{response.request.method} {response.request.url.path}: {response.status_code}"
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        if response.status_code >= CLIENT_ERROR and self._is_problem_expected(response):
            assert media_type == PROBLEM, f"{what}: {media_type}"
        operation = self._operation(response)
        if operation is None:
            return
        documented = operation["responses"].get(str(int(response.status_code)))
        assert documented is not None, f"{what} is not documented"
        content = documented.get("content", {})
        assert media_type in content or (not content and not response.content), (
            f"{what}: {media_type} is not documented"
        )
        for name in documented["headers"]:
            if name.startswith("X-") and response.status_code != 500:
                assert name in response.headers, f"{what}: no {name}"
        if media_type.endswith("json"):
            schema = {**content[media_type]["schema"], "components": self.document["components"]}
            Draft202012Validator(schema).validate(response.json())

    def _is_problem_expected(self, response: httpx2.Response) -> bool:
        """Health is told by a document of its own when it is bad."""
        return response.request.url.path not in {"/health", "/livez", "/readyz"} or (
            response.status_code == 429
        )

    def _operation(self, response: httpx2.Response) -> dict[str, Any] | None:
        path = response.request.url.path
        for pattern, item in self._paths:
            if pattern.fullmatch(path):
                operation: dict[str, Any] | None = item.get(response.request.method.lower())
                return operation
        return None
