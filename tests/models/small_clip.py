"""An untrained CLIP of the embedded kind on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from transformers import CLIPTokenizer

from lift3d_ray.toybox.training.clip import new_clip, write_clip_processor
from lift3d_ray.toybox.training.export import save_half


def write_untrained_clip(folder: Path) -> None:
    write_clip_processor(folder)
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        model = new_clip(CLIPTokenizer.from_pretrained(str(folder), local_files_only=True))
    save_half(cast(Any, model), folder, {})
