"""`heisenberg org`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from heisenberg.cli import administration as admin
from heisenberg.cli.administration import Format

if TYPE_CHECKING:
    from heisenberg.backend.models import Organization

org = typer.Typer(rich_markup_mode=None, help="Organizations of the service.")

_Format = Annotated[Format, typer.Option("--format", help="How to write it.")]


@org.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.", show_default=False)],
    *,
    form: _Format = Format.TEXT,
) -> None:
    """Make an organization and print its id."""

    async def work(office: admin.Office) -> Organization:
        from heisenberg.backend.services import organizations  # noqa: PLC0415 (keeps --help fast)

        return await organizations.create(office.database, admin.given_name(name, "NAME"))

    made = admin.administer(work)
    if form is Format.JSON:
        admin.write_json(_shown(made))
        return
    typer.echo(str(made.id))
    admin.note(f"made organization {made.name!r}; its first key:")
    admin.note(f"  heisenberg key create --org {made.id} --scope admin")


@org.command("list")
def list_organizations(*, form: _Format = Format.TEXT) -> None:
    """List the organizations in the order they were made."""

    async def work(office: admin.Office) -> list[Organization]:
        from heisenberg.backend.repositories import organizations  # noqa: PLC0415 (keeps --help fast)

        found: list[Organization] = []
        async with office.database.read() as session:
            while page := await organizations.page(
                session, after=found[-1].id if found else None, limit=admin.PAGE
            ):
                found += page
        return found

    found = admin.administer(work)
    if form is Format.JSON:
        admin.write_json({"organizations": [_shown(one) for one in found]})
        return
    rows = [(str(one.id), one.name, f"{one.created_at:%Y-%m-%d %H:%M}") for one in found]
    admin.write_table(("ID", "NAME", "CREATED (UTC)"), rows)
    if not found:
        admin.note("no organization yet; `heisenberg org create NAME` makes one")


def _shown(organization: Organization) -> dict[str, Any]:
    """As the API shows it."""
    from heisenberg.backend.schemas import OrganizationResponse  # noqa: PLC0415 (keeps --help fast)

    return OrganizationResponse.model_validate(organization).model_dump(mode="json")
