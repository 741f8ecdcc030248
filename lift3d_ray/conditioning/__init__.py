"""What the models are told about a subject: its caption, prompts for every view, and its relative depth."""

from __future__ import annotations

from lift3d_ray.conditioning.caption import clean_caption, describe, split_view
from lift3d_ray.conditioning.depth import estimate_depth
from lift3d_ray.conditioning.prompts import View, ViewPrompts, view_of, view_prompts

__all__ = [
    "View",
    "ViewPrompts",
    "clean_caption",
    "describe",
    "estimate_depth",
    "split_view",
    "view_of",
    "view_prompts",
]
