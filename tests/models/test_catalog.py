"""The published models as data: every file is read strictly, and what it says hangs together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lift3d_ray.errors import BundleError
from lift3d_ray.models import catalog
from lift3d_ray.models.bundle import OPTIONAL_ROLES, REQUIRED_ROLES
from lift3d_ray.models.catalog import (
    DATA_FOLDER,
    HubSource,
    PublishedFile,
    UrlSource,
    bundle_spec,
    bundle_specs,
    mixed,
    model_entries,
    model_entry,
    read_bundle_spec,
    read_entry,
    written_bundle,
)
from tests.models.published.table import lines, unpinned

ASKED = {
    "segmenter": {"sam-vit-h", "sam-vit-l", "sam-vit-b"},
    "captioner": {"blip-base", "blip-large", "blip2-opt-2.7b"},
    "clip": {"clip-vit-b-32", "clip-vit-b-16", "clip-vit-l-14"},
    "depth": {"dpt-hybrid", "dpt-large"},
    "unet": {"sd15", "sd21-base", "sd2-depth"},
    "controlnet": {"controlnet-depth-sd15", "controlnet-depth-sd21"},
    "point_cloud": {"point-e-base40m", "point-e-base40m-imagevec", "point-e-base40m-textvec", "point-e-base300m"}
    | {"point-e-base1b"},
    "point_upsampler": {"point-e-upsampler"},
}


@pytest.mark.parametrize("role", ASKED)
def test_every_published_model_has_an_entry(role: str) -> None:
    assert {name for name, entry in model_entries().items() if role in entry.roles} == ASKED[role]


@pytest.mark.parametrize("name", model_entries())
def test_an_entry_has_weights_roles_and_configurations(name: str) -> None:
    entry = model_entry(name)
    assert set(entry.roles) <= {*REQUIRED_ROLES, *OPTIONAL_ROLES}
    weights = [file for file in entry.files if Path(file.path).suffix in {".safetensors", ".bin", ".pth", ".pt"}]
    assert weights
    for part in entry.parts:
        wanted = [file.path for file in entry.files if part.folder == "." or file.path.startswith(f"{part.folder}/")]
        assert wanted, part.role
    # What cannot be pinned, or has no known size, says so.
    if not entry.is_pinned or any(file.sha256 is None for file in entry.files):
        assert any("pinned" in note for note in entry.notes)


@pytest.mark.parametrize("name", bundle_specs())
def test_a_bundle_fills_all_that_a_lift_needs(name: str) -> None:
    spec = bundle_spec(name)
    assert set(REQUIRED_ROLES) <= set(spec.roles) <= {*REQUIRED_ROLES, *OPTIONAL_ROLES}
    diffusion, _ = spec.part("unet")
    assert spec.image_size == diffusion.facts["image_size"] == 8 * diffusion.facts["latent_side"]
    written = written_bundle(spec)
    assert written["roles"]["unet"] == f"../../models/{diffusion.name}/unet"
    assert written["roles"]["segmenter"] == "../../models/sam-vit-h"
    assert written["name"] == name


def test_one_model_is_exchanged_and_a_diffusion_model_whole() -> None:
    spec = mixed(bundle_spec("sd15"), {"segmenter": "sam-vit-b", "captioner": "blip2-opt-2.7b"})
    assert (spec.roles["segmenter"], spec.roles["captioner"], spec.roles["unet"]) == (
        "sam-vit-b",
        "blip2-opt-2.7b",
        "sd15",
    )
    whole = mixed(bundle_spec("sd15"), {"unet": "sd21-base", "controlnet": "controlnet-depth-sd21"})
    assert {whole.roles[role] for role in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")} == {"sd21-base"}
    assert "controlnet" not in mixed(bundle_spec("sd15"), {"controlnet": "none"}).roles
    assert [entry.name for entry in mixed(bundle_spec("sd15"), {"clip": "clip-vit-b-16"}).entries()][2:4] == [
        "clip-vit-l-14",
        "controlnet-depth-sd15",
    ]


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        ({"unet": "sd21-base"}, "not trained for one another.*controlnet-depth-sd15"),
        ({"clip": "sam-vit-b"}, "made for segmenter"),
        ({"captioner": "blip-3"}, "unknown model 'blip-3': choose one of blip-base"),
    ],
)
def test_models_that_do_not_fit_are_refused(choices: dict[str, str], complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        mixed(bundle_spec("sd15"), choices)


def changed(tmp_path: Path, name: str, change: dict[str, Any]) -> Path:
    facts = json.loads((DATA_FOLDER / "models" / name / "model.json").read_text(encoding="utf-8"))
    (tmp_path / name).mkdir()
    path = tmp_path / name / "model.json"
    path.write_text(json.dumps({**facts, **change}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": "blue"}, "no colour"),
        ({"layout": "tar"}, "does not describe a model.*tar"),
        ({"source": {"url": "http://a.example/"}}, "begins with https"),
        ({"source": {"repo": "no-owner", "revision": None}}, "owner/name"),
        ({"source": {"repo": "a/b", "revision": "main"}}, "40 hex digits"),
        ({"files": []}, "needs parts and files"),
        ({"files": [{"path": "../x.pth"}]}, "stays below"),
        ({"files": [{"path": "x.pth", "sha256": "abc"}]}, "64 hex digits"),
        ({"files": [{"path": "x.pth", "size_bytes": 0}]}, "must be positive"),
        ({"files": [{"path": "x.pth"}, {"path": "x.pth"}]}, "names a file twice"),
        ({"files": [{"name": "x.pth"}]}, "no name"),
        ({"parts": [{"role": "unet"}]}, "does not describe a model"),
    ],
)
def test_an_entry_that_is_wrong_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    assert read_entry(changed(tmp_path, "sam-vit-b", {})) == replace(model_entry("sam-vit-b"))
    (tmp_path / "other").mkdir()
    with pytest.raises(BundleError, match=complaint):
        read_entry(changed(tmp_path / "other", "sam-vit-b", change))


def test_a_bundle_that_is_wrong_is_refused(tmp_path: Path) -> None:
    facts = json.loads((DATA_FOLDER / "sd15.json").read_text(encoding="utf-8"))
    for change, complaint in (
        ({"roles": facts["roles"] | {"unet": "sd21-base"}}, "not trained for one another"),
        ({"roles": facts["roles"] | {"unet": "sam-vit-h"}}, "made for segmenter"),
        ({"pictures": 3}, "no pictures"),
        ({"roles": 3}, "does not describe a bundle"),
    ):
        (tmp_path / "mine.json").write_text(json.dumps(facts | change), encoding="utf-8")
        with pytest.raises(BundleError, match=complaint):
            read_bundle_spec(tmp_path / "mine.json")
    with pytest.raises(BundleError, match="unknown published bundle 'sd9': choose one of sd15"):
        bundle_spec("sd9")
    with pytest.raises(BundleError, match="has no view_unet"):
        bundle_spec("sd15").part("view_unet")


def test_pinned_means_a_revision_or_every_hash() -> None:
    entry = model_entry("sam-vit-b")
    assert entry.is_pinned
    assert entry.size_bytes == 375042383
    unhashed = replace(entry, files=(PublishedFile(path="x.pth"),))
    assert not unhashed.is_pinned
    assert unhashed.size_bytes is None
    assert replace(unhashed, source=HubSource(repo="a/b", revision="0" * 40)).is_pinned
    assert not replace(unhashed, source=HubSource(repo="a/b", revision=None)).is_pinned
    assert isinstance(entry.source, UrlSource)


def test_code_names_no_published_model() -> None:
    names = [*model_entries(), *bundle_specs()]
    package = Path(catalog.__file__).resolve().parent.parent
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if f'"{name}"' in text], path


def test_configurations_are_the_published_files_where_those_are_known() -> None:
    exact: set[str] = set()
    shortened: set[str] = set()
    for name, entry in model_entries().items():
        for file in entry.files:
            path = DATA_FOLDER / "models" / name / file.path
            if path.is_file() and file.sha256 is not None:
                same = hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
                assert same == (path.stat().st_size == file.size_bytes)
                (exact if same else shortened).add(f"{name}/{file.path}")
    assert shortened == {f"{name}/config.json" for name in ("blip-base", "clip-vit-b-32", "clip-vit-l-14")}
    assert len(exact) == 11
    assert "sd21-base/unet/config.json" in exact


def test_the_documented_table_says_what_the_data_say() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert "\n".join(lines()) in page, "print it anew: python -m tests.models.published.table"
    assert set(unpinned()) == {name for name in model_entries() if name.startswith("point-e-")} | {
        "controlnet-depth-sd21"
    }
    assert all(f"`{name}`" in page for name in bundle_specs())
