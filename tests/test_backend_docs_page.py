from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx2

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Page(HTMLParser):
    """What a page loads, and what of it a strict policy would not run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside = tag
        self.loads += [v for k, v in attrs if v and k in {"src", "href"} and v != "data:,"]
        self.inline += [k for k in given if k.startswith("on") or k == "style"]

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 (the interface's)
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self.inline.append(data)


def policy(answer: httpx2.Response) -> dict[str, list[str]]:
    directives = answer.headers["Content-Security-Policy"].split(";")
    return {name: sources for name, *sources in (d.split() for d in directives)}


async def test_everything_it_loads_comes_from_here(client: httpx2.AsyncClient) -> None:
    """The page's addresses are relative, and each of them answers with its media type."""
    page = Page((await client.get("/docs")).text)
    answers = {path: await client.get(f"/{path}") for path in page.loads}

    assert not [path for path in page.loads if re.match(r"\w+:|/", path)]
    assert {path: a.headers["Content-Type"].partition(";")[0] for path, a in answers.items()} == {
        "docs/swagger-ui.css": "text/css",
        "docs/swagger-ui-bundle.js": "text/javascript",
        "docs/start.js": "text/javascript",
        "openapi.json": "application/json",
    }
    assert {a.status_code for a in answers.values()} == {200}


async def test_policy_allows_nothing_from_outside(client: httpx2.AsyncClient) -> None:
    """A browser is told to load and connect to nothing else, and to run files only."""
    answer = await client.get("/docs")
    allowed = policy(answer)

    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["connect-src"] == ["'self'"]
    assert {s for sources in allowed.values() for s in sources} <= {
        "'none'",
        "'self'",
        "'unsafe-inline'",  # of styles only, as the line above shows
        "data:",
    }
    assert not Page(answer.text).inline


async def test_start_shows_this_service_and_keeps_no_key(client: httpx2.AsyncClient) -> None:
    """The script names our document, stores no key, and asks no validator elsewhere."""
    script = (await client.get("/docs/start.js")).text

    assert 'url: "openapi.json"' in script
    assert "persistAuthorization: false" in script
    assert "validatorUrl: null" in script
    assert "//" not in re.sub(r"^\s*//.*$", "", script, flags=re.MULTILINE)


async def test_no_second_page(client: httpx2.AsyncClient) -> None:
    """FastAPI's own pages, which load from a CDN, are off."""
    assert (await client.get("/redoc")).status_code == 404
    assert "cdn" not in (await client.get("/docs")).text
