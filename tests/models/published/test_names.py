"""Every published parameter by name and shape: what the official classes expect is what was published.

``tables/NAME.json`` holds, for every part of an entry, its parameters as its publisher has them, and where that is
known from: the publisher's own class definitions, read once, or the length of the published file, which the lengths of
names and shapes add up to.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from lift3d_ray.models.catalog import ModelEntry, ModelPart, model_entries, model_entry
from tests.models.published.copies import build, official_config, published_state
from tests.models.published.names import collapsed, expanded

TABLES = Path(__file__).resolve().parent / "tables"
PARTS = [
    (name, part.role)
    for name, entry in model_entries().items()
    for part in entry.parts
    if part.parameters and part.role != "point_clip"
]
# Digits of offsets depend on the order in which a writer lays its tensors out; not all sorted them, or padded the end.
ORDER_BYTES = 8
# What a zip archive adds for every tensor: its name and place, twice, and padding to 64 bytes.
ARCHIVE_BYTES = (280, 380)


@cache
def table(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))["parts"]
    return found


@cache
def on_meta(name: str, role: str) -> tuple[ModelEntry, ModelPart, torch.nn.Module]:
    entry = model_entry(name)
    part = entry.part(role)
    return entry, part, build(entry, part, official_config(entry, part), device="meta")


@pytest.mark.parametrize(("name", "role"), PARTS)
def test_the_class_expects_what_was_published(name: str, role: str) -> None:
    entry, part, model = on_meta(name, role)
    found = {key: tuple(value.shape) for key, value in published_state(entry, part, model).items()}
    wanted = expanded(table(name)[role]["tensors"])
    assert found.keys() ^ wanted.keys() == set()
    assert {key: (shape, wanted[key]) for key, shape in found.items() if shape != wanted[key]} == {}
    assert table(name)[role]["names_from"]


@pytest.mark.parametrize(("name", "role"), PARTS)
def test_as_many_numbers_are_learnt_as_were_published(name: str, role: str) -> None:
    _, part, model = on_meta(name, role)
    unused = {"neck.fusion_stage.layers.0.residual_layer1."} if (name, role) == ("dpt-large", "depth") else set()
    counted = sum(v.numel() for key, v in model.named_parameters() if not any(map(key.startswith, unused)))
    assert counted == part.parameters
    published = table(name)[role]
    # The publisher's class has a matrix of words of its own behind the decoder, with the same values.
    words = "text_decoder.bert.embeddings.word_embeddings.weight"
    twice = dict(model.named_parameters())[words].numel() if "counts the tied" in published["total_from"] else 0
    assert counted + twice == published["total"]


def test_every_table_is_of_an_entry() -> None:
    assert {path.stem for path in TABLES.glob("*.json")} == set(model_entries())
    assert {name: set(table(name)) for name, _ in PARTS} == {
        name: {role for other, role in PARTS if other == name} for name, _ in PARTS
    }


def safetensors_length(shapes: dict[str, tuple[int, ...]]) -> int:
    """Bytes of a ``.safetensors`` file of single precision, its positions in whole numbers, without padding."""
    wide = sorted(name for name in shapes if name.endswith("position_ids"))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in [*wide, *sorted(shapes.keys() - set(wide))]:
        end = at + torch.Size(shapes[name]).numel() * (8 if name in wide else 4)
        kind = "I64" if name in wide else "F32"
        header[name] = {"dtype": kind, "shape": list(shapes[name]), "data_offsets": [at, end]}
        at = end
    return 8 + len(json.dumps(header, separators=(",", ":"))) + at


def weights_of(entry: ModelEntry, part: ModelPart) -> list[tuple[str, int]]:
    prefix = "" if part.folder == "." else f"{part.folder}/"
    kinds = (".safetensors", ".bin", ".pth", ".pt")
    return [
        (file.path, file.size_bytes)
        for file in entry.files
        if file.path.startswith(prefix) and file.path.endswith(kinds) and file.size_bytes is not None
    ]


SIZED = [
    (name, role) for name, role in PARTS if weights_of(model_entry(name), model_entry(name).part(role))
]


def test_half_of_the_files_have_a_known_length() -> None:
    assert len(SIZED) >= 15


@pytest.mark.parametrize(("name", "role"), SIZED)
def test_names_and_shapes_add_up_to_the_length_of_the_published_file(name: str, role: str) -> None:
    entry = model_entry(name)
    files = weights_of(entry, entry.part(role))
    shapes = expanded(table(name)[role]["tensors"])
    if files[0][0].endswith(".safetensors"):
        parts = in_files_of_10_gb(on_meta(name, role)[2], shapes) if len(files) > 1 else [shapes]
        for (path, size), part in zip(files, parts, strict=True):
            assert abs(size - safetensors_length(part)) <= ORDER_BYTES, path
        return
    ((path, size),) = files
    numbers = sum(
        torch.Size(shape).numel() * (8 if key.endswith("position_ids") else 4) for key, shape in shapes.items()
    )
    low, high = ARCHIVE_BYTES
    assert low * len(shapes) <= size - numbers <= high * len(shapes), path


def in_files_of_10_gb(
    model: torch.nn.Module, shapes: dict[str, tuple[int, ...]]
) -> list[dict[str, tuple[int, ...]]]:
    """Parameters in the class's order, a new file whenever one would grow beyond 10 GB."""
    files: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for key in (key for key in model.state_dict() if key in shapes):
        size += 4 * torch.Size(shapes[key]).numel()
        if size > 10e9:
            files.append({})
            size = 4 * torch.Size(shapes[key]).numel()
        files[-1][key] = shapes[key]
    return files


def test_a_table_written_short_says_the_same() -> None:
    shapes = {f"a.{k}.b.{j}.w": (2, j) for k in range(4) for j in (1, 3)} | {"a.9.w": (), "c": (1,), "a.1.b": (3,)}
    table = collapsed(shapes)
    assert table["a.{0-3}.b.1.w"] == "2x1"
    assert len(table) == 5
    assert expanded(table) == shapes
    assert expanded({"a.{0-2,7}.w": "4x4"}).keys() == {"a.0.w", "a.1.w", "a.2.w", "a.7.w"}
