"""What the glTF 2.0 specification demands of a GLB, checked on its bytes without any library for glTF."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPONENTS = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


@dataclass(frozen=True)
class Glb:
    document: dict[str, Any]
    body: bytes

    def accessor(self, index: int) -> NDArray[Any]:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind, width = np.dtype(COMPONENTS[accessor["componentType"]]), WIDTHS[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        return np.frombuffer(self.body, kind, accessor["count"] * width, start).reshape(-1, width)

    @property
    def primitive(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["meshes"][0]["primitives"][0]
        return found

    def attribute(self, name: str) -> NDArray[Any]:
        return self.accessor(self.primitive["attributes"][name])

    @property
    def indices(self) -> NDArray[Any]:
        return self.accessor(self.primitive["indices"]).reshape(-1)


def parse(data: bytes) -> Glb:
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    json_length, json_kind = struct.unpack_from("<I4s", data, 12)
    assert json_kind == b"JSON"
    assert json_length % 4 == 0
    start = 20 + json_length
    body_length, body_kind = struct.unpack_from("<I4s", data, start)
    assert body_kind == b"BIN\0"
    assert body_length % 4 == 0
    assert start + 8 + body_length == len(data)
    return Glb(json.loads(data[20:start]), data[start + 8 :])


def check(data: bytes) -> Glb:
    """Asserts what a valid, plain, coloured mesh must hold."""
    glb = parse(data)
    _check_buffer(glb)
    position = _check_shape(glb)
    color = glb.attribute("COLOR_0")
    assert len(position) == len(color)
    color_accessor = glb.document["accessors"][glb.primitive["attributes"]["COLOR_0"]]
    assert color_accessor["componentType"] == 5126 or color_accessor["normalized"] is True
    return glb


def check_textured(data: bytes) -> Glb:
    """Asserts what a valid, plain mesh with a texture inside the file must hold."""
    glb = parse(data)
    _check_buffer(glb)
    position, place = _check_shape(glb), glb.attribute("TEXCOORD_0")
    assert len(place) == len(position)
    assert np.isfinite(place).all()
    (material,), (texture,), (image,) = (glb.document[name] for name in ("materials", "textures", "images"))
    assert material["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0}
    assert texture["source"] == 0
    assert 0 <= texture["sampler"] < len(glb.document["samplers"])
    assert image["mimeType"] == "image/png"
    view = glb.document["bufferViews"][image["bufferView"]]
    assert "target" not in view
    assert glb.body[view["byteOffset"] :].startswith(b"\x89PNG")
    return glb


def _check_buffer(glb: Glb) -> None:
    document = glb.document
    assert document["asset"]["version"] == "2.0"
    assert document["buffers"][0]["byteLength"] == len(glb.body)
    used = 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] >= used
        used = view["byteOffset"] + view["byteLength"]
    assert used <= len(glb.body) < used + 4
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        size = np.dtype(COMPONENTS[accessor["componentType"]]).itemsize * WIDTHS[accessor["type"]]
        assert accessor["count"] * size == view["byteLength"]
        assert view["target"] == 34963 or size % 4 == 0
    assert set(document.get("extensionsRequired", [])) == set()


def _check_shape(glb: Glb) -> NDArray[Any]:
    """Positions, normals and indices; returns the positions."""
    position, normal = glb.attribute("POSITION"), glb.attribute("NORMAL")
    bounds = glb.document["accessors"][glb.primitive["attributes"]["POSITION"]]
    assert np.array_equal(np.array(bounds["min"], np.float64), position.min(axis=0).astype(np.float64))
    assert np.array_equal(np.array(bounds["max"], np.float64), position.max(axis=0).astype(np.float64))
    assert np.isfinite(position).all()
    assert np.abs(np.linalg.norm(normal.astype(np.float64), axis=1) - 1).max() < 5e-4
    assert len(position) == len(normal)
    indices = glb.indices
    assert len(indices) % 3 == 0
    assert indices.max() < len(position)
    assert indices.max() != np.iinfo(indices.dtype).max
    return position
