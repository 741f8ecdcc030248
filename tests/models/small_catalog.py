"""A catalogue of two small published models and a bundle of them, beside a server that has their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lift3d_ray.models import catalog
from lift3d_ray.models.bundle import REQUIRED_ROLES
from tests.models.file_server import Shelf, serving

REVISION = "0123456789" * 4
SAM = b"weights of a segmenter " * 1000
UNET = b"weights of a network " * 2000
REST = [role for role in REQUIRED_ROLES if role != "segmenter"]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(parts: list[dict[str, Any]], source: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
    published = [{"path": path, "size_bytes": len(data), "sha256": _sha256(data)} for path, data in files.items()]
    return {
        "parts": parts,
        "source": source,
        "files": published,
        "layout": "diffusers" if "repo" in source else "sam-pth",
        "dtype": "float32",
        "licence": "MIT",
        "facts": {"image_size": 64},
    }


def _part(role: str, folder: str) -> dict[str, Any]:
    return {"role": role, "folder": folder, "model_class": "torch.nn.Linear", "parameters": 10}


HUB_FILES = {f"{role}/config.json": b"{}" for role in REST} | {f"{role}/a.safetensors": UNET for role in REST}
WEB_FILES = {"sam_small.pth": SAM}


@contextmanager
def small_catalog(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """The catalogue in place of the real one, the mirrors set to a server that has all files."""
    hub = {"repo": "org/small", "revision": REVISION}
    entries = {
        "small-prior": _entry([_part(role, role) for role in REST], hub, HUB_FILES),
        "small-sam": _entry([_part("segmenter", ".")], {"url": "https://files.example/sam/"}, WEB_FILES),
        "other-sam": _entry([_part("segmenter", ".")], {"url": "https://files.example/other/"}, WEB_FILES),
    }
    for name, facts in entries.items():
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "model.json").write_text(json.dumps(facts))
        (folder / "models" / name / "config.json").write_text('{"of": "this project"}')
    roles = {"segmenter": "small-sam"} | dict.fromkeys(REST, "small-prior")
    bundle = {"about": "for tests", "image_size": 64, "latent_pack": 1, "roles": roles}
    (folder / "small.json").write_text(json.dumps(bundle))
    files = {f"/org/small/resolve/{REVISION}/{path}": data for path, data in HUB_FILES.items()}
    files |= {f"/files.example/{where}/{path}": data for path, data in WEB_FILES.items() for where in ("sam", "other")}
    monkeypatch.setattr(catalog, "DATA_FOLDER", folder)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("LIFT3D_WEIGHTS", raising=False)
    _forget()
    with serving(Shelf(files=files)) as shelf:
        monkeypatch.setenv("HF_ENDPOINT", shelf.address)
        monkeypatch.setenv("LIFT3D_MIRROR", shelf.address)
        yield shelf
    _forget()


def _forget() -> None:
    catalog.model_entries.cache_clear()
    catalog.bundle_specs.cache_clear()
