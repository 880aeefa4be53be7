"""`/api/v1/organizations`: the key's own, and for admins the founding of others."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from heisenberg.backend.auth import Admin, Principal, Reader
from heisenberg.backend.errors import ProblemError
from heisenberg.backend.routes.api_keys import shown_key
from heisenberg.backend.schemas import (
    FoundedResponse,
    OrganizationPage,
    OrganizationRequest,
    OrganizationResponse,
    PageAfter,
    PageLimit,
    problems,
)
from heisenberg.backend.services import organizations
from heisenberg.backend.state import Shared

OrganizationId = Annotated[UUID, Path(description="Of the key's own organization.")]

router = APIRouter(prefix="/api/v1/organizations", tags=["organizations"])


@router.get("", summary="Organizations that the key may see: its own")
async def list_organizations(
    shared: Shared, principal: Reader, limit: PageLimit = 50, after: PageAfter = None
) -> OrganizationPage:
    """One at most, in the form of any other list."""
    own = await organizations.get(shared.database, principal.organization_id)
    shown = [own] if after is None or own.id > after else []
    return OrganizationPage(
        items=[OrganizationResponse.model_validate(one) for one in shown[:limit]], next=None
    )


@router.get("/{organization_id}", summary="One organization", responses=problems(404))
async def get_organization(
    shared: Shared, principal: Reader, organization_id: OrganizationId
) -> OrganizationResponse:
    """The key's own; any other does not exist for it."""
    _check_own(principal, organization_id)
    return OrganizationResponse.model_validate(
        await organizations.get(shared.database, organization_id)
    )


@router.post(
    "",
    status_code=201,
    summary="Found another organization",
    description="Answers with its first admin key, which is not shown again. The key that founds it "
    "has no access to it.",
    responses=problems(409),
)
async def found_organization(
    shared: Shared, _: Admin, request: OrganizationRequest
) -> FoundedResponse:
    """Make it, with a key."""
    if not shared.settings.found_organizations:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "founding-closed",
            "organizations are founded by whoever operates the service, with `heisenberg org create`",
        )
    founded = await organizations.found(shared.database, shared.key_hasher, request.name)
    return FoundedResponse(
        organization=OrganizationResponse.model_validate(founded.organization),
        api_key=shown_key(founded.key),
    )


@router.patch("/{organization_id}", summary="Rename the organization", responses=problems(404, 409))
async def rename_organization(
    shared: Shared, principal: Admin, organization_id: OrganizationId, request: OrganizationRequest
) -> OrganizationResponse:
    """Give the key's own organization another name."""
    _check_own(principal, organization_id)
    return OrganizationResponse.model_validate(
        await organizations.rename(shared.database, organization_id, request.name)
    )


def _check_own(principal: Principal, organization_id: UUID) -> None:
    """Whether another organization exists is not told."""
    if organization_id != principal.organization_id:
        raise organizations.no_such_organization(organization_id)
