"""`heisenberg key`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heisenberg.cli import administration as admin
from heisenberg.cli.administration import Format
from heisenberg.errors import UsageError

if TYPE_CHECKING:
    from heisenberg.backend.models import ApiKey, Organization
    from heisenberg.backend.services.keys import NewKey, Rotation

key = typer.Typer(rich_markup_mode=None, help="API keys of the service.")


class GivenScope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_Format = Annotated[Format, typer.Option("--format", help="How to write it.")]
_Org = Annotated[
    str | None,
    typer.Option(
        "--org", metavar="NAME|ID", help="Whose; may be left out while there is only one."
    ),
]
_Reference = Annotated[
    str,
    typer.Argument(
        metavar="PREFIX|ID", help="The key's public part, or its id.", show_default=False
    ),
]


@key.command()
def create(
    *,
    org: _Org = None,
    name: Annotated[str, typer.Option(help="For people to know it by.")] = "command line",
    scope: Annotated[
        list[GivenScope] | None,
        typer.Option(
            help="What it may do, again for more; admin includes write, which includes read. "
            "[default: write]",
            show_default=False,
        ),
    ] = None,
    expires_in_days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, metavar="DAYS", help="Never, when not given."),
    ] = None,
    form: _Format = Format.TEXT,
) -> None:
    """Make an API key and print it; it cannot be shown again."""

    async def work(office: admin.Office) -> tuple[Organization, NewKey]:
        from heisenberg.backend.auth import Scope  # noqa: PLC0415 (keeps --help fast)

        organization = await admin.find_organization(office, org)
        made = await office.keys.create(
            organization.id,
            admin.given_name(name, "--name"),
            [Scope(given.value) for given in scope or [GivenScope.WRITE]],
            lifetime=timedelta(days=expires_in_days) if expires_in_days else None,
        )
        _warn_of_own_secret(office)
        return organization, made

    organization, made = admin.administer(work)
    _write_new(made, organization, form)
    admin.note(_told(made.row, organization))


@key.command("list")
def list_keys(*, org: _Org = None, form: _Format = Format.TEXT) -> None:
    """List API keys, without their secrets, in the order they were made."""

    async def work(office: admin.Office) -> list[tuple[Organization, ApiKey]]:
        from heisenberg.backend.repositories import organizations  # noqa: PLC0415 (keeps --help fast)

        owners: list[Organization] = []
        if org is not None:
            owners.append(await admin.find_organization(office, org))
        else:
            async with office.database.read() as session:
                while page := await organizations.page(
                    session, after=owners[-1].id if owners else None, limit=admin.PAGE
                ):
                    owners += page
        return [(owner, row) for owner in owners for row in await _keys_of(office, owner)]

    found = admin.administer(work)
    if form is Format.JSON:
        admin.write_json({"api_keys": [_shown(row, owner) for owner, row in found]})
        return
    heads = ("PREFIX", "ORGANIZATION", "NAME", "SCOPES", "STATE", "CREATED (UTC)", "LAST USED")
    admin.write_table(heads, [_cells(row, owner) for owner, row in found])
    if not found:
        admin.note("no API key yet; `heisenberg key create` makes one")


@key.command()
def revoke(reference: _Reference) -> None:
    """Refuse an API key from now on, in every running server too."""

    async def work(office: admin.Office) -> ApiKey:
        row = await _find(office, reference)
        await office.keys.revoke(row.organization_id, row.id, spare_last_admin=False)
        return row

    row = admin.administer(work)
    admin.note(f"revoked hb_{row.prefix}, {row.name!r}")


@key.command()
def rotate(
    reference: _Reference,
    *,
    overlap_hours: Annotated[
        float,
        typer.Option(min=0, max=720, metavar="HOURS", help="How long the old key goes on working."),
    ] = 24.0,
    form: _Format = Format.TEXT,
) -> None:
    """Replace an API key by one of the same name, scopes and lifetime, and print that."""

    async def work(office: admin.Office) -> tuple[Organization, Rotation]:
        row = await _find(office, reference)
        organization = await admin.find_organization(office, str(row.organization_id))
        overlap = timedelta(hours=overlap_hours)
        rotation = await office.keys.rotate(row.organization_id, row.id, overlap)
        _warn_of_own_secret(office)
        return organization, rotation

    organization, rotation = admin.administer(work)
    _write_new(rotation.new, organization, form)
    admin.note(_told(rotation.new.row, organization))
    admin.note(
        f"the old one, hb_{rotation.old.prefix}, works until {_moment(rotation.old.expires_at)}"
    )


async def _keys_of(office: admin.Office, organization: Organization) -> list[ApiKey]:
    found: list[ApiKey] = []
    while page := await office.keys.page(
        organization.id, after=found[-1].id if found else None, limit=admin.PAGE
    ):
        found += page
    return found


async def _find(office: admin.Office, reference: str) -> ApiKey:
    """The key that is meant; a whole key is as good as its prefix."""
    from heisenberg.backend.repositories import api_keys  # noqa: PLC0415 (keeps --help fast)

    prefix = reference.strip().removeprefix("hb_").partition("_")[0]
    async with office.database.read() as session:
        row = await api_keys.get_any(session, admin.as_id(reference) or prefix)
    if row is None:
        raise UsageError("no API key has this prefix or id; `heisenberg key list` shows them")
    return row


def _write_new(made: NewKey, organization: Organization, form: Format) -> None:
    """The one time that the key is seen."""
    if form is Format.JSON:
        admin.write_json({**_shown(made.row, organization), "key": made.key})
    else:
        typer.echo(made.key)


def _warn_of_own_secret(office: admin.Office) -> None:
    """A key is known only where the secret is the same."""
    settings = office.settings
    if settings.secret_key is None and settings.database.get_backend_name() != "sqlite":
        admin.note(
            "HEISENBERG_SECRET_KEY is not set: the key works only with servers whose secret key "
            f"is that of {settings.data_dir}"
        )


def _told(row: ApiKey, organization: Organization) -> str:
    scopes = ", ".join(row.scopes)
    until = f"until {_moment(row.expires_at)}" if row.expires_at else "until it is revoked"
    return f"key {row.name!r} of organization {organization.name!r} ({scopes}), {until}; shown only now"


def _shown(row: ApiKey, organization: Organization) -> dict[str, Any]:
    """As the API shows it, and whose it is."""
    from heisenberg.backend.schemas import ApiKeyResponse  # noqa: PLC0415 (keeps --help fast)

    return {
        **ApiKeyResponse.model_validate(row).model_dump(mode="json"),
        "organization": {"id": str(organization.id), "name": organization.name},
    }


def _cells(row: ApiKey, organization: Organization) -> tuple[str, ...]:
    return (
        row.prefix,
        organization.name,
        row.name,
        ",".join(row.scopes),
        _state(row),
        _moment(row.created_at),
        _moment(row.last_used_at) if row.last_used_at else "never",
    )


def _state(row: ApiKey) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is None:
        return "active"
    is_over = row.expires_at <= datetime.now(UTC)
    return "expired" if is_over else f"until {_moment(row.expires_at)}"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
