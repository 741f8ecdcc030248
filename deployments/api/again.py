"""``/v1/lifts/{id}/picture`` and ``/again``: what a lift was made from, and the same lift once more."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from pydantic import Field

from lift3d_ray.deployments.api.bodies import Body
from lift3d_ray.deployments.api.documents import LiftDocument
from lift3d_ray.deployments.api.door import Door
from lift3d_ray.deployments.api.intake import idempotency_key
from lift3d_ray.deployments.api.lifts import LiftId, Lifts, accepted
from lift3d_ray.deployments.api.openapi import FAULTS
from lift3d_ray.deployments.api.parts import Parts, Threads
from lift3d_ray.deployments.api.ranges import FILE_POLICY
from lift3d_ray.recipes import Quality
from lift3d_ray.service.jobs import MAX_SEED
from lift3d_ray.service.ranges import is_known

_MAGIC = (
    (b"\x89PNG", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypavif", 4, "image/avif"),
)
"""Kinds of pictures that browsers show, and how their bytes begin; others are given out as plain bytes."""


class AgainBody(Body):
    """``POST /v1/lifts/{id}/again``: what is to be different."""

    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Another seed.")
    quality: Quality | None = Field(default=None, description="Another quality.")


def again_routes(parts: Parts, threads: Threads, door: Door) -> APIRouter:
    """The two routes."""
    router = APIRouter(prefix="/v1/lifts", tags=["lifts"], responses=FAULTS)
    lifts = Lifts(parts, threads)
    bytes_of_any_kind: dict[int | str, dict[str, Any]] = {
        200: {"description": "the picture", "content": {"application/octet-stream": {}}}
    }

    @router.get("/{lift_id}/picture", response_class=Response, responses=bytes_of_any_kind)
    async def picture(request: Request, lift_id: LiftId, owner: str = Depends(door)) -> Response:
        """The picture that a lift is made from, as it was sent."""
        job = await lifts.get(lift_id, owner)
        etag = f'"{job.picture_digest}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Content-Security-Policy": FILE_POLICY}
        if is_known(etag, request.headers.get("if-none-match")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        data = await threads.store(lambda: parts.files.picture(owner, job.picture_digest))
        return Response(data, media_type=kind_of(data), headers=headers)

    @router.post("/{lift_id}/again", status_code=HTTPStatus.ACCEPTED, response_model=LiftDocument)
    async def again(
        request: Request,
        lift_id: LiftId,
        body: AgainBody,
        owner: str = Depends(door),
        key: str | None = Header(default=None, alias="Idempotency-Key", max_length=255),
    ) -> Response:
        """Ask for a lift of the same picture with the same settings, but for what is said here."""
        named = idempotency_key(request)
        job = await lifts.get(lift_id, owner)

        def accept() -> LiftDocument:
            changed = {name: value for name, value in body.model_dump(mode="json").items() if value is not None}
            data = parts.files.picture(owner, job.picture_digest)
            once_more = parts.store.accept(
                replace(job.order, **changed),
                # Kept again, because the old lift may be deleted at this moment, and its picture with it.
                picture_digest=parts.files.keep_picture(owner, data),
                picture_bytes=len(data),
                owner=owner,
                idempotency_key=named,
            )
            return lifts.document(once_more, owner)

        document = await threads.store(accept)
        return accepted(document, f"/v1/lifts/{document.id}")

    return router


def kind_of(data: bytes) -> str:
    """Media type of a picture that was accepted, by its first bytes."""
    for magic, offset, media_type in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return media_type
    return "application/octet-stream"
