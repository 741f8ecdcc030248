"""Stage two of Make-It-3D (Tang et al. 2023): the coarse result as a textured point cloud, drawn by a small network.

The surface stands still and its colours are refined: points with learnt descriptors are rasterised and a deferred
renderer draws them, pulled by the photo in front and by the prior all round. What changed is baked back onto the mesh.
"""

from lift3d_ray.refine.baking import Baked, bake
from lift3d_ray.refine.fit import Refined, refine
from lift3d_ray.refine.points import TexturedPoints, textured_points

__all__ = ["Baked", "Refined", "TexturedPoints", "bake", "refine", "textured_points"]
