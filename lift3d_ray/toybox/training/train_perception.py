"""The perception roles, one function each: segmenter, depth, captioner, CLIP."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from lift3d_ray.models.segmenter import save_segmenter
from lift3d_ray.toybox.dataset import build_multiview
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.scene_dataset import build_scenes
from lift3d_ray.toybox.training import captioner, clip
from lift3d_ray.toybox.training.depth import DepthTask, load_render_depths, load_scene_depths, save_depth
from lift3d_ray.toybox.training.harness import TrainingPlan, train
from lift3d_ray.toybox.training.segmenter import SegmenterTask, load_composites
from lift3d_ray.toybox.training.train_priors import Workshop

SCENES = 12_000
HELD_OUT_SCENES = 1_000
RENDERED_TOYS = 3_000


def build_perception_data(shop: Workshop) -> None:
    """Composites with clutter, and larger renders for depth."""
    workers = max(1, shop.threads)
    build_scenes(shop.work / "scenes", n=SCENES, workers=workers)
    build_scenes(shop.work / "scenes_heldout", n=HELD_OUT_SCENES, split=Split.HELD_OUT, seed=1, workers=workers)
    build_multiview(
        shop.work / "renders", n_objects=RENDERED_TOYS, views_per_object=4, size=96, seed=5, workers=workers
    )


def train_segmenter(shop: Workshop) -> None:
    """The segmenter, on clicks and boxes over composites."""
    held_out = load_composites(shop.work / "scenes_heldout", limit=200)
    task = SegmenterTask(load_composites(shop.work / "scenes"), held_out)
    plan = shop.plan(3000, 1.5e-3, ema_decay=0.998, validate_every=500)
    figures = train(task, plan, shop.work / "segmenter", progress=shop.tell)
    save_segmenter(shop.bundle / "segmenter", task.sam, task.config, torch.float16)
    _note(shop, "segmenter", figures)


def train_depth(shop: Workshop) -> None:
    """The depth estimator, on crops of renders and composites."""
    task = DepthTask(
        [(load_render_depths(shop.work / "renders"), 0.6), (load_scene_depths(shop.work / "scenes"), 0.4)],
        {"scenes": load_scene_depths(shop.work / "scenes_heldout", limit=300)},
    )
    plan = shop.plan(2400, 1e-3, warmup_steps=150, ema_decay=0.998, validate_every=600)
    figures = train(task, plan, shop.work / "depth", progress=shop.tell)
    save_depth(shop.bundle / "depth", task.model)
    _note(shop, "depth", figures)


def train_captioner(shop: Workshop) -> None:
    """The captioner, on subjects with what is said of them."""
    captioner.train_captioner(
        shop.work / "views",
        shop.work / "views_heldout",
        shop.work / "captioner",
        shop.bundle / "captioner",
        plan=_shortened(captioner.PLAN, shop),
        progress=shop.tell,
    )


def train_clip(shop: Workshop) -> None:
    """The picture and sentence encoder."""
    clip.train_clip(
        shop.work / "views",
        shop.work / "views_heldout",
        shop.work / "clip",
        shop.bundle / "clip",
        plan=_shortened(clip.PLAN, shop),
        progress=shop.tell,
    )


def _shortened(plan: TrainingPlan, shop: Workshop) -> TrainingPlan:
    return replace(plan, steps=shop.steps or plan.steps, threads=shop.threads)


def _note(shop: Workshop, role: str, figures: dict[str, float]) -> None:
    rounded = {name: round(value, 4) for name, value in figures.items()}
    (shop.bundle / role / "training.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
