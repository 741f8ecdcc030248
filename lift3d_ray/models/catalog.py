"""The published models as data: where each lies, how it is laid out, what is known of it, and which bundles they make.

The data are the files ``bundles/models/NAME/model.json``, one an entry, each beside the official configurations of its
parts, and ``bundles/NAME.json``, one a bundle. Code knows roles and layouts; names of models stand in the data alone.
A number that could not be had from its publisher is null there, and a note says so.

On a user's disk an entry lies in ``models/NAME`` of the weights folder, in its publisher's own layout, and a bundle in
``bundles/NAME``, a ``bundle.json`` that points there: bundles share what they have in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lift3d_ray.errors import BundleError
from lift3d_ray.models.files import read_config

DATA_FOLDER = Path(__file__).resolve().parent.parent / "bundles"
MODELS = "models"
BUNDLES = "bundles"
LEFT_OUT = "none"
"""What stands for an entry where a role is to stay unfilled."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[0-9a-f]{40}")


class Layout(StrEnum):
    """How the files of an entry lie."""

    DIFFUSERS = "diffusers"
    TRANSFORMERS = "transformers"
    SAM_PTH = "sam-pth"
    POINT_E_PT = "point-e-pt"


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A repository of a model hub.

    Attributes:
        repo: ``owner/name``.
        revision: the commit it is pinned to, 40 hex digits; None = not pinned, the repository's newest is taken.
    """

    repo: str
    revision: str | None

    def __post_init__(self) -> None:
        if self.repo.count("/") != 1:
            raise BundleError(f"a hub repository is owner/name, got {self.repo!r}")
        if self.revision is not None and not _REVISION.fullmatch(self.revision):
            raise BundleError(f"a revision of {self.repo} is 40 hex digits or null, got {self.revision!r}")


@dataclass(frozen=True, kw_only=True)
class UrlSource:
    """A web folder.

    Attributes:
        url: what the files' paths are appended to; ends with a slash.
    """

    url: str

    def __post_init__(self) -> None:
        if not (self.url.startswith("https://") and self.url.endswith("/")):
            raise BundleError(f"a web folder begins with https:// and ends with a slash, got {self.url!r}")


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file of an entry.

    Attributes:
        path: below the source, and below the entry's folder on disk; with forward slashes.
        size_bytes: its length, or None where it is not known.
        sha256: of its content, 64 hex digits, or None where it is not known.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not self.path or self.path.startswith("/") or ".." in self.path.split("/"):
            raise BundleError(f"a published file's path stays below its folder, got {self.path!r}")
        if self.size_bytes is not None and self.size_bytes < 1:
            raise BundleError(f"{self.path}: size_bytes must be positive or null, got {self.size_bytes}")
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise BundleError(f"{self.path}: sha256 must be 64 hex digits or null, got {self.sha256!r}")


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """What an entry has for one role.

    Attributes:
        role: as of ``bundle.REQUIRED_ROLES`` and ``OPTIONAL_ROLES``.
        folder: its sub-folder, ``.`` = the entry's own.
        model_class: official class, dotted.
        parameters: numbers that are learnt; 0 for what has none.
    """

    role: str
    folder: str
    model_class: str
    parameters: int

    def __post_init__(self) -> None:
        if self.parameters < 0 or self.folder.startswith("/") or ".." in self.folder.split("/"):
            raise BundleError(f"a part needs parameters >= 0 and a folder inside its entry, got {self}")


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A published model.

    Attributes:
        name: of the entry.
        parts: what it fills which roles with.
        source: where it is published.
        files: all that is needed of it; weights, configurations, vocabularies.
        layout: how they lie.
        dtype: precision of the published weights.
        licence: SPDX name, or the publisher's own name for it.
        family: what parts of one prior must share; empty where nothing depends on it.
        facts: numbers that its user must know: sides of pictures, scales, normalisations.
        notes: what else people should know; what could not be pinned, and why.
    """

    name: str
    parts: tuple[ModelPart, ...]
    source: HubSource | UrlSource
    files: tuple[PublishedFile, ...]
    layout: Layout
    dtype: str
    licence: str
    family: str = ""
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts or not self.files:
            raise BundleError(f"entry {self.name!r} needs parts and files")
        for kind, names in (("role", [p.role for p in self.parts]), ("file", [f.path for f in self.files])):
            if len(set(names)) < len(names):
                raise BundleError(f"entry {self.name!r} names a {kind} twice: {sorted(names)}")

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it can fill."""
        return tuple(part.role for part in self.parts)

    @property
    def parameters(self) -> int:
        """Learnt numbers of all its parts; parts in one folder are one model, and counted once."""
        return sum({part.folder: part.parameters for part in self.parts}.values())

    @property
    def size_bytes(self) -> int | None:
        """Length of all its files, or None where one is not known."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def is_pinned(self) -> bool:
        """Whether what is fetched today is what was fetched then: a revision, or a hash for every file."""
        return getattr(self.source, "revision", None) is not None or all(file.sha256 for file in self.files)

    def part(self, role: str) -> ModelPart:
        """What it fills a role with.

        Raises:
            BundleError: it has nothing for that role.
        """
        for part in self.parts:
            if part.role == role:
                return part
        raise BundleError(f"{self.name} cannot be the {role}: it is made for {', '.join(self.roles)}")

    def config_folder(self, role: str) -> Path:
        """The folder of this package that holds the official configuration of a part."""
        return DATA_FOLDER / MODELS / self.name / self.part(role).folder


