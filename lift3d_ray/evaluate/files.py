"""Exams from mesh files: textured models that are no toys, lit as toys are and seen from all round.

Frames: as the file says, +Y up, then centred by the bounding box, the farthest vertex at distance 1.

Shape suffixes: N vertices, F faces, M materials, P covered samples, V views, S picture side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lift3d_ray.errors import ConfigError, InputError
from lift3d_ray.export.glb import linear_to_srgb, srgb_to_linear
from lift3d_ray.mesh.geometry import Int32, unit
from lift3d_ray.mesh.rasterize import cast
from lift3d_ray.mesh.zbuffer import Hits
from lift3d_ray.types import Float32, UInt8

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
SUPERSAMPLE = 3
SURFACE_POINTS = 4096
_LIGHT = np.array([0.45, 0.75, 0.5], dtype=np.float32)
_AMBIENT, _SKY, _CONTRAST = 0.54, 0.10, 0.44
"""As the matte toys are lit."""
_SAMPLES_A_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileMesh:
    """A textured model.

    Attributes:
        name: the file's, without its ending.
        vertices_N3: (N, 3) float32.
        normals_N3: (N, 3) float32 unit.
        uv_N2: (N, 2) float32 glTF texture coordinates, 0 where there are none.
        colors_N3: (N, 3) float32 linear colours of vertices, which files give in sRGB; 1 where there are none.
        faces_F3: (F, 3) int32.
        material_F: (F,) int32 rows of ``factors_M3`` and ``textures``.
        factors_M3: (M, 3) float32 linear base colours.
        textures: M pictures (H, W, 3) uint8 sRGB, or None.
        surface_N3: points spread over the surface, insides of double walls included.
    """

    name: str
    vertices_N3: Float32
    normals_N3: Float32
    uv_N2: Float32
    colors_N3: Float32
    faces_F3: Int32
    material_F: Int32
    factors_M3: Float32
    textures: tuple[UInt8 | None, ...]
    surface_N3: Float32


def mesh_files(folder: Path) -> list[Path]:
    """The mesh files of a folder, by name.

    Raises:
        ConfigError: no such folder, or none in it.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ConfigError(f"no mesh file in {folder}: wanted some of {', '.join(SUFFIXES)}")
    return found


def load_mesh_file(path: Path) -> FileMesh:
    """Read a model with its colours.

    Raises:
        InputError: not a mesh that can be read.
        ConfigError: the reader is not installed.
    """
    try:
        import trimesh
    except ImportError as error:
        raise ConfigError("exams from mesh files need trimesh: pip install 'lift3d-ray[evaluate]'") from error
    try:
        scene = trimesh.load_scene(path)
        parts = [_placed(scene, node) for node in scene.graph.nodes_geometry]
    except (ValueError, KeyError, TypeError, OSError, NotImplementedError) as error:
        raise InputError(f"{path} cannot be read as a mesh: {error}") from error
    parts = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not parts:
        raise InputError(f"{path} holds no faces")
    return _joined(path.stem, parts)


def _placed(scene: Any, node: str) -> Any:
    transform, name = scene.graph[node]
    part = scene.geometry[name].copy()
    part.apply_transform(transform)
    return part


def _joined(name: str, parts: list[trimesh.Trimesh]) -> FileMesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    vertices = vertices - (vertices.max(0) + vertices.min(0)) / 2
    vertices = vertices / np.linalg.norm(vertices, axis=1).max()
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32)
    looks = [_look(part) for part in parts]
    return FileMesh(
        name=name,
        vertices_N3=vertices.astype(np.float32),
        normals_N3=unit(np.concatenate([part.vertex_normals for part in parts])),
        uv_N2=np.concatenate([uv for uv, _, _, _ in looks]),
        colors_N3=np.concatenate([colors for _, colors, _, _ in looks]),
        faces_F3=faces,
        material_F=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.faces) for part in parts]),
        factors_M3=np.stack([factor for _, _, factor, _ in looks]),
        textures=tuple(texture for _, _, _, texture in looks),
        surface_N3=_surface(vertices, faces),
    )


def _look(part: trimesh.Trimesh) -> tuple[Float32, Float32, Float32, UInt8 | None]:
    """Texture coordinates, vertex colours, base colour and texture of one part."""
    count = len(part.vertices)
    uv: Float32 = np.zeros((count, 2), np.float32)
    colors: Float32 = np.ones((count, 3), np.float32)
    factor: Float32 = np.ones(3, np.float32)
    texture: UInt8 | None = None
    visual: Any = part.visual
    if visual.kind == "texture":
        material = visual.material.to_pbr() if hasattr(visual.material, "to_pbr") else visual.material
        if visual.uv is not None:
            uv = np.asarray(visual.uv, dtype=np.float32)
        if material.baseColorFactor is not None:
            factor = np.asarray(material.baseColorFactor[:3], dtype=np.float32) / np.float32(255)
        if material.baseColorTexture is not None:
            texture = np.asarray(material.baseColorTexture.convert("RGB"), dtype=np.uint8)
    elif visual.kind is not None:
        colors = srgb_to_linear(np.asarray(visual.vertex_colors[:, :3], dtype=np.float32) / np.float32(255))
    return uv, colors, factor, texture


