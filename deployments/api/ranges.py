"""A stored file as an answer: whole or in part, or only the news that it has not changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from lift3d_ray.deployments.api.errors import ApiError
from lift3d_ray.deployments.api.parts import Threads
from lift3d_ray.service.files import JobFiles, StoredFile
from lift3d_ray.service.ranges import RangeNotHere, is_known, wanted_range

FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""Content security policy of files that people sent or that were made of them."""


async def file_answer(request: Request, files: JobFiles, file: StoredFile, threads: Threads) -> Response:
    """The file, or the part of it that was asked for.

    Raises:
        ApiError: the part lies outside the file.
    """
    headers = {
        "ETag": file.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'inline; filename="{file.name.rsplit("/", 1)[-1]}"',
        "Content-Security-Policy": FILE_POLICY,
    }
    asked = request.headers
    if is_known(file.etag, asked.get("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        part = wanted_range(asked.get("range"), file.size, etag=file.etag, if_range=asked.get("if-range"))
    except RangeNotHere as error:
        raise ApiError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            error.code,
            str(error),
            headers={"Content-Range": f"bytes */{file.size}"},
        ) from error
    start, stop = (0, file.size) if part is None else (part.start, part.stop)
    headers["Content-Length"] = str(stop - start)
    if part is not None:
        headers["Content-Range"] = part.content_range
    status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
    # Opened before the answer begins: a file that was taken away meanwhile is an error in words.
    pieces = files.read(file, start, stop)
    first = await threads.store(lambda: next(pieces, b""))
    chunks = _chunks(first, pieces, threads)
    return StreamingResponse(chunks, status_code=status, media_type=file.media_type, headers=headers)


async def _chunks(first: bytes, rest: Iterator[bytes], threads: Threads) -> AsyncIterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = await threads.store(lambda: next(rest, b""))
