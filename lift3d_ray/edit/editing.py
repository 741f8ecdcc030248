"""An asset's colours edited, by a picture or by words; its geometry stays as it is.

Both ways end in stage two, which is the lift's own (``lift3d_ray/refine``).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import torch

from lift3d_ray.cameras import orbit_c2w
from lift3d_ray.conditioning.caption import describe_best, split_view
from lift3d_ray.edit.lifted import LiftedAsset
from lift3d_ray.edit.painting import as_coarse_as, painted_by_changes, painted_by_picture
from lift3d_ray.edit.surface import Surface
from lift3d_ray.errors import ConfigError
from lift3d_ray.export.preview import contact_sheet
from lift3d_ray.export.turntable import turntable_frames
from lift3d_ray.judge import ELEVATION_DEG, agreement_with_words
from lift3d_ray.lifting import Report, SceneTools, for_prior, reference_metrics, silent
from lift3d_ray.mesh.photo_view import DEFAULT_PAINT, PhotoView, clean_rim
from lift3d_ray.mesh.rasterize import rasterize, to_uint8
from lift3d_ray.mesh.sample import sample_points
from lift3d_ray.models.roles import ImageTextEncoder, Models
from lift3d_ray.optimize.scene import Scene, prepare_scene, view_reference
from lift3d_ray.recipes import Recipe
from lift3d_ray.refine import Refined, refine
from lift3d_ray.refine.baking import Changes
from lift3d_ray.types import Asset, Mesh, Progress, Subject, UInt8


def edit_by_picture(
    lifted: LiftedAsset,
    subject: Subject,
    models: Models,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    report: Report = silent,
) -> Asset:
    """Colours as an edited picture shows them, and what follows from it where it does not see.

    Args:
        lifted: the asset.
        subject: the edited picture in the asset's own frame (``edited_subject``).
        models: captioner and CLIP name what it has become, the prior refines it.
        recipe: all numbers (``picture_recipe``).
        seed: of every random number.
        tools: codec, schedule and device of this process.
        report: told about every step.

    Raises:
        InputError: the picture sees nothing of the asset.
        PriorError: the prior failed.
    """
    started = time.perf_counter()
    report(Progress(stage="caption", step=0, steps=1))
    # The same picture gets the same words, whatever the seed.
    drawn = int.from_bytes(hashlib.sha256(subject.rgb_HWC.tobytes()).digest()[:4], "big")
    caption = describe_best(subject, models.captioner, models.clip, recipe.caption, seed=drawn)
    perception = replace(lifted.perception, subject=subject, caption=_turned_as(caption, lifted.perception.caption))
    view = lifted.seen_by(subject)
    report(Progress(stage="transfer", step=0, steps=1))
    surface = painted_by_picture(lifted.surface, view)
    scene = prepare_scene(
        perception, lifted.pose, view_reference(subject, tools.codec, tools.image_encoder), device=tools.device
    )
    refined = _refined(scene, surface.mesh, models, recipe, seed=seed, tools=tools, report=report)
    if refined is not None:
        surface = painted_by_changes(surface, Changes(surface.mesh, refined, view))
    return _asset(scene, surface, refined, recipe, seed, reference_metrics(scene, surface.mesh), subject, started)


def edit_by_prompt(
    lifted: LiftedAsset,
    prompt: str,
    models: Models,
    recipe: Recipe,
    *,
    seed: int,
    tools: SceneTools,
    report: Report = silent,
) -> Asset:
    """Colours as the text prior paints a thing of this shape when it is told these words.

    Args:
        lifted: the asset.
        prompt: what it should become.
        models: the prior repaints it, CLIP says how well it agrees with the words before and after.
        recipe: all numbers (``prompt_recipe``).
        seed: of every random number.
        tools: codec, schedule and device of this process.
        report: told about every step.

    Raises:
        ConfigError: no words, or a recipe without steps.
        PriorError: the prior failed.
    """
    started, words = time.perf_counter(), " ".join(prompt.split())
    if not words or not recipe.refine.steps:
        raise ConfigError(f"an edit by words needs some and 1 step or more, got {words!r}, {recipe.refine.steps} steps")
    perception = replace(lifted.perception, caption=_turned_as(words, lifted.perception.caption))
    before = perception.subject
    scene = prepare_scene(
        perception, lifted.pose, view_reference(before, tools.codec, tools.image_encoder), device=tools.device
    )
    refined = _refined(scene, lifted.surface.mesh, models, recipe, seed=seed, tools=tools, report=report)
    assert refined is not None
    refined = as_coarse_as(refined, tools.codec.image_size)
    # To a view without a subject no place is the photo's own: all of them change.
    nothing = lifted.seen_by(replace(before, alpha_HW=np.zeros_like(before.alpha_HW)))
    surface = painted_by_changes(lifted.surface, Changes(lifted.surface.mesh, refined, nothing))
    metrics = {
        "words": _agreement(surface.mesh, scene, models.clip),
        "words_before": _agreement(lifted.surface.mesh, scene, models.clip),
    }
    shown = replace(perception, subject=_rendered(surface.mesh, lifted.seen_by(before)))
    return _asset(replace(scene, perception=shown), surface, refined, recipe, seed, metrics, before, started)


def _turned_as(words: str, caption: str) -> str:
    """The words with the view phrase of the asset's own caption: its camera has not moved."""
    _, view = split_view(caption)
    thing, _ = split_view(words)
    return thing if view is None else f"{thing}, {view.value} view"


