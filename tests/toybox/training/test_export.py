"""What a training writes speaks of the model alone."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers import AutoencoderTiny

from lift3d_ray.models.bundle import BUNDLES_FOLDER
from lift3d_ray.toybox.training.codec import new_autoencoder
from lift3d_ray.toybox.training.export import save_half


def test_a_saved_model_does_not_tell_where_it_went_on_from(tmp_path: Path) -> None:
    save_half(new_autoencoder(width=8), tmp_path / "first", {})
    again = AutoencoderTiny.from_pretrained(str(tmp_path / "first"))
    save_half(again, tmp_path / "second", {})
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("first", "second"))
    assert first == second


def test_the_embedded_bundle_names_no_folder() -> None:
    named = [path for path in BUNDLES_FOLDER.rglob("*.json") if '_name_or_path": "/' in path.read_text()]
    assert named == []
