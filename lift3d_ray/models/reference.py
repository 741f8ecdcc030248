"""Naming bundles: ``toybox``, ``sd15``, a folder, or one of these with other models in some roles.

``sd15+captioner=blip-base`` is the bundle ``sd15`` with another captioner. Together with the weights folder, as in
``/weights/bundles/sd15+captioner=blip-base``, that says everything: one word, which travels to other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lift3d_ray.errors import BundleError, ConfigError
from lift3d_ray.models.catalog import (
    BUNDLES,
    DATA_FOLDER,
    LEFT_OUT,
    BundleSpec,
    ModelEntry,
    ModelPart,
    bundle_spec,
    bundle_specs,
    mixed,
    model_entries,
    model_entry,
    written_bundle,
)
from lift3d_ray.models.files import WEIGHT_SUFFIXES
from lift3d_ray.models.weights import (
    bundle_folder,
    entry_folder,
    faults,
    home_of,
    is_pulled,
    pulled_facts,
    weights_folder,
)

T = TypeVar("T")

WITH_THE_PRIOR = ("view_unet", "image_encoder", "controlnet")
"""Roles that are trained beside one prior, and mean nothing to another."""


def reference(name: str, models: Iterable[str] = (), weights: Path | None = None) -> str:
    """One word for a bundle with other models in some roles.

    Args:
        name: as of ``load_bundle``.
        models: ``role=entry`` each.
        weights: where pulled bundles lie, where it is not the default.

    Raises:
        ConfigError: a choice is not of that form, or a role is chosen twice.
        BundleError: no such model, or not for that role.
    """
    chosen = list(models)
    choices = read_choices(chosen)
    is_folder = (Path(name) / "bundle.json").exists()
    if not choices and (is_folder or name not in bundle_specs()):
        return name
    word = mixed_name(name, choices)
    # A bundle with a name is looked for beside the models; one with a folder stands where it stands.
    return word if is_folder or "/" in name else str(bundle_folder(weights_folder(weights), word))


def read_choices(models: Iterable[str]) -> dict[str, str]:
    """``role=entry`` each, as entry by role.

    Raises:
        ConfigError: not of that form, or a role is named twice.
        BundleError: no such model, or not for that role.
    """
    pairs = [_choice(text) for text in models]
    choices = dict(pairs)
    if len(choices) < len(pairs):
        raise ConfigError(f"--model names a role twice: {', '.join(f'{role}={entry}' for role, entry in pairs)}")
    for role, entry in choices.items():
        if entry != LEFT_OUT:
            model_entry(entry).part(role)
    return choices


def mixed_name(name: str, choices: Mapping[str, str]) -> str:
    """A bundle's name with what stands in its roles instead."""
    return "+".join([name, *(f"{role}={entry}" for role, entry in sorted(choices.items()))])


def _choice(text: str) -> tuple[str, str]:
    role, separator, entry = text.partition("=")
    if not (separator and role and entry):
        raise ConfigError(f"--model takes ROLE=ENTRY, such as captioner=blip-base, got {text!r}")
    return role, entry


def split(word: str) -> tuple[str, dict[str, str], Path]:
    """A reference as the bundle's name or folder, the entry by role, and the weights folder."""
    head, _, last = word.rpartition("/")
    base, *choices = last.split("+")
    named = Path(head)
    if named.name == BUNDLES:
        return base, dict(_choice(text) for text in choices), named.parent
    return f"{head}/{base}" if head else base, dict(_choice(text) for text in choices), weights_folder()


def published_facts(
    word: str, read_base: Callable[[str], tuple[Path, dict[str, Any]]]
) -> tuple[Path, dict[str, Any]] | None:
    """The folder and the ``bundle.json`` that a reference stands for, or None where it is no reference.

    Args:
        word: the reference; not the path of a folder with a ``bundle.json``.
        read_base: opens a bundle that is not published by name, as of ``load_bundle``, and gives its folder and facts.

    Raises:
        BundleError: it names models that do not fit, or that are not pulled.
    """
    base, choices, weights = split(word)
    name = mixed_name(base, choices)
    if base in bundle_specs():
        spec = with_choices(bundle_spec(base), choices)
        _check_pulled(spec, weights, base, choices)
        return bundle_folder(weights, name), written_bundle(spec)
    if not choices:
        return None
    folder, facts = read_base(base)
    return folder, _facts_with(facts, folder, choices, weights) | {"name": Path(name).name}


def with_choices(spec: BundleSpec, choices: Mapping[str, str]) -> BundleSpec:
    """A published bundle with other models in some roles, and a name that says so."""
    return replace(mixed(spec, choices), name=mixed_name(spec.name, choices)) if choices else spec