def _refined(
    scene: Scene, mesh: Mesh, models: Models, recipe: Recipe, *, seed: int, tools: SceneTools, report: Report
) -> Refined | None:
    """Stage two over a mesh; None where the recipe has no steps of it."""
    config = recipe.refine
    if not config.steps:
        return None
    compares = tools.image_encoder is not None and config.similarity + config.contextual > 0
    return refine(
        scene,
        mesh,
        for_prior(recipe, tools),
        models.prior,
        tools.codec,
        tools.schedule,
        trunk=tools.image_encoder.embed if tools.image_encoder is not None and compares else None,
        generator=torch.Generator().manual_seed(seed),
        report=report,
        device=tools.device,
    )


def _rendered(mesh: Mesh, view: PhotoView) -> Subject:
    """The subject as the photo's camera sees it now, in its old outline and before its old background."""
    subject = view.subject
    shown = rasterize(mesh, view.c2w_44[None], size=view.size_px, framing=view.framing)
    # Outlines of mesh and photo differ by a hair: what the mesh leaves out takes its nearest colour, not the old one.
    drawn = replace(subject, rgb_HWC=to_uint8(shown.rgb_VHWC[0]), alpha_HW=shown.alpha_VHW[0])
    share = subject.alpha_HW[..., None]
    pixels = clean_rim(drawn, DEFAULT_PAINT.rim) * share + subject.rgb_HWC.astype(np.float32) / 255 * (1 - share)
    return replace(subject, rgb_HWC=to_uint8(np.asarray(pixels, dtype=np.float32)))


VIEWS = 8
"""Views by which words and colours are compared, evenly around."""


def _agreement(mesh: Mesh, scene: Scene, encoder: ImageTextEncoder) -> float:
    """Mean cosine, in CLIP's space, between views all round and the caption said of each view."""
    azimuth = np.arange(VIEWS) * (360 / VIEWS)
    pictures: UInt8 = to_uint8(rasterize(mesh, orbit_c2w(azimuth, ELEVATION_DEG), size=128).rgb_VHWC)
    seen = encoder.encode_images(pictures)
    return agreement_with_words(seen, azimuth, scene.caption, scene.reference_view, encoder)


def _asset(
    scene: Scene,
    surface: Surface,
    refined: Refined | None,
    recipe: Recipe,
    seed: int,
    metrics: dict[str, float],
    given: Subject,
    started: float,
) -> Asset:
    """The edited asset; ``given`` is the picture beside its views in the preview."""
    mesh, config = surface.mesh, recipe.mesh
    return Asset(
        mesh=mesh,
        points=sample_points(mesh, config.points, np.random.default_rng(seed)),
        turntable_VHWC=turntable_frames(mesh, frames=config.turntable_frames, size=config.turntable_px),
        preview_HWC=contact_sheet(mesh, given),
        perception=scene.perception,
        pose=scene.pose,
        seed=seed,
        metrics=metrics | ({} if refined is None else {"prior_batch": refined.prior_batch}),
        losses={} if refined is None else refined.losses,
        timings_s={
            "edit": time.perf_counter() - started,
            "prior": 0.0 if refined is None else refined.prior_s,
        },
        textured=surface.textured(),
    )
