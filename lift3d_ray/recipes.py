"""Whole recipes by name: every number of a lift, typed, frozen, printable, and with a digest that names the work.

A recipe touches no disk and holds no model. Its digest enters the resume key, so a changed number is new work.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from lift3d_ray.errors import ConfigError


class Conditioning(StrEnum):
    """What a guidance term tells the prior about the subject."""

    TEXT = "text"
    VIEW = "view"
    DEPTH = "depth"


class DepthHint(StrEnum):
    """Whose depth the prior is told of novel views in the coarse stage."""

    FIELD = "field"
    CLOUD = "cloud"


class Quality(StrEnum):
    """How long a lift may take."""

    DRAFT = "draft"
    STANDARD = "standard"
    FINE = "fine"


@dataclass(frozen=True, kw_only=True)
class GuidanceTerm:
    """One question to the prior at every step.

    Attributes:
        conditioning: words, the reference picture and the relative pose, or words with depth (``OptimizeConfig.hint``).
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
class CaptionConfig:
    """Finding the words.

    Attributes:
        candidates: captions to choose from by their agreement with the picture (CLIP): the most likely one first, the
            others drawn by nucleus sampling; 1 = the most likely one as it is.
        nucleus: probability mass of the words that may be drawn (top-p: Holtzman et al. 2020).
    """

    candidates: int = 1
    nucleus: float = 0.9

    def __post_init__(self) -> None:
        _require(self.candidates >= 1, f"candidates must be at least 1, got {self.candidates}")
        _require(0 < self.nucleus <= 1, f"nucleus must lie in (0, 1], got {self.nucleus}")


