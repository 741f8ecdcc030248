"""The route on one page: photo, subject, caption, depth, pose, coarse shape, field, mesh, asset.

``lift`` is the whole of it in one process. A batch calls the same two halves on different machines: ``perceive`` where
the shared models are near, ``optimize`` in an actor of its own for every scene.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lift3d_ray import pose as pose_stage
from lift3d_ray.conditioning.caption import caption_of, split_view
from lift3d_ray.conditioning.depth import estimate_depth
from lift3d_ray.conditioning.inversion import Inverted, learn_word
from lift3d_ray.errors import ConfigError
from lift3d_ray.export.preview import contact_sheet
from lift3d_ray.export.turntable import turntable_frames
from lift3d_ray.guidance.answerable import answerable, left_unasked
from lift3d_ray.guidance.clip_d import Likeness
from lift3d_ray.mesh.photo_view import PhotoView
from lift3d_ray.mesh.rasterize import rasterize
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.mesh.surface import mesh_field
from lift3d_ray.models.bundle import (
    Bundle,
    load_coarse,
    load_codec,
    load_image_encoder,
    load_noise_schedule,
    load_point_cloud,
    load_pose,
    load_scene_clip,
)
from lift3d_ray.models.clip import ClipEncoder
from lift3d_ray.models.coarse import CoarseEstimator
from lift3d_ray.models.image_encoder import ImageEncoder
from lift3d_ray.models.latents import LatentCodec
from lift3d_ray.models.pose import PoseRegressor
from lift3d_ray.models.roles import Models, NoisePredictor, PointCloudGuesser
from lift3d_ray.models.schedule import NoiseSchedule
from lift3d_ray.optimize import Fitted, fit, prepare_scene
from lift3d_ray.optimize.hint import hint_cloud
from lift3d_ray.optimize.latent_photo import latent_photo
from lift3d_ray.optimize.likeness import subject_likeness
from lift3d_ray.optimize.painting import painted
from lift3d_ray.optimize.scene import Scene, resized, view_reference
from lift3d_ray.optimize.state import FitState, initial_state, restored
from lift3d_ray.recipes import Conditioning, Recipe
from lift3d_ray.refine import Baked, Refined, bake, refine
from lift3d_ray.subject.crop import crop_subject
from lift3d_ray.subject.select import AUTOMATIC, Selection, select_subject
from lift3d_ray.types import (
    Asset,
    ColoredPoints,
    MaskProposal,
    Mesh,
    Perception,
    Photo,
    Progress,
    ReferencePose,
    ViewReference,
)
from lift3d_ray.words_alone import refuse_pictures, remarks

if TYPE_CHECKING:
    from typing import Any

Report = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class SceneTools:
    """What a scene keeps in its own process: the codec for its gradients, and the prior's schedule.

    Attributes:
        codec: pictures to latents.
        schedule: the prior's training schedule.
        has_view_prior: whether a reference picture can condition the prior.
        has_depth_prior: whether depth can.
        has_text_prior: whether words alone can.
        device: where the field is optimised.
        pose: reads the pose off the subject; without it the prior is asked.
        image_encoder: what the view-conditioned prior knows the subject by beside its latents, where it was trained so.
        coarse: guesses the solid behind the photo; without it the silhouette is inflated.
        clip: what novel views are compared to the photo by, for recipes that ask for it.
        point_cloud: guesses the subject's surface as points, for recipes that start from them or hint at depth by them.
        has_point_cloud: whether the bundle can.
    """

    codec: LatentCodec
    schedule: NoiseSchedule
    has_view_prior: bool
    has_depth_prior: bool = True
    has_text_prior: bool = True
    device: str = "cpu"
    pose: PoseRegressor | None = None
    image_encoder: ImageEncoder | None = None
    coarse: CoarseEstimator | None = None
    clip: ClipEncoder | None = None
    point_cloud: PointCloudGuesser | None = None
    has_point_cloud: bool = False


def load_tools(bundle: Bundle, *, recipe: Recipe | None = None, device: str = "cpu") -> SceneTools:
    """What a scene keeps to itself, loaded from a bundle.

    Args:
        bundle: the weights.
        recipe: what only some recipes ask for is loaded where this one does.
        device: where the field is optimised.
    """
    asks_clip = recipe is not None and recipe.losses.ask_clip
    asks_cloud = recipe is not None and recipe.optimize.cloud_start
    return SceneTools(
        codec=load_codec(bundle, device=device),
        schedule=load_noise_schedule(bundle),
        has_view_prior=bundle.has_view_prior,
        has_depth_prior=bundle.has_depth_prior,
        has_text_prior=not bundle.takes_depth,
        device=device,
        pose=load_pose(bundle),
        image_encoder=load_image_encoder(bundle, device=device),
        coarse=load_coarse(bundle),
        clip=load_scene_clip(bundle, device=device) if asks_clip else None,
        point_cloud=load_point_cloud(bundle, device=device) if asks_cloud else None,
        has_point_cloud=bundle.has_point_cloud,
    )


def silent(progress: Progress) -> None:
    """A report that nobody reads."""


def lift(
    photo: Photo,
    models: Models,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    selection: Selection = AUTOMATIC,
    mask: MaskProposal | None = None,
    prompt: str | None = None,
    report: Report = silent,
) -> Asset:
    """Lift the subject of a photo to a 3D asset.

    Args:
        photo: the picture (``photo.read_photo``).
        models: the shared models, in-process or remote.
        recipe: all numbers.
        seed: the same seed gives the same asset on the same machine.
        tools: what the scene keeps to itself.
        selection: what to lift; the main subject by default.
        mask: the subject where it is chosen already, instead of ``selection``.
        prompt: the subject in words, instead of the captioner's.
        report: told about the stages.

    Raises:
        NoSubject: nothing could be cut out.
        PriorError: the prior failed.
        OptimizationFailed: the field diverged or came out empty.
    """
    perception = perceive(photo, models, recipe, selection=selection, mask=mask, prompt=prompt, report=report)
    return optimize(perception, models.prior, recipe, seed=seed, tools=tools, report=report)


def perceive(
    photo: Photo,
    models: Models,
    recipe: Recipe,
    *,
    selection: Selection = AUTOMATIC,
    mask: MaskProposal | None = None,
    prompt: str | None = None,
    report: Report = silent,
) -> Perception:
    """What the shared models see in a photo: subject, words, depth; arguments as of ``lift``."""
    report(Progress(stage="segment", step=0, steps=1))
    if mask is None:
        mask = select_subject(photo, models.segmenter, selection, models.clip)
    subject = crop_subject(photo, mask, size=recipe.subject.size_px, fill=recipe.subject.fill)
    report(Progress(stage="caption", step=0, steps=1))
    caption = caption_of(photo, subject, models.captioner, models.clip, recipe.caption)
    if prompt is not None:
        _, view = split_view(caption)
        caption = prompt if view is None else f"{prompt}, {view.value} view"
    report(Progress(stage="depth", step=0, steps=1))
    return Perception(
        subject=subject,
        caption=caption,
        disparity_HW=estimate_depth(subject, models.depth),
        drawing_HWC=photo.rgb_HWC if photo.drawn else None,
    )


def optimize(
    perception: Perception,
    prior: NoisePredictor,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    report: Report = silent,
    checkpoint: Callable[[dict[str, Any]], None] | None = None,
    resume_from: dict[str, Any] | None = None,
) -> Asset:
    """Pose, field, mesh and pictures of one perceived subject.

    Args:
        perception: what the models saw.
        prior: answers noise queries, wherever it lives.
        recipe: all numbers.
        seed: of every random number of the scene.
        tools: codec, schedule and device of this process.
        report: told about the stages and every step.
        checkpoint: given a function's worth of state after every step (plain tensors and numbers).
        resume_from: such a state, to go on from.
    """
    settled = fit_scene(
        perception,
        prior,
        recipe,
        seed=seed,
        tools=tools,
        report=report,
        checkpoint=checkpoint,
        resume_from=resume_from,
    )
    report(Progress(stage="mesh", step=0, steps=1))
    return finish(settled, recipe, seed=seed, prior=prior, tools=tools, report=report)


@dataclass(frozen=True, kw_only=True)
class SettledScene:
    """A scene whose field is optimised, before it becomes a mesh.

    Attributes:
        scene: what stayed fixed.
        fitted: the field.
        seconds: wall seconds by stage.
        metrics: figures known before there is a mesh.
    """

    scene: Scene
    fitted: Fitted
    seconds: dict[str, float]
    metrics: dict[str, float] = field(default_factory=dict)


def fit_scene(
    perception: Perception,
    prior: NoisePredictor,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    report: Report = silent,
    checkpoint: Callable[[dict[str, Any]], None] | None = None,
    resume_from: dict[str, Any] | None = None,
) -> SettledScene:
    """Pose and field of one perceived subject; arguments as of ``optimize``."""
    generator = torch.Generator().manual_seed(seed)
    prepared = set_scene(
        perception,
        prior,
        recipe,
        seed=seed,
        tools=tools,
        generator=generator,
        report=report,
        checkpoint=checkpoint,
        resume_from=resume_from,
    )
    return fit_prepared(
        prepared,
        prior,
        recipe,
        tools=tools,
        generator=generator,
        report=report,
        checkpoint=checkpoint,
        resume_from=resume_from,
    )


@dataclass(frozen=True, kw_only=True)
class PreparedScene:
    """A scene before its field is optimised: the same whatever seed follows.

    Attributes:
        scene: what stays fixed.
        seconds: wall seconds by stage.
        inverted: the subject's own word, where the recipe asks for one.
    """

    scene: Scene
    seconds: dict[str, float]
    inverted: Inverted | None = None


def set_scene(
    perception: Perception,
    prior: NoisePredictor,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    generator: torch.Generator,
    report: Report = silent,
    checkpoint: Callable[[dict[str, Any]], None] | None = None,
    resume_from: dict[str, Any] | None = None,
) -> PreparedScene:
    """Pose, guessed shape and learnt word of one perceived subject; arguments as of ``optimize``.

    The seed is that of the cloud and the word; the generator serves where the prior is asked for the pose.
    """
    if not perception.pictured:
        refuse_pictures(recipe)
    recipe, clock = for_prior(recipe, tools), _Clock()
    likeness = _likeness(perception, recipe, tools)
    with clock("pose"):
        report(Progress(stage="pose", step=0, steps=1))
        reference = view_reference(perception.subject, tools.codec, tools.image_encoder)
        pose = _find_pose(perception, reference, prior, recipe, tools, generator)
    with clock("coarse"):
        report(Progress(stage="coarse", step=0, steps=1))
        asked = tools.coarse if perception.pictured else None
        coarse = None if asked is None else asked.estimate(perception.subject.over(1.0))
        pose = pose if coarse is None else pose_stage.contained(pose, coarse)
        points = _guess_points(perception, recipe, tools, seed=seed)
        scene = prepare_scene(perception, pose, reference, coarse, points, likeness=likeness, device=tools.device)
        if recipe.optimize.latent_field:
            scene = replace(scene, latent=latent_photo(scene.reference, scene.c2w_44, pose.framing, tools.codec))
        if recipe.hints_by_cloud:
            scene = replace(scene, cloud=hint_cloud(scene, recipe.optimize, seed=seed))
    with clock("invert"):
        inverted = _invert(scene, prior, recipe, tools, seed, report, checkpoint, resume_from)
        if inverted is not None:
            scene = replace(scene, caption=inverted.caption, learned=(inverted.token,))
    return PreparedScene(scene=scene, seconds=clock.seconds, inverted=inverted)


def fit_prepared(
    prepared: PreparedScene,
    prior: NoisePredictor,
    recipe: Recipe,
    *,
    tools: SceneTools,
    generator: torch.Generator,
    report: Report = silent,
    checkpoint: Callable[[dict[str, Any]], None] | None = None,
    resume_from: dict[str, Any] | None = None,
) -> SettledScene:
    """The field of a scene; other arguments as of ``optimize``."""
    scene, inverted, clock = prepared.scene, prepared.inverted, _Clock(prepared.seconds)
    recipe = for_prior(recipe, tools)
    with clock("optimize"):
        state = (
            initial_state(scene, recipe.optimize, generator=generator, device=tools.device)
            if resume_from is None or "values" not in resume_from
            else restored(resume_from, recipe.optimize, device=tools.device)
        )
        fitted = fit(
            scene,
            state,
            recipe,
            prior,
            tools.codec,
            tools.schedule,
            report=report,
            checkpoint=None if checkpoint is None else _store_with(checkpoint, inverted),
        )
        if scene.latent is not None:
            fitted = replace(fitted, field=painted(scene, scene.latent, state, recipe, tools.codec))
    metrics = {} if inverted is None else inverted.metrics
    return SettledScene(scene=scene, fitted=fitted, seconds=clock.seconds, metrics=metrics)


def for_prior(recipe: Recipe, tools: SceneTools) -> Recipe:
    """The recipe as the bundle's prior can answer it; itself, where that is all of it."""
    return answerable(recipe, views=tools.has_view_prior, depth=tools.has_depth_prior, words=tools.has_text_prior)


