"""Triangle meshes: the plain data of one piece of a toy, and how it is moved about."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float32]
Int = NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """A closed, outward-wound triangle mesh with shading normals and pattern coordinates.

    Attributes:
        vertices: (N, 3) float32 positions; vertices are duplicated along creases and seams.
        faces: (F, 3) int32 vertex indices, counter-clockwise seen from outside.
        normals: (N, 3) float32 unit shading normals.
        uv: (N, 2) float32 pattern coordinates. ``v`` is a length along the surface; ``u`` is a
            length as well, or a turn in [0, 1] where ``wrap`` is positive.
        wrap: length of one whole turn of ``u``, or 0 where ``u`` is itself a length.
    """

    vertices: Float
    faces: Int
    normals: Float
    uv: Float
    wrap: float = 0.0

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Returns the mesh shifted by (x, y, z)."""
        return replace(self, vertices=self.vertices + np.array([x, y, z], np.float32))

    def turn(self, axis: str, degrees: float) -> Mesh:
        """Returns the mesh rotated about a coordinate axis through the origin.

        Args:
            axis: ``"x"``, ``"y"`` or ``"z"``.
            degrees: right-handed angle in degrees.
        """
        matrix = rotation(axis, degrees)
        return replace(
            self, vertices=self.vertices @ matrix.T, normals=self.normals @ matrix.T
        )

    def stretch(self, x: float, y: float, z: float) -> Mesh:
        """Returns the mesh scaled about the origin by positive factors along the axes."""
        factors = np.array([x, y, z], np.float32)
        across = 0.5 * (x + z)
        uv = self.uv * np.array([1.0 if self.wrap else across, y], np.float32)
        return replace(
            self,
            vertices=self.vertices * factors,
            normals=unit(self.normals / factors),
            uv=uv.astype(np.float32),
            wrap=self.wrap * across,
        )

    def mirror(self) -> Mesh:
        """Returns the mesh reflected in the plane x = 0, still wound outwards."""
        flip = np.array([-1.0, 1.0, 1.0], np.float32)
        return replace(
            self,
            vertices=self.vertices * flip,
            normals=self.normals * flip,
            faces=self.faces[:, ::-1].copy(),
        )

    def signed_volume(self) -> float:
        """Returns the enclosed volume; positive where the mesh is wound outwards."""
        a, b, c = (self.vertices[self.faces[:, k]].astype(np.float64) for k in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def unit(vectors: Float) -> Float:
    """Scales vectors (..., 3) to unit length, leaving zero vectors zero."""
    length = np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def rotation(axis: str, degrees: float) -> Float:
    """Returns the (3, 3) right-handed rotation about a coordinate axis, angle in degrees."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[i, i] = matrix[j, j] = cos
    matrix[i, j], matrix[j, i] = -sin, sin
    return matrix


def merge(meshes: list[Mesh]) -> Mesh:
    """Joins meshes that share the meaning of ``u`` (all lengths, or all of one ``wrap``)."""
    starts = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        vertices=np.concatenate([m.vertices for m in meshes]),
        faces=np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)]).astype(np.int32),
        normals=np.concatenate([m.normals for m in meshes]),
        uv=np.concatenate([m.uv for m in meshes]),
        wrap=meshes[0].wrap,
    )


def outward(mesh: Mesh) -> Mesh:
    """Returns the mesh with winding and normals flipped if it was inside out."""
    if mesh.signed_volume() >= 0.0:
        return mesh
    return replace(mesh, faces=mesh.faces[:, ::-1].copy(), normals=-mesh.normals)


def flat_polygon(points: ArrayLike, uv: ArrayLike) -> Mesh:
    """A flat star-shaped polygon as a fan about its middle.

    Args:
        points: (K, 3) corners, counter-clockwise seen from the side that is to be outside.
        uv: (K, 2) pattern coordinates of the corners, in lengths.
    """
    ring = np.asarray(points, np.float32)
    vertices = np.concatenate([ring, ring.mean(0, keepdims=True)])
    coordinates = np.asarray(uv, np.float32)
    coordinates = np.concatenate([coordinates, coordinates.mean(0, keepdims=True)])
    count = len(ring)
    index = np.arange(count)
    faces = np.stack([index, (index + 1) % count, np.full(count, count)], 1)
    area = np.cross(ring, np.roll(ring, -1, 0)).sum(0)
    normals = np.broadcast_to(unit(area.astype(np.float32)), vertices.shape).copy()
    return Mesh(vertices, faces.astype(np.int32), normals, coordinates)
