"""How the photo looks at its subject: elevation and framing, found by asking the prior to draw the photo again."""

from lift3d_ray.pose.estimate import assumed_pose, estimate_pose

__all__ = ["assumed_pose", "estimate_pose"]