def _invert(
    scene: Scene,
    prior: NoisePredictor,
    recipe: Recipe,
    tools: SceneTools,
    seed: int,
    report: Report,
    checkpoint: Callable[[dict[str, Any]], None] | None,
    resume_from: dict[str, Any] | None,
) -> Inverted | None:
    """The subject's own word, learnt now, further, or before; None where the recipe does not ask for one."""
    if not recipe.inversion.steps:
        return None
    return learn_word(
        scene.perception,
        scene.pose,
        prior,
        tools.codec,
        tools.schedule,
        recipe.inversion,
        seed=seed,
        report=report,
        checkpoint=None if checkpoint is None else lambda saved: checkpoint({"inversion": saved}),
        resume_from=None if resume_from is None else resume_from["inversion"],
    )


def _store_with(
    checkpoint: Callable[[dict[str, Any]], None], inverted: Inverted | None
) -> Callable[[FitState], None]:
    learnt = {} if inverted is None else {"inversion": inverted.state_dict()}
    return lambda state: checkpoint(state.state_dict() | learnt)


def _likeness(perception: Perception, recipe: Recipe, tools: SceneTools) -> Likeness | None:
    if not recipe.losses.ask_clip:
        return None
    if tools.clip is None:
        raise ConfigError(
            "the recipe has losses that ask CLIP, and the scene's tools have none: "
            "give the recipe to load_tools(bundle, recipe=recipe)"
        )
    caption, _ = split_view(perception.caption)
    return subject_likeness(perception.subject, caption, tools.codec, tools.clip)


