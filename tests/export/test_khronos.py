from __future__ import annotations

from pathlib import Path

import numpy as np

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.export.glb import glb_bytes
from lift3d_ray.mesh.colors import color_mesh
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.simplify import simplify
from tests.export.assets import colourful_ball
from tests.export.glb_check import parse
from tests.export.khronos import judge
from tests.mesh.shapes import flat, photographed, square


def test_the_khronos_validator_finds_nothing(tmp_path: Path) -> None:
    ball = colourful_ball(40)
    c2w = orbit_c2w(0, 20)[0]
    thin = simplify(ball.vertices_N3, ball.faces_F3, target_faces=1000)
    lifted = color_mesh(*thin, flat(0.2, 0.3, 0.9), PhotoView(subject=photographed(ball, c2w, size=96), c2w_44=c2w))
    meshes = {"ball.glb": ball, "square.glb": square(), "lifted.glb": lifted}
    for name, mesh in meshes.items():
        (tmp_path / name).write_bytes(glb_bytes(mesh, name='a "ball" <ä>', extras={"caption": "ä", "seed": 1}))
    for path, issues in judge(*(tmp_path / name for name in meshes)).items():
        assert issues["messages"] == [], path


def test_the_khronos_validator_would_tell(tmp_path: Path) -> None:
    data = glb_bytes(square(), name="x")
    body = parse(data).body
    broken = np.frombuffer(body, "<f4", 1).copy() + 9
    path = tmp_path / "broken.glb"
    path.write_bytes(data[: len(data) - len(body)] + broken.tobytes() + body[4:])
    assert judge(path)[str(path)]["numErrors"] > 0
