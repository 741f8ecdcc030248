"""What one sees must face one: matter that shows its back is fog.

Shape suffix: S samples.
"""

from __future__ import annotations

from torch import Tensor


def orientation(normals_S3: Tensor, directions_S3: Tensor, weight_S: Tensor, n_rays: int) -> Tensor:
    """``1/N sum stopgrad(w) max(0, n . d)^2`` (Ref-NeRF: Verbin et al. 2022, equation 11; DreamFusion, Make-It-3D).

    The weight is a constant: the loss may turn a surface, but not dissolve it. It is the sample's share in the
    picture and not its own opacity, so that the inside of a solid, where normals mean nothing, does not count.

    Args:
        normals_S3: (S, 3) outward unit normals.
        directions_S3: (S, 3) unit directions of the rays, away from the camera.
        weight_S: (S,) weights of the samples in their rays.
        n_rays: N, rays rendered, those without samples included.
    """
    away_S = (normals_S3 * directions_S3).sum(-1).clamp_min(0)
    return (weight_S.detach() * away_S.square()).sum() / max(n_rays, 1)