def _guess_points(
    perception: Perception, recipe: Recipe, tools: SceneTools, *, seed: int
) -> ColoredPoints | None:
    """The cloud to start from, where the recipe asks for one."""
    if not recipe.optimize.cloud_start:
        return None
    if tools.point_cloud is not None:
        return tools.point_cloud.guess_points(perception.subject.over(1.0), seed=seed)
    if tools.has_point_cloud:
        raise ConfigError(
            "the recipe asks for a point cloud, which the bundle has and the scene's tools have not: "
            "give the recipe to load_tools(bundle, recipe=recipe)"
        )
    raise ConfigError(
        "the recipe starts from a point cloud (optimize.cloud_start), and this bundle has no point_cloud: "
        "use another bundle, train one (models train toybox --role point_cloud), or turn the setting off"
    )


def _find_pose(
    perception: Perception,
    reference: ViewReference,
    prior: NoisePredictor,
    recipe: Recipe,
    tools: SceneTools,
    generator: torch.Generator,
) -> ReferencePose:
    if not perception.pictured:
        return ReferencePose(elevation_deg=0.0)
    if tools.pose is not None:
        return pose_stage.regress_pose(perception.subject, tools.pose)
    wants_view = any(term.conditioning is Conditioning.VIEW for term in recipe.guidance)
    if not (tools.has_view_prior and wants_view):
        return pose_stage.assumed_pose(recipe.subject.fill)
    return pose_stage.estimate_pose(
        perception.subject,
        reference,
        prior,
        tools.codec,
        tools.schedule,
        recipe.pose,
        generator=generator,
    )


