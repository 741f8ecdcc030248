"""GLB whose colours lie in a texture: ``baseColorTexture``, a PNG inside the file.

glTF takes textures as sRGB, as ours are, so nothing is converted; the material is unlit for the reasons of ``glb``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lift3d_ray.export.glb import JsonValue, check_surface, pack
from lift3d_ray.export.maps import png_bytes
from lift3d_ray.export.version import generator
from lift3d_ray.mesh.geometry import unit
from lift3d_ray.types import TexturedMesh

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _CLAMP_TO_EDGE = 9729, 33071


def textured_glb_bytes(mesh: TexturedMesh, *, name: str, extras: Mapping[str, JsonValue] | None = None) -> bytes:
    """A textured mesh as one GLB file: Y up, front towards +Z, one unit a metre.

    Args:
        mesh: the mesh; its normals are scaled to length 1.
        name: name of the node, for people.
        extras: facts kept in ``asset.extras``, such as caption and seed.

    Raises:
        ExportError: the mesh is empty, not finite, or its faces point outside its vertices.
    """
    check_surface(mesh.faces_F3, positions=mesh.vertices_N3, normals=mesh.normals_N3, places=mesh.uv_N2)
    index = mesh.faces_F3.astype("<u2" if len(mesh.vertices_N3) <= 65535 else "<u4").reshape(-1)
    parts = [
        np.ascontiguousarray(mesh.vertices_N3, dtype="<f4").tobytes(),
        np.ascontiguousarray(unit(mesh.normals_N3), dtype="<f4").tobytes(),
        np.ascontiguousarray(mesh.uv_N2, dtype="<f4").tobytes(),
        index.tobytes(),
        png_bytes(mesh.texture_SSC),
    ]
    padded = [part + b"\0" * (-len(part) % 4) for part in parts]
    offsets = np.cumsum([0, *(len(part) for part in padded)]).tolist()
    document = _document(mesh, index.itemsize, name, dict(extras or {}))
    targets = [{"target": _ARRAY_BUFFER}] * 3 + [{"target": _ELEMENT_ARRAY_BUFFER}, {}]
    document["bufferViews"] = [
        {"buffer": 0, "byteOffset": offset, "byteLength": len(part), **target}
        for offset, part, target in zip(offsets, parts, targets, strict=False)  # one offset more: the end
    ]
    document["buffers"] = [{"byteLength": offsets[-1]}]
    return pack(document, b"".join(padded))


def _document(mesh: TexturedMesh, index_bytes: int, name: str, extras: dict[str, JsonValue]) -> dict[str, Any]:
    """Everything but the buffer's layout: views 0 to 4 are positions, normals, places, indices, the picture."""
    count = len(mesh.vertices_N3)
    bounds = {"min": mesh.vertices_N3.min(axis=0).tolist(), "max": mesh.vertices_N3.max(axis=0).tolist()}
    index_type = _UNSIGNED_SHORT if index_bytes == 2 else _UNSIGNED_INT
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}
    return {
        "asset": {"version": "2.0", "generator": generator(), "extras": extras},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [
            {
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0,
                    "roughnessFactor": 1,
                },
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [
            {
                "magFilter": _LINEAR,
                "minFilter": _LINEAR,
                "wrapS": _CLAMP_TO_EDGE,
                "wrapT": _CLAMP_TO_EDGE,
            }
        ],
        "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "count": count, "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": _FLOAT, "count": count, "type": "VEC3"},
            {"bufferView": 2, "componentType": _FLOAT, "count": count, "type": "VEC2"},
            {"bufferView": 3, "componentType": index_type, "count": mesh.faces_F3.size, "type": "SCALAR"},
        ],
    }
