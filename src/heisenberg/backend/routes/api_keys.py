"""`/api/v1/api-keys`: for admins, the keys of their organization."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from heisenberg.backend.auth import Admin
from heisenberg.backend.schemas import (
    ApiKeyPage,
    ApiKeyRequest,
    ApiKeyResponse,
    NewApiKeyResponse,
    PageAfter,
    PageLimit,
    RotateRequest,
    problems,
)
from heisenberg.backend.services.keys import NewKey
from heisenberg.backend.state import Shared

KeyId = Annotated[UUID, Path(description="Of a key of the organization.")]

router = APIRouter(prefix="/api/v1/api-keys", tags=["api-keys"])


@router.get("", summary="API keys of the organization, in the order they were made")
async def list_api_keys(
    shared: Shared, principal: Admin, limit: PageLimit = 50, after: PageAfter = None
) -> ApiKeyPage:
    """Revoked and expired ones too; no secrets."""
    rows = await shared.keys.page(principal.organization_id, after=after, limit=limit + 1)
    return ApiKeyPage(
        items=[ApiKeyResponse.model_validate(row) for row in rows[:limit]],
        next=rows[limit - 1].id if len(rows) > limit else None,
    )


@router.get("/{key_id}", summary="One API key", responses=problems(404))
async def get_api_key(shared: Shared, principal: Admin, key_id: KeyId) -> ApiKeyResponse:
    """Without its secret."""
    return ApiKeyResponse.model_validate(await shared.keys.get(principal.organization_id, key_id))


@router.post(
    "",
    status_code=201,
    summary="Make an API key",
    description="Answers with the key, which is not shown again.",
    responses=problems(409),
)
async def create_api_key(
    shared: Shared, principal: Admin, request: ApiKeyRequest
) -> NewApiKeyResponse:
    """Never more than the scopes of the key that asks."""
    made = await shared.keys.create(
        principal.organization_id,
        request.name,
        request.scopes,
        lifetime=timedelta(days=request.expires_in_days) if request.expires_in_days else None,
        granted_by=principal.scopes,
    )
    return shown_key(made)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    summary="Replace an API key",
    description="Answers with a new key of the same name, scopes and lifetime, which is not shown "
    "again. The old one goes on working for the overlap.",
    responses=problems(404, 409),
)
async def rotate_api_key(
    shared: Shared,
    principal: Admin,
    key_id: KeyId,
    request: RotateRequest | None = None,
) -> NewApiKeyResponse:
    """A day's overlap unless another one is asked for."""
    overlap = timedelta(hours=(request or RotateRequest()).overlap_hours)
    rotation = await shared.keys.rotate(principal.organization_id, key_id, overlap)
    return shown_key(rotation.new)


@router.delete(
    "/{key_id}",
    status_code=204,
    response_class=Response,
    summary="Revoke an API key",
    description="It is refused from then on, everywhere. Once more changes nothing. The only admin "
    "key that works cannot be revoked (409).",
    responses=problems(404, 409),
)
async def revoke_api_key(shared: Shared, principal: Admin, key_id: KeyId) -> None:
    """It stays in the list."""
    await shared.keys.revoke(principal.organization_id, key_id)


def shown_key(made: NewKey) -> NewApiKeyResponse:
    """The one answer that has the key in it."""
    row = ApiKeyResponse.model_validate(made.row)
    return NewApiKeyResponse(**row.model_dump(), key=made.key)
