"""What the page at ``/`` gets beside its own files: the viewer, what there is to choose from, and its policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import lift3d_ray.export
from lift3d_ray.deployments.api.pages import Leaf
from lift3d_ray.deployments.api.parts import ApiConfig
from lift3d_ray.recipes import RECIPES, Quality
from lift3d_ray.service.jobs import MOST_SEEDS

VIEWER = "model-viewer.min.js"
"""The gallery's, served from where that keeps it."""
CHOICES = "choices.json"

_WEB = Path(lift3d_ray.export.__file__).parent / "web"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def workbench_leaves(config: ApiConfig) -> Mapping[str, Leaf]:
    """Files that the page finds beside its own, by their path."""
    choices = {
        "recipes": sorted(RECIPES),
        "recipe": config.recipe,
        "qualities": [str(quality) for quality in Quality],
        "quality": config.quality,
        "most_seeds": MOST_SEEDS,
        "body_bytes": config.body_bytes,
        "asks_for_keys": not config.local_only,
    }
    return {
        VIEWER: _leaf(_viewer(), "text/javascript; charset=utf-8"),
        CHOICES: _leaf(json.dumps(choices).encode(), "application/json"),
    }


@cache
def page_policy() -> str:
    """Content security policy of the page: its own files, and pictures and models it holds in memory.

    The viewer brings its styles as elements: they are allowed by their digests, and no others are. It also compiles a
    decoder of compressed meshes as soon as it is loaded, hence WebAssembly; scripts from text stay forbidden.
    """
    styles = " ".join(f"'sha256-{_digest(style)}'" for style in _STYLE.findall(_viewer().decode()))
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' {styles}; "
        "img-src 'self' blob:; media-src blob:; "
        "connect-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


@cache
def _viewer() -> bytes:
    return (_WEB / VIEWER).read_bytes()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _leaf(data: bytes, media_type: str) -> Leaf:
    return Leaf(data=data, media_type=media_type, etag=f'"{hashlib.sha256(data).hexdigest()[:32]}"')