def _surface(vertices_N3: NDArray[np.float64], faces_F3: Int32) -> Float32:
    corners = vertices_N3[faces_F3]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    rng = np.random.default_rng(0)
    chosen = corners[rng.choice(len(area), SURFACE_POINTS, p=area / area.sum())]
    root, along = np.sqrt(rng.random((SURFACE_POINTS, 1))), rng.random((SURFACE_POINTS, 1))
    points = (1 - root) * chosen[:, 0] + root * (1 - along) * chosen[:, 1] + root * along * chosen[:, 2]
    return points.astype(np.float32)


def draw(mesh: FileMesh, c2w_V44: Float32, size: int) -> tuple[Float32, Float32]:
    """Pictures of a model from V cameras, both sides of its faces drawn.

    Returns:
        (V, S, S, 3) float32 sRGB over white, and (V, S, S) float32 coverage.
    """
    fine = size * SUPERSAMPLE
    chunk = max(1, _SAMPLES_A_CHUNK // fine**2)
    pictures = [_draw(mesh, c2w_V44[k : k + chunk], size) for k in range(0, len(c2w_V44), chunk)]
    rgba = np.concatenate(pictures)
    return np.ascontiguousarray(rgba[..., :3] + (1 - rgba[..., 3:])), np.ascontiguousarray(rgba[..., 3])


def _draw(mesh: FileMesh, c2w_V44: Float32, size: int) -> Float32:
    """(V, S, S, 4) colour times coverage, and coverage."""
    fine, views = size * SUPERSAMPLE, len(c2w_V44)
    both = np.concatenate([mesh.faces_F3, mesh.faces_F3[:, ::-1]])
    hits = cast(mesh.vertices_N3, both, c2w_V44, size=fine)
    samples = np.zeros((views * fine * fine, 4), dtype=np.float32)
    samples[hits.pixel_P, :3] = _seen(mesh, hits, both, c2w_V44[hits.pixel_P // fine**2, :3, 3])
    samples[hits.pixel_P, 3] = 1
    blocks = samples.reshape(views, size, SUPERSAMPLE, size, SUPERSAMPLE, 4)
    return np.asarray(blocks.mean((2, 4)), dtype=np.float32)


def _seen(mesh: FileMesh, hits: Hits, both_F3: Int32, eye_P3: Float32) -> Float32:
    """(P, 3) lit sRGB colours of samples."""
    table = np.concatenate([mesh.vertices_N3, mesh.normals_N3, mesh.uv_N2, mesh.colors_N3], axis=1)
    carried = hits.interpolate(both_F3, table)
    normals = unit(carried[:, 3:6])
    # A wall seen from behind is lit as the side that is seen.
    normals *= np.where(((eye_P3 - carried[:, :3]) * normals).sum(1) < 0, -1, 1)[:, None].astype(np.float32)
    painted = _paint(mesh, mesh.material_F[hits.face_P % len(mesh.faces_F3)], carried[:, 6:8], carried[:, 8:])
    colour = linear_to_srgb(painted)
    facing = 0.5 + 0.5 * (normals @ unit(_LIGHT[None])[0])
    shade = _AMBIENT + _SKY * normals[:, 1] + _CONTRAST * facing * facing
    return np.asarray((colour * shade[:, None]).clip(0, 1), dtype=np.float32)


def _paint(mesh: FileMesh, material_P: Int32, uv_P2: Float32, colors_P3: Float32) -> Float32:
    """(P, 3) linear base colours; textures repeat, the nearest texel counts."""
    painted = mesh.factors_M3[material_P] * colors_P3
    for index, texture in enumerate(mesh.textures):
        own = np.flatnonzero(material_P == index)
        if texture is None or not len(own):
            continue
        height, width = texture.shape[:2]
        # trimesh turns the rows of glTF: v points up here.
        column = np.floor(uv_P2[own, 0] % 1 * width).astype(np.int64) % width
        row = np.floor((1 - uv_P2[own, 1]) % 1 * height).astype(np.int64) % height
        painted[own] *= srgb_to_linear(texture[row, column].astype(np.float32) / 255)
    return np.asarray(painted, dtype=np.float32)
