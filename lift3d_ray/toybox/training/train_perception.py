"""The perception roles, one function each: segmenter, captioner, depth, pose, coarse shape, point cloud, CLIP."""

from __future__ import annotations

import json
from typing import Any, cast

import torch
from torch import nn

from lift3d_ray.models.captioner import load_captioner
from lift3d_ray.models.coarse import load_coarse_network
from lift3d_ray.models.image_encoder import load_image_encoder
from lift3d_ray.models.point_e.features import PictureGrid
from lift3d_ray.models.point_e.loading import save_stage
from lift3d_ray.models.point_e.sampler import Stage
from lift3d_ray.models.segmenter import save_segmenter
from lift3d_ray.models.small_network import save_network
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.scene_dataset import build_scenes
from lift3d_ray.toybox.training import captioner, clip
from lift3d_ray.toybox.training.coarse import CoarseTask
from lift3d_ray.toybox.training.coarse_data import build_coarse, load_coarse
from lift3d_ray.toybox.training.depth import (
    DepthTask,
    as_depths,
    load_scene_depths,
    load_view_depths,
    save_depth,
)
from lift3d_ray.toybox.training.harness import train
from lift3d_ray.toybox.training.pictures import Toys
from lift3d_ray.toybox.training.point_data import build_points, load_points
from lift3d_ray.toybox.training.point_e import DIFFUSION, SAMPLER, PointCloudTask
from lift3d_ray.toybox.training.pose import PoseTask
from lift3d_ray.toybox.training.segmenter import SegmenterTask, load_composites
from lift3d_ray.toybox.training.train_priors import Workshop

HELD_OUT_SCENES = 1_000
COARSE_HELD_OUT_TOYS = 250


def build_perception_data(shop: Workshop) -> None:
    """Composites with clutter, and pictures with the solids behind them."""
    workers = max(1, shop.threads)
    build_scenes(shop.work / "scenes", n=shop.effort.scenes, workers=workers)
    build_scenes(shop.work / "scenes_heldout", n=HELD_OUT_SCENES, split=Split.HELD_OUT, seed=1, workers=workers)
    build_coarse(shop.work / "solids", toys=shop.effort.solid_toys, workers=workers)
    build_coarse(shop.work / "solids_heldout", toys=COARSE_HELD_OUT_TOYS, split=Split.HELD_OUT, workers=workers)
    build_points(shop.work / "points", toys=shop.effort.solid_toys, workers=workers)
    build_points(shop.work / "points_heldout", toys=COARSE_HELD_OUT_TOYS, split=Split.HELD_OUT, workers=workers)


def train_segmenter(shop: Workshop) -> None:
    """The segmenter, on clicks and boxes over composites."""
    held_out = load_composites(shop.work / "scenes_heldout", limit=200)
    task = SegmenterTask(load_composites(shop.work / "scenes"), held_out, batch_size=shop.batch_size("segmenter"))
    plan = shop.plan("segmenter", ema_decay=0.998)
    figures = train(task, plan, shop.work / "segmenter", progress=shop.tell)
    save_segmenter(shop.bundle / "segmenter", task.sam, task.config, torch.float16)
    _note(shop, "segmenter", figures)


def train_captioner(shop: Workshop) -> None:
    """The captioner, on subjects with what is said of them."""
    captioner.train_captioner(
        shop.work / "views",
        shop.work / "views_heldout",
        shop.work / "captioner",
        shop.bundle / "captioner",
        batch_size=shop.batch_size("captioner"),
        plan=shop.plan("captioner", weight_decay=0.05, ema_decay=0.998),
        progress=shop.tell,
    )


def train_pose(shop: Workshop) -> None:
    """The pose regressor; starts from the captioner's tower."""
    toys, held_out = Toys.load(shop.work / "views"), Toys.load(shop.work / "views_heldout")
    task = PoseTask(toys, held_out, tower=_tower(shop), batch_size=shop.batch_size("pose"))
    plan = shop.plan("pose", ema_decay=0.998)
    figures = train(task, plan, shop.work / "pose", progress=shop.tell)
    # Eight bits cost it 0.006 degrees, and save two of its four megabytes.
    save_network(shop.bundle / "pose", task.network, eight_bits=True)
    _note(shop, "pose", figures)


def train_coarse(shop: Workshop) -> None:
    """The coarse shape; starts from the captioner's tower."""
    task = CoarseTask(
        load_coarse(shop.work / "solids"),
        load_coarse(shop.work / "solids_heldout"),
        tower=_tower(shop),
        batch_size=shop.batch_size("coarse"),
    )
    plan = shop.plan("coarse", ema_decay=0.998, final_rate_fraction=0.02)
    figures = train(task, plan, shop.work / "coarse", progress=shop.tell)
    save_network(shop.bundle / "coarse", task.network)
    _note(shop, "coarse", figures)


def train_point_cloud(shop: Workshop) -> None:
    """The point cloud, seen by the bundle's CLIP as it is."""
    task = PointCloudTask(
        load_points(shop.work / "points", shop.work / "solids"),
        load_points(shop.work / "points_heldout", shop.work / "solids_heldout"),
        PictureGrid(load_image_encoder(shop.bundle / "clip")),
        batch_size=shop.batch_size("point_cloud"),
    )
    plan = shop.plan("point_cloud", ema_decay=0.998, final_rate_fraction=0.02)
    figures = train(task, plan, shop.work / "point_cloud", progress=shop.tell)
    save_stage(shop.bundle / "point_cloud", Stage(network=task.network, diffusion=DIFFUSION, sampling=SAMPLER))
    _note(shop, "point_cloud", figures)


def train_depth(shop: Workshop) -> None:
    """The depth estimator, on crops of renders and composites; starts from the coarse shape's encoder."""
    task = DepthTask(
        [
            (load_view_depths(shop.work / "views"), 0.25),
            (as_depths(load_coarse(shop.work / "solids")), 0.5),
            (load_scene_depths(shop.work / "scenes"), 0.25),
        ],
        {
            "renders": load_view_depths(shop.work / "views_heldout", limit=300),
            "scenes": load_scene_depths(shop.work / "scenes_heldout", limit=300),
        },
        tower=load_coarse_network(shop.bundle / "coarse").encoder,
        batch_size=shop.batch_size("depth"),
    )
    plan = shop.plan("depth", ema_decay=0.998)
    figures = train(task, plan, shop.work / "depth", progress=shop.tell)
    save_depth(shop.bundle / "depth", task.model, figures)


def _tower(shop: Workshop) -> nn.Module:
    """The captioner's picture tower, which knows the toys already."""
    tower: nn.Module = cast(Any, load_captioner(shop.bundle / "captioner").model).vision_model
    return tower


def train_clip(shop: Workshop) -> None:
    """The picture and sentence encoder."""
    clip.train_clip(
        shop.work / "views",
        shop.work / "views_heldout",
        shop.work / "clip",
        shop.bundle / "clip",
        batch_size=shop.batch_size("clip"),
        plan=shop.plan("clip", weight_decay=0.05, ema_decay=0.995),
        progress=shop.tell,
    )


def _note(shop: Workshop, role: str, figures: dict[str, float]) -> None:
    rounded = {name: round(value, 4) for name, value in figures.items()}
    (shop.bundle / role / "training.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
