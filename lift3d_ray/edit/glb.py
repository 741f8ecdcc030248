"""The GLB of an asset read back: what ``export.glb`` and ``export.textured_glb`` write, and nothing else.

Shape suffixes: N vertices, F faces, S texture side.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from lift3d_ray.errors import InputError
from lift3d_ray.export.glb import linear_to_srgb
from lift3d_ray.mesh.geometry import Int32
from lift3d_ray.types import Float32, UInt8

_DTYPES = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<II")


@dataclass(frozen=True, kw_only=True)
class GlbSurface:
    """What an asset's GLB holds; its colours lie either at the vertices or in a texture.

    Attributes:
        vertices_N3: (N, 3) float32.
        faces_F3: (F, 3) int32.
        normals_N3: (N, 3) float32 unit vectors.
        colors_N3: (N, 3) float32 sRGB in [0, 1], or None.
        uv_N2: (N, 2) float32 from the texture's top left corner, or None.
        texture_SSC: (S, S, 3) uint8 sRGB, or None.
    """

    vertices_N3: Float32
    faces_F3: Int32
    normals_N3: Float32
    colors_N3: Float32 | None = None
    uv_N2: Float32 | None = None
    texture_SSC: UInt8 | None = None


def read_glb(data: bytes, *, name: str) -> GlbSurface:
    """Read an asset's GLB.

    Args:
        data: the whole file.
        name: what to call it in messages.

    Raises:
        InputError: damaged, or not laid out as this package does.
    """
    try:
        return _surface(*_parts(data))
    except (KeyError, IndexError, TypeError, ValueError, OSError, SyntaxError, struct.error) as error:
        raise InputError(
            f"{name} is damaged or was not written by lift3d-ray ({type(error).__name__}: {error}): "
            "lift the picture again"
        ) from error


def _parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The document and its buffer."""
    magic, _, length = _HEADER.unpack_from(data)
    if magic != b"glTF" or length != len(data):
        raise ValueError("no whole GLB")
    size, _ = _CHUNK.unpack_from(data, _HEADER.size)
    start = _HEADER.size + _CHUNK.size
    return json.loads(data[start : start + size]), data[start + size + _CHUNK.size :]


def _surface(document: dict[str, Any], body: bytes) -> GlbSurface:
    ((primitive,),) = (mesh["primitives"] for mesh in document["meshes"])
    where = primitive["attributes"]
    vertices = _values(document, body, where["POSITION"])
    faces = _values(document, body, primitive["indices"]).reshape(-1, 3).astype(np.int32)
    normals = _values(document, body, where["NORMAL"])
    if len(normals) != len(vertices) or len(faces) == 0 or faces.max() >= len(vertices):
        raise ValueError("faces and vertices do not fit together")
    if "COLOR_0" in where:
        linear = _values(document, body, where["COLOR_0"])[:, :3].astype(np.float32) / np.float32(65535)
        return GlbSurface(vertices_N3=vertices, faces_F3=faces, normals_N3=normals, colors_N3=linear_to_srgb(linear))
    picture = _view(document, body, document["images"][0]["bufferView"])
    with PngImagePlugin.PngImageFile(io.BytesIO(picture)) as opened:
        texture = np.asarray(opened.convert("RGB"), dtype=np.uint8)
    uv = _values(document, body, where["TEXCOORD_0"])
    return GlbSurface(vertices_N3=vertices, faces_F3=faces, normals_N3=normals, uv_N2=uv, texture_SSC=texture)


def _values(document: dict[str, Any], body: bytes, accessor: int) -> NDArray[Any]:
    told = document["accessors"][accessor]
    width = _WIDTHS[told["type"]]
    values = np.frombuffer(
        _view(document, body, told["bufferView"]), dtype=_DTYPES[told["componentType"]], count=told["count"] * width
    )
    return values.reshape(-1, width).copy()


def _view(document: dict[str, Any], body: bytes, view: int) -> bytes:
    told = document["bufferViews"][view]
    found = body[told["byteOffset"] : told["byteOffset"] + told["byteLength"]]
    if len(found) != told["byteLength"]:
        raise ValueError("the file is cut short")
    return found