_SPEAKS = re.compile(r"[^{}]*\{(?:caption|word)\}[^{}]*")


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """Learning a word for the subject from its own picture (textual inversion: Gal et al. 2022).

    Attributes:
        steps: optimiser steps; 0 = the caption stays as it is. Anything-3D takes 500.
        rate: AdamW's rate as a share of the size of the first guess's entries, decayed linearly to 0. Stable
            Diffusion's entries are of about 0.0144, so that Anything-3D's 0.002 is 0.14.
        batch: pictures a step.
        norm_pull: share of the way that a vector's length is pulled back to its first guess's at every step, decayed
            like the rate.
        templates: what is said around the word, one drawn for every picture: ``{caption}`` is the caption with the word
            in the keyword's place, ``{word}`` is the word alone.
        flip: probability of a picture to be mirrored.
        jitter: largest change of brightness and contrast.
        zoom: largest change of the size.
        shift: largest shift, as a share of the picture's side.
        timesteps: (low, high) fractions of the schedule drawn from.
        held_out: drawings (picture, noise, timestep) on which what it gave is measured.
    """

    steps: int = 0
    rate: float = 0.14
    batch: int = 4
    norm_pull: float = 0.2
    templates: tuple[str, ...] = ("{caption}", "{caption}", "a {word}", "a photo of a {word}")
    flip: float = 0.5
    jitter: float = 0.1
    zoom: float = 0.1
    shift: float = 0.05
    timesteps: tuple[float, float] = (0.02, 0.98)
    held_out: int = 64

    def __post_init__(self) -> None:
        _require(self.steps >= 0, f"inversion steps must be >= 0, got {self.steps}")
        _require(min(self.batch, self.held_out) >= 1, f"batch and held_out must be >= 1, got {self}")
        _require(self.rate > 0, f"inversion needs a positive rate, got {self.rate}")
        for name in ("norm_pull", "flip", "jitter", "zoom", "shift"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"inversion's {name} must lie in [0, 1], got {value}")
        _require(
            bool(self.templates) and all(_SPEAKS.fullmatch(text) for text in self.templates),
            f"every template must hold either {{caption}} or {{word}}, once, and no other braces; got {self.templates}",
        )
        low, high = self.timesteps
        _require(0 <= low <= high <= 1, f"timesteps must satisfy 0 <= low <= high <= 1, got {self.timesteps}")


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the losses, by what they ask.

    Attributes:
        color: reference colours (mean absolute error).
        mask: reference silhouette (mean squared error).
        depth: 1 - Pearson correlation of the reference depth. At 0.05 and at 0.15 it gave 0.1 dB more than at 0.01.
        latent: score distillation in latents, || z - x0 ||^2.
        image: the same in pictures: mean absolute error against the decoded x0.
        chained: the same of fields that hold latents, (z - x0)^2 over twice the noise (``optimize.latent_field``), in
            place of the two.
        entropy: binary entropy of novel opacities.
        opacity: mean novel opacity.
        emptiness: log(1 + 10 w) over the samples of novel rays, 20 times as much in the second half (3DFuse).
        smooth_density: squared Laplacian of the raw density: bends cost, slopes do not.
        smooth_color: squared differences of the raw colour between neighbours; of latents as often more as a latent
            cell covers voxels.
        clip_denoised: CLIP's distance to the photo of the prior's clean estimates at small timesteps, which are then
            not distilled (CLIP-D).
        clip_image: CLIP's distance of novel views to the photo, less for views turned away.
        clip_text: the same to the caption.
        orientation: what is seen must not face away.
        smooth_normals: what is seen must face the same way a voxel aside.
    """

    color: float = 2.0
    mask: float = 4.0
    depth: float = 0.1
    latent: float = 0.0
    image: float = 1.0
    chained: float = 1.0
    entropy: float = 0.02
    opacity: float = 0.0
    emptiness: float = 0.0
    smooth_density: float = 0.2
    smooth_color: float = 0.005
    clip_denoised: float = 0.0
    clip_image: float = 0.0
    clip_text: float = 0.0
    orientation: float = 0.0
    smooth_normals: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _require(math.isfinite(value) and value >= 0, f"loss weight {name} must be >= 0, got {value}")

    @property
    def ask_clip(self) -> bool:
        """Whether a scene needs CLIP in its own process, for the gradients."""
        return max(self.clip_denoised, self.clip_image, self.clip_text) > 0


@dataclass(frozen=True, kw_only=True)
class ShadingConfig:
    """Novel views under a lamp near the camera.

    Attributes:
        after: share of the steps done before any view is lit; 1 = never.
        albedo: chance of a view to be shown as it is ...
        lambertian: ... under the lamp ...
        textureless: ... or so and without its colours. The three sum to 1.
        ambient: light from everywhere, the rest is the lamp's.
    """

    after: float = 1.0
    albedo: float = 0.5
    lambertian: float = 0.4
    textureless: float = 0.1
    ambient: float = 0.1

    def __post_init__(self) -> None:
        chances = (self.albedo, self.lambertian, self.textureless)
        _require(0 <= self.after <= 1, f"after is a share of the steps, in [0, 1], got {self.after}")
        _require(min(chances) >= 0 and math.isclose(sum(chances), 1), f"chances must sum to 1, got {chances}")
        _require(0 <= self.ambient <= 1, f"ambient must lie in [0, 1], got {self.ambient}")


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
        clip_below: fraction of the schedule below which CLIP judges clean estimates, where the losses ask it to.
        shading: light on the novel views.
        reference_jitter: deviation by which the photo's camera is moved (world units) and turned (as much at distance
            1) at every step.
        back_negative: what the prior is told not to show from behind, such as "face".
        blend_prompts: whether front, side and back prompts turn into each other as a view goes round, or switch.
        cloud_start: start from the bundle's point cloud, as Anything-3D does, instead of its coarse solid.
        hint: whose depth terms conditioned on it tell the prior: the field's own at that step, or, as in Anything-3D,
            that of a cloud which stays as it was at first: the one that the field starts from, or points of the surface
            that it starts from.
        hint_radius: of the discs that its points are drawn as, world units; 0 = a pixel each, so that the map is as
            sparse as Anything-3D's.
        latent_field: the field holds the prior's latents instead of colours, as 3DFuse's does, and is rendered as the
            prior takes it; at the end colours are fitted to its decoded views.
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
    clip_below: float = 0.4
    shading: ShadingConfig = field(default_factory=ShadingConfig)
    reference_jitter: float = 0.0
    back_negative: str = ""
    blend_prompts: bool = False
    cloud_start: bool = False
    hint: DepthHint = DepthHint.FIELD
    hint_radius: float = 0.04
    latent_field: bool = False

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
        _require(0 < self.clip_below <= 1, f"clip_below must lie in (0, 1], got {self.clip_below}")
        jitter = self.reference_jitter
        _require(0 <= jitter < 0.1, f"reference_jitter must lie in [0, 0.1), got {jitter}")
        _require(0 <= self.hint_radius <= 0.5, f"hint_radius must lie in [0, 0.5], got {self.hint_radius}")


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
        symmetry: how far, on the mean and in world units, the surface may lie from its mirror image for the photo's
            mirror image to be laid on what the photo does not see; 0 = never.
        mirror_solid: where that is so, what the photo hides of the solid has also what its mirror image shows there.
        likeness: how far, root mean square in sRGB, the colours of seen places may differ from one another to stand for
            hidden places as high, as far from the axis and facing alike; 0 = never.
        points: surface points of the cloud.
        turntable_frames: views of the turntable.
        turntable_px: side of its frames.
    """

    resolution: int = 112
    level: float = -0.1
    faces: int = 24000
    blur_voxels: float = 0.7
    smooth_iterations: int = 6
    symmetry: float = 0.05
    mirror_solid: bool = True
    likeness: float = 0.2
    points: int = 20000
    turntable_frames: int = 36
    turntable_px: int = 256

    def __post_init__(self) -> None:
        for name in ("symmetry", "likeness"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, f"mesh {name} must be >= 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """Stage two: the coarse result as a textured point cloud, its colours refined, its surface as it is.

    With these numbers 80 steps brought five held-out toys, lifted at ``draft``, 0.04 dB and 0.002 of LPIPS distance
    nearer to the truth from all round; with the prior at 1 they gained 0.09 dB and lost 0.001 of LPIPS.

    Attributes:
        steps: optimiser steps; 0 = no stage two.
        size_px: side of the drawn pictures, a multiple of 4.
        point_px: side of the depth pictures whose pixels become points.
        viewpoints: fixed cameras all round, beside the photo's.
        views: of them a step.
        descriptors: learnt channels of a point beside its colour.
        nearest: points drawn in a pixel.
        radius: of a point, in pixels of the depth pictures.
        width: channels of the deferred renderer at full size.
        learning_rate: Adam's rate on renderer and descriptors ...
        color_rate: ... and on the points' colours.
        timesteps: (low, high) fractions of the prior's schedule.
        reference: weight of the photo's colours (mean absolute error).
        prior: of the prior's clean estimates (mean absolute error).
        similarity: of the likeness to the photo in feature space, fading towards the back.
        contextual: of the contextual loss on the same features.
        background: of white where there is no point.
        anchor: how firmly points that the photo does not see keep their colours (mean squared error) ...
        anchor_seen: ... and those that it sees.
        texture_px: side of the exported texture, a power of two.
    """

    steps: int = 0
    size_px: int = 64
    point_px: int = 128
    viewpoints: int = 16
    views: int = 2
    descriptors: int = 8
    nearest: int = 8
    radius: float = 1.2
    width: int = 8
    learning_rate: float = 3e-3
    color_rate: float = 5e-3
    timesteps: tuple[float, float] = (0.2, 0.6)
    reference: float = 5.0
    prior: float = 0.2
    similarity: float = 0.05
    contextual: float = 0.005
    background: float = 0.1
    anchor: float = 1.0
    anchor_seen: float = 100.0
    texture_px: int = 1024

    def __post_init__(self) -> None:
        _require(self.steps >= 0, f"refine steps must be 0 or more, got {self.steps}")
        _require(
            self.size_px >= 16 and self.size_px % 4 == 0,
            f"size_px must be a multiple of 4, at least 16, got {self.size_px}",
        )
        counts = (self.point_px, self.viewpoints, self.views, self.nearest, self.descriptors)
        _require(min(counts) >= 1, f"points, views, nearest and descriptors must be >= 1, got {counts}")
        _require(self.views <= self.viewpoints, f"views must be at most the viewpoints, got {self.views}")
        _require(
            self.width >= 4 and self.width % 4 == 0, f"width must be a multiple of 4, at least 4, got {self.width}"
        )
        _require(
            self.texture_px >= 64 and self.texture_px & (self.texture_px - 1) == 0,
            f"texture_px must be a power of two, at least 64, got {self.texture_px}",
        )
        for name in ("radius", "learning_rate"):
            _require(getattr(self, name) > 0, f"{name} must be positive, got {getattr(self, name)}")
        low, high = self.timesteps
        _require(0 < low <= high < 1, f"timesteps must satisfy 0 < low <= high < 1, got {self.timesteps}")
        weights = ("color_rate", "reference", "prior", "similarity", "contextual", "background")
        for name in (*weights, "anchor", "anchor_seen"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, f"refine {name} must be >= 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a lift but the picture, the models and the seed.

    Attributes:
        name: published method it follows.
        quality: how long it may take.
        guidance: questions to the prior; empty = no prior.
        subject, caption, inversion, pose, optimize, losses, mesh, refine: the stages' own settings.
    """

    name: str
    quality: Quality
    guidance: tuple[GuidanceTerm, ...]
    subject: SubjectConfig = field(default_factory=SubjectConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    inversion: InversionConfig = field(default_factory=InversionConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)

    def __post_init__(self) -> None:
        asked = self.losses
        pictured = {
            "optimize.drawn_views": self.optimize.drawn_views > 0,
            "optimize.shading": self.optimize.shading.after < 1,
            "losses.clip_*": asked.ask_clip,
            "losses.orientation": asked.orientation > 0,
            "losses.smooth_normals": asked.smooth_normals > 0,
        }
        wrong = [name for name, asks in pictured.items() if asks]
        _require(
            not (self.optimize.latent_field and wrong),
            f"a field of latents has no pictures to look at while it is fitted: turn off {', '.join(wrong)}, "
            "or optimize.latent_field",
        )

    @property
    def asks_depth(self) -> bool:
        """Whether the prior is told depth."""
        return any(term.conditioning is Conditioning.DEPTH for term in self.guidance)

    @property
    def hints_by_cloud(self) -> bool:
        """Whether that depth is a cloud's."""
        return self.asks_depth and self.optimize.hint is DepthHint.CLOUD

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
    """Anything-3D (Shen et al. 2023), coarse stage: words and depth lead, the view-conditioned prior steadies them.

    The first guess's depth, as points, is told instead of the field's own: on fifteen held-out toys 0.13 dB and 0.006
    of IoU better.
    """
    return _sized(
        Recipe(
            name="anything-3d",
            quality=quality,
            guidance=(
                GuidanceTerm(conditioning=Conditioning.VIEW, scale=1.0, weight=0.5),
                GuidanceTerm(conditioning=Conditioning.DEPTH, scale=3.0, weight=0.5),
            ),
            optimize=OptimizeConfig(hint=DepthHint.CLOUD),
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
