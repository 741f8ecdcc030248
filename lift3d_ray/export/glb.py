"""GLB: binary glTF 2.0 with vertex colours.

Written by hand rather than by a library, for three things a viewer shows wrongly without them: glTF wants COLOR_0 in
*linear* light, while our colours are sRGB; 16 bits keep linear darks from banding; and the light of the photo is
already in the colours, so the material is ``KHR_materials_unlit`` and is not lit a second time. Viewers that do not
know the extension fall back to a rough, non-metallic material.

Specification: Khronos glTF 2.0, ISO/IEC 12113:2022.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.errors import ExportError
from lift3d_ray.export.version import generator
from lift3d_ray.mesh.geometry import unit
from lift3d_ray.types import Float32, Mesh

JsonValue = str | int | float | bool | None

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942


def srgb_to_linear(srgb: Float32) -> Float32:
    """sRGB-encoded values in [0, 1] as linear light in [0, 1] (IEC 61966-2-1)."""
    value = np.clip(srgb, 0.0, 1.0).astype(np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: Float32) -> Float32:
    """Linear light in [0, 1] as sRGB-encoded values in [0, 1] (IEC 61966-2-1)."""
    bright = 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, bright), dtype=np.float32)


def glb_bytes(mesh: Mesh, *, name: str, extras: Mapping[str, JsonValue] | None = None) -> bytes:
    """A mesh as one GLB file: Y up, front towards +Z, one unit a metre.

    Args:
        mesh: the mesh; its sRGB colours become linear COLOR_0, its normals are scaled to length 1.
        name: name of the node, for people.
        extras: facts kept in ``asset.extras``, such as caption and seed.

    Raises:
        ExportError: the mesh is empty, not finite, or its faces point outside its vertices.
    """
    check_surface(mesh.faces_F3, positions=mesh.vertices_N3, normals=mesh.normals_N3, colours=mesh.colors_N3)
    linear = np.concatenate([srgb_to_linear(mesh.colors_N3), np.ones((len(mesh.colors_N3), 1), np.float32)], axis=1)
    position = np.ascontiguousarray(mesh.vertices_N3, dtype="<f4")
    normal = np.ascontiguousarray(unit(mesh.normals_N3), dtype="<f4")
    color = np.round(linear * 65535).astype("<u2")
    # 65535 is not to be used as a 16-bit index (it restarts primitives), so that many vertices still fit.
    index = mesh.faces_F3.astype("<u2" if len(position) <= 65535 else "<u4").reshape(-1)
    # Every part but the last is a multiple of four bytes long, so all of them start aligned.
    parts = [position, normal, color, index]
    body = b"".join(part.tobytes() for part in parts)
    body += b"\0" * (-len(body) % 4)
    return pack(_document(name, dict(extras or {}), parts, len(body)), body)


def check_surface(faces_F3: NDArray[Any], **vertex_values: Float32) -> None:
    """Refuse what no viewer would show.

    Args:
        faces_F3: (F, 3) whole numbers.
        **vertex_values: values of vertices, one row each, by what they are called.

    Raises:
        ExportError: nothing there, other numbers of rows, values that are not finite, faces without vertices.
    """
    counts = {what: len(values) for what, values in vertex_values.items()}
    count = min(counts.values())
    if count != max(counts.values()):
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        raise ExportError(f"every vertex needs one of each, got {told}")
    if count == 0 or len(faces_F3) == 0:
        raise ExportError(f"cannot export an empty mesh ({count} vertices, {len(faces_F3)} faces)")
    for what, values in vertex_values.items():
        if not np.isfinite(values).all():
            raise ExportError(f"the mesh's {what} hold values that are not finite")
    if faces_F3.min() < 0 or faces_F3.max() >= count:
        raise ExportError(f"faces must name vertices in [0, {count}), got [{faces_F3.min()}, {faces_F3.max()}]")


def _document(name: str, extras: dict[str, JsonValue], parts: list[NDArray[Any]], length: int) -> dict[str, Any]:
    position, index = parts[0], parts[3]
    offsets = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
    targets = [_ARRAY_BUFFER] * 3 + [_ELEMENT_ARRAY_BUFFER]
    views = [
        {"buffer": 0, "byteOffset": offset, "byteLength": part.nbytes, "target": target}
        for offset, part, target in zip(offsets, parts, targets, strict=False)
    ]
    bounds = {"min": position.min(axis=0).tolist(), "max": position.max(axis=0).tolist()}
    count = len(position)
    index_type = _UNSIGNED_SHORT if index.itemsize == 2 else _UNSIGNED_INT
    return {
        "asset": {"version": "2.0", "generator": generator(), "extras": extras},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "indices": 3, "material": 0}]}
        ],
        "materials": [
            {
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "count": count, "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": _FLOAT, "count": count, "type": "VEC3"},
            {"bufferView": 2, "componentType": _UNSIGNED_SHORT, "normalized": True, "count": count, "type": "VEC4"},
            {"bufferView": 3, "componentType": index_type, "count": index.size, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": length}],
    }


def pack(document: dict[str, Any], body: bytes) -> bytes:
    """A document and its buffer as the two chunks of a GLB, both a multiple of four bytes long as it demands."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _JSON_CHUNK) + text + struct.pack("<II", len(body), _BINARY_CHUNK) + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
