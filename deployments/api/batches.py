"""``/v1/batches``: many lifts with one request, all of them or none."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import Response

from lift3d_ray.deployments.api.bodies import BatchBody, BatchForm, LiftBody
from lift3d_ray.deployments.api.documents import BatchDocument
from lift3d_ray.deployments.api.door import Door
from lift3d_ray.deployments.api.errors import ApiError, as_answer
from lift3d_ray.deployments.api.intake import checked, idempotency_key, picture_of, read_body
from lift3d_ray.deployments.api.lifts import Lifts, accepted
from lift3d_ray.deployments.api.openapi import FAULTS, takes
from lift3d_ray.deployments.api.parts import Fetched, Parts, Threads
from lift3d_ray.errors import Lift3DError
from lift3d_ray.service.admission import Request as Asked
from lift3d_ray.service.jobs import ENDED

MANIFEST = "manifest"
"""Name of the form's field that holds a Parquet table."""
PICTURE_COLUMNS = ("picture_url", "picture")
"""Columns that a manifest may have its pictures in: addresses, or the bytes themselves. ``name`` may stand beside."""


def batch_routes(parts: Parts, threads: Threads, door: Door) -> APIRouter:
    """All routes of batches."""
    router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=FAULTS)
    lifts = Lifts(parts, threads)

    @router.post(
        "",
        status_code=HTTPStatus.ACCEPTED,
        response_model=BatchDocument,
        openapi_extra=takes(BatchBody, form=BatchForm, file=MANIFEST),
    )
    async def create(
        request: Request,
        owner: str = Depends(door),
        key: str | None = Header(default=None, alias="Idempotency-Key", max_length=255),
    ) -> Response:
        """Ask for many lifts: a JSON list, or a Parquet table as ``manifest``, what they share beside it."""
        named = idempotency_key(request)
        wanted = await _wanted(request, parts)
        asked = []
        for number, (body, picture) in enumerate(wanted, start=1):
            try:
                asked.append(await _stored(body, picture, owner, lifts))
            except (ApiError, Lift3DError) as error:
                raise as_answer(error, before=f"item {number}: ") from error
        batch = await threads.store(
            lambda: parts.store.accept_batch(asked, owner=owner, idempotency_key=named)
        )
        document = await threads.store(lambda: _document(batch, owner, parts))
        return accepted(document, f"/v1/batches/{batch}")

    @router.get("/{batch_id}")
    async def get(
        batch_id: Annotated[str, Path(min_length=1, max_length=64, description="A batch's id.")],
        owner: str = Depends(door),
    ) -> BatchDocument:
        """How many lifts of a batch are in which state."""
        return await threads.store(lambda: _document(batch_id, owner, parts))

    return router


def _document(batch: str, owner: str, parts: Parts) -> BatchDocument:
    counts = dict(parts.store.batch_counts(batch, owner))
    return BatchDocument(
        id=batch,
        lifts=sum(counts.values()),
        counts=counts,
        ended=set(counts) <= ENDED,
        url=f"/v1/lifts?batch={batch}",
    )


async def _wanted(request: Request, parts: Parts) -> Sequence[tuple[LiftBody, Fetched | None]]:
    """The lifts of a request, each with its picture where the request brought that."""
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        form, table = await read_body(request, BatchForm, file=MANIFEST)
        if table is None:
            raise ApiError(
                HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"send a Parquet table in the field {MANIFEST!r}"
            )
        wanted = list(read_manifest(table.data, form, most=parts.config.batch_items))
    else:
        body, _ = await read_body(request, BatchBody)
        wanted = [(item, None) for item in body.items]
    if not 1 <= len(wanted) <= parts.config.batch_items:
        message = f"a batch has 1 to {parts.config.batch_items} pictures, got {len(wanted)}; send several"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message)
    return wanted


def read_manifest(data: bytes, form: BatchForm, *, most: int) -> Iterator[tuple[LiftBody, Fetched | None]]:
    """The rows of a Parquet table as lifts.

    Args:
        data: the table's file.
        form: what they have in common.
        most: rows that are read at most.

    Raises:
        ApiError: it is no such table, or too long.
    """
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        count, names = file.metadata.num_rows, set(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_manifest(f"it is no Parquet table ({error})") from error
    if count > most:
        raise _no_manifest(f"it has {count} rows, a batch at most {most}")
    column = next((name for name in PICTURE_COLUMNS if name in names), None)
    if column is None:
        raise _no_manifest(f"it has the columns {sorted(names)[:20]}, wanted one of {', '.join(PICTURE_COLUMNS)}")
    try:
        rows = file.read(columns=[column, *({"name"} & names)]).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_manifest(f"its rows cannot be read ({error})") from error
    for number, row in enumerate(rows, start=1):
        value, name = row[column], row.get("name")
        if not (name is None or isinstance(name, str)):
            raise _no_manifest(f"the name in row {number} is no text")
        if column == "picture_url" and isinstance(value, str):
            yield form.lift(picture_url=value, name=name), None
        elif column == "picture" and isinstance(value, bytes):
            yield form.lift(name=name), Fetched(data=value, name=f"row {number}")
        else:
            raise _no_manifest(f"{column} in row {number} is no {'text' if column == 'picture_url' else 'binary'}")


def _no_manifest(why: str) -> ApiError:
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"the manifest cannot be used: {why}")


async def _stored(body: LiftBody, brought: Fetched | None, owner: str, lifts: Lifts) -> Asked:
    """One lift of a batch, its picture stored."""
    picture = await picture_of(body, brought, lifts.parts, lifts.threads)
    await checked(picture, body.name, lifts.threads)

    def store() -> Asked:
        order = lifts.checked_order(body, picture)
        digest = lifts.parts.files.keep_picture(owner, picture.data)
        return Asked(order=order, picture_digest=digest, picture_bytes=len(picture.data))

    return await lifts.threads.store(store)
