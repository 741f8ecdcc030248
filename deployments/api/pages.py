"""What browsers open: the page at ``/`` with its files, and the reference at ``/docs``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from lift3d_ray.deployments.api import reference
from lift3d_ray.deployments.api.errors import ApiError
from lift3d_ray.service.ranges import is_known

INDEX = "index.html"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".glb": "model/gltf-binary",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A file of the page.

    Attributes:
        data: its bytes.
        media_type: what it is.
        etag: of its content, with quotes.
    """

    data: bytes
    media_type: str
    etag: str


def read_leaves(folder: Path | None) -> Mapping[str, Leaf]:
    """Every file of the page by its path, read once: what is not among them is not served, whatever is asked for."""
    if folder is None or not folder.is_dir():
        return {}
    leaves = {}
    for path in sorted(folder.rglob("*")):
        media_type = _MEDIA_TYPES.get(path.suffix)
        if path.is_file() and media_type is not None:
            data = path.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
            leaves[path.relative_to(folder).as_posix()] = Leaf(data=data, media_type=media_type, etag=etag)
    return leaves


def page_routes(app: FastAPI, folder: Path | None, beside: Mapping[str, Leaf], policy: str) -> APIRouter:
    """The routes.

    Args:
        app: whose reference is told.
        folder: of the page; without one, ``/`` leads to the reference.
        beside: files that the page finds beside its own.
        policy: its content security policy.
    """
    router = APIRouter(include_in_schema=False)
    leaves = {**beside, **read_leaves(folder)}
    say = partial(_answer, policy=policy)

    @router.get("/")
    async def index(request: Request) -> Response:
        return say(request, leaves[INDEX]) if INDEX in leaves else RedirectResponse("/docs")

    @router.get("/web/{path:path}")
    async def leaf(request: Request, path: str) -> Response:
        if path not in leaves:
            raise ApiError(HTTPStatus.NOT_FOUND, "not-found", f"the page has no file {path[:200]!r}")
        return say(request, leaves[path])

    @router.get("/docs")
    async def docs() -> Response:
        page = reference.reference_page(app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": reference.POLICY})

    return router


def _answer(request: Request, leaf: Leaf, *, policy: str) -> Response:
    headers = {"ETag": leaf.etag, "Cache-Control": "no-cache", "Content-Security-Policy": policy}
    if is_known(leaf.etag, request.headers.get("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(leaf.data, media_type=leaf.media_type, headers=headers)