def finish(
    settled: SettledScene,
    recipe: Recipe,
    *,
    seed: int,
    prior: NoisePredictor | None = None,
    tools: SceneTools | None = None,
    report: Report = silent,
) -> Asset:
    """Mesh, stage two where the recipe has one, points, pictures and figures of a settled scene.

    Args:
        settled: the scene with its field.
        recipe: all numbers.
        seed: of every random number.
        prior: answers noise queries; stage two needs it, and ``tools``.
        tools: codec, schedule and device of this process.
        report: told about every step of stage two.

    Raises:
        ConfigError: the recipe has a stage two, and prior or tools are missing.
    """
    scene, fitted, config = settled.scene, settled.fitted, recipe.mesh
    clock, asked = _Clock(settled.seconds), recipe if tools is None else for_prior(recipe, tools)
    unasked, recipe = left_unasked(recipe, asked), asked
    with clock("mesh"):
        mesh = mesh_field(
            fitted.field, fitted.sharpness, config, scene.perception.subject, scene.c2w_44, scene.pose.framing
        )
    pictured, prior_s, losses = scene.perception.pictured, fitted.prior_s, fitted.losses
    metrics = reference_metrics(scene, mesh) if pictured else {}
    metrics = {**metrics, "prior_batch": fitted.prior_batch, **settled.metrics}
    second: Baked | None = None
    if recipe.refine.steps:
        if prior is None or tools is None:
            raise ConfigError(f"a refinement of {recipe.refine.steps} steps needs a prior and tools: pass both")
        with clock("refine"):
            refined, second = _refine(scene, mesh, prior, recipe, seed=seed, tools=tools, report=report)
        mesh, prior_s, losses = second.mesh, prior_s + refined.prior_s, {**losses, **refined.losses}
        metrics = {**metrics, **reference_metrics(scene, mesh), "coarse_psnr": metrics["reference_psnr"]}
    with clock("pictures"):
        points = sample_points(mesh, config.points, np.random.default_rng(seed)) if second is None else second.points
        turntable = turntable_frames(mesh, frames=config.turntable_frames, size=config.turntable_px)
        preview = contact_sheet(mesh, scene.perception.subject)
    return Asset(
        mesh=mesh,
        points=points,
        turntable_VHWC=turntable,
        preview_HWC=preview,
        perception=scene.perception,
        pose=scene.pose,
        seed=seed,
        metrics=metrics,
        losses=losses,
        timings_s={**clock.seconds, "prior": prior_s},
        textured=None if second is None else second.textured,
        remarks=unasked if pictured else (*remarks(recipe), *unasked),
    )


