"""The coarse stage: a field pulled by the photo in front and by the prior all round."""

from lift3d_ray.optimize.fit import Fitted, fit
from lift3d_ray.optimize.scene import Scene, prepare_scene

__all__ = ["Fitted", "Scene", "fit", "prepare_scene"]
