"""Whatever goes wrong, one shape: ``{"error": {"code": ..., "message": ...}}``."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lift3d_ray.batch.failures import describe_defect
from lift3d_ray.errors import (
    BundleError,
    Clash,
    Closing,
    ClusterError,
    ConfigError,
    DatabaseError,
    InputError,
    Lift3DError,
    NotAllowed,
    NotHere,
    PhotoTooLarge,
    PriorError,
    TooMuch,
)
from lift3d_ray.store.schema import INTERNAL

LOG = logging.getLogger("lift3d_ray.api")

_MOST_FAULTS = 5
_LONGEST_MESSAGE = 1000
_CODES = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}


class ApiError(Exception):
    """An answer that is no success.

    Attributes:
        status: of HTTP.
        code: stable name.
        message: the sentence for people.
        headers: beside the usual ones.
    """

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def answer(self) -> JSONResponse:
        """As a response."""
        return error_answer(self.status, self.code, self.message, headers=self.headers)


def error_answer(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A response with the one shape of all errors."""
    told = message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 3]}..."
    # A stranger's text may hold half a surrogate pair, which is no UTF-8.
    content = {"error": {"code": code, "message": told.encode("utf-8", "replace").decode()}}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))


_STATUSES: tuple[tuple[type[Lift3DError], HTTPStatus], ...] = (
    (PhotoTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConfigError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotAllowed, HTTPStatus.UNAUTHORIZED),
    (NotHere, HTTPStatus.NOT_FOUND),
    (Clash, HTTPStatus.CONFLICT),
    (TooMuch, HTTPStatus.TOO_MANY_REQUESTS),
    (Closing, HTTPStatus.SERVICE_UNAVAILABLE),
    (DatabaseError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ClusterError, HTTPStatus.SERVICE_UNAVAILABLE),
    (BundleError, HTTPStatus.SERVICE_UNAVAILABLE),
    (PriorError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""What errors of this package stand for; the first that fits."""


def status_of(error: Lift3DError) -> HTTPStatus:
    """The status that an error of this package stands for."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def headers_of(error: Lift3DError) -> dict[str, str]:
    """What a client is told beside the sentence: how to come in, or when to come again."""
    if isinstance(error, NotAllowed):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooMuch):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    return {"Retry-After": "5"} if status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE else {}


def as_answer(error: ApiError | Lift3DError, *, before: str = "") -> ApiError:
    """An error as the answer that it is.

    Args:
        error: what went wrong.
        before: words to begin its message with.
    """
    if isinstance(error, ApiError):
        return ApiError(error.status, error.code, before + error.message, headers=error.headers)
    return ApiError(status_of(error), error.code, f"{before}{error}", headers=headers_of(error))


def faults_in_words(faults: list[Any]) -> str:
    """What a validation found, a clause each."""
    told = []
    for fault in faults[:_MOST_FAULTS]:
        place = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query", "header", "path"))
        told.append(f"{place or 'the body'}: {fault['msg'].removeprefix('Value error, ')}")
    if len(faults) > _MOST_FAULTS:
        told.append(f"and {len(faults) - _MOST_FAULTS} more")
    return "; ".join(told)


def invalid(error: ValidationError) -> ApiError:
    """The answer to values that a model refused."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", faults_in_words(list(faults)))


def install(app: FastAPI) -> None:
    """Make every error of the application speak the one shape."""

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> JSONResponse:
        return error.answer()

    @app.exception_handler(Lift3DError)
    async def _ours(request: Request, error: Lift3DError) -> JSONResponse:
        return as_answer(error).answer()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return error_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", faults_in_words(list(error.errors())))

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return error_answer(HTTPStatus.BAD_REQUEST, "bad-request", "the body ended before its end")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "error")
        message = str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND:
            message = f"there is nothing at {request.url.path}; /docs lists what there is"
        return error_answer(error.status_code, code, message, headers=error.headers)

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> JSONResponse:
        LOG.exception("%s %s failed", request.method, request.url.path)
        told = describe_defect(error).rsplit("[", 1)[-1].rstrip("]")
        message = f"a defect of the service [{told}]; its log says more"
        return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL, message)
