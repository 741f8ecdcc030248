"""Other colours for a lifted asset, its geometry as it is (Make-It-3D: Tang et al. 2023, texture modification).

An edited picture of the subject, or words, and stage two alone: the surface is read back from the asset's own file.
"""

from lift3d_ray.edit.editing import edit_by_picture, edit_by_prompt
from lift3d_ray.edit.lifted import LiftedAsset, read_lifted
from lift3d_ray.edit.picture import edited_subject
from lift3d_ray.edit.settings import picture_recipe, prompt_recipe

__all__ = [
    "LiftedAsset",
    "edit_by_picture",
    "edit_by_prompt",
    "edited_subject",
    "picture_recipe",
    "prompt_recipe",
    "read_lifted",
]
