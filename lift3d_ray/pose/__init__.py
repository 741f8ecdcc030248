"""How the photo looks at its subject: elevation and framing, read off it, or found by asking the prior to redraw it."""

from lift3d_ray.pose.containment import contained
from lift3d_ray.pose.estimate import assumed_pose, estimate_pose
from lift3d_ray.pose.regress import regress_pose

__all__ = ["assumed_pose", "contained", "estimate_pose", "regress_pose"]
