"""The API's documentation as a page; everything it loads comes from this service."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles of its elements and draws its icons from `data:`; scripts are files only."""
CACHE = "public, max-age=3600"

_OURS = Path(__file__).parent.parent / "static"

router = APIRouter(include_in_schema=False)


def _swagger_ui(name: str) -> Path:
    """Where the installed package keeps a file of Swagger UI."""
    return Path(str(resources.files("fastapi_offline") / "static" / name))


@router.get("/docs")
async def docs() -> FileResponse:
    """The page."""
    return FileResponse(
        _OURS / "docs.html",
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        },
    )


@router.get("/docs/start.js")
async def start_js() -> FileResponse:
    """Starts Swagger UI."""
    return _asset(_OURS / "start.js", "text/javascript")


@router.get("/docs/swagger-ui-bundle.js")
async def swagger_ui_js() -> FileResponse:
    """Swagger UI itself."""
    return _asset(_swagger_ui("swagger-ui-bundle.js"), "text/javascript")


@router.get("/docs/swagger-ui.css")
async def swagger_ui_css() -> FileResponse:
    """What it looks like."""
    return _asset(_swagger_ui("swagger-ui.css"), "text/css")


def _asset(path: Path, media_type: str) -> FileResponse:
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": CACHE})