def _refine(
    scene: Scene,
    mesh: Mesh,
    prior: NoisePredictor,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    report: Report,
) -> tuple[Refined, Baked]:
    """Stage two: the colours of the coarse mesh, refined as points and baked back."""
    refined = refine(
        scene,
        mesh,
        recipe,
        prior,
        tools.codec,
        tools.schedule,
        trunk=None if tools.image_encoder is None else tools.image_encoder.embed,
        # A generator of its own: a lift that goes on after the coarse stage refines as one that never stopped.
        generator=torch.Generator().manual_seed(seed),
        report=report,
        device=tools.device,
    )
    view = PhotoView(subject=scene.perception.subject, c2w_44=scene.c2w_44, framing=scene.pose.framing)
    return refined, bake(mesh, refined, view, recipe)


def reference_metrics(scene: Scene, mesh: Mesh, *, size: int = 128) -> dict[str, float]:
    """How well the mesh shows the photo: PSNR over white in dB and silhouette IoU, from the photo's own camera."""
    view = rasterize(mesh, scene.c2w_44[None], size=size, framing=scene.pose.framing)
    subject = scene.perception.subject
    wanted = resized(subject.over(1.0).astype(np.float32) / 255, size)
    alpha = resized(subject.alpha_HW[..., None], size)[..., 0] > 0.5
    covered = view.alpha_VHW[0] > 0.5
    union = np.logical_or(alpha, covered).sum()
    return {
        "reference_psnr": float(-10 * np.log10(max(1e-10, float(((view.rgb_VHWC[0] - wanted) ** 2).mean())))),
        "reference_iou": float(np.logical_and(alpha, covered).sum() / max(1, union)),
    }


class _Clock:
    """Wall seconds by stage."""

    def __init__(self, before: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(before or {})

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
