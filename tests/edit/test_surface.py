"""A GLB read back: every position to the bit, colours as near as the file holds them."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from lift3d_ray.edit.glb import GlbSurface, read_glb
from lift3d_ray.edit.surface import FINE_VERTICES, read_surface
from lift3d_ray.errors import InputError
from lift3d_ray.export.glb import glb_bytes, linear_to_srgb, srgb_to_linear
from lift3d_ray.export.textured_glb import textured_glb_bytes
from lift3d_ray.mesh.geometry import is_watertight
from lift3d_ray.types import Mesh
from tests.edit.folders import triangles
from tests.export.assets import colourful_ball

TEXTURE_PX = 256


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return colourful_ball()


@pytest.fixture(scope="module")
def plain(mesh: Mesh) -> GlbSurface:
    return read_glb(glb_bytes(mesh, name="ball"), name="asset.glb")


def test_linear_light_turns_back_into_srgb() -> None:
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-5)


def test_positions_come_back_to_the_bit_and_colours_nearly(mesh: Mesh, plain: GlbSurface) -> None:
    np.testing.assert_array_equal(plain.vertices_N3, mesh.vertices_N3)
    np.testing.assert_array_equal(plain.faces_F3, mesh.faces_F3)
    assert plain.colors_N3 is not None
    np.testing.assert_allclose(plain.colors_N3, mesh.colors_N3, atol=1e-3)
    np.testing.assert_allclose(plain.normals_N3, mesh.normals_N3, atol=1e-6)


def test_unwrapping_moves_no_vertex_and_keeps_the_colours(plain: GlbSurface) -> None:
    surface = read_surface(plain, texture_px=TEXTURE_PX)
    assert np.array_equal(
        triangles(plain.vertices_N3, plain.faces_F3), triangles(surface.atlas.vertices_N3, surface.atlas.faces_F3)
    )
    wanted = np.clip(surface.atlas.xyz_T3 * 0.6 + 0.5, 0, 1)
    np.testing.assert_allclose(surface.rgb_T3, wanted, atol=0.01)


def test_a_texture_keeps_its_layout_and_its_seams_are_joined_to_look_at(plain: GlbSurface) -> None:
    first = read_surface(plain, texture_px=TEXTURE_PX).textured()
    glb = read_glb(textured_glb_bytes(first, name="ball"), name="asset.glb")
    surface = read_surface(glb, texture_px=64)
    again = surface.textured()
    np.testing.assert_array_equal(again.vertices_N3, first.vertices_N3)
    np.testing.assert_array_equal(again.faces_F3, first.faces_F3)
    np.testing.assert_array_equal(again.uv_N2, first.uv_N2)
    np.testing.assert_array_equal(again.texture_SSC, first.texture_SSC)
    assert not is_watertight(again.faces_F3)
    assert is_watertight(surface.mesh.faces_F3)
    assert len(surface.mesh.vertices_N3) >= FINE_VERTICES / 2
    wanted = np.clip(surface.mesh.vertices_N3 * 0.6 + 0.5, 0, 1)
    np.testing.assert_allclose(surface.mesh.colors_N3, wanted, atol=0.03)


def test_what_is_no_glb_of_ours_is_refused_in_words(mesh: Mesh) -> None:
    whole = glb_bytes(mesh, name="ball")
    text = json.dumps({"asset": {"version": "2.0"}, "meshes": []}).encode()
    text += b" " * (-len(text) % 4)
    other = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text
    for data in (b"", b"solid ball", whole[:-100], other):
        with pytest.raises(InputError, match=r"asset\.glb is damaged or was not written by lift3d-ray"):
            read_glb(data, name="asset.glb")
