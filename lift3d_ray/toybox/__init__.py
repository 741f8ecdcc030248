"""A procedural world of toys with exact ground truth: geometry, pictures, depth and words."""

from __future__ import annotations

from lift3d_ray.toybox.attributes import (
    VOCABULARY,
    Attributes,
    describe,
    random_caption,
    view_name,
)
from lift3d_ray.toybox.classes import ALL_CLASSES, CLASS_IDS, HELD_OUT_CLASSES, TRAIN_CLASSES
from lift3d_ray.toybox.parts import Split
from lift3d_ray.toybox.points import surface_points
from lift3d_ray.toybox.render import Renders, render
from lift3d_ray.toybox.scene_dataset import Scenes, build_scenes, load_scenes
from lift3d_ray.toybox.scenes import Scene, scene
from lift3d_ray.toybox.world import Light, ToyObject, assemble, caption, sample_attributes, sample_object

__all__ = [
    "ALL_CLASSES",
    "CLASS_IDS",
    "HELD_OUT_CLASSES",
    "TRAIN_CLASSES",
    "VOCABULARY",
    "Attributes",
    "Light",
    "Renders",
    "Scene",
    "Scenes",
    "Split",
    "ToyObject",
    "assemble",
    "build_scenes",
    "caption",
    "describe",
    "load_scenes",
    "random_caption",
    "render",
    "sample_attributes",
    "sample_object",
    "scene",
    "surface_points",
    "view_name",
]
