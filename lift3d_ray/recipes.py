"""Whole recipes by name: every number of a lift, typed, frozen, printable, and with a digest that names the work.

A recipe touches no disk and holds no model. Its digest enters the resume key, so a changed number is new work.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from lift3d_ray.errors import ConfigError


class Conditioning(StrEnum):
    """What a guidance term tells the prior about the subject."""

    TEXT = "text"
    VIEW = "view"
    DEPTH = "depth"


class Quality(StrEnum):
    """How long a lift may take."""

    DRAFT = "draft"
    STANDARD = "standard"
    FINE = "fine"


@dataclass(frozen=True, kw_only=True)
class GuidanceTerm:
    """One question to the prior at every step.

    Attributes:
        conditioning: words, the reference picture and the relative pose, or words with the field's own depth.
        scale: classifier-free guidance scale s in ``u + s (c - u)``.
        weight: share of this term in the mix.
    """

    conditioning: Conditioning
    scale: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        _require(self.scale >= 0 and self.weight > 0, f"a term needs scale >= 0 and weight > 0, got {self}")


@dataclass(frozen=True, kw_only=True)
class SubjectConfig:
    """The subject's own picture.

    Attributes:
        size_px: side of the crop.
        fill: part of the side that the subject's longer side takes; the embedded view prior was trained around 0.8.
    """

    size_px: int = 256
    fill: float = 0.8

    def __post_init__(self) -> None:
        _require(self.size_px >= 64, f"size_px must be at least 64, got {self.size_px}")
        _require(0.3 <= self.fill <= 1, f"fill must lie in [0.3, 1], got {self.fill}")


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """Finding how the photo looks at its subject.

    Attributes:
        elevations_deg: candidates to compare; one candidate = assume it.
        draws: drawings that the framing is measured in.
        steps: sampling steps a drawing.
        noises: noises under which every candidate is tried.
    """

    elevations_deg: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0, 40.0)
    draws: int = 8
    steps: int = 8
    noises: int = 6

    def __post_init__(self) -> None:
        _require(len(self.elevations_deg) >= 1, "pose needs at least one candidate elevation")
        _require(min(self.draws, self.steps, self.noises) >= 1, f"draws, steps and noises must be >= 1, got {self}")


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses, by what they ask.

    Attributes:
        color: reference colours (mean absolute error).
        mask: reference silhouette (mean squared error).
        depth: 1 - Pearson correlation of the reference depth. At 0.05 and at 0.15 it gave 0.1 dB more than at 0.01.
        latent: score distillation in latents, || z - x0 ||^2.
        image: the same in pictures: mean absolute error against the decoded x0.
        entropy: binary entropy of novel opacities.
        opacity: mean novel opacity.
        smooth_density: squared Laplacian of the raw density: bends cost, slopes do not.
        smooth_color: squared differences of the raw colour between neighbours.
    """

    color: float = 2.0
    mask: float = 4.0
    depth: float = 0.1
    latent: float = 0.0
    image: float = 1.0
    entropy: float = 0.02
    opacity: float = 0.0
    smooth_density: float = 0.2
    smooth_color: float = 0.005

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _require(math.isfinite(value) and value >= 0, f"loss weight {name} must be >= 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """The coarse stage.

    Attributes:
        steps: optimiser steps.
        resolutions: grid points along an axis; the steps are shared out equally among them.
        learning_rate: Adam's rate on raw colours, decayed to ``final_rate_fraction`` of it.
        density_rate: the rate on raw densities as a share of that. Slower, since the first guess of the shape is worth
            more than that of the colours: at the full rate a photo's stripes are carved as grooves.
        final_rate_fraction: see above.
        views: novel views a step.
        view_px: side of the rendered novel views; enlarged to the prior's size where smaller.
        reference_rays: rays of the reference picture a step.
        samples: samples along a ray across the ball, in units of the grid's resolution.
        timestep_start: (low, high) fractions of the schedule drawn from at the first step ...
        timestep_end: ... and at the last.
        azimuth_start_deg: novel views lie within this azimuth of the photo at the first step, 180 from half-way on.
        elevation_deg: range of the novel views' elevation.
        sharpness: slope of the density's sigmoid at the first and the last step.
        warmup_steps: steps with the reference alone.
        depth_trust: share of the estimated depth in the first guess of the front; the rest is the silhouette, inflated.
            Only asked where there is no coarse solid to start from.
        drawn_views: views drawn once by the prior and then fitted like photos; 0 = score distillation at every step.
        drawing_steps: sampling steps of such a drawing.
        cloud_start: start from the bundle's point cloud, as Anything-3D does, instead of its coarse solid.
    """

    steps: int = 300
    resolutions: tuple[int, ...] = (48, 64)
    learning_rate: float = 0.1
    density_rate: float = 0.3
    final_rate_fraction: float = 0.2
    views: int = 4
    view_px: int = 32
    reference_rays: int = 1536
    samples: float = 1.0
    timestep_start: tuple[float, float] = (0.5, 0.8)
    timestep_end: tuple[float, float] = (0.2, 0.4)
    azimuth_start_deg: float = 60.0
    elevation_deg: tuple[float, float] = (-10.0, 50.0)
    sharpness: tuple[float, float] = (30.0, 80.0)
    warmup_steps: int = 10
    depth_trust: float = 0.5
    drawn_views: int = 0
    drawing_steps: int = 16
    cloud_start: bool = False

    def __post_init__(self) -> None:
        _require(min(self.steps, self.views) >= 1, f"steps and views must be >= 1, got {self.steps}, {self.views}")
        _require(len(self.resolutions) >= 1, "the coarse stage needs at least one resolution")
        _require(min(self.resolutions) >= 8, f"resolutions must be at least 8, got {self.resolutions}")
        _require(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        _require(0 <= self.density_rate <= 1, f"density_rate must lie in [0, 1], got {self.density_rate}")
        for name in ("timestep_start", "timestep_end"):
            low, high = getattr(self, name)
            _require(0 < low <= high < 1, f"{name} must satisfy 0 < low <= high < 1, got {(low, high)}")
        _require(0 <= self.depth_trust <= 1, f"depth_trust must lie in [0, 1], got {self.depth_trust}")
        _require(self.drawn_views >= 0 and self.drawing_steps >= 1, f"drawings need counts >= 0 and >= 1, got {self}")
        _require(min(self.sharpness) > 0, f"sharpness must be positive, got {self.sharpness}")


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """From field to mesh.

    Attributes:
        resolution: grid points of the isosurface.
        level: raw density at which the field is cut, 0 = half solid. A little fog is opaque from outside: a lower level
            gives the silhouettes that the field was fitted with.
        faces: triangles to simplify to.
        blur_voxels: standard deviation of the blur of the density before it is cut, in voxels of that grid.
        smooth_iterations: Taubin smoothing passes.
        points: surface points of the cloud.
        turntable_frames: views of the turntable.
        turntable_px: side of its frames.
    """

    resolution: int = 112
    level: float = -0.1
    faces: int = 24000
    blur_voxels: float = 0.7
    smooth_iterations: int = 6
    points: int = 20000
    turntable_frames: int = 36
    turntable_px: int = 256


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a lift but the picture, the models and the seed.

    Attributes:
        name: published method it follows.
        quality: how long it may take.
        guidance: questions to the prior; empty = no prior.
        subject, pose, optimize, losses, mesh: the stages' own settings.
    """

    name: str
    quality: Quality
    guidance: tuple[GuidanceTerm, ...]
    subject: SubjectConfig = field(default_factory=SubjectConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    mesh: MeshConfig = field(default_factory=MeshConfig)

    @property
    def digest(self) -> str:
        """Hex digest of every number, 16 characters."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """All settings as JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)


def make_it_3d(quality: Quality = Quality.STANDARD) -> Recipe:
    """Make-It-3D (Tang et al. 2023), coarse stage: the reference picture leads, the view-conditioned prior fills in."""
    return _sized(
        Recipe(
            name="make-it-3d",
            quality=quality,
            guidance=(GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0),),
        )
    )