@dataclass(frozen=True, kw_only=True)
class BundleSpec:
    """A published bundle, before it is on disk.

    Attributes:
        name: of the bundle.
        about: a line for people.
        image_size: side of the prior's pictures, pixels.
        latent_pack: latent cells folded into channels before the prior.
        roles: name of the entry that fills every role.
    """

    name: str
    about: str
    image_size: int
    latent_pack: int
    roles: Mapping[str, str]

    def entries(self) -> tuple[ModelEntry, ...]:
        """The entries it needs, each once, in the order of their names."""
        return tuple(model_entry(name) for name in sorted(set(self.roles.values())))

    def part(self, role: str) -> tuple[ModelEntry, ModelPart]:
        """The entry of a role, and its part.

        Raises:
            BundleError: the bundle has no such role.
        """
        if role not in self.roles:
            raise BundleError(f"bundle {self.name!r} has no {role}: it fills {', '.join(sorted(self.roles))}")
        entry = model_entry(self.roles[role])
        return entry, entry.part(role)


@lru_cache(maxsize=1)
def model_entries() -> Mapping[str, ModelEntry]:
    """All published models by name."""
    found = sorted((DATA_FOLDER / MODELS).glob("*/model.json"))
    return MappingProxyType({path.parent.name: read_entry(path) for path in found})


def model_entry(name: str) -> ModelEntry:
    """A published model.

    Raises:
        BundleError: no such model.
    """
    known = model_entries()
    if name not in known:
        raise BundleError(f"unknown model {name!r}: choose one of {', '.join(known)}")
    return known[name]


@lru_cache(maxsize=1)
def bundle_specs() -> Mapping[str, BundleSpec]:
    """All published bundles by name."""
    found = sorted(DATA_FOLDER.glob("*.json"))
    return MappingProxyType({path.stem: read_bundle_spec(path) for path in found})


def bundle_spec(name: str) -> BundleSpec:
    """A published bundle.

    Raises:
        BundleError: no such bundle.
    """
    known = bundle_specs()
    if name not in known:
        raise BundleError(f"unknown published bundle {name!r}: choose one of {', '.join(known)}")
    return known[name]


def mixed(spec: BundleSpec, choices: Mapping[str, str]) -> BundleSpec:
    """The bundle with other models in some roles.

    An entry that fills several roles together with the chosen one (a diffusion model: its network, autoencoder, text
    encoder, tokenizer and schedule) takes all of them, and brings its picture size.

    Args:
        spec: the bundle.
        choices: entry by role; ``none`` leaves the role unfilled.

    Raises:
        BundleError: no such model, or it is not made for that role or for the others.
    """
    roles, image_size = dict(spec.roles), spec.image_size
    for role, name in choices.items():
        if name == LEFT_OUT:
            roles.pop(role, None)
            continue
        entry = model_entry(name)
        entry.part(role)
        roles |= dict.fromkeys(entry.roles, name)
        image_size = int(entry.facts["image_size"]) if "unet" in entry.roles else image_size
    changed = replace(spec, roles=MappingProxyType(roles), image_size=image_size)
    _check_family(changed)
    return changed


def written_bundle(spec: BundleSpec) -> dict[str, Any]:
    """The ``bundle.json`` of a bundle, for a folder ``bundles/NAME`` beside the folder ``models`` of the entries."""
    roles = {}
    for role in sorted(spec.roles):
        entry, part = spec.part(role)
        roles[role] = "/".join(step for step in ("../..", MODELS, entry.name, part.folder) if step != ".")
    return {"name": spec.name, "image_size": spec.image_size, "latent_pack": spec.latent_pack, "roles": roles}


def read_entry(path: Path) -> ModelEntry:
    """One entry from its file.

    Raises:
        BundleError: the file is missing, or does not describe a model.
    """
    facts = read_config(path.parent, path.name)
    try:
        source = facts.pop("source")
        entry = _build(
            ModelEntry,
            {
                **facts,
                "name": path.parent.name,
                "source": _build(UrlSource if "url" in source else HubSource, source),
                "parts": tuple(_build(ModelPart, part) for part in facts["parts"]),
                "files": tuple(_build(PublishedFile, file) for file in facts["files"]),
                "layout": Layout(facts["layout"]),
                "facts": MappingProxyType(dict(facts["facts"])),
                "notes": tuple(facts.get("notes", ())),
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} does not describe a model: {error}") from error
    assert isinstance(entry, ModelEntry)
    return entry


def read_bundle_spec(path: Path) -> BundleSpec:
    """One published bundle from its file.

    Raises:
        BundleError: the file is missing, does not describe a bundle, or names models that do not fit.
    """
    facts = read_config(path.parent, path.name)
    try:
        spec = _build(BundleSpec, {**facts, "name": path.stem, "roles": MappingProxyType(dict(facts["roles"]))})
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} does not describe a bundle: {error}") from error
    assert isinstance(spec, BundleSpec)
    for role in spec.roles:
        spec.part(role)
    _check_family(spec)
    return spec


def _check_family(spec: BundleSpec) -> None:
    families = {name: model_entry(name).family for name in spec.roles.values() if model_entry(name).family}
    if len(set(families.values())) > 1:
        raise BundleError(
            f"bundle {spec.name!r} mixes models that were not trained for one another: "
            + ", ".join(f"{name} is of {family}" for name, family in sorted(families.items()))
        )


def _build(kind: type, facts: Mapping[str, Any]) -> Any:
    unknown = sorted(set(facts) - {field.name for field in fields(kind)})
    if unknown:
        raise BundleError(f"{kind.__name__} has no {', '.join(unknown)}: {dict(facts)}")
    return kind(**facts)
