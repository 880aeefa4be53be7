"""`heisenberg serve`."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Never

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heisenberg.backend.services.organizations import Founded

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound here)
"""Addresses to listen on that nobody can ask, and what to ask instead on the same machine."""
FIRST_START = """\
This is the first start: the organization {organization} was made, and an API key of its admin.
It is shown only now and stored as a hash; keep it as you keep a password:

    {key}

It lets you in, for example to see the keys there are:

    curl -H 'X-API-Key: {key}' {url}/api/v1/api-keys

"""


def serve(
    *,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all of IPv4.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 for any that is free.")
    ] = 8000,
) -> int:
    """Run the service for a team; stop it with Ctrl-C or SIGTERM."""
    from heisenberg.cli.backend_extra import require_backend  # noqa: PLC0415 (keeps --help fast)

    require_backend()
    with _leaving_on_sigterm():
        return _serve(host, port)


def _serve(host: str, port: int) -> int:
    """Make everything ready, then serve until told to stop."""
    import asyncio  # noqa: PLC0415 (keeps --help fast)

    from heisenberg.backend import config, server, startup  # noqa: PLC0415 (likewise)
    from heisenberg.backend.app import create_app  # noqa: PLC0415 (likewise)
    from heisenberg.backend.logging import configure_from_settings  # noqa: PLC0415 (likewise)
    from heisenberg.cli import streams  # noqa: PLC0415 (likewise)

    settings = config.load_settings()
    configure_from_settings(settings)
    sockets = server.take_address(host, port)
    founded = asyncio.run(startup.prepare(settings))
    if founded is not None:
        # To the terminal and not to the log, which is kept and shipped.
        streams.write(_first_start(founded, host, sockets[0].getsockname()[1]))
    return server.serve(create_app(settings), sockets, host=host)


def _first_start(founded: Founded, host: str, port: int) -> str:
    """What the first admin has to know."""
    address = ANYWHERE.get(host, host)
    address = f"[{address}]" if ":" in address else address
    return FIRST_START.format(
        organization=founded.organization.name,
        key=founded.key.key,
        url=f"http://{address}:{port}",
    )


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """End quietly when told to stop before there is anything to finish.

    The first process of a container does not die of SIGTERM unless it asks to.
    """

    def leave(*_: object) -> Never:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