def anything_3d(quality: Quality = Quality.STANDARD) -> Recipe:
    """Anything-3D (Shen et al. 2023), coarse stage: words and depth lead, the view-conditioned prior steadies them."""
    return _sized(
        Recipe(
            name="anything-3d",
            quality=quality,
            guidance=(
                GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0, weight=0.5),
                GuidanceTerm(conditioning=Conditioning.DEPTH, scale=3.0, weight=0.5),
            ),
        )
    )


def _sized(recipe: Recipe) -> Recipe:
    """The recipe at its quality.

    Steps times rate stay about the same: the coarse solid is a good start, and a field that may go further from it
    ends worse, not better. Finer isosurfaces are blurred and smoothed over the same lengths, not over as many voxels.
    """
    optimize, mesh, pose = recipe.optimize, recipe.mesh, recipe.pose
    if recipe.quality is Quality.DRAFT:
        return replace(
            recipe,
            pose=replace(pose, draws=4, noises=4),
            optimize=replace(optimize, steps=120, learning_rate=0.05, resolutions=(48,), reference_rays=1024),
            mesh=replace(mesh, resolution=80, faces=12000, points=10000, turntable_frames=24),
        )
    if recipe.quality is Quality.FINE:
        return replace(
            recipe,
            optimize=replace(optimize, steps=700, learning_rate=0.0085, resolutions=(48, 64, 96)),
            mesh=replace(
                mesh, resolution=144, faces=48000, turntable_frames=48, blur_voxels=1.25, smooth_iterations=20
            ),
        )
    return replace(
        recipe,
        optimize=replace(optimize, learning_rate=0.02),
        mesh=replace(mesh, blur_voxels=1.0, smooth_iterations=12),
    )


RECIPES = {"make-it-3d": make_it_3d, "anything-3d": anything_3d}
"""The named recipes."""


def by_name(name: str, quality: str = "standard") -> Recipe:
    """A named recipe.

    Raises:
        ConfigError: unknown name or quality.
    """
    if name not in RECIPES:
        raise ConfigError(f"unknown recipe {name!r}: choose one of {', '.join(sorted(RECIPES))}")
    if quality not in {q.value for q in Quality}:
        raise ConfigError(f"unknown quality {quality!r}: choose one of {', '.join(q.value for q in Quality)}")
    return RECIPES[name](Quality(quality))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