def wanted_models(names: Iterable[str], models: Iterable[str]) -> tuple[list[BundleSpec], list[ModelEntry]]:
    """What there is to pull for some names.

    Args:
        names: published bundles, published models, or bundles of another kind, of which only the choices are pulled.
        models: ``role=entry`` each, for all of these bundles.

    Returns:
        The published bundles among them, and every model, each once.

    Raises:
        BundleError: no such name, or a choice that does not fit.
        ConfigError: a choice is not of its form.
    """
    choices = read_choices(models)
    specs: list[BundleSpec] = []
    entries: dict[str, ModelEntry] = {}
    for name in names:
        if name in bundle_specs():
            specs.append(with_choices(bundle_spec(name), choices))
            entries |= {entry.name: entry for entry in specs[-1].entries()}
        elif name in model_entries():
            entries[name] = model_entry(name)
        elif choices and is_bundle(name):
            entries |= {entry: model_entry(entry) for entry in choices.values() if entry != LEFT_OUT}
        else:
            raise BundleError(
                f"{name!r} is nothing to pull: choose of the bundles {', '.join(bundle_specs())} "
                f"and the models {', '.join(model_entries())}"
            )
    return specs, list(entries.values())


def is_bundle(name: str) -> bool:
    """Whether a name is an embedded bundle's or a folder's with a ``bundle.json``."""
    return any((folder / "bundle.json").exists() for folder in (DATA_FOLDER / name, Path(name)))


def size_in_words(entries: Iterable[ModelEntry]) -> str:
    """What some models take on disk; about, where a size is not published, by their parameters."""
    known, exact = 0, True
    for entry in entries:
        weights = [file for file in entry.files if Path(file.path).suffix in WEIGHT_SUFFIXES]
        if all(file.size_bytes is not None for file in weights):
            known += sum(file.size_bytes or 0 for file in entry.files)
        else:
            known += entry.parameters * (2 if entry.dtype.endswith("16") else 4)
            exact = False
    return f"{'' if exact else '~'}{known / 1e9:.2f} GB".rjust(9)


def _check_pulled(spec: BundleSpec, weights: Path, base: str, choices: Mapping[str, str]) -> None:
    lacking = [entry.name for entry in spec.entries() if not is_pulled(entry, weights)]
    if lacking:
        raise BundleError(
            f"bundle {spec.name!r} is not whole in {weights}: {', '.join(lacking)} not pulled. "
            f"To bring them: {pull_command(base, choices, weights)}"
        )


def pull_command(base: str, choices: Mapping[str, str], weights: Path) -> str:
    """What to type to bring a bundle."""
    options = [f"--model {role}={entry}" for role, entry in sorted(choices.items())]
    where = [] if weights == weights_folder() else [f"--to {weights}"]
    return " ".join(["lift3d-ray models pull", base, *options, *where])


def exchanged(
    roles: Mapping[str, T], choices: Mapping[str, str], fill: Callable[[ModelEntry, ModelPart], T]
) -> tuple[dict[str, T], ModelEntry | None]:
    """Roles with other models in some; what only its own prior could use goes with that prior.

    Args:
        roles: what stands in every role now.
        choices: entry by role; ``none`` leaves the role unfilled.
        fill: what is to stand in the role of a part.

    Returns:
        The roles, and the entry of another prior where one was chosen.

    Raises:
        BundleError: no such model, or it is not made for that role.
    """
    changed, prior = dict(roles), None
    for role, name in sorted(choices.items(), key=lambda choice: choice[0] != "unet"):
        if name == LEFT_OUT:
            changed.pop(role, None)
            continue
        entry = model_entry(name)
        entry.part(role)
        if "unet" in entry.roles:
            changed = {other: what for other, what in changed.items() if other not in WITH_THE_PRIOR}
            prior = entry
        changed |= {part.role: fill(entry, part) for part in entry.parts}
    return changed, prior


def _facts_with(
    facts: Mapping[str, Any], folder: Path, choices: Mapping[str, str], weights: Path
) -> dict[str, Any]:
    """A ``bundle.json`` with other models in some roles."""

    def pulled(entry: ModelEntry, part: ModelPart) -> str:
        if not is_pulled(entry, weights):
            raise BundleError(f"{entry.name} is not pulled: {pull_command(entry.name, {}, weights)}")
        return str(entry_folder(weights, entry) / part.folder)

    here = {role: str(folder / where) for role, where in dict(facts["roles"]).items()}
    roles, prior = exchanged(here, choices, pulled)
    own = {} if prior is None else {"image_size": int(prior.facts["image_size"]), "latent_pack": 1}
    return {**facts, **own, "roles": roles}


def check_whole(folders: Iterable[Path]) -> None:
    """See that what was pulled is there as it was pulled.

    Raises:
        BundleError: a file is missing, cut short or half downloaded.
    """
    homes = dict.fromkeys(home_of(folder) or folder for folder in folders)
    found = [fault for home in homes for fault in faults(home)]
    if found:
        raise BundleError("nothing of a half-loaded bundle is used: " + "; ".join(found[:4]))


def recorded_digests(folder: Path) -> dict[str, str] | None:
    """SHA-256 by path below a role's folder, as ``pulled.json`` has them; None where it was not pulled."""
    home = home_of(folder)
    if home is None:
        return None
    inside = {home / name: str(facts.get("sha256")) for name, facts in (pulled_facts(home) or {}).items()}
    return {path.relative_to(folder).as_posix(): sha for path, sha in inside.items() if path.is_relative_to(folder)}
