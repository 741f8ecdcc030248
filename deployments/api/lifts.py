"""``/v1/lifts``: ask for a lift, look at it, follow it, cancel it, take its files, delete it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel

from lift3d_ray.deployments.api.bodies import LiftBody
from lift3d_ray.deployments.api.documents import FileDocument, LiftDocument, LiftPage, lift_document
from lift3d_ray.deployments.api.door import Door
from lift3d_ray.deployments.api.errors import ApiError
from lift3d_ray.deployments.api.events import Streams, file_url, last_event
from lift3d_ray.deployments.api.intake import checked, idempotency_key, picture_of, read_body
from lift3d_ray.deployments.api.openapi import FAULTS, takes
from lift3d_ray.deployments.api.parts import Fetched, Parts, Threads
from lift3d_ray.deployments.api.ranges import file_answer
from lift3d_ray.service.files import PREVIEWS
from lift3d_ray.service.jobs import Job, JobState, LiftOrder
from lift3d_ray.service.ranges import is_known
from lift3d_ray.service.store import MOST_ON_A_PAGE

LiftId = Annotated[str, Path(min_length=1, max_length=64, description="A lift's id.")]
Cursor = Annotated[str | None, Query(max_length=200, description="next_cursor of the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE, description="Lifts on the page.")]
FileName = Annotated[str, Path(min_length=1, max_length=100, description="As the lift lists it.")]


class Lifts:
    """What the routes do, apart from how they are called."""

    def __init__(self, parts: Parts, threads: Threads) -> None:
        self.parts, self.threads = parts, threads

    def document(self, job: Job, owner: str, *, whole: bool = True) -> LiftDocument:
        """A job as its owner sees it; asks the store, and the files where it is to be told as a whole."""
        wait = None if job.state.ended else self.parts.store.wait(job.id, owner)
        files = self._files(job) if whole else []
        preview = self._preview(job) if whole and job.state is JobState.RUNNING else None
        return lift_document(job, wait, files, preview)

    def _files(self, job: Job) -> list[FileDocument]:
        found = [self.parts.files.find(job, name) for name in self.parts.files.names(job)]
        return [
            FileDocument(
                name=file.name,
                url=file_url(job.id, file.name),
                media_type=file.media_type,
                bytes=file.size,
                thing=int(file.name.partition("/")[0]) if "/" in file.name else 1,
            )
            for file in found
        ]

    def _preview(self, job: Job) -> str | None:
        """Where the newest picture of a job on its way is."""
        names = self.parts.files.root.names(f"{PREVIEWS}/{job.id}", ".jpg")
        newest = max(names, key=lambda name: (len(name), name), default=None)
        return newest and file_url(job.id, newest)

    def checked_order(self, body: LiftBody, picture: Fetched) -> LiftOrder:
        """What a body orders.

        Raises:
            ApiError: it asks for what this service does not do.
            ConfigError: it makes no sense.
            InputError: the webhook's address may not be told.
        """
        config = self.parts.config
        if body.settings and not config.settings:
            raise ApiError(HTTPStatus.FORBIDDEN, "settings", "this service does not exchange numbers of its recipes")
        if body.webhook is not None:
            self.parts.check_webhook(body.webhook)
        return body.order(name=picture.name, recipe=config.recipe, quality=config.quality)

    async def get(self, job_id: str, owner: str) -> Job:
        """A job of this owner."""
        return await self.threads.store(lambda: self.parts.store.get(job_id, owner))


def accepted(document: BaseModel, where: str) -> JSONResponse:
    """202: it will be done, and this is where to look."""
    return JSONResponse(
        document.model_dump(mode="json"), status_code=HTTPStatus.ACCEPTED, headers={"Location": where}
    )


def lift_routes(parts: Parts, threads: Threads, streams: Streams, door: Door) -> APIRouter:
    """All routes of lifts."""
    router = APIRouter(prefix="/v1/lifts", tags=["lifts"], responses=FAULTS)
    lifts = Lifts(parts, threads)
    _add_orders(router, lifts, door)
    _add_looks(router, lifts, door)
    _add_ends(router, lifts, door)
    _add_files(router, lifts, door)
    _add_events(router, lifts, streams, door)
    return router


def _add_orders(router: APIRouter, lifts: Lifts, door: Door) -> None:
    @router.post("", status_code=HTTPStatus.ACCEPTED, response_model=LiftDocument, openapi_extra=takes(LiftBody))
    async def create(
        request: Request,
        owner: str = Depends(door),
        key: str | None = Header(default=None, alias="Idempotency-Key", max_length=255),
    ) -> Response:
        """Ask for a lift. It is done whatever happens to the service meanwhile; ``Location`` is where to look."""
        named = idempotency_key(request)
        body, upload = await read_body(request, LiftBody)
        picture = await picture_of(body, upload, lifts.parts, lifts.threads)
        await checked(picture, body.name, lifts.threads)

        def accept() -> LiftDocument:
            order = lifts.checked_order(body, picture)
            job = lifts.parts.store.accept(
                order,
                picture_digest=lifts.parts.files.keep_picture(owner, picture.data),
                picture_bytes=len(picture.data),
                owner=owner,
                idempotency_key=named,
            )
            return lifts.document(job, owner)

        document = await lifts.threads.store(accept)
        return accepted(document, f"/v1/lifts/{document.id}")


def _add_looks(router: APIRouter, lifts: Lifts, door: Door) -> None:
    @router.get("")
    async def page(
        owner: str = Depends(door),
        cursor: Cursor = None,
        limit: Limit = 50,
        status: JobState | None = None,
        batch: Annotated[str | None, Query(max_length=64, description="Only those of this batch.")] = None,
    ) -> LiftPage:
        """One's own lifts, newest first."""

        def look() -> LiftPage:
            found = lifts.parts.store.page(owner, cursor=cursor, limit=limit, state=status, batch=batch)
            documents = [lifts.document(job, owner, whole=False) for job in found.jobs]
            return LiftPage(lifts=documents, next_cursor=found.cursor)

        return await lifts.threads.store(look)

    @router.get("/{lift_id}", response_model=LiftDocument)
    async def get(request: Request, lift_id: LiftId, owner: str = Depends(door)) -> Response:
        """A lift as it stands."""
        job = await lifts.get(lift_id, owner)
        headers = {"ETag": job.etag, "Cache-Control": "private, no-cache"}
        if is_known(job.etag, request.headers.get("if-none-match")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        document = await lifts.threads.store(lambda: lifts.document(job, owner))
        return JSONResponse(document.model_dump(mode="json"), headers=headers)


def _add_ends(router: APIRouter, lifts: Lifts, door: Door) -> None:
    @router.post("/{lift_id}/cancel")
    async def cancel(lift_id: LiftId, owner: str = Depends(door)) -> LiftDocument:
        """Stop a lift. One that runs ends within seconds; one that has ended stays as it is."""
        return await lifts.threads.store(
            lambda: lifts.document(lifts.parts.store.cancel(lift_id, owner), owner)
        )

    @router.delete("/{lift_id}", status_code=HTTPStatus.NO_CONTENT)
    async def delete(lift_id: LiftId, owner: str = Depends(door)) -> Response:
        """Take a lift and all its files away. One that has not ended is canceled."""
        await lifts.threads.store(lambda: lifts.parts.store.delete(lift_id, owner))
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _add_files(router: APIRouter, lifts: Lifts, door: Door) -> None:
    bytes_of_any_kind: dict[int | str, dict[str, Any]] = {
        200: {"description": "the file", "content": {"application/octet-stream": {}}}
    }

    @router.get("/{lift_id}/files/{name:path}", response_class=Response, responses=bytes_of_any_kind)
    async def file(request: Request, lift_id: LiftId, name: FileName, owner: str = Depends(door)) -> Response:
        """A file of a lift that succeeded, or a picture of one on its way; parts of it by ``Range``."""
        job, files = await lifts.get(lift_id, owner), lifts.parts.files
        found = await lifts.threads.store(lambda: files.find(job, name))
        return await file_answer(request, files, found, lifts.threads)


def _add_events(router: APIRouter, lifts: Lifts, streams: Streams, door: Door) -> None:
    stream: dict[int | str, dict[str, Any]] = {
        200: {"description": "the stream", "content": {"text/event-stream": {}}},
        204: {"description": "it has ended, and everything is known: do not come again"},
    }

    @router.get("/{lift_id}/events", response_class=StreamingResponse, responses=stream)
    async def events(
        lift_id: LiftId,
        owner: str = Depends(door),
        known: str | None = Header(default=None, alias="Last-Event-ID", max_length=40),
    ) -> Response:
        """What happens to a lift, as it happens, from the beginning or from ``Last-Event-ID`` on.

        Events are ``state``, ``stage``, ``progress`` and ``preview``; the stream ends with the lift.
        """
        after = last_event(known)
        job = await lifts.get(lift_id, owner)
        if job.state.ended:
            left = await lifts.threads.store(lambda: lifts.parts.store.events(lift_id, owner, after=after))
            if not left:
                return Response(status_code=HTTPStatus.NO_CONTENT)
        frames = await streams.follow(lift_id, owner, after)
        return StreamingResponse(frames, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
