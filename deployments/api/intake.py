"""Requests -> bodies and pictures, however they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from lift3d_ray.deployments.api.bodies import Body, PictureBody
from lift3d_ray.deployments.api.errors import ApiError, invalid
from lift3d_ray.deployments.api.parts import Fetched, Parts, Threads
from lift3d_ray.photo import read_photo
from lift3d_ray.service.jobs import printable_name
from lift3d_ray.types import Photo

PICTURE = "picture"
"""Name of the field that holds the file."""

_MOST_FIELDS = 100
_LARGEST_FIELD = 64 << 10
_MULTIPART, _JSON = "multipart/form-data", "application/json"

B = TypeVar("B", bound=Body)


async def read_body(request: Request, kind: type[B], *, file: str = PICTURE) -> tuple[B, Fetched | None]:
    """What a request says, and the file it brought, if any.

    Args:
        request: JSON, or a form with at most one file.
        kind: what it should say.
        file: name of the form's field that holds the file.

    Raises:
        ApiError: it is neither, or says something else.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent == _MULTIPART:
        return await _read_form(request, kind, file)
    if sent == _JSON:
        return read_json(await request.body(), kind), None
    raise ApiError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        f"send {_MULTIPART} with the file in the field {file!r}, or {_JSON}; got {sent[:80] or 'nothing said'}",
    )


def read_json(data: bytes, kind: type[B]) -> B:
    """A body from JSON.

    Raises:
        ApiError: it is none (400), or says something else (422).
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise ApiError(HTTPStatus.BAD_REQUEST, "bad-request", first["msg"]) from error
        raise invalid(error) from error


async def _read_form(request: Request, kind: type[B], file: str) -> tuple[B, Fetched | None]:
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_LARGEST_FIELD) as form:
        said: dict[str, Any] = {}
        upload: Fetched | None = None
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != file:
                    raise _strange(name, file)
                upload = Fetched(data=await value.read(), name=_file_name(value.filename or ""))
            elif name == "settings":
                said.setdefault(name, []).append(value)
            elif name in said or name == file:
                raise _strange(name, file)
            else:
                said[name] = value
    return _from_strings(said, kind), upload


def _from_strings(said: Mapping[str, Any], kind: type[B]) -> B:
    try:
        return kind.model_validate(dict(said))
    except ValidationError as error:
        raise invalid(error) from error


def _strange(name: str, file: str) -> ApiError:
    message = f"one file, in the field {file!r}, and every other field once as text; got {name[:80]!r}"
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message)


def _file_name(name: str) -> str:
    """The last part of a file's name, without what cannot be printed."""
    return printable_name(name.replace("\\", "/").rsplit("/", 1)[-1])


async def picture_of(body: PictureBody, upload: Fetched | None, parts: Parts, threads: Threads) -> Fetched:
    """The picture that a request brought or named.

    Raises:
        ApiError: neither, or both.
        InputError: it cannot be had.
    """
    if upload is None:
        address = body.address
        return await threads.fetch(lambda: parts.fetch(address))
    if body.picture_url is not None or body.picture_data is not None:
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "send the picture or say where it is, not both")
    return upload


async def checked(picture: Fetched, name: str | None, threads: Threads) -> Photo:
    """The picture, decoded once so that one that is none is refused now and not when its turn has come.

    Raises:
        InputError: it is none.
    """
    return await threads.decode(lambda: read_photo(picture.data, name=name or picture.name))


def idempotency_key(request: Request) -> str | None:
    """The client's name for its request; the job store says whether it is one.

    Raises:
        ApiError: there are several.
    """
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        raise ApiError(HTTPStatus.BAD_REQUEST, "bad-request", "send one Idempotency-Key at most")
    return keys[0] if keys else None


def bearer(request: Request) -> str | None:
    """The API key that a request brought, or None.

    Raises:
        ApiError: it brought something else.
    """
    said = request.headers.get("authorization")
    if said is None:
        return request.headers.get("x-api-key")
    scheme, _, key = said.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError(
            HTTPStatus.UNAUTHORIZED,
            "not-allowed",
            "send the key as 'Authorization: Bearer KEY', or as X-API-Key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return key.strip()
