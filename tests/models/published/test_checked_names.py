"""What ``models check`` compares, at full size and without a byte of weights: every published name and shape fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lift3d_ray.models.catalog import model_entries, model_entry
from lift3d_ray.models.checking import TensorFact, differences
from tests.models.published.names import expanded

TABLES = Path(__file__).resolve().parent / "tables"
PARTS = [
    (name, part.role)
    for name, entry in model_entries().items()
    for part in entry.parts
    if part.parameters and part.role != "point_clip"
]


def published(name: str, role: str) -> dict[str, TensorFact]:
    table = json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))["parts"][role]["tensors"]
    file = Path("published.safetensors")
    return {name: TensorFact(file=file, shape=shape, dtype="float32") for name, shape in expanded(table).items()}


@pytest.mark.parametrize(("name", "role"), PARTS)
def test_every_published_parameter_is_expected(name: str, role: str) -> None:
    folder = model_entry(name).config_folder(role)
    tensors = published(name, role)
    assert differences(role, folder, tensors) == []
    lacking = sorted(tensor for tensor in tensors if tensor.endswith(("norm1.weight", "ln_1.weight")))
    harmed = dict(tensors)
    harmed.pop(lacking[0] if lacking else sorted(tensors)[-1])
    assert len(differences(role, folder, harmed)) == 1


def test_a_whole_clip_serves_for_its_picture_half() -> None:
    name = "clip-vit-l-14"
    assert differences("point_clip", model_entry(name).config_folder("point_clip"), published(name, "clip")) == []
